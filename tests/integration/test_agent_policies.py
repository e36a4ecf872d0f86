"""What a token of an agent is worth: its own node, and of that only what the agent is for.

The token is as a kubelet would get it for the agent's pod: bound to the pod, with the API server's word for the node.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from mooring.installing import attachmentslices
from mooring.kube import errors, resources
from mooring.kube.client import Client
from tests.integration.conftest import SYSTEM
from tests.integration.test_client import kubeconfig_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testbed.controlplane import ControlPlane
    from tests.integration.conftest import Installed

STATUS = "k8s.v1.cni.cncf.io/network-status"


class Cluster:
    """Two nodes with a pod each, and the agent of the first."""

    def __init__(self, admin: Client, agent: Client, here: str, there: str) -> None:
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


@pytest.fixture
async def cluster(
    installed: Installed,
    plane: ControlPlane,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> AsyncIterator[Cluster]:
    here, there = f"here-{uuid.uuid4().hex[:6]}", f"there-{uuid.uuid4().hex[:6]}"
    for node in (here, there):
        await client.create(resources.NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
        await client.create(
            resources.NODE_STATES,
            {"apiVersion": "mooring.dev/v1alpha1", "kind": "NodeState", "metadata": {"name": node}, "spec": {}},
        )
        await client.create(resources.PODS, pod(f"pod-on-{node}", "default", node), namespace="default")
    agent_pod = await client.create(
        resources.PODS, pod(f"agent-{here}", SYSTEM, here, serviceAccountName="mooring-agent"), namespace=SYSTEM
    )
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": agent_pod["metadata"]["name"],
                "uid": agent_pod["metadata"]["uid"],
            }
        },
    }
    answer = await client.create(
        resources.SERVICE_ACCOUNTS, request, namespace=SYSTEM, name="mooring-agent", subresource="token"
    )
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig_with(plane, tmp_path, user={"token": answer["status"]["token"]})))
    async with await Client.load() as agent:
        found = Cluster(client, agent, here, there)

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
        await client.delete(resources.NODE_STATES, node)
        await client.delete(resources.NODES, node)
        plane.kubectl("delete", "pod", f"pod-on-{node}", "--force", "--grace-period=0")
    plane.kubectl("delete", "pod", "-n", SYSTEM, f"agent-{here}", "--force", "--grace-period=0")


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
        def told(kind: str) -> dict[str, Any]:
            condition = {"type": kind, "status": "False", "reason": "OlderThanMooring", "message": "no net1"}
            stamped = {**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}
            metadata = {"name": cluster.pod(cluster.here), "namespace": "default"}
            status = {"conditions": [stamped]}
            return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}

        async def tell(kind: str) -> dict[str, Any]:
            return await cluster.agent.apply(
                resources.PODS, told(kind), field_manager="mooring-agent-conditions", subresource="status"
            )

        written = await tell("NetworksAttached")
        assert [one["type"] for one in written["status"]["conditions"]] == ["NetworksAttached"]
        with pytest.raises(errors.Forbidden, match="only the condition NetworksAttached"):
            await tell("Ready")

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
            resources.SERVICE_ACCOUNTS, request, namespace=SYSTEM, name="mooring-plugin", subresource="token"
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

    async def test_is_worth_the_network_status_of_its_own_node_s_pods(
        self, cluster: Cluster, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        answer = await self.ask(cluster, boundObjectRef=await self.bound(cluster, cluster.here))
        monkeypatch.setenv(
            "KUBECONFIG", str(kubeconfig_with(plane, tmp_path, user={"token": answer["status"]["token"]}))
        )
        async with await Client.load() as plugin:
            its = Cluster(cluster.admin, plugin, cluster.here, cluster.there)
            written = await its.annotate(its.here, **{STATUS: "[]"})
            assert written["metadata"]["annotations"][STATUS] == "[]"
            with pytest.raises(errors.Forbidden, match=f'this one is on "{its.there}"'):
                await its.annotate(its.there, **{STATUS: "[]"})
            with pytest.raises(errors.Forbidden, match="no other annotation"):
                await its.annotate(its.here, theirs="2")

    async def bound(self, cluster: Cluster, node: str) -> dict[str, str]:
        found = await cluster.admin.get(resources.NODES, node)
        return {"apiVersion": "v1", "kind": "Node", "name": node, "uid": found["metadata"]["uid"]}


async def test_an_agent_without_a_node_in_its_credentials_changes_nothing(
    cluster: Cluster, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = f"system:serviceaccount:{SYSTEM}:mooring-agent"
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig_for(user, "system:serviceaccounts")))
    async with await Client.load() as nowhere:
        with pytest.raises(errors.Forbidden, match='the agent of node ""'):
            await nowhere.patch(
                resources.PODS,
                cluster.pod(cluster.here),
                {"metadata": {"annotations": {STATUS: "[]"}}},
                namespace="default",
                subresource="status",
            )
