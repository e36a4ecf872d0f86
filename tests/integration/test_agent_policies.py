"""What a token of an agent is worth: its own node, and of that only what the agent is for.

The token is as a kubelet would get it for the agent's pod: bound to the pod, with the API server's word for the node.
All of it holds where Mooring is installed as the README says, and where a kustomization gives it another namespace.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mooring.installing import attachmentslices
from mooring.kube import errors, resources
from mooring.kube.client import Client
from testbed import controlplane, failures
from tests.integration.conftest import SYSTEM, wait
from tests.integration.test_client import kubeconfig_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from testbed.controlplane import ControlPlane

STATUS = "k8s.v1.cni.cncf.io/network-status"
AGAIN = {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}}
MANIFESTS = Path(__file__).parents[2] / "manifests" / "default"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A cluster that Mooring is installed in, and its namespace there."""

    plane: ControlPlane
    system: str


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A cluster of its own, as the names of what is cluster-wide are the same in every namespace."""
    folder = tmp_path_factory.mktemp("kustomization")
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "elsewhere",
        "resources": [os.path.relpath(MANIFESTS, folder)],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    with controlplane.running(controllers=True) as plane:
        plane.kubectl("apply", "-k", str(folder))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        yield Place(plane, "elsewhere")


@pytest.fixture(params=["as the README says", "in another namespace"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "in another namespace":
        found: Place = request.getfixturevalue("elsewhere")
        return found
    return Place(request.getfixturevalue("installed").plane, SYSTEM)


class Cluster:
    """Two nodes with a pod each, and the agent of the first."""

    def __init__(self, place: Place, admin: Client, agent: Client, here: str, there: str) -> None:
        self.plane = place.plane
        self.system = place.system
        self.admin = admin
        self.agent = agent
        self.here = here
        self.there = there

    def pod(self, node: str) -> str:
        return f"pod-on-{node}"

    async def annotate(self, node: str, **annotations: str | None) -> dict[str, Any]:
        return await self.patch_pod(node, {"metadata": {"annotations": annotations}})

    async def patch_pod(self, node: str, patch: dict[str, Any]) -> dict[str, Any]:
        return await self.agent.patch(resources.PODS, self.pod(node), patch, namespace="default", subresource="status")

    def of(self, client: Client) -> Cluster:
        """Return the same cluster for somebody else in the place of the agent."""
        return Cluster(Place(self.plane, self.system), self.admin, client, self.here, self.there)


@contextlib.asynccontextmanager
async def signed_in(plane: ControlPlane, folder: Path, **user: str) -> AsyncIterator[Client]:
    """Give a client with these credentials, without any for the administrator."""
    with pytest.MonkeyPatch.context() as patched:
        # A folder for each: what a client was loaded from is its own.
        own = folder / uuid.uuid4().hex
        own.mkdir()
        patched.setenv("KUBECONFIG", str(kubeconfig_with(plane, own, user=user) if user else plane.kubeconfig))
        client = await Client.load()
    async with client:
        yield client


async def token(admin: Client, pod: dict[str, Any]) -> str:
    """Return a token of a pod's service account, as the kubelet asks for it."""
    metadata = pod["metadata"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"boundObjectRef": bound},
    }
    answer = await admin.create(
        resources.SERVICE_ACCOUNTS,
        body,
        namespace=metadata["namespace"],
        name=pod["spec"]["serviceAccountName"],
        subresource="token",
    )
    return str(answer["status"]["token"])


