"""The overlays of the manifests: what they change, and that the API server takes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from testbed import controlplane

if TYPE_CHECKING:
    from testbed.controlplane import ControlPlane

# kubectl always sends the selector of a budget, equal or not: its API says `patchStrategy: replace`.
ALWAYS_SENT = "poddisruptionbudget.policy/mooring-operator configured"

pytestmark = pytest.mark.usefixtures("installed")


def built(plane: ControlPlane, overlay: str) -> dict[tuple[str, str], dict[str, Any]]:
    documents = yaml.safe_load_all(plane.kubectl("kustomize", f"manifests/{overlay}"))
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


def changed(plane: ControlPlane, overlay: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the objects that an overlay adds or changes."""
    before = built(plane, "default")
    return {key: each for key, each in built(plane, overlay).items() if before.get(key) != each}


@pytest.mark.parametrize("overlay", sorted(path.parent.name for path in Path("manifests").glob("*/kustomization.yaml")))
def test_every_overlay_is_built(plane: ControlPlane, overlay: str) -> None:
    assert built(plane, overlay)


def test_two_replicas_are_kept_apart_and_one_of_them_from_being_evicted(plane: ControlPlane) -> None:
    found = built(plane, "default")
    deployment = found["Deployment", "mooring-operator"]["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    labels = deployment["template"]["metadata"]["labels"].items()
    for constraint in deployment["template"]["spec"]["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"].items() <= labels
    budget = found["PodDisruptionBudget", "mooring-operator"]["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= labels


def test_cert_manager_makes_the_secret_that_the_operator_reads(plane: ControlPlane) -> None:
    found = changed(plane, "cert-manager")
    assert {kind for kind, _ in found} == {"Certificate", "Issuer", "ValidatingWebhookConfiguration"}
    certificate = found["Certificate", "mooring-webhook"]
    assert certificate["spec"]["secretName"] == "mooring-webhook-tls"
    assert "mooring-webhook.mooring-system.svc" in certificate["spec"]["dnsNames"]
    webhook = found["ValidatingWebhookConfiguration", "mooring"]
    assert webhook["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == "mooring-system/mooring-webhook"


def test_on_the_host_network_the_ports_are_those_of_the_arguments(plane: ControlPlane) -> None:
    (deployment,) = changed(plane, "host-network").values()
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert container["args"] == ["operator", f"--webhook-port={ports['webhook']}", f"--health-port={ports['health']}"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["readinessProbe"]["httpGet"]["port"] == "health"
    plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(deployment))


def test_monitoring_goes_beside_any_overlay_and_holds_the_dashboard_for_grafana(plane: ControlPlane) -> None:
    found = built(plane, "monitoring")
    assert {kind for kind, _ in found} == {"PodMonitor", "PrometheusRule", "ConfigMap"}
    assert {each["metadata"]["namespace"] for each in found.values()} == {"mooring-system"}
    assert not found.keys() & built(plane, "default").keys()
    dashboard = found["ConfigMap", "mooring-dashboard"]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["dashboard.json"])["title"] == "Mooring"
    plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(dashboard))


def test_one_replica_where_one_is_enough(plane: ControlPlane) -> None:
    (deployment,) = changed(plane, "single-replica").values()
    assert deployment["spec"]["replicas"] == 1


def versions(plane: ControlPlane) -> dict[str, str]:
    text = plane.kubectl("get", "-k", "manifests/default", "-o", "json")
    return {
        f"{each['kind']} {each['metadata']['name']}": each["metadata"]["resourceVersion"]
        for each in json.loads(text)["items"]
    }


def test_applied_again_says_that_nothing_changed_and_nothing_did() -> None:
    with controlplane.running() as own:
        own.kubectl("apply", "-k", "manifests/default")
        before = versions(own)
        said = own.kubectl("apply", "-k", "manifests/default").splitlines()
        assert [line for line in said if not line.endswith(" unchanged")] == [ALWAYS_SENT]
        assert len(said) == len(before)
        assert versions(own) == before
