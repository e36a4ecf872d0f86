"""The alert rules fire when they should and else are silent, by Prometheus' own tool; so are the queries parsed."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mooring.metrics import alerts, dashboard
from testbed import binaries

if TYPE_CHECKING:
    from pathlib import Path

# Where nobody built it before (`make programs`), the first test does.
pytestmark = pytest.mark.timeout(900)

RULES: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in alerts.groups() for rule in group["rules"]}


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """Series with a value a minute (promtool's notation), and whether the alert fires after so many minutes."""

    alert: str
    series: dict[str, str]
    minutes: int
    fires: bool = True
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    said: dict[str, str] = dataclasses.field(default_factory=dict)
    """The annotations that are templates."""


REVIEWS = "mooring_operator_reviews_total"
SECONDS = "mooring_operator_review_duration_seconds_bucket"
FAILURES = 'mooring_operator_reconcile_failures_total{reconciler="reports",error='
AVAILABLE = 'mooring_operator_condition{type="Available",reason='
STAGE = 'mooring_operator_rollout_info{revision="r",stage='
DAY = 86400

CASES = [
    Case("MooringOperatorAbsent", {"up": "1x20"}, 10),
    Case("MooringOperatorAbsent", {'mooring_operator_build_info{version="1"}': "1x20"}, 10, fires=False),
    Case("MooringAdmissionNotReady", {'mooring_operator_ready{pod="a"}': "0x20"}, 5),
    Case(
        "MooringAdmissionNotReady",
        {'mooring_operator_ready{pod="a"}': "0x20", 'mooring_operator_ready{pod="b"}': "1x20"},
        5,
        fires=False,
    ),
    Case(
        "MooringReviewsFail",
        {REVIEWS + '{path="/p",verdict="late"}': "0+60x20"},
        15,
        labels={"verdict": "late"},
        said={
            "summary": "Reviews of networks end without a judgement: late.",
            "description": "Somebody's networks are refused for no fault of theirs, 1 a second.",
        },
    ),
    Case(
        "MooringReviewsFail",
        {REVIEWS + f'{{path="/p",verdict="{each}"}}': "0+60x20" for each in ("allowed", "denied", "self-test")},
        15,
        fires=False,
    ),
    Case(
        "MooringReviewsSlow",
        {SECONDS + '{path="/p",le="2.5"}': "0x30", SECONDS + '{path="/p",le="5.0"}': "0+60x30"}
        | {SECONDS + '{path="/p",le="+Inf"}': "0+60x30"},
        25,
        said={"summary": "One review in a hundred takes more than 4.975s."},
    ),
    Case(
        "MooringReviewsSlow",
        {SECONDS + '{path="/p",le="0.01"}': "0+60x30", SECONDS + '{path="/p",le="+Inf"}': "0+60x30"},
        25,
        fires=False,
    ),
    Case(
        "MooringCertificateEnds",
        {"mooring_operator_certificate_expiry_timestamp_seconds": f"{10 * DAY}x120"},
        90,
        said={"summary": "The webhook's certificate ends in 9d 22h 30m 0s and was not renewed."},
    ),
    Case(
        "MooringCertificateEnds",
        {"mooring_operator_certificate_expiry_timestamp_seconds": f"{100 * DAY}x120"},
        90,
        fires=False,
    ),
    Case("MooringNoLeader", {'mooring_operator_leader{pod="a"}': "0x9", 'mooring_operator_leader{pod="b"}': "0x9"}, 5),
    Case(
        "MooringNoLeader",
        {'mooring_operator_leader{pod="a"}': "1 1 0 0x9", 'mooring_operator_leader{pod="b"}': "0 0 0 1x9"},
        5,
        fires=False,
    ),
    Case("MooringLeadershipFlaps", {'mooring_operator_leadership_changes_total{pod="a"}': "0+1x60"}, 45),
    Case("MooringLeadershipFlaps", {'mooring_operator_leadership_changes_total{pod="a"}': "0 1 2x60"}, 20, fires=False),
    Case(
        "MooringReconcileFails",
        {FAILURES + '"Forbidden"}': "0+1x40"},
        30,
        labels={"reconciler": "reports", "error": "Forbidden"},
        said={"summary": "Passes of the reconciler reports fail: Forbidden."},
    ),
    Case(
        "MooringReconcileFails",
        {FAILURES + '"Conflict"}': "0+9x40", FAILURES + '"Unreachable"}': "0 1 2x40"},
        30,
        fires=False,
    ),
    Case(
        "MooringReconcileHangs",
        {'mooring_operator_reconcile_running_seconds{reconciler="installation"}': "0+60x40"},
        20,
        labels={"reconciler": "installation"},
        said={"summary": "A pass of the reconciler installation has been under way for 20m 0s."},
    ),
    Case(
        "MooringReconcileHangs",
        {'mooring_operator_reconcile_running_seconds{reconciler="installation"}': "0 60 120 0 30 0x20"},
        20,
        fires=False,
    ),
    Case(
        "MooringWatchSilent",
        {'mooring_operator_watch_age_seconds{pod="a",resource="nodes"}': "0+60x40"},
        30,
        labels={"pod": "a", "resource": "nodes"},
        said={"summary": "The operator has had no word of nodes for 30m 0s."},
    ),
    Case(
        "MooringWatchSilent",
        {'mooring_operator_watch_age_seconds{pod="a",resource="nodes"}': "600x40"},
        30,
        fires=False,
    ),
    Case(
        "MooringUnavailable",
        {AVAILABLE + '"NodesNotReady"}': "0x30"},
        20,
        labels={"reason": "NodesNotReady"},
        said={"summary": "Pods may lack their networks: NodesNotReady."},
    ),
    Case("MooringUnavailable", {AVAILABLE + '"Uninstalling"}': "0x30"}, 20, fires=False),
    Case("MooringUnavailable", {AVAILABLE + '"NodesReady"}': "1x30"}, 20, fires=False),
    Case(
        "MooringDegraded",
        {'mooring_operator_condition{type="Degraded",reason="NodesDegraded"}': "1x30"},
        20,
        labels={"reason": "NodesDegraded"},
        said={"summary": "Something is wrong and stays so unless somebody acts: NodesDegraded."},
    ),
    Case(
        "MooringDegraded",
        {'mooring_operator_condition{type="Degraded",reason="AsExpected"}': "0x30"},
        20,
        fires=False,
    ),
    Case(
        "MooringRolloutHalted",
        {'mooring_operator_rollout_halted{node="n1",reason="NotReadyInTime"}': "1x30"},
        5,
        labels={"node": "n1", "reason": "NotReadyInTime"},
        said={"summary": "A roll-out has halted because of node n1: NotReadyInTime."},
    ),
    Case("MooringRolloutHalted", {STAGE + '"Canaries"}': "1x30"}, 5, fires=False),
    Case(
        "MooringRolloutSlow",
        {"mooring_operator_rollout_start_timestamp_seconds": "0x600", STAGE + '"Rest"}': "1x600"},
        400,
        said={"summary": "A roll-out has been under way for 6h 40m 0s."},
    ),
    Case(
        "MooringRolloutSlow",
        {"mooring_operator_rollout_start_timestamp_seconds": "0x600", STAGE + '"Complete"}': "1x600"},
        400,
        fires=False,
    ),
    Case(
        "MooringNodeNotReady",
        {'mooring_agent_ready{node="n1",instance="10.0.0.1:9455"}': "0x30"},
        20,
        labels={"node": "n1", "instance": "10.0.0.1:9455"},
        said={"summary": "Mooring is not ready on n1 (10.0.0.1:9455)."},
    ),
    Case("MooringNodeNotReady", {'mooring_agent_ready{node="n1",instance="i"}': "0x10 1x20"}, 20, fires=False),
    Case(
        "MooringPodsWithoutNetworks",
        {'mooring_agent_pods_without_networks{node="n1",cause="OlderThanMooring"}': "2x30"},
        20,
        labels={"node": "n1", "cause": "OlderThanMooring"},
        said={"summary": "2 pods on n1 run without the networks that they ask for: OlderThanMooring."},
    ),
    Case("MooringPodsWithoutNetworks", {'mooring_agent_pods_without_networks{node="n1"}': "0x30"}, 20, fires=False),
    Case(
        "MooringAttachmentsFail",
        {'mooring_agent_call_failures_total{node="n1",verb="ADD",network="default/a",code="7"}': "0+2x40"},
        30,
        labels={"node": "n1", "network": "default/a", "code": "7"},
        said={"summary": "Pods on n1 do not start: network default/a, code 7."},
    ),
    Case(
        "MooringAttachmentsFail",
        {'mooring_agent_call_failures_total{node="n1",verb="DEL",network="default/a",code="7"}': "0+2x40"}
        | {'mooring_agent_call_failures_total{node="n1",verb="ADD",network="default/a",code="7"}': "0 1 2 3x40"},
        30,
        fires=False,
    ),
    Case(
        "MooringConfContested",
        {'mooring_agent_rivals{node="n1",instance="i"}': "1x30"},
        20,
        labels={"node": "n1", "instance": "i"},
        said={"summary": "On n1 (i) another file would be loaded before Mooring's conf."},
    ),
    Case("MooringConfContested", {'mooring_agent_rivals{node="n1",instance="i"}': "1 1 0x30"}, 20, fires=False),
    Case(
        "MooringCleanUpFails",
        {'mooring_agent_garbage_failures_total{node="n1"}': "0+1x120"},
        90,
        labels={"node": "n1"},
        said={"summary": "What pods left behind on n1 cannot be undone."},
    ),
    Case("MooringCleanUpFails", {'mooring_agent_garbage_failures_total{node="n1"}': "3x120"}, 90, fires=False),
    Case(
        "MooringAgentHangs",
        {'mooring_agent_reconcile_overdue_seconds{node="n1",reconciler="conf"}': "0+60x30"},
        20,
        labels={"node": "n1", "reconciler": "conf"},
        said={
            "summary": "The reconciler conf of n1 hangs.",
            "description": "A pass is 20m 0s over its deadline; mostly a file system of the node does not answer.",
        },
    ),
    Case(
        "MooringAgentHangs",
        {'mooring_agent_reconcile_overdue_seconds{node="n1",reconciler="conf"}': "0x30"},
        20,
        fires=False,
    ),
]


@pytest.fixture(scope="module")
def promtool() -> Path:
    return binaries.promtool()


def run(*words: str | Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_seen_to_fire_and_to_be_silent() -> None:
    assert {case.alert for case in CASES if case.fires} == set(RULES)
    assert {case.alert for case in CASES if not case.fires} == set(RULES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}-{'fires' if case.fires else 'is-silent'}")
def test_an_alert(promtool: Path, case: Case, tmp_path: Path) -> None:
    rule = RULES[case.alert]
    fired = {"exp_labels": rule["labels"] | case.labels, "exp_annotations": rule["annotations"] | case.said}
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{case.minutes}m",
                "alertname": case.alert,
                "exp_alerts": [fired] if case.fires else [],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(alerts.SOURCE)], "evaluation_interval": "1m", "tests": [test]}))
    run(promtool, "test", "rules", file)


def test_the_rules_are_good_in_the_eyes_of_the_linter(promtool: Path) -> None:
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", alerts.SOURCE)


def test_every_query_of_the_dashboard_can_be_parsed(promtool: Path, tmp_path: Path) -> None:
    panels = json.loads(dashboard.DOCUMENT.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    assert len(queries) > 20
    rules = [{"record": f"query{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(promtool, "check", "rules", "--lint=none", file)