@pytest.fixture
async def cluster(place: Place, tmp_path: Path) -> AsyncIterator[Cluster]:
    plane, system = place.plane, place.system
    here, there = f"here-{uuid.uuid4().hex[:6]}", f"there-{uuid.uuid4().hex[:6]}"
    async with signed_in(plane, tmp_path) as admin:
        for node in (here, there):
            await admin.create(resources.NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
            await admin.create(
                resources.NODE_STATES,
                {"apiVersion": "mooring.dev/v1alpha1", "kind": "NodeState", "metadata": {"name": node}, "spec": {}},
            )
            await admin.create(resources.PODS, pod(f"pod-on-{node}", "default", node), namespace="default")
        its_pod = pod(f"agent-{here}", system, here, serviceAccountName="mooring-agent")
        its_token = await token(admin, await admin.create(resources.PODS, its_pod, namespace=system))
        async with signed_in(plane, tmp_path, token=its_token) as agent:
            found = Cluster(place, admin, agent, here, there)

            # A policy takes a moment to reach the API server's own copy of it.
            async def in_force() -> bool:
                with contextlib.suppress(errors.Forbidden):
                    await found.annotate(there, harmless="yes")
                    return False
                return True

            for _ in range(200):
                if await in_force():
                    break
            yield found
        for node in (here, there):
            await admin.delete(resources.NODE_STATES, node)
            await admin.delete(resources.NODES, node)
            plane.kubectl("delete", "pod", f"pod-on-{node}", "--force", "--grace-period=0")
        plane.kubectl("delete", "pod", "-n", system, f"agent-{here}", "--force", "--grace-period=0")


def pod(name: str, namespace: str, node: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "annotations": {"theirs": "1"}},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "containers": [{"name": "c", "image": "i"}],
            **spec,
        },
    }


