"""The overlays of the manifests: what they change, and that the API server takes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from testbed.controlplane import ControlPlane

pytestmark = pytest.mark.usefixtures("installed")


def built(plane: ControlPlane, overlay: str) -> dict[tuple[str, str], dict[str, Any]]:
    documents = yaml.safe_load_all(plane.kubectl("kustomize", f"manifests/{overlay}"))
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


def changed(plane: ControlPlane, overlay: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the objects that an overlay adds or changes."""
    before = built(plane, "default")
    return {key: each for key, each in built(plane, overlay).items() if before.get(key) != each}


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
