"""The client against a real API server: every answer, and the lack of one, reaches the caller as what it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mooring.kube import client as kube_client
from mooring.kube import errors, events, resources
from mooring.kube.client import Client
from tests.integration.conftest import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.controlplane import ControlPlane


def config_map(namespace: str, name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {"test": "yes"}},
        "data": data,
    }


class TestWhatCanGoWrongHasItsOwnKind:
    async def test_an_object_that_is_not_there(self, client: Client, namespace: str) -> None:
        with pytest.raises(errors.NotFound) as caught:
            await client.get(resources.CONFIG_MAPS, "absent", namespace=namespace)
        assert str(caught.value) == (
            f'GET /api/v1/namespaces/{namespace}/configmaps/absent: 404 NotFound: configmaps "absent" not found'
        )

    async def test_an_object_that_is_there_already(self, client: Client, namespace: str) -> None:
        await client.create(resources.CONFIG_MAPS, config_map(namespace, "twice"), namespace=namespace)
        with pytest.raises(errors.Conflict) as caught:
            await client.create(resources.CONFIG_MAPS, config_map(namespace, "twice"), namespace=namespace)
        assert caught.value.reason == "AlreadyExists"

    async def test_an_object_that_the_api_server_does_not_take(self, client: Client, namespace: str) -> None:
        with pytest.raises(errors.Invalid, match="must consist of"):
            await client.create(resources.CONFIG_MAPS, config_map(namespace, "Not A Name"), namespace=namespace)

    async def test_an_object_of_another_uid_is_not_deleted(self, client: Client, namespace: str) -> None:
        made = await client.create(resources.CONFIG_MAPS, config_map(namespace, "kept"), namespace=namespace)
        with pytest.raises(errors.Conflict):
            await client.delete(resources.CONFIG_MAPS, "kept", namespace=namespace, uid="another")
        await client.delete(resources.CONFIG_MAPS, "kept", namespace=namespace, uid=made["metadata"]["uid"])

    async def test_what_rbac_forbids(self, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig_for("nobody-in-particular")))
        async with await Client.load() as nobody:
            with pytest.raises(errors.Forbidden, match="nobody-in-particular"):
                await nobody.list(resources.SECRETS)

    async def test_credentials_that_the_api_server_does_not_know(
        self, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig_with(plane, tmp_path, user={"token": "out-of-date"})))
        async with await Client.load() as stranger:
            with pytest.raises(errors.Unauthorized) as caught:
                await stranger.get(resources.NODES, "n1")
        assert "out-of-date" not in str(caught.value)

    async def test_an_api_server_that_is_away(
        self, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        server = f"https://127.0.0.1:{free_port()}"
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig_with(plane, tmp_path, server=server)))
        async with await Client.load() as stranger:
            with pytest.raises(errors.Unreachable) as caught:
                await stranger.get(resources.NODES, "n1")
        assert server in str(caught.value)
        assert caught.value.status == 0

    async def test_no_credentials_at_all(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
        with pytest.raises(errors.Unreachable, match="set KUBECONFIG"):
            await Client.load()


class TestCredentialsThatChange:
    async def test_a_new_token_is_taken_up_when_the_old_one_is_refused(
        self, plane: ControlPlane, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "rotating"}}
        await client.create(resources.SERVICE_ACCOUNTS, account, namespace=namespace)
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig_with(plane, tmp_path, user={"token": "out-of-date"})))
        async with await Client.load() as rotating:
            request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
            answer = await client.create(
                resources.SERVICE_ACCOUNTS, request, namespace=namespace, name="rotating", subresource="token"
            )
            kubeconfig_with(plane, tmp_path, user={"token": answer["status"]["token"]})
            with pytest.raises(errors.Forbidden, match="rotating"):
                await rotating.list(resources.SECRETS)


class TestWriting:
    async def test_applying_again_without_a_field_removes_it_and_leaves_what_others_own(
        self, client: Client, namespace: str
    ) -> None:
        mine = config_map(namespace, "shared", a="1", b="2")
        await client.apply(resources.CONFIG_MAPS, mine, field_manager="mooring-operator")
        await client.patch(resources.CONFIG_MAPS, "shared", {"data": {"theirs": "3"}}, namespace=namespace)
        del mine["data"]["b"]
        applied = await client.apply(resources.CONFIG_MAPS, mine, field_manager="mooring-operator")
        assert applied["data"] == {"a": "1", "theirs": "3"}

    async def test_applying_the_same_twice_changes_nothing(self, client: Client, namespace: str) -> None:
        mine = config_map(namespace, "same", a="1")
        first = await client.apply(resources.CONFIG_MAPS, mine, field_manager="mooring-operator")
        second = await client.apply(resources.CONFIG_MAPS, mine, field_manager="mooring-operator")
        assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]

    async def test_a_field_of_another_manager_is_not_taken_without_force(self, client: Client, namespace: str) -> None:
        await client.apply(resources.CONFIG_MAPS, config_map(namespace, "theirs", a="1"), field_manager="them")
        with pytest.raises(errors.Conflict, match="them"):
            await client.apply(
                resources.CONFIG_MAPS, config_map(namespace, "theirs", a="2"), field_manager="us", force=False
            )


class TestReading:
    async def test_a_list_of_several_pages_is_whole_and_its_items_know_their_kind(
        self, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kube_client, "PAGE_SIZE", 2)
        for number in range(5):
            await client.create(resources.CONFIG_MAPS, config_map(namespace, f"page-{number}"), namespace=namespace)
        found = await client.list(resources.CONFIG_MAPS, namespace=namespace, label_selector="test=yes")
        assert [item["metadata"]["name"] for item in found["items"]] == [f"page-{number}" for number in range(5)]
        assert {(item["apiVersion"], item["kind"]) for item in found["items"]} == {("v1", "ConfigMap")}
        assert int(found["metadata"]["resourceVersion"]) > 0

    async def test_a_field_selector_selects(self, client: Client, namespace: str) -> None:
        for name in ("one", "other"):
            await client.create(resources.CONFIG_MAPS, config_map(namespace, name), namespace=namespace)
        found = await client.list(resources.CONFIG_MAPS, namespace=namespace, field_selector="metadata.name=other")
        assert [item["metadata"]["name"] for item in found["items"]] == ["other"]

    async def test_a_watch_from_a_forgotten_version_says_so(self, client: Client, kinds: None) -> None:
        # Of a kind that came later, the API server remembers nothing from before.
        with pytest.raises(errors.Gone):
            async for _ in client.watch(resources.NODE_STATES, resource_version="1", timeout_seconds=5):
                pass

    async def test_an_event_larger_than_a_read_buffer_arrives_whole(self, client: Client, namespace: str) -> None:
        start = (await client.list(resources.CONFIG_MAPS, namespace=namespace))["metadata"]["resourceVersion"]
        body = config_map(namespace, "large", text="x" * 900_000)
        await client.create(resources.CONFIG_MAPS, body, namespace=namespace)
        watch = client.watch(
            resources.CONFIG_MAPS,
            namespace=namespace,
            field_selector="metadata.name=large",
            resource_version=start,
            timeout_seconds=5,
        )
        event = await anext(aiter(watch))
        await watch.aclose()  # type: ignore[attr-defined]  # an async generator has it
        assert event["type"] == "ADDED"
        assert len(event["object"]["data"]["text"]) == 900_000


class TestEvents:
    async def test_the_same_event_again_raises_a_count(self, client: Client, namespace: str) -> None:
        about = await client.create(resources.CONFIG_MAPS, config_map(namespace, "told"), namespace=namespace)
        now = 0.0
        recorder = events.Recorder(client, controller="mooring-operator", instance="test", clock=lambda: now)
        for _ in range(3):
            await recorder.event(about, kind="Warning", reason="Broken", note="it is broken", action="Testing")
        now = 60.0
        await recorder.flush()
        await recorder.event(about, kind="Warning", reason="Broken", note="and so is that", action="Testing")
        found = (await client.list(resources.EVENTS, namespace=namespace))["items"]
        counts = {item["note"]: (item.get("series") or {}).get("count", 1) for item in found}
        assert counts == {"it is broken": 3, "and so is that": 1}

    async def test_what_is_told_once_is_not_told_again_by_a_process_that_knows_nothing_of_it(
        self, client: Client, namespace: str
    ) -> None:
        about = await client.create(resources.CONFIG_MAPS, config_map(namespace, "once"), namespace=namespace)
        for once in ("sandbox-a/0", "sandbox-a/0", "sandbox-b/0"):
            recorder = events.Recorder(client, controller="mooring-agent", instance="n1")
            await recorder.event(about, kind="Normal", reason="Added", note="there", action="Testing", once=once)
        found = (await client.list(resources.EVENTS, namespace=namespace))["items"]
        assert [(item["note"], item.get("series")) for item in found] == [("there", None), ("there", None)]

    async def test_an_event_of_an_object_without_a_namespace_is_in_the_default_one(self, client: Client) -> None:
        recorder = events.Recorder(client, controller="mooring-agent", instance="n1")
        about = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "event-node", "uid": "7"}}
        await recorder.event(about, kind="Normal", reason="Fine", note="x" * 2000, action="Testing")
        found = await client.list(resources.EVENTS, namespace="default", field_selector="reason=Fine")
        assert [len(item["note"]) for item in found["items"]] == [1024]

    async def test_an_event_that_cannot_be_written_fails_nobody(
        self, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        recorder = events.Recorder(client, controller="mooring-agent", instance="n1")
        about = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "no-such-namespace"}}
        await recorder.event(about, kind="Normal", reason="Lost", note="n", action="Testing")
        assert "event Lost for Pod p not written" in caplog.text


def kubeconfig_with(
    plane: ControlPlane, folder: Path, *, server: str | None = None, user: dict[str, str] | None = None
) -> Path:
    document = json.loads(plane.kubeconfig.read_text())
    if server:
        document["clusters"][0]["cluster"]["server"] = server
    if user:
        document["users"][0]["user"] = user
    path = folder / "kubeconfig"
    path.write_text(json.dumps(document))
    return path