class TestAPod:
    async def test_of_its_own_node_gets_its_network_status(self, cluster: Cluster) -> None:
        written = await cluster.annotate(cluster.here, **{STATUS: "[]"})
        assert written["metadata"]["annotations"] == {"theirs": "1", STATUS: "[]"}
        removed = await cluster.annotate(cluster.here, **{STATUS: None})
        assert removed["metadata"]["annotations"] == {"theirs": "1"}

    async def test_of_another_node_is_out_of_reach(self, cluster: Cluster) -> None:
        with pytest.raises(errors.Forbidden, match=f'this one is on "{cluster.there}"'):
            await cluster.annotate(cluster.there, **{STATUS: "[]"})

    async def test_that_is_another_one_by_now_is_refused_by_its_uid(self, cluster: Cluster) -> None:
        with pytest.raises(errors.Invalid) as refused:
            await cluster.patch_pod(cluster.here, {"metadata": {"uid": "before", "annotations": {STATUS: "[]"}}})
        assert {cause["field"] for cause in (refused.value.details or {})["causes"]} == {"metadata.uid"}

    @pytest.mark.parametrize("edit", [{"theirs": "2"}, {"theirs": None}, {"k8s.v1.cni.cncf.io/networks": "a"}])
    async def test_keeps_its_other_annotations(self, cluster: Cluster, edit: dict[str, str | None]) -> None:
        with pytest.raises(errors.Forbidden, match="no other annotation"):
            await cluster.annotate(cluster.here, **edit)

    @pytest.mark.parametrize(
        "edit",
        [
            {"status": {"phase": "Succeeded"}},
            {"status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}},
            {"metadata": {"labels": {"app": "taken"}}},
            {"metadata": {"finalizers": ["mooring.dev/held"]}},
        ],
    )
    async def test_keeps_its_status_its_labels_and_its_finalizers(self, cluster: Cluster, edit: dict[str, Any]) -> None:
        with pytest.raises(errors.Forbidden, match="neither labels nor finalizers"):
            await cluster.patch_pod(cluster.here, edit)

    async def test_is_told_that_it_lacks_its_networks_and_nothing_else_of_its_conditions(
        self, cluster: Cluster
    ) -> None:
        async def report(kind: str) -> dict[str, Any]:
            condition = {"type": kind, "status": "False", "reason": "OlderThanMooring", "message": "no net1"}
            stamped = {**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}
            annotated = {"metadata": {"annotations": {STATUS: "[]"}}, "status": {"conditions": [stamped]}}
            name = cluster.pod(cluster.here)
            return await cluster.agent.patch(
                resources.PODS, name, annotated, namespace="default", subresource="status", strategic=True
            )

        written = await report("mooring.dev/NetworksAttached")
        assert [one["type"] for one in written["status"]["conditions"]] == ["mooring.dev/NetworksAttached"]
        assert written["metadata"]["annotations"][STATUS] == "[]"
        with pytest.raises(errors.Forbidden, match=r"only the condition mooring\.dev/NetworksAttached"):
            await report("Ready")

    async def test_is_changed_by_others_as_before(self, cluster: Cluster) -> None:
        patch = {"status": {"phase": "Running"}, "metadata": {"labels": {"app": "mine"}}}
        name = cluster.pod(cluster.there)
        await cluster.admin.patch(resources.PODS, name, patch, namespace="default", subresource="status")


class TestANodeState:
    async def test_of_its_own_node_is_written(self, cluster: Cluster) -> None:
        patch = {"status": {"revision": "mooring-revision-0123456789"}}
        await cluster.agent.patch(resources.NODE_STATES, cluster.here, patch, subresource="status")

    async def test_of_another_node_is_out_of_reach(self, cluster: Cluster) -> None:
        patch = {"status": {"revision": "mooring-revision-0123456789"}}
        with pytest.raises(errors.Forbidden, match=f'this one is of "{cluster.there}"'):
            await cluster.agent.patch(resources.NODE_STATES, cluster.there, patch, subresource="status")

    async def test_has_a_spec_that_no_agent_writes(self, cluster: Cluster) -> None:
        with pytest.raises(errors.Forbidden):
            await cluster.agent.patch(resources.NODE_STATES, cluster.here, {"spec": {"drain": True}})


class TestAnAttachmentSlice:
    @pytest.fixture(autouse=True)
    async def in_force(self, cluster: Cluster) -> AsyncIterator[None]:
        # This policy, too, takes a moment to reach the API server's own copy of it.
        for _ in range(200):
            try:
                await cluster.agent.create(resources.ATTACHMENT_SLICES, await self.slice(cluster, cluster.there))
            except errors.Forbidden:
                break
            await cluster.admin.delete(resources.ATTACHMENT_SLICES, f"{cluster.there}-1")
        yield
        for item in (await cluster.admin.list(resources.ATTACHMENT_SLICES))["items"]:
            if item["nodeName"] in (cluster.here, cluster.there):
                await cluster.admin.delete(resources.ATTACHMENT_SLICES, item["metadata"]["name"])

    async def slice(self, cluster: Cluster, node: str) -> dict[str, Any]:
        found = await cluster.admin.get(resources.NODES, node)
        return attachmentslices.desired(found, number=1, attachments=[])

    async def test_of_its_own_node_is_made_changed_and_deleted(self, cluster: Cluster) -> None:
        body = await self.slice(cluster, cluster.here)
        made = await cluster.agent.create(resources.ATTACHMENT_SLICES, body)
        name = made["metadata"]["name"]
        entry = {"pod": {"namespace": "default", "name": "web"}, "network": "a/n", "interface": "net1"}
        changed = await cluster.agent.patch(resources.ATTACHMENT_SLICES, name, {"attachments": [entry]})
        assert changed["attachments"] == [entry]
        selector = f"nodeName={cluster.here}"
        assert len((await cluster.agent.list(resources.ATTACHMENT_SLICES, field_selector=selector))["items"]) == 1
        await cluster.agent.delete(resources.ATTACHMENT_SLICES, name)

    async def test_of_another_node_is_out_of_reach(self, cluster: Cluster) -> None:
        theirs = await self.slice(cluster, cluster.there)
        with pytest.raises(errors.Forbidden, match=f'this one is of "{cluster.there}"'):
            await cluster.agent.create(resources.ATTACHMENT_SLICES, theirs)
        await cluster.admin.create(resources.ATTACHMENT_SLICES, theirs)
        name = theirs["metadata"]["name"]
        with pytest.raises(errors.Forbidden, match=f'this one is of "{cluster.there}"'):
            await cluster.agent.patch(resources.ATTACHMENT_SLICES, name, {"attachments": []})
        with pytest.raises(errors.Invalid, match="a slice stays with its node"):
            await cluster.agent.patch(resources.ATTACHMENT_SLICES, name, {"nodeName": cluster.here})
        with pytest.raises(errors.Forbidden, match=f'this one is of "{cluster.there}"'):
            await cluster.agent.delete(resources.ATTACHMENT_SLICES, name)

    @pytest.mark.parametrize(
        ("metadata", "told"),
        [
            ({"name": "{there}-1"}, "is named after it"),
            ({"name": "{here}-1-1"}, "is named after it"),
            ({"name": "{here}-x"}, "is named after it"),
            ({"labels": {"mooring.dev/node": "{there}"}}, "carries the label"),
            ({"labels": None}, "carries the label"),
            ({"ownerReferences": []}, "is owned by that Node"),
            (
                {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "{there}", "uid": "u"}]},
                "is owned by that Node",
            ),
        ],
    )
    async def test_carries_name_label_and_owner_of_its_own_node(
        self, cluster: Cluster, metadata: dict[str, Any], told: str
    ) -> None:
        filled = json.loads(json.dumps(metadata).replace("{here}", cluster.here).replace("{there}", cluster.there))
        body = await self.slice(cluster, cluster.here)
        with pytest.raises(errors.Forbidden, match=told):
            await cluster.agent.create(
                resources.ATTACHMENT_SLICES, {**body, "metadata": {**body["metadata"], **filled}}
            )


