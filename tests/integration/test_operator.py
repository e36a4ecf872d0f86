"""The operator as a process, with exactly the rights of its service account, against a real API server."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mooring.installing import daemonsets, nodestates, revisions
from mooring.kube import errors, resources
from tests import applying
from tests.integration.conftest import IMAGE, POD, SYSTEM, eventually, free_port, make_pod, ready_at
from tests.integration.installing import (
    LABELS,
    NODES,
    OURS,
    Watching,
    agents_answer,
    conditions,
    daemon_set,
    report,
    settle,
    told,
)

if TYPE_CHECKING:
    from mooring.kube.client import Client
    from testbed.controlplane import ControlPlane
    from tests.integration.conftest import Installed, OperatorProcess

CHECKOUT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("operator")


class TestWithoutAnInstallation:
    async def test_the_operator_is_ready_and_makes_nothing(self, client: Client, operator: OperatorProcess) -> None:
        assert operator.readiness() == (200, "ok\n")
        assert not (await client.list(resources.DAEMON_SETS, namespace=SYSTEM))["items"]

    async def test_the_crd_of_networks_is_there_and_owned_by_nobody(self, client: Client, watching: Watching) -> None:
        found = await watching.until(
            lambda client: client.get(resources.CRDS, "network-attachment-definitions.k8s.cni.cncf.io"),
            what="the CRD of networks",
        )
        assert "ownerReferences" not in found["metadata"]


class TestAnInstallation:
    async def test_becomes_an_immutable_revision_and_a_daemonset_with_the_operators_own_image(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        found = await watching.until(daemon_set, what="the DaemonSet")
        assert found["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE
        owner = found["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["uid"]) == ("Installation", installation["metadata"]["uid"])

        async def states(client: Client) -> list[dict[str, Any]]:
            listed = (await client.list(resources.NODE_STATES, label_selector=OURS))["items"]
            return listed if len(listed) == len(NODES) else []

        found_states = await watching.until(states, what="a NodeState for each node")
        revision = await watching.until(lambda client: told(client, NODES[0]), what="the canary's revision")
        assert await told(client, NODES[1]) is None, "the other one waits for the canary"
        await report(client, NODES[0], ready=True)
        second = await watching.until(lambda client: told(client, NODES[1]), what="the other one's revision")
        assert second == revision
        config_map = await client.get(resources.CONFIG_MAPS, revision, namespace=SYSTEM)
        assert config_map["immutable"] is True
        assert revisions.name(config_map["data"][revisions.KEY]) == revision
        assert json.loads(config_map["data"][revisions.KEY])["image"] == IMAGE
        for state in found_states:
            assert state["metadata"]["ownerReferences"][0]["kind"] == "Node"

    async def test_is_available_when_all_nodes_say_so_and_their_agents_answer(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        await watching.until(daemon_set, what="the DaemonSet")
        for node in NODES:
            await watching.until(lambda client, node=node: told(client, node), what=node)
            await report(client, node, ready=True)
        found = await conditions(client)
        assert found["Available"]["status"] == "False"
        await watching.until(lambda client: agents_answer(client, 2), what="the agents' pods")

        async def available(client: Client) -> dict[str, Any] | None:
            found = await conditions(client)
            done = found["Available"]["status"] == "True" and found["Progressing"]["status"] == "False"
            return found if done else None

        found = await watching.until(available, what="Available")
        assert found["Progressing"]["status"] == "False"
        assert found["Degraded"]["status"] == "False"

        await report(client, NODES[1], ready=False, message="no primary network: install one")

        async def degraded(client: Client) -> dict[str, Any] | None:
            found = await conditions(client)
            return found if found["Degraded"]["status"] == "True" else None

        found = await watching.until(degraded, what="Degraded")
        assert found["Degraded"]["message"] == f"{NODES[1]}: no primary network: install one"
        assert found["Available"]["status"] == "False"

    async def test_serves_only_the_nodes_of_its_selector(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        await watching.until(lambda client: client.get(resources.NODE_STATES, NODES[1]), what="both nodes")
        await client.patch(resources.INSTALLATIONS, "default", {"spec": {"nodeSelector": {"pool": NODES[0]}}})

        async def one(client: Client) -> bool:
            names = [
                item["metadata"]["name"]
                for item in (await client.list(resources.NODE_STATES, label_selector=OURS))["items"]
            ]
            return names == [NODES[0]]

        await watching.until(one, what="one NodeState")
        selector = (await daemon_set(client))["spec"]["template"]["spec"]["nodeSelector"]
        assert selector == {**LABELS, "pool": NODES[0]}

    async def test_a_changed_one_reaches_nodes_by_a_new_revision_and_the_old_stays_for_going_back(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        await settle(client, watching)
        first = await client.get(resources.NODE_STATES, NODES[0])
        await client.patch(resources.INSTALLATIONS, "default", {"spec": {"plugin": {"logLevel": "debug"}}})

        async def moved(client: Client) -> str | None:
            found = await client.get(resources.NODE_STATES, NODES[0])
            revision = str(found["spec"]["revision"])
            return revision if revision != first["spec"]["revision"] else None

        second = await watching.until(moved, what="a new revision")
        for name in (first["spec"]["revision"], second):
            assert await client.get(resources.CONFIG_MAPS, name, namespace=SYSTEM)

    async def test_a_change_goes_to_a_canary_first_and_to_the_others_when_it_works(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        for node in NODES:
            await watching.until(lambda client, node=node: told(client, node), what=node)
            await report(client, node, ready=True)
        await settle(client, watching)
        old = (await client.get(resources.NODE_STATES, NODES[0]))["spec"]["revision"]
        change = {"plugin": {"logLevel": "verbose"}, "rollout": {"canary": {"nodes": 1, "soakSeconds": 2}}}
        await client.patch(resources.INSTALLATIONS, "default", {"spec": change})

        async def revision(node: str) -> str:
            return str((await client.get(resources.NODE_STATES, node))["spec"]["revision"])

        async def first_moved(_: Client) -> bool:
            return bool(await revision(NODES[0]) != old)

        await watching.until(first_moved, what="the canary's revision")
        assert await revision(NODES[1]) == old
        await report(client, NODES[0], ready=True)

        async def watched(client: Client) -> bool:
            return bool((await conditions(client))["Progressing"]["reason"] == "WatchingCanaries")

        await watching.until(watched, what="the watch over the canary")
        assert await revision(NODES[1]) == old

        async def second_moved(_: Client) -> bool:
            return bool(await revision(NODES[1]) != old)

        await watching.until(second_moved, what="the other node's revision")
        found = await client.get(resources.INSTALLATIONS, "default")
        assert found["status"]["rollout"]["revision"] == await revision(NODES[1])

    async def test_that_cannot_be_used_is_told_and_changes_nothing(
        self, client: Client, watching: Watching, installation: dict[str, Any], installed: Installed
    ) -> None:
        """As with a CRD of a later version beside an operator of this one."""
        await watching.until(daemon_set, what="the DaemonSet")
        crd = await client.get(resources.CRDS, "installations.mooring.dev")
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        later = json.loads(json.dumps(crd["spec"]["versions"]))
        later[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["future"] = {"type": "string"}
        await client.patch(resources.CRDS, "installations.mooring.dev", {"spec": {"versions": later}})
        try:

            async def told(client: Client) -> dict[str, Any] | None:
                # The API server takes the field up after a moment; until then it prunes it.
                await client.patch(resources.INSTALLATIONS, "default", {"spec": {"future": "x"}})
                degraded = (await conditions(client)).get("Degraded", {})
                return degraded if degraded.get("reason") == "InvalidSpec" else None

            found = await watching.until(told, what="the mistake")
            assert found["message"].startswith("spec.future: Extra inputs are not permitted.")
            assert await daemon_set(client)
        finally:
            await client.patch(
                resources.CRDS, "installations.mooring.dev", {"spec": {"versions": crd["spec"]["versions"]}}
            )
        assert "future" not in schema["properties"]


class TestWhatSomebodyElseDoes:
    async def test_a_deleted_daemonset_is_made_again(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        before = await watching.until(daemon_set, what="the DaemonSet")
        await client.delete(resources.DAEMON_SETS, daemonsets.NAME, namespace=SYSTEM)

        async def again(client: Client) -> bool:
            return bool((await daemon_set(client))["metadata"]["uid"] != before["metadata"]["uid"])

        await watching.until(again, what="another DaemonSet", seconds=10)

    @pytest.mark.parametrize(
        "patch",
        [
            {"priorityClassName": "system-cluster-critical"},
            {"nodeSelector": {"mooring.dev/nowhere": "true"}},
            {"hostPID": False},
            {"tolerations": []},
        ],
    )
    async def test_an_edited_daemonset_is_put_right(
        self, client: Client, watching: Watching, installation: dict[str, Any], patch: dict[str, Any]
    ) -> None:
        right = (await watching.until(daemon_set, what="the DaemonSet"))["spec"]["template"]["spec"]
        await client.patch(
            resources.DAEMON_SETS, daemonsets.NAME, {"spec": {"template": {"spec": patch}}}, namespace=SYSTEM
        )

        async def mended(client: Client) -> bool:
            return bool((await daemon_set(client))["spec"]["template"]["spec"] == right)

        await watching.until(mended, what="the DaemonSet as it was", seconds=10)

    async def test_a_deleted_nodestate_and_a_deleted_revision_are_made_again(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        await watching.until(lambda client: told(client, NODES[0]), what="a revision")
        state = await client.get(resources.NODE_STATES, NODES[0])
        await client.delete(resources.NODE_STATES, NODES[0])
        await client.delete(resources.CONFIG_MAPS, state["spec"]["revision"], namespace=SYSTEM)
        for question, what in (
            (lambda client: client.get(resources.NODE_STATES, NODES[0]), "the NodeState"),
            (
                lambda client: client.get(resources.CONFIG_MAPS, state["spec"]["revision"], namespace=SYSTEM),
                "the revision",
            ),
        ):
            await watching.until(question, what=what, seconds=10)

    async def test_a_nodestate_that_somebody_else_made_is_left_alone(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        foreign = {
            "apiVersion": resources.NODE_STATES.api_version,
            "kind": nodestates.KIND,
            "metadata": {"name": "foreign"},
            "spec": {},
        }
        await client.create(resources.NODE_STATES, foreign)
        await watching.until(lambda client: client.get(resources.NODE_STATES, NODES[0]), what="a NodeState")
        assert await client.get(resources.NODE_STATES, "foreign")
        await client.delete(resources.NODE_STATES, "foreign")


class TestTheWebhook:
    async def test_a_broken_network_is_refused_by_the_api_server_with_its_mistakes(self, client: Client) -> None:
        text = (CHECKOUT / "examples" / "broken-network.yaml").read_text()
        conf = text.partition("config: |")[2]
        with pytest.raises(errors.ApiError) as caught:
            await client.create(resources.NADS, network("broken", conf), namespace="default")
        for path in ("$.vlan", "$.mtu", "$.ipam.ranges[0][0].rangeStart"):
            assert path in caught.value.message

    async def test_a_sound_network_is_taken_and_its_labels_may_change_unjudged(self, client: Client) -> None:
        conf = json.dumps({"cniVersion": "1.0.0", "name": "sound", "type": "bridge"})
        await client.create(resources.NADS, network("sound", conf), namespace="default")
        await client.patch(resources.NADS, "sound", {"metadata": {"labels": {"a": "b"}}}, namespace="default")
        with pytest.raises(errors.ApiError, match="MR1"):
            await client.patch(resources.NADS, "sound", {"spec": {"config": "{"}}, namespace="default")
        await client.delete(resources.NADS, "sound", namespace="default")

    async def test_an_update_of_the_resource_name_alone_is_judged(self, client: Client, installed: Installed) -> None:
        body = network("device", json.dumps({"cniVersion": "1.0.0", "type": "host-device"}))
        body["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/resourceName": "intel.com/vf"}
        await client.create(resources.NADS, body, namespace="default")
        plane = installed.plane
        command: list[str | Path] = [
            plane.programs / "kubectl",
            f"--kubeconfig={plane.kubeconfig}",
            "annotate",
            "--overwrite",
        ]
        for name, warned in (("intel.com/other", False), ("none", True)):
            change = ["net-attach-def/device", f"k8s.v1.cni.cncf.io/resourceName={name}"]
            # Not in a thread: nothing of this test runs in the event loop meanwhile.
            done = subprocess.run([*command, *change], capture_output=True, text=True, check=False)  # noqa: ASYNC221
            assert done.returncode == 0, done.stderr
            assert ("MR202" in done.stderr) is warned, done.stderr
        await client.delete(resources.NADS, "device", namespace="default")

    async def test_a_removed_ca_bundle_is_put_back_and_applying_the_manifests_again_leaves_it(
        self, client: Client, watching: Watching, installed: Installed
    ) -> None:
        async def bundle(client: Client) -> str:
            found = await client.get(resources.VALIDATING_WEBHOOKS, "mooring")
            return str(found["webhooks"][0]["clientConfig"].get("caBundle", ""))

        before = await watching.until(bundle, what="the caBundle")
        remove = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
        installed.plane.kubectl(
            "patch", "validatingwebhookconfiguration", "mooring", "--type=json", "-p", json.dumps(remove)
        )
        assert await watching.until(bundle, what="the caBundle again", seconds=10) == before

    @pytest.mark.parametrize("how", ["deleted", "edited"])
    async def test_a_configuration_that_lets_networks_pass_is_a_condition_and_an_event_at_once(
        self, client: Client, watching: Watching, installed: Installed, installation: dict[str, Any], how: str
    ) -> None:
        async def in_order(client: Client) -> bool:
            return bool((await conditions(client)).get("Degraded", {}).get("status") == "False")

        await watching.until(in_order, what="an Installation that is not degraded")
        found = await client.get(resources.VALIDATING_WEBHOOKS, "mooring")
        try:
            if how == "deleted":
                reason, told = "WebhookConfigurationMissing", "apply the manifests again"
                await client.delete(resources.VALIDATING_WEBHOOKS, "mooring")
            else:
                reason, told = "WebhookConfigurationEdited", "namespaceSelector leaves networks out"
                edit = found["webhooks"][0] | {"namespaceSelector": {"matchLabels": {"judged": "never"}}}
                await client.patch(resources.VALIDATING_WEBHOOKS, "mooring", {"webhooks": [edit]})

            async def degraded(client: Client) -> dict[str, Any] | None:
                condition = (await conditions(client))["Degraded"]
                return condition if condition["reason"] == reason else None

            condition = await watching.until(degraded, what=f"the condition {reason}", seconds=5)
            assert told in condition["message"]

            async def event(client: Client) -> list[dict[str, Any]]:
                events = (await client.list(resources.EVENTS, namespace="default"))["items"]
                uid = installation["metadata"]["uid"]
                return [each for each in events if each["reason"] == reason and each["regarding"]["uid"] == uid]

            (told_once,) = await watching.until(event, what="its event", seconds=5)
            assert (told_once["type"], told_once["regarding"]["kind"]) == ("Warning", "Installation")
            # What it warns of is so.
            await client.create(resources.NADS, network("unjudged", "{"), namespace="default")
            await client.delete(resources.NADS, "unjudged", namespace="default")
        finally:
            installed.apply_webhook()

        await watching.until(in_order, what="the end of the condition", seconds=5)

        async def refused(client: Client) -> bool:
            try:
                await client.create(resources.NADS, network("judged", "{"), namespace="default")
            except errors.ApiError as error:
                return "MR101" in error.message
            await client.delete(resources.NADS, "judged", namespace="default")
            return False

        await watching.until(refused, what="a refusal again", seconds=10)

    async def test_its_configuration_goes_with_the_operators_role(self, client: Client, installed: Installed) -> None:
        role = await client.get(resources.CLUSTER_ROLES, "mooring-operator")
        found = await client.get(resources.VALIDATING_WEBHOOKS, "mooring")
        assert [owner["uid"] for owner in found["metadata"]["ownerReferences"]] == [role["metadata"]["uid"]]


def network(name: str, config: str) -> dict[str, Any]:
    return {
        "apiVersion": resources.NADS.api_version,
        "kind": resources.NADS.kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"config": config},
    }


class TestTwoReplicas:
    async def test_a_killed_operator_loses_what_it_had_in_hand_and_its_successor_refuses_no_connection(
        self, client: Client, operator: OperatorProcess, namespace: str
    ) -> None:
        outcome, done = applying.Outcome(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(
                applying.keep_applying(client, namespace, clients=3, outcome=outcome, until=done, pause=0.05)
            )
            await eventually(lambda: len(outcome.seconds) > 10, what="the first requests")
            operator.signal_operator(signal.SIGKILL)
            before = len(outcome.seconds)
            await eventually(lambda: len(outcome.seconds) > before + 30, what="requests afterwards")
            done.set()
        # Each client had one review in hand at most; whoever came then waited for the next process.
        assert len(outcome.failures) <= 3, outcome.failures
        assert not [said for said in outcome.failures if "refused" in said]
        assert operator.process.poll() is None
        await eventually(lambda: operator.readiness()[0] == 200, what="its readiness")

    async def test_both_are_ready_one_writes_and_the_other_takes_over_within_seconds(
        self,
        client: Client,
        watching: Watching,
        installed: Installed,
        installation: dict[str, Any],
        tmp_path: Path,
    ) -> None:
        """As in an update: for a while the old one and the new one run, with different images."""
        await watching.until(daemon_set, what="the DaemonSet")
        make_pod(installed.plane, "newer", "registry.example/mooring:newer")
        newer = installed.start_operator(tmp_path, pod="newer", webhook_port=free_port())
        try:
            await eventually(lambda: newer.readiness()[0] == 200, what="readiness of the second")
            before = await daemon_set(client)
            assert before["metadata"]["generation"] == 1
            assert before["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE

            # What happens when the first one ends: the Lease is the other's.
            lease = await client.get(resources.LEASES, "mooring-operator", namespace=SYSTEM)
            assert lease["spec"]["holderIdentity"] == POD
            term = {"spec": {"holderIdentity": "newer", "leaseDurationSeconds": 15}}
            await client.patch(resources.LEASES, "mooring-operator", term, namespace=SYSTEM)

            async def updated(client: Client) -> bool:
                found = await daemon_set(client)
                return bool(found["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":newer"))

            await watching.until(updated, what="the newer image")
            assert newer.end() == 0
            lease = await client.get(resources.LEASES, "mooring-operator", namespace=SYSTEM)
            assert lease["spec"]["holderIdentity"] in ("", POD)
        finally:
            newer.process.kill()
            newer.process.wait()

        async def back(client: Client) -> bool:
            found = await daemon_set(client)
            return bool(found["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE)

        await watching.until(back, what="the first one's image, as it leads again")
        assert "Traceback" not in newer.log.read_text()


async def test_no_request_of_the_operator_is_forbidden(
    plane: ControlPlane, client: Client, watching: Watching, installation: dict[str, Any]
) -> None:
    await watching.until(daemon_set, what="the DaemonSet")
    requests = [
        entry
        for entry in map(json.loads, plane.audit_log.read_text().splitlines())
        if entry["user"].get("username", "").endswith(":mooring-operator") and ready_at(plane, entry)
    ]
    answers = [(f"{entry['verb']} {entry['requestURI']}", entry["responseStatus"]["code"]) for entry in requests]
    assert 201 in {code for _, code in answers}, "what it made shows in the log"
    # In a namespace that is being deleted nothing can be created: the answer to a report that was on its way.
    reports = "/networkreports/"
    assert [request for request, code in answers if code == 403 and reports not in request] == []


class TestPluginSets:
    """Each set of each revision in use has a DaemonSet, and no other has."""

    @staticmethod
    def a_set(image: str, **more: Any) -> dict[str, Any]:
        binary = {"name": "bridge", "path": "/bridge", "sha256": "b" * 64}
        return {"name": "reference", "image": image, "binaries": [binary], "delivery": "Container", **more}

    @staticmethod
    async def say(client: Client, *sets: dict[str, Any], **rollout: Any) -> None:
        at_once = {"maxUnavailable": "100%", "canary": {"nodes": 0}, "paused": False, **rollout}
        spec = {"pluginSets": list(sets), "rollout": at_once}
        await client.patch(resources.INSTALLATIONS, "default", {"spec": spec})

    @staticmethod
    async def brought(client: Client) -> dict[str, dict[str, Any]]:
        """Return the DaemonSets by the image that they bring."""
        label = "app.kubernetes.io/component=plugin-set"
        found = (await client.list(resources.DAEMON_SETS, namespace=SYSTEM, label_selector=label))["items"]
        return {each["spec"]["template"]["spec"]["containers"][0]["image"]: each for each in found}

    async def test_the_set_before_stays_until_the_last_node_has_left_it(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        await self.say(client, self.a_set("plugins:1"))

        async def images(client: Client) -> set[str]:
            return set(await self.brought(client))

        async def assigned(client: Client) -> bool:
            revision = ((await client.get(resources.INSTALLATIONS, "default")).get("status") or {}).get("revision")
            if not revision:
                return False
            content = (await client.get(resources.CONFIG_MAPS, revision, namespace=SYSTEM))["data"][revisions.KEY]
            wanted = json.loads(content)["pluginSets"]
            states = [await client.get(resources.NODE_STATES, node) for node in NODES]
            return bool(wanted) and all(state["spec"]["revision"] == revision for state in states)

        await watching.until(assigned, what="nodes that are to have the set")
        await watching.until(lambda client: is_now(images(client), {"plugins:1"}), what="what brings the set")
        for node in NODES:
            await report(client, node, ready=True)
        await self.say(client, self.a_set("plugins:2"), paused=True)
        await watching.until(lambda client: is_now(images(client), {"plugins:1", "plugins:2"}), what="both")
        await self.say(client, self.a_set("plugins:2"))

        async def followed(client: Client) -> bool:
            states = [await client.get(resources.NODE_STATES, node) for node in NODES]
            return all(state["spec"]["revision"] != state["status"]["revision"] for state in states)

        await watching.until(followed, what="nodes that are to have the other one")
        await report(client, NODES[0], ready=True)
        assert await images(client) == {"plugins:1", "plugins:2"}
        await report(client, NODES[1], ready=True)
        await watching.until(lambda client: is_now(images(client), {"plugins:2"}), what="the later one alone")

    async def test_one_that_is_deleted_or_edited_is_put_right(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        await self.say(client, self.a_set("plugins:1"))

        async def right(client: Client) -> dict[str, Any]:
            found = (await self.brought(client)).get("plugins:1")
            return found if found and found["spec"]["template"]["spec"].get("hostNetwork") else {}

        before = await watching.until(right, what="what brings the set")
        name = before["metadata"]["name"]
        patch = {"spec": {"template": {"spec": {"hostNetwork": False}}}}
        await client.patch(resources.DAEMON_SETS, name, patch, namespace=SYSTEM)
        await watching.until(right, what="it as it was")
        await client.delete(resources.DAEMON_SETS, name, namespace=SYSTEM)

        async def again(client: Client) -> bool:
            found = await right(client)
            return bool(found) and found["metadata"]["uid"] != before["metadata"]["uid"]

        await watching.until(again, what="another one")

    async def test_sets_that_contradict_each_other_change_nothing_and_are_told(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        await self.say(client, self.a_set("plugins:1"), self.a_set("plugins:2", name="other"))

        async def told(client: Client) -> bool:
            degraded = (await conditions(client)).get("Degraded") or {}
            return "The plugin sets reference and other both have a binary bridge." in degraded.get("message", "")

        await watching.until(told, what="what is wrong")
        assert await self.brought(client) == {}


async def is_now(found: Any, wanted: set[str]) -> bool:
    return bool(await found == wanted)
