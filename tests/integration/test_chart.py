"""The chart and the manifests are the same objects, for both versions of helm that people have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from testbed import binaries, commands, controlplane
from testbed.helm import CHART, VERSIONS, Helm
from testbed.kubectl import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbed.controlplane import ControlPlane

HOOK = "helm.sh/hook"
KEEP = {"helm.sh/resource-policy": "keep"}
CERT_MANAGER = "--set=certManager.enabled=true"
HOST_NETWORK = "--set=operator.hostNetwork.enabled=true"
OVERLAYS = {
    "default": (),
    "single-replica": ("--set=operator.replicas=1",),
    "host-network": (HOST_NETWORK,),
    "cert-manager": (CERT_MANAGER,),
}

Objects = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(params=sorted(VERSIONS))
def helm(request: pytest.FixtureRequest, tmp_path: Path) -> Helm:
    """Each version of helm, without a cluster."""
    return Helm(request.param, tmp_path)


def by_name(objects: list[dict[str, Any]]) -> Objects:
    found = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    assert len(found) == len(objects)
    return found


def release(helm: Helm, *arguments: str, namespace: str = "mooring-system") -> Objects:
    """Return the chart's objects without its hooks, and definitions without what tells helm to keep them."""
    objects = [
        each
        for each in helm.template(*arguments, namespace=namespace)
        if HOOK not in (each["metadata"].get("annotations") or {})
    ]
    for each in objects:
        if each["kind"] == "CustomResourceDefinition":
            assert each["metadata"].pop("annotations") == KEEP
    return by_name(objects)


def hooks(helm: Helm, *arguments: str) -> list[dict[str, Any]]:
    return [each for each in helm.template(*arguments) if HOOK in (each["metadata"].get("annotations") or {})]


def kustomized(folder: Path | str) -> Objects:
    text = commands.run([binaries.kubernetes() / "kubectl", "kustomize", str(folder)], cwd=CHECKOUT)
    return by_name([each for each in yaml.safe_load_all(text) if each["kind"] != "Namespace"])


def test_lint_finds_nothing(helm: Helm) -> None:
    said = helm("lint", "--strict", CHART, "--namespace=mooring-system")
    assert "1 chart(s) linted, 0 chart(s) failed" in said
    assert "WARNING" not in said
    helm("lint", "--strict", CHART, CERT_MANAGER, HOST_NETWORK, "--set=installation.create=false")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_chart_is_the_overlay_object_by_object(helm: Helm, overlay: str) -> None:
    ours, theirs = release(helm, *OVERLAYS[overlay]), kustomized(f"manifests/{overlay}")
    assert ours.keys() == theirs.keys()
    for name, each in theirs.items():
        assert ours[name] == each, name


def test_in_another_namespace_too(helm: Helm, tmp_path: Path) -> None:
    # kustomize takes no absolute path.
    overlay = tmp_path / "kustomization.yaml"
    above = "../" * len(tmp_path.parts)
    overlay.write_text(f"namespace: elsewhere\nresources: ['{above}{str(CHECKOUT).lstrip('/')}/manifests/default']\n")
    ours, theirs = release(helm, namespace="elsewhere"), kustomized(tmp_path)
    for (kind, _), each in theirs.items():
        if kind.startswith("ValidatingAdmissionPolicy"):
            # kustomize takes these kinds for namespaced; the API server drops it.
            assert each["metadata"].pop("namespace") == "elsewhere"
    assert ours == theirs
    everything = yaml.safe_dump_all(helm.template(CERT_MANAGER, namespace="elsewhere"))
    assert "mooring-system" not in everything
    assert "mooring-webhook.elsewhere.svc" in everything


def test_values_arrive_where_they_belong(helm: Helm) -> None:
    given = {
        "image": {
            "repository": "registry.example/m",
            "digest": f"sha256:{'0' * 64}",
            "pullSecrets": [{"name": "pull"}],
        },
        "operator": {"nodeSelector": {"pool": "a"}, "tolerations": []},
        "installation": {"spec": {"plugin": {"logLevel": "debug"}}},
        "uninstall": {"timeoutSeconds": 900},
    }
    objects = by_name(helm.template(*(f"--set-json={key}={json.dumps(value)}" for key, value in given.items())))
    operator = objects["Deployment", "mooring-operator"]["spec"]["template"]["spec"]
    jobs = [each["spec"]["template"]["spec"] for (kind, _), each in objects.items() if kind == "Job"]
    assert len(jobs) == 3
    for pod in (operator, *jobs):
        assert pod["containers"][0]["image"] == f"registry.example/m@sha256:{'0' * 64}"
        assert pod["nodeSelector"] == {"pool": "a"}
        assert "tolerations" not in pod
        assert objects["ServiceAccount", pod["serviceAccountName"]]["imagePullSecrets"] == [{"name": "pull"}]
    assert objects["ServiceAccount", "mooring-agent"]["imagePullSecrets"] == [{"name": "pull"}]
    args = {
        name: each["spec"]["template"]["spec"]["containers"][0].get("args")
        for (_, name), each in objects.items()
        if each["kind"] == "Job"
    }
    command, spec, _ = args["mooring-installation"]
    assert (command, json.loads(spec.removeprefix("--spec="))) == ("install", {"plugin": {"logLevel": "debug"}})
    assert args["mooring-uninstall"] == ["uninstall", "--timeout=900"]


