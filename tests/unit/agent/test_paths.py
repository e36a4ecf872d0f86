"""Folders that are not the node's are told; those of before are left once the runtime says that it reads others."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import pytest

from mooring.agent import loops, paths, runtime
from mooring.installing import distributions
from mooring.kube import errors
from mooring.node import cri, manifest, places

if TYPE_CHECKING:
    from tests.unit.agent.conftest import FakeClient, Node

NEW = ("/srv/cni/bin", "/srv/cni/net.d")
OLD = ("/etc/cni/net.d/00-multus.conf", "/etc/cni/net.d/mooring.d/kubeconfig", "/opt/cni/bin/mooring")


def verdict(conf_dir: str, *bin_dirs: str, status: str = "True") -> runtime.Verdict:
    network = cri.Network("multus-cni-network", ("mooring",))
    said = cri.Status("containerd", "v2.4.2", True, "", conf_dir, "OK", (network,), bin_dirs)
    return runtime.Verdict(status, "RuntimeRunsUs", "", said)  # type: ignore[arg-type]


class World:
    """A node whose paths were changed: our files of before are there and recorded."""

    def __init__(self, node: Node, client: FakeClient) -> None:
        self.node = node
        self.client = client
        client.objects["n1"] = {"metadata": {}}
        self.places = dataclasses.replace(node.places, bin_dir=NEW[0], conf_dir=NEW[1])
        for folder in NEW:
            node.places.seen(folder).mkdir(parents=True)
        self.manifest = manifest.Manifest(node.places.state)
        for path in OLD:
            self.write(path, path.encode())
        self.applied: places.Places | None = self.places
        self.told = asyncio.Event()
        self.verdict = verdict("/srv/cni/net.d", "/srv/cni/bin")
        self.start()

    def start(self) -> None:
        """Make the reconciler anew, as an agent that was restarted."""
        self.paths = paths.Paths(
            loops.Site(self.client, "n1", "mooring-system"),  # type: ignore[arg-type]
            asked=lambda: self.places,
            applied=lambda: self.applied,
            verdict=lambda: self.verdict,
            on_health=self.told.set,
        )

    def write(self, path: str, data: bytes) -> None:
        seen = self.node.places.seen(path)
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.write_bytes(data)
        self.manifest.record(path, manifest.digest(data), manifest.MOORING)

    @property
    def there(self) -> list[str]:
        return [path for path in OLD if self.node.places.seen(path).exists()]


@pytest.fixture
async def world(node: Node, client: FakeClient) -> World:
    return World(node, client)


class TestFoldersOfBefore:
    async def test_they_are_left_when_the_runtime_reads_the_new_ones(self, world: World) -> None:
        world.write("/srv/cni/net.d/00-multus.conf", b"new")
        await world.paths.reconcile()
        assert world.there == []
        assert set(world.manifest.owned()) == {"/srv/cni/net.d/00-multus.conf"}
        assert not world.node.places.seen("/etc/cni/net.d/mooring.d").exists()
        assert world.node.places.seen("/etc/cni/net.d").is_dir()
        assert world.paths.health == loops.Health(settled=True)

    @pytest.mark.parametrize(
        "said",
        [
            runtime.UNKNOWN,
            verdict("", status="Unknown"),
            verdict("/etc/cni/net.d", "/opt/cni/bin", status="False"),
            verdict("/etc/cni/net.d", "/opt/cni/bin"),
        ],
    )
    async def test_without_the_runtime_s_word_everything_stays_and_is_told(
        self, world: World, said: runtime.Verdict
    ) -> None:
        world.verdict = said
        await world.paths.reconcile()
        assert world.there == list(OLD)
        assert all(path in world.paths.health.warning for path in OLD)
        assert "the runtime does not say that it reads other folders now" in world.paths.health.warning

    async def test_a_plugin_stays_where_the_runtime_still_looks(self, world: World) -> None:
        world.verdict = verdict("/srv/cni/net.d", "/srv/cni/bin", "/opt/cni/bin")
        await world.paths.reconcile()
        assert world.there == ["/opt/cni/bin/mooring"]
        assert world.paths.health.warning.startswith("/opt/cni/bin/mooring of former paths stays")

    async def test_nothing_goes_before_the_new_place_is_complete(self, world: World) -> None:
        world.applied = None
        await world.paths.reconcile()
        assert world.there == list(OLD)

    async def test_what_is_no_longer_what_we_wrote_stays(self, world: World) -> None:
        world.node.places.seen(OLD[0]).write_bytes(b"multus's own")
        await world.paths.reconcile()
        assert world.there == [OLD[0]]
        assert set(world.manifest.owned()) == set()

    async def test_another_path_of_the_same_folder_is_not_left(self, world: World) -> None:
        world.places = world.applied = dataclasses.replace(world.places, conf_dir="/srv/link")
        world.node.places.seen("/srv/link").symlink_to("/etc/cni/net.d")
        world.verdict = verdict("/srv/link", "/srv/cni/bin")
        await world.paths.reconcile()
        assert world.there == [OLD[0], OLD[1]]

    async def test_files_of_plugin_sets_are_not_ours_to_remove(self, world: World) -> None:
        world.manifest.record("/opt/cni/bin/mooring", manifest.digest(b"x"), manifest.plugin_set("other"))
        await world.paths.reconcile()
        assert world.there == ["/opt/cni/bin/mooring"]


class TestTheDistribution:
    K3S = {"metadata": {}, "status": {"nodeInfo": {"kubeletVersion": "v1.33.1+k3s1"}}}  # noqa: RUF012  never changed

    async def test_it_is_told_and_other_folders_are_a_warning_that_names_the_preset(self, world: World) -> None:
        world.client.objects["n1"] = self.K3S
        world.verdict = runtime.UNKNOWN
        await world.paths.reconcile()
        assert world.paths.distribution == "k3s"
        assert "set paths.preset to k3s" in world.paths.health.warning
        assert not world.paths.health.problem

    async def test_the_runtime_s_own_word_counts_for_more(self, world: World) -> None:
        world.client.objects["n1"] = self.K3S
        await world.paths.reconcile()
        assert (world.paths.distribution, world.paths.health.warning) == ("k3s", "")

    async def test_where_the_folders_are_not_there_it_is_a_problem(self, world: World) -> None:
        world.client.objects["n1"] = self.K3S
        world.places, world.applied = dataclasses.replace(world.places, bin_dir="/opt/cni/bim"), None
        await world.paths.reconcile()
        assert "set paths.preset to k3s" in world.paths.health.problem

    async def test_it_is_asked_for_now_and_then(self, world: World) -> None:
        world.client.objects["n1"] = self.K3S
        await world.paths.reconcile()
        world.client.objects.clear()
        await world.paths.reconcile()
        assert world.paths.distribution == "k3s"

    async def test_files_of_the_node_show_it_too(self, world: World) -> None:
        world.node.places.seen("/var/snap/microk8s").mkdir(parents=True)
        world.node.places.seen("/var/snap/microk8s/current").symlink_to("x1")
        await world.paths.reconcile()
        assert world.paths.distribution == ""
        world.node.places.seen("/var/snap/microk8s/x1").mkdir()
        world.start()
        await world.paths.reconcile()
        assert world.paths.distribution == "microk8s"

    async def test_every_mark_is_a_path_that_somebody_looks_for(self, node: Node) -> None:
        assert distributions.MARKS
        for mark in distributions.MARKS:
            assert distributions.detect(distributions.Facts(paths=frozenset({mark})))

    async def test_an_api_server_that_is_away_is_a_warning(self, world: World) -> None:
        world.client.errors = [errors.Forbidden(status=403, message="no")]
        task = asyncio.create_task(world.paths.run())
        async with asyncio.timeout(10):
            await world.told.wait()
        assert world.paths.health.warning
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not world.paths.health.problem