class TestATokenOfTheMetaPlugin:
    async def ask(self, cluster: Cluster, **spec: Any) -> dict[str, Any]:
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return await cluster.agent.create(
            resources.SERVICE_ACCOUNTS, request, namespace=cluster.system, name="mooring-plugin", subresource="token"
        )

    async def test_is_given_for_its_own_node(self, cluster: Cluster) -> None:
        answer = await self.ask(cluster, boundObjectRef=await self.bound(cluster, cluster.here))
        assert answer["status"]["token"]

    async def test_is_not_given_for_another_node(self, cluster: Cluster) -> None:
        with pytest.raises(errors.Forbidden, match="bound to its own Node only"):
            await self.ask(cluster, boundObjectRef=await self.bound(cluster, cluster.there))

    async def test_is_not_given_unbound(self, cluster: Cluster) -> None:
        with pytest.raises(errors.Forbidden, match="bound to its own Node only"):
            await self.ask(cluster)

    async def test_does_not_live_long(self, cluster: Cluster) -> None:
        with pytest.raises(errors.Forbidden, match="24 hours"):
            bound = await self.bound(cluster, cluster.here)
            await self.ask(cluster, boundObjectRef=bound, expirationSeconds=86401)

    async def test_is_worth_the_network_status_of_its_own_node_s_pods(self, cluster: Cluster, tmp_path: Path) -> None:
        answer = await self.ask(cluster, boundObjectRef=await self.bound(cluster, cluster.here))
        async with signed_in(cluster.plane, tmp_path, token=answer["status"]["token"]) as plugin:
            its = cluster.of(plugin)
            written = await its.annotate(its.here, **{STATUS: "[]"})
            assert written["metadata"]["annotations"][STATUS] == "[]"
            with pytest.raises(errors.Forbidden, match=f'this one is on "{its.there}"'):
                await its.annotate(its.there, **{STATUS: "[]"})
            with pytest.raises(errors.Forbidden, match="no other annotation"):
                await its.annotate(its.here, theirs="2")

    async def bound(self, cluster: Cluster, node: str) -> dict[str, str]:
        found = await cluster.admin.get(resources.NODES, node)
        return {"apiVersion": "v1", "kind": "Node", "name": node, "uid": found["metadata"]["uid"]}


class TestAnEvent:
    def event(self, cluster: Cluster, reporter: str, instance: str) -> dict[str, Any]:
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"event-{uuid.uuid4().hex[:8]}", "namespace": "default"},
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "type": "Normal",
            "reason": "AddedInterface",
            "action": "AttachNetwork",
            "note": "Add net1",
            "regarding": {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": cluster.pod(cluster.here)},
            "reportingController": reporter,
            "reportingInstance": instance,
        }

    async def test_is_reported_by_the_agent_in_its_own_name(self, cluster: Cluster) -> None:
        mine = self.event(cluster, "mooring.dev/mooring-agent", cluster.here)
        made = await cluster.agent.create(resources.EVENTS, mine, namespace="default")
        await cluster.agent.patch(resources.EVENTS, made["metadata"]["name"], AGAIN, namespace="default")

    @pytest.mark.parametrize("reporter", ["kubelet", "mooring.dev/mooring-agent"])
    async def test_is_not_reported_in_the_name_of_others(self, cluster: Cluster, reporter: str) -> None:
        with pytest.raises(errors.Forbidden, match="in their own name only"):
            theirs = self.event(cluster, reporter, cluster.there)
            await cluster.agent.create(resources.EVENTS, theirs, namespace="default")

    async def test_is_reported_by_the_plugin_of_the_node_in_its_name(self, cluster: Cluster, tmp_path: Path) -> None:
        tokens = TestATokenOfTheMetaPlugin()
        answer = await tokens.ask(cluster, boundObjectRef=await tokens.bound(cluster, cluster.here))
        async with signed_in(cluster.plane, tmp_path, token=answer["status"]["token"]) as plugin:
            for reporter, refused in (("mooring.dev/plugin", False), ("kubelet", True)):
                # By its host's name, which need not be the node's.
                event = self.event(cluster, reporter, "host.example")
                with pytest.raises(errors.Forbidden, match="own name") if refused else contextlib.nullcontext():
                    await plugin.create(resources.EVENTS, event, namespace="default")

    async def test_of_others_is_not_changed(self, cluster: Cluster) -> None:
        theirs = self.event(cluster, "kubelet", cluster.here)
        made = await cluster.admin.create(resources.EVENTS, theirs, namespace="default")
        with pytest.raises(errors.Forbidden, match="in their own name only"):
            await cluster.agent.patch(resources.EVENTS, made["metadata"]["name"], AGAIN, namespace="default")