def test_without_an_installation_nothing_is_brought_to_the_nodes(helm: Helm) -> None:
    names = {each["metadata"]["name"] for each in hooks(helm, "--set=installation.create=false")}
    assert names == {"mooring-uninstall", "mooring-verify"}


@pytest.mark.parametrize("value", ["operator.replica=3", "operator.replicas=0", "installation.spec.plugin.loglevel=x"])
def test_a_value_that_means_nothing_is_refused(helm: Helm, value: str) -> None:
    done = helm.run("template", "mooring", CHART, f"--set={value}")
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr


def test_the_rights_of_hooks_go_with_them_and_are_few(helm: Helm) -> None:
    for each in hooks(helm):
        policies = set(each["metadata"]["annotations"]["helm.sh/hook-delete-policy"].split(","))
        assert {"before-hook-creation", "hook-succeeded"} <= policies
        if each["kind"] == "Job":
            # What failed stays, to be looked at.
            assert "hook-failed" not in policies
            continue
        assert "hook-failed" in policies
        for rule in each.get("rules", []):
            assert not {"*"} & {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            if not {"list", "create"} & set(rule["verbs"]):
                assert rule["resourceNames"] == ["default"]


@pytest.fixture(params=sorted(VERSIONS))
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ControlPlane, Helm]]:
    """An API server that nothing was installed at, and a helm."""
    with controlplane.running(controllers=True) as plane:
        plane.kubectl("create", "namespace", "mooring-system")
        yield plane, Helm(request.param, tmp_path, plane.kubeconfig)


def test_an_upgrade_renews_definitions_and_leaves_what_the_operator_writes_and_they_outlive_the_release(
    cluster: tuple[ControlPlane, Helm],
) -> None:
    plane, helm = cluster
    there = ("mooring", CHART, "--namespace=mooring-system", "--no-hooks")
    helm("install", *there)

    def get(*what: str) -> Any:
        return json.loads(plane.kubectl("get", *what, "-o", "json"))

    # The operator at its work, with the Installation's `failurePolicy: Ignore`.
    theirs = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "mooring"},
        "webhooks": [{"name": "networks.mooring.dev", "failurePolicy": "Ignore", "clientConfig": {"caBundle": "YQo="}}],
    }
    apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=mooring-operator", "-f", "-")
    plane.kubectl(*apply, stdin=json.dumps(theirs))
    # The definition of an older version.
    old = [{"op": "remove", "path": "/spec/names/shortNames"}]
    name = "installations.mooring.dev"
    plane.kubectl("patch", "crd", name, "--type=json", "-p", json.dumps(old), "--field-manager=helm")
    assert "shortNames" not in get("crd", name)["spec"]["names"]

    helm("upgrade", *there, "--set=operator.replicas=1")
    assert get("deployment", "mooring-operator", "-n", "mooring-system")["spec"]["replicas"] == 1
    assert get("crd", name)["spec"]["names"]["shortNames"] == ["minst"]
    [webhook] = get("validatingwebhookconfiguration", "mooring")["webhooks"]
    assert (webhook["failurePolicy"], webhook["clientConfig"]["caBundle"]) == ("Ignore", "YQo=")

    plane.kubectl("apply", "-f", "crds/network-attachment-definitions.yaml")
    said = helm("uninstall", "mooring", "--namespace=mooring-system", "--no-hooks")
    assert "were kept due to the resource policy" in said
    left = {each["metadata"]["name"] for each in get("crd")["items"]}
    kinds = ("attachmentslices", "installations", "networkreports", "nodestates")
    assert left == {"network-attachment-definitions.k8s.cni.cncf.io", *(f"{kind}.mooring.dev" for kind in kinds)}
    assert get("deployments,validatingadmissionpolicies", "-n", "mooring-system")["items"] == []

    # And they do not stand in the way of the next one.
    helm("install", *there)


def test_a_release_takes_over_what_kubectl_applied(cluster: tuple[ControlPlane, Helm]) -> None:
    plane, helm = cluster
    plane.kubectl("apply", "-k", "manifests/default")
    there = ("mooring", CHART, "--namespace=mooring-system", "--no-hooks")

    def spec() -> str:
        return plane.kubectl("get", "deployment", "mooring-operator", "-n", "mooring-system", "-o", "jsonpath={.spec}")

    before = spec()
    assert "invalid ownership metadata" in helm.run("install", *there).stderr
    helm("install", *there, "--take-ownership")
    assert spec() == before, "no pod is replaced"
