"""Everybody who asks an operator gets its numbers; what is the leader's word comes from the leader alone."""

from __future__ import annotations

import asyncio
import datetime
import types
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import parser

from mooring.admission import certificates
from mooring.admission.tallies import Tally
from mooring.controller import keys, measuring
from mooring.controller.meters import Meter
from mooring.controller.queues import Queue
from mooring.installing.conditions import Condition
from mooring.installing.installations import Halt, InstallationStatus, NodeCounts, RolloutStatus
from mooring.metrics import families
from mooring.metrics import operator as metrics
from mooring.metrics.histograms import Histogram
from mooring.rules.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mooring.installing import rollouts

pytestmark = pytest.mark.looptime

SINCE = "2026-03-01T12:00:00Z"
NOW = datetime.datetime.fromisoformat(SINCE)
BUNDLE = certificates.make(namespace="mooring-system", now=NOW)
STATUS = InstallationStatus(
    nodes=NodeCounts(desired=4, updated=2, ready=3),
    rollout=RolloutStatus(
        revision="mooring-r2",
        stage="Canaries",
        since=SINCE,
        halted=Halt(node="n3", reason="NotReadyInTime", message="no", generation=1, since=SINCE),
    ),
    conditions=[
        Condition(type="Available", status="True", reason="NodesReady", last_transition_time=SINCE),
        Condition(type="Degraded", status="Unknown", reason="Odd", last_transition_time=SINCE),
    ],
)
PHASES: Mapping[str, rollouts.Phase] = {"n1": "current", "n2": "current", "n3": "failing", "n4": "away"}


def informer(plural: str, *names: str, contact: float | None = 0.0) -> Any:
    return types.SimpleNamespace(plural=plural, store={name: {} for name in names}, last_contact=contact)


def sources(*, leads: bool = True, bundle: certificates.Bundle | None = BUNDLE, **more: Any) -> measuring.Sources:
    """Return an operator that has had a busy minute."""
    meter, tally = Meter((*keys.ALL, keys.UNINSTALL)), Tally()
    meter.failures["Installation default", "Conflict"] = 2
    tally.add([Finding("MR101", Severity.ENFORCE, "", "", ""), Finding("MR110", Severity.WARN, "", "", "")])
    review = Histogram()
    review.observe(0.002)
    known: dict[str, Any] = {
        "queue": Queue(),
        "meter": meter,
        "election": types.SimpleNamespace(holds=leads, changes=1),
        "server": types.SimpleNamespace(
            bundle=bundle, outcomes={("/validate/x", "denied"): 3}, durations={"/validate/x": review}
        ),
        "tally": tally,
        "informers": [informer("nodes", "n1", "n2", contact=5.0)],
        "ready": lambda: True,
        "reported": lambda: measuring.Reported(STATUS, PHASES),
    }
    return measuring.Sources(**(known | more))


def samples(text: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    """Return values by name and labels, in the order of their names; two of the same are a fault."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in parser.text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {})
            found[sample.name][labels] = sample.value
    return found


def told(subject: measuring.Sources) -> dict[str, dict[tuple[str, ...], float]]:
    return samples(families.text(measuring.numbers(subject)))


async def test_a_leader_tells_every_metric_of_the_page() -> None:
    text = measuring.Page(sources()).text().decode()
    for each in metrics.FAMILIES:
        assert f"# TYPE {each.name} {each.kind}\n" in text
    assert "process_resident_memory_bytes " in text


async def test_every_piece_of_work_has_a_name_of_its_own() -> None:
    found = told(sources())["mooring_operator_reconcile_duration_seconds_count"]
    names = ("definition", "evictions", "installation", "reports", "uninstall", "webhook")
    assert found == {(name,): 0 for name in names}


async def test_the_roll_out_is_told_by_phase_and_by_the_nodes_that_want_a_look() -> None:
    found = told(sources())
    assert found["mooring_operator_nodes"] == {("away",): 1, ("current",): 2, ("failing",): 1}
    assert found["mooring_operator_node_phase_info"] == {("n3", "failing"): 1, ("n4", "away"): 1}
    assert found["mooring_operator_rollout_halted"] == {("n3", "NotReadyInTime"): 1}
    assert found["mooring_operator_rollout_info"] == {("mooring-r2", "Canaries"): 1}
    assert found["mooring_operator_rollout_start_timestamp_seconds"] == {(): NOW.timestamp()}
    assert found["mooring_operator_condition"] == {("NodesReady", "Available"): 1, ("Odd", "Degraded"): 0}
    assert [found[f"mooring_operator_nodes_{each}"][()] for each in ("desired", "updated", "ready")] == [4, 2, 3]


async def test_who_does_not_lead_says_so_and_nothing_of_the_nodes() -> None:
    found = told(sources(leads=False))
    assert found["mooring_operator_leader"] == {(): 0}
    assert not [name for name in found if "node" in name or "rollout" in name or "condition" in name]
    assert found["mooring_operator_reviews_total"] == {("/validate/x", "denied"): 3}


async def test_without_an_installation_or_a_certificate_nothing_is_made_up() -> None:
    found = told(sources(bundle=None, reported=lambda: None))
    assert "mooring_operator_condition" not in found
    assert "mooring_operator_certificate_expiry_timestamp_seconds" not in found


async def test_of_nodes_without_end_a_thousand_are_named_and_all_are_counted() -> None:
    phases: dict[str, rollouts.Phase] = {f"n{number:05}": "moving" for number in range(5000)}
    found = told(sources(reported=lambda: measuring.Reported(STATUS, phases)))
    assert len(found["mooring_operator_node_phase_info"]) == 1000
    assert found["mooring_operator_nodes"] == {("moving",): 5000}


async def test_reviews_are_told_by_verdict_rule_and_time() -> None:
    found = told(sources())
    assert found["mooring_operator_review_findings_total"] == {("MR101", "Enforce"): 1, ("MR110", "Warn"): 1}
    assert found["mooring_operator_review_duration_seconds_count"] == {("/validate/x",): 1}
    expiry = found["mooring_operator_certificate_expiry_timestamp_seconds"][()]
    assert datetime.timedelta(days=30).total_seconds() < expiry - NOW.timestamp()


async def test_of_a_kind_that_several_watches_follow_the_oldest_counts() -> None:
    await asyncio.sleep(60)
    watches = [
        informer("daemonsets", "a", contact=50.0),
        informer("daemonsets", "b", "c", contact=10.0),
        informer("nodes", contact=None),
    ]
    found = told(sources(informers=watches))
    assert found["mooring_operator_watch_age_seconds"] == {("daemonsets",): 50}
    assert found["mooring_operator_watched_objects"] == {("daemonsets",): 3, ("nodes",): 0}


async def test_what_waits_for_its_turn_is_counted() -> None:
    queue = Queue()
    queue.add("due")
    queue.add("later", after=60)
    await asyncio.sleep(1)
    found = told(sources(queue=queue))
    assert found["mooring_operator_queue_depth"] == {(): 1}
    failing = found["mooring_operator_reconcile_failures_total"]
    assert failing == {("Conflict", "installation"): 2}


async def test_many_who_ask_within_a_second_get_the_same_answer() -> None:
    subject = sources()
    page = measuring.Page(subject)
    first = page.text()
    subject.meter.failures["Installation default", "Fault"] = 1
    assert page.text() is first
    await asyncio.sleep(1)
    assert b'error="Fault"' in page.text()
