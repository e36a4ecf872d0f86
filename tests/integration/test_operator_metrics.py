"""What the operator measures is to be had from a running one, and is what the API server has seen of it."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from mooring.metrics import operator as metrics
from testbed import failures
from tests.integration.conftest import eventually
from tests.integration.installing import NODES, Watching, settle

if TYPE_CHECKING:
    from mooring.kube.client import Client
    from testbed.controlplane import ControlPlane
    from tests.integration.conftest import OperatorProcess


def page(operator: OperatorProcess) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.health_port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def numbers(operator: OperatorProcess) -> dict[str, float]:
    """Return the value of each series, by name and labels as they are written."""
    lines = (line.rpartition(" ") for line in page(operator).splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}


async def test_a_leader_tells_of_the_roll_out_and_of_its_watches(
    client: Client, watching: Watching, operator: OperatorProcess, installation: dict[str, Any]
) -> None:
    await settle(client, watching)
    rolled_out = f'mooring_operator_nodes{{phase="current"}} {len(NODES)}.0\n'
    await eventually(lambda: rolled_out in page(operator), what="all nodes as current ones")
    found = numbers(operator)
    assert found["mooring_operator_leader"] == 1
    assert found["mooring_operator_ready"] == 1
    assert found["mooring_operator_nodes_desired"] == len(NODES)
    assert found['mooring_operator_reconcile_duration_seconds_count{reconciler="installation"}'] > 0
    assert found['mooring_operator_watched_objects{resource="nodes"}'] == len(NODES)
    assert not [series for series, value in found.items() if "watch_age" in series and value > 600]
    text = page(operator)
    absent = [each.name for each in metrics.FAMILIES if f"# TYPE {each.name} {each.kind}\n" not in text]
    assert absent == [metrics.HALTED.name]


async def test_a_refused_network_is_counted_by_its_rule(plane: ControlPlane, operator: OperatorProcess) -> None:
    denied = 'mooring_operator_reviews_total{path="/validate/networkattachmentdefinitions",verdict="denied"}'
    found = 'mooring_operator_review_findings_total{code="MR101",severity="Enforce"}'
    before = numbers(operator)
    network = '{"apiVersion":"k8s.cni.cncf.io/v1","kind":"NetworkAttachmentDefinition",'
    network += '"metadata":{"name":"refused","namespace":"default"},"spec":{"config":"{"}}'
    with pytest.raises(failures.Failure, match="MR101"):
        plane.kubectl("apply", "-f", "-", stdin=network)
    for series in (denied, found):
        await eventually(
            lambda series=series: numbers(operator).get(series) == before.get(series, 0) + 1,  # type: ignore[misc]
            what=series,
        )