class Other:
    """Another service account on the first node, in a namespace of its own."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def bind(self, role: str, *, namespace: str = "") -> None:
        """Give it a ClusterRole, everywhere or in one namespace; return when the API server grants it."""
        kind, where = ("rolebinding", ["-n", namespace]) if namespace else ("clusterrolebinding", [])
        account = f"--serviceaccount={self.name}:{self.name}"
        self.cluster.plane.kubectl("create", kind, self.name, *where, f"--clusterrole={role}", account)

        def granted() -> bool:
            user = f"--as=system:serviceaccount:{self.name}:{self.name}"
            with contextlib.suppress(failures.Failure):
                arguments = ("patch", "pods", "--subresource=status", "-n", "default", user)
                return self.cluster.plane.kubectl("auth", "can-i", *arguments).strip() == "yes"
            return False

        wait(granted, what=lambda: f"the rights of {role}")


class TestWhoIsKeptToANode:
    """Not a name: whoever has the rights of the agent."""

    @pytest.fixture
    async def other(self, cluster: Cluster, tmp_path: Path) -> AsyncIterator[Other]:
        plane, name = cluster.plane, f"other-{uuid.uuid4().hex[:6]}"
        plane.kubectl("create", "namespace", name)
        plane.kubectl("create", "serviceaccount", "-n", name, name)
        its_pod = pod(name, name, cluster.here, serviceAccountName=name)
        its_token = await token(cluster.admin, await cluster.admin.create(resources.PODS, its_pod, namespace=name))
        async with signed_in(plane, tmp_path, token=its_token) as client:
            yield Other(cluster.of(client), name)
        plane.kubectl("delete", "clusterrolebinding,clusterrole", name, "--ignore-not-found")
        plane.kubectl("delete", "rolebinding", "-n", "default", name, "--ignore-not-found")
        plane.kubectl("delete", "pod", "-n", name, name, "--force", "--grace-period=0")
        plane.kubectl("delete", "namespace", name, "--wait=false")

    @pytest.mark.parametrize("role", ["mooring-agent", "mooring-plugin-status"])
    @pytest.mark.parametrize("namespace", ["", "default"], ids=["everywhere", "in one namespace"])
    async def test_a_service_account_of_any_name_with_its_role(self, other: Other, role: str, namespace: str) -> None:
        other.bind(role, namespace=namespace)
        cluster = other.cluster
        assert (await cluster.annotate(cluster.here, **{STATUS: "[]"}))["metadata"]["annotations"][STATUS] == "[]"
        with pytest.raises(errors.Forbidden, match=f'this one is on "{cluster.there}"'):
            await cluster.annotate(cluster.there, **{STATUS: "[]"})

    async def test_not_an_administrator(self, other: Other) -> None:
        other.bind("cluster-admin")
        await other.cluster.annotate(other.cluster.there, theirs="2")

    async def test_not_another_controller_that_writes_the_status_of_pods(self, other: Other) -> None:
        other.cluster.plane.kubectl("create", "clusterrole", other.name, "--verb=patch", "--resource=pods/status")
        other.bind(other.name)
        await other.cluster.annotate(other.cluster.there, theirs="2")


async def test_an_agent_without_a_node_in_its_credentials_changes_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = f"system:serviceaccount:{cluster.system}:mooring-agent"
    monkeypatch.setenv("KUBECONFIG", str(cluster.plane.kubeconfig_for(user, "system:serviceaccounts")))
    async with await Client.load() as nowhere:
        with pytest.raises(errors.Forbidden, match='the agent of node ""'):
            await cluster.of(nowhere).annotate(cluster.here, **{STATUS: "[]"})
