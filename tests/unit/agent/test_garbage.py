"""What is left of sandboxes that are gone is undone, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import garbage
from mooring.node import namespaces, places, records
from tests.unit.agent.conftest import line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.unit.agent.conftest import Node

pytestmark = pytest.mark.looptime

BOOT = "11111111-2222-3333-4444-555555555555"
AGENT = "f" * 64
CONF = {"cniVersion": "1.0.0", "name": "multus-cni-network", "type": "mooring", "delegates": []}


@dataclasses.dataclass(frozen=True)
class Listed:
    id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Inside(namespaces.Namespaces):
    """A runtime whose root is a folder, with namespaces under some names."""

    folder: Path = Path("/")
    mounted: tuple[tuple[str, Path], ...] = (
        # A namespace that is held by the agent's own descriptor is mounted nowhere, but another kind is as good.
        ("a-namespace", Path("/proc/self/ns/uts")),
        ("the-node-s", Path("/proc/self/ns/net")),
    )

    @property
    def root(self) -> Path:
        return self.folder

    def seen(self, path: str) -> Path:
        found = namespaces.Namespaces.seen(self, path)
        return dict(self.mounted).get(found.name, found)


class World:
    """A node with a runtime of a test's making; `dels` are the DELs that were run."""

    def __init__(self, node: Node, write_journal: Callable[..., bytes]) -> None:
        self.node = node
        self.write_journal = write_journal
        self.ids: list[str] = [AGENT]
        self.error: OSError | None = None
        self.asked = 0
        self.dels: list[dict[str, str]] = []
        self.stdin: list[bytes] = []
        self.answer: Callable[[str], namespaces.Ended] = lambda _: namespaces.Ended(0, b"", b"")
        self.hang = False
        self.hung = 0
        self.took = 0.01
        self.networks: list[tuple[str, str]] = []
        self.living: set[str] = set()
        self.jump = 0.0
        self.released = False
        self.began = time.time()
        node.places.journals.mkdir(parents=True)
        self.conf(CONF)
        self.garbage = garbage.Garbage(
            revision=node.revision,
            node=self,
            runner=self,
            networks=lambda: self.networks,
            lives=lambda record, pod: pod in self.living,
            clock=self.clock,
            released=lambda: self.released,
            on_health=lambda: None,
        )

    def clock(self) -> records.Clock:
        now = asyncio.get_running_loop().time()
        return records.Clock(wall=self.began + now + self.jump, boottime=10_000 + now, boot=BOOT)

    async def sandboxes(self) -> list[Listed]:
        await asyncio.sleep(0)
        self.asked += 1
        if self.error is not None:
            raise self.error
        return [Listed(each) for each in self.ids]

    @contextlib.contextmanager
    def enter(self) -> Iterator[Inside]:
        network = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            yield Inside(process=-1, mount=-1, network=network, folder=self.node.root)
        finally:
            os.close(network)

    def running(self) -> int:
        return self.hung

    async def run(
        self, inside: namespaces.Namespaces, command: str, *, stdin: bytes, env: Mapping[str, str], seconds: float
    ) -> namespaces.Ended:
        assert command == "/opt/cni/bin/mooring"
        self.dels.append(dict(env))
        self.stdin.append(stdin)
        if self.hang:
            self.hung += 1
            await asyncio.sleep(seconds)
            raise TimeoutError("it still runs")
        await asyncio.sleep(self.took)
        ended = self.answer(env["CNI_CONTAINERID"])
        if ended.status == 0:
            for path in self.node.places.journals.glob(f"{env['CNI_CONTAINERID']}@*"):
                path.unlink()
            for path in self.node.places.results.glob(f"*-{env['CNI_CONTAINERID']}-*"):
                path.unlink()
        return ended

    def conf(self, conf: dict[str, Any]) -> None:
        self.node.conf.write_text(json.dumps(conf))

    def journal(self, container: str, **more: Any) -> Path:
        path = self.node.places.journals / f"{container}@eth0.jsonl"
        path.write_bytes(self.write_journal(**{"boot": BOOT, **more}))
        return path

    def result(self, container: str, interface: str = "eth0", *, network: str = "pods", default: bool = True) -> Path:
        path = self.node.places.results / f"{network}-{container}-{interface}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"ifName": interface, "containerId": container, "mooring": {"default": default}}))
        return path

    def seen_by_the_runtime(self, path: str, text: str) -> Path:
        made = self.node.root / path
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text)
        return made

    @property
    def undone(self) -> list[str]:
        return [each["CNI_CONTAINERID"] for each in self.dels]

    @contextlib.asynccontextmanager
    async def running_for(self, seconds: float) -> Any:
        async with self.going():
            await asyncio.sleep(seconds)
            yield

    @contextlib.asynccontextmanager
    async def going(self) -> Any:
        task = asyncio.create_task(self.garbage.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture(autouse=True)
def threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(call: Any, *arguments: Any, **options: Any) -> Any:
        return call(*arguments, **options)

    monkeypatch.setattr(asyncio, "to_thread", at_once)


@pytest.fixture
async def world(node: Node, write_journal: Callable[..., bytes]) -> World:
    return World(node, write_journal)


def sandbox(number: int) -> str:
    return f"{number:064x}"


async def test_on_a_node_that_is_drained_one_listing_and_the_conf_that_was_kept_are_enough(world: World) -> None:
    journal = world.journal(sandbox(1))
    world.node.conf.rename(world.node.places.state / places.LEAVING)
    async with world.going():
        await asyncio.sleep(120)
        assert world.dels == [], "the runtime may still run us"
        world.released = True
        world.garbage.wake()
        await asyncio.sleep(60)
    assert not journal.exists()
    assert [json.loads(each)["name"] for each in world.stdin] == ["multus-cni-network"]


async def test_a_sandbox_that_is_gone_is_undone_with_the_node_s_own_conf(world: World) -> None:
    journal = world.journal(sandbox(1))
    async with world.going():
        await asyncio.sleep(290)
        assert world.dels == []
        await asyncio.sleep(100)
    assert not journal.exists()
    assert world.dels == [
        {
            "CNI_COMMAND": "DEL",
            "CNI_CONTAINERID": sandbox(1),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/opt/cni/bin",
        }
    ]
    assert json.loads(world.stdin[0]) == CONF
    assert world.garbage.counts == garbage.Counts(sandboxes=1)
    assert world.garbage.health.warning == ""


async def test_where_del_was_begun_the_next_listing_but_one_is_enough(world: World) -> None:
    world.journal(sandbox(1), undone=True)
    async with world.running_for(62):
        assert world.undone == [sandbox(1)]


async def test_a_journal_of_an_earlier_boot_does_not_wait_for_five_minutes(world: World) -> None:
    world.journal(sandbox(1), boot="another")
    async with world.running_for(62):
        assert world.undone == [sandbox(1)]


async def test_what_the_runtime_lists_is_left_alone(world: World) -> None:
    world.ids.append(sandbox(1))
    journals = [world.journal(sandbox(1), undone=True), world.journal(sandbox(2))]
    async with world.running_for(3600):
        assert world.undone == [sandbox(2)]
    assert journals[0].exists()


async def test_what_a_call_works_on_is_left_alone_until_it_ends(world: World) -> None:
    journal = world.journal(sandbox(1))
    with journal.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        async with world.running_for(3600):
            assert world.dels == []
    async with world.running_for(3600):
        assert world.undone == [sandbox(1)]


async def test_without_the_runtime_s_word_nothing_is_touched_and_a_person_is_told(world: World) -> None:
    journal = world.journal(sandbox(1), boot="another")
    world.error = OSError("no runtime listens")
    async with world.running_for(1200):
        assert world.dels == []
        assert world.garbage.health.warning == (
            "what is left of sandboxes that are gone is not collected: no runtime listens"
        )
        assert world.garbage.health.problem == ""
    world.error = None
    async with world.running_for(1200):
        assert not journal.exists()
        assert world.garbage.health.warning == ""


async def test_a_fault_of_ours_does_not_take_the_node_s_readiness(world: World) -> None:
    world.error = ValueError("a list that nobody can read")  # type: ignore[assignment]
    async with world.running_for(1200):
        assert world.garbage.health.problem == ""
        assert "a fault in the agent" in world.garbage.health.warning


async def test_a_runtime_that_lists_no_sandbox_is_not_believed(world: World) -> None:
    world.journal(sandbox(1), boot="another")
    world.ids = []
    async with world.running_for(3600):
        assert world.dels == []
        assert "is it the one that runs the pods?" in world.garbage.health.warning


async def test_a_runtime_that_does_not_list_what_runs_is_not_believed_about_the_rest(world: World) -> None:
    journals = [world.journal(sandbox(1), pod="shop/till"), world.journal(sandbox(2), pod="shop/gone")]
    result = world.result(sandbox(3))
    world.living = {"shop/till"}
    async with world.going():
        await asyncio.sleep(3600)
        assert world.dels == []
        assert world.garbage.health.warning.startswith("pod shop/till runs, and the runtime does not list its sandbox")
        world.ids.append(sandbox(1))
        await asyncio.sleep(3600)
    assert [path.exists() for path in (*journals, result)] == [True, False, False]
    assert world.garbage.health.warning == ""


async def test_a_pod_that_runs_does_not_keep_a_sandbox_whose_del_was_begun(world: World) -> None:
    world.journal(sandbox(1), undone=True)
    world.living = {"default/web"}
    async with world.running_for(600):
        assert world.undone == [sandbox(1)]


async def test_a_pod_that_runs_does_not_keep_its_sandbox_of_an_earlier_boot_nor_any_other(world: World) -> None:
    world.journal(sandbox(1), boot="another", pod="shop/till")
    world.journal(sandbox(2), pod="shop/gone")
    world.living = {"shop/till"}
    async with world.running_for(600):
        assert world.undone == [sandbox(1), sandbox(2)]
        assert world.garbage.health.warning == ""


async def test_without_a_conf_of_ours_nothing_is_done(world: World) -> None:
    world.journal(sandbox(1))
    world.conf({"cniVersion": "1.0.0", "name": "other", "type": "bridge"})
    async with world.running_for(3600):
        assert (world.dels, world.asked) == ([], 0)


async def test_no_other_file_is_taken_for_the_node_s_own_conf(world: World) -> None:
    (world.node.places.confs / "00-a.conf").write_text(json.dumps({**CONF, "name": "of-somebody"}))
    world.journal(sandbox(1))
    async with world.running_for(1800):
        assert [json.loads(text) for text in world.stdin] == [CONF]


async def test_a_pipe_among_the_confs_keeps_nobody_waiting(world: World) -> None:
    for name in ("00-00-multus.conf", "00-a.conf"):
        os.mkfifo(world.node.places.confs / name)
    world.journal(sandbox(1))
    async with world.running_for(1800):
        assert world.undone == [sandbox(1)]


async def test_a_clock_that_jumps_takes_the_proof_away(world: World) -> None:
    world.journal(sandbox(1))
    async with world.going():
        await asyncio.sleep(250)
        world.jump = 3600.0
        await asyncio.sleep(250)
        assert world.dels == []
        await asyncio.sleep(150)
        assert world.undone == [sandbox(1)]


async def test_a_sandbox_that_cannot_be_undone_is_told_of_and_tried_ever_more_rarely(world: World) -> None:
    broken, fine = world.journal(sandbox(1), pod="shop/till"), world.journal(sandbox(2))
    error = namespaces.Ended(1, b'{"code": 7, "msg": "the switch is away"}', b"")
    world.answer = lambda container: error if container == sandbox(1) else namespaces.Ended(0, b"", b"")
    async with world.going():
        await asyncio.sleep(3600)
        assert not fine.exists()
        assert 5 <= world.undone.count(sandbox(1)) <= 16
        assert world.garbage.health.warning == (
            "1 sandbox that is gone cannot be undone: 000000000000 (pod shop/till): the switch is away"
        )
        world.answer = lambda _: namespaces.Ended(0, b"", b"")
        await asyncio.sleep(1200)
    assert not broken.exists()
    assert world.garbage.health.warning == ""


async def test_a_quarantined_network_is_tried_until_its_plugin_works(world: World) -> None:
    journal = world.journal(sandbox(1))
    kept = journal.read_bytes()

    def quarantined(_: str) -> namespaces.Ended:
        journal.unlink()
        journal.write_bytes(kept)
        return namespaces.Ended(0, b"", b"")

    original = world.run

    async def still_failing(*arguments: Any, **options: Any) -> namespaces.Ended:
        ended = await original(*arguments, **options)
        journal.write_bytes(kept)
        return ended

    world.run = still_failing  # type: ignore[method-assign]
    async with world.going():
        await asyncio.sleep(600)
        assert "a network of it is quarantined, and its plugin still fails" in world.garbage.health.warning
        world.run = original  # type: ignore[method-assign]
        await asyncio.sleep(1200)
    assert not journal.exists()
    assert world.garbage.health.warning == ""


async def test_dels_that_hang_are_few(world: World) -> None:
    for number in range(20):
        world.journal(sandbox(number))
    world.hang = True
    async with world.running_for(7200):
        assert world.hung == 4
        assert "4 DELs of sandboxes that are gone hang" in world.garbage.health.warning


async def test_many_that_fail_neither_flood_nor_keep_others_from_their_turn(world: World) -> None:
    for number in range(400):
        world.journal(sandbox(number))
    last = sandbox(399)
    error = namespaces.Ended(1, b'{"code": 7, "msg": "no"}', b"")
    world.answer = lambda container: namespaces.Ended(0, b"", b"") if container == last else error
    async with world.running_for(8 * 3600):
        assert last in world.undone
        assert len(world.dels) <= 1000  # ten in five minutes


async def test_thousands_are_undone_in_turns_that_leave_most_of_the_time_to_others(world: World) -> None:
    for number in range(2000):
        world.journal(sandbox(number))
    async with world.going():
        await asyncio.sleep(400)
        before, began = len(world.dels), asyncio.get_running_loop().time()
        await asyncio.sleep(30)
        busy = (len(world.dels) - before) * world.took
        assert busy <= 0.21 * (asyncio.get_running_loop().time() - began)
        await asyncio.sleep(300)
    assert list(world.node.places.journals.iterdir()) == []
    assert world.garbage.counts.sandboxes == 2000


async def test_the_network_namespace_that_is_left_is_cleaned_and_no_other_s(world: World) -> None:
    world.seen_by_the_runtime("run/netns/plain", "")
    (world.node.root / "var/run").symlink_to("/run")
    (world.node.root / "run/netns/cni-1").symlink_to("/run/netns/a-namespace")
    named = ("/var/run/netns/cni-1", "/proc/1/ns/net", "/run/netns/gone", "/run/netns/plain", "/run/netns/the-node-s")
    for number, netns in enumerate(named):
        header: dict[str, Any] = {
            "type": "header",
            "version": 1,
            "bootID": BOOT,
            "netns": netns,
            "cniArgs": "K8S_POD_NAME=web",
        }
        header["pod"] = {"namespace": "default", "name": "web", "uid": "u"}
        (world.node.places.journals / f"{sandbox(number)}@eth0.jsonl").write_bytes(line(header))
    async with world.running_for(600):
        assert [each.get("CNI_NETNS") for each in world.dels] == ["/var/run/netns/cni-1", None, None, None, None]
        assert {each["CNI_ARGS"] for each in world.dels} == {"K8S_POD_NAME=web"}


async def test_a_container_that_is_no_pod_s_and_lives_is_left_alone(world: World) -> None:
    lives = world.seen_by_the_runtime("run/netns/nerdctl", "")
    header = {"type": "header", "version": 1, "bootID": BOOT, "netns": "/run/netns/nerdctl"}
    journal = world.node.places.journals / f"{sandbox(1)}@eth0.jsonl"
    journal.write_bytes(line(header))
    entry = json.dumps({"ifName": "eth0", "netns": "/run/netns/nerdctl"})
    world.seen_by_the_runtime(f"var/lib/cni/results/multus-cni-network-{sandbox(2)}-eth0", entry)
    async with world.going():
        await asyncio.sleep(3600)
        assert world.dels == []
        lives.unlink()
        await asyncio.sleep(600)
        assert world.undone == [sandbox(1), sandbox(2)]


async def test_a_sandbox_of_which_only_results_tell_is_undone(world: World) -> None:
    world.result(sandbox(1), "net1", network="default-with-dashes", default=False)
    world.result(sandbox(1), "ethernet0")
    cached = world.seen_by_the_runtime(f"var/lib/cni/results/multus-cni-network-{sandbox(2)}-eth1", "{}")
    other = world.seen_by_the_runtime(f"var/lib/cni/results/cbr0-{sandbox(3)}-eth0", "{}")
    async with world.running_for(1800):
        assert [(each["CNI_CONTAINERID"], each["CNI_IFNAME"]) for each in world.dels] == [
            (sandbox(1), "ethernet0"),
            (sandbox(2), "eth1"),
        ]
    assert not cached.exists()
    assert other.exists()


async def test_the_runtime_s_own_result_goes_with_its_sandbox(world: World) -> None:
    cached = world.seen_by_the_runtime(f"var/lib/cni/results/multus-cni-network-{sandbox(1)}-eth0", "{}")
    world.journal(sandbox(1))
    async with world.running_for(1800):
        assert world.undone == [sandbox(1)]
    assert not cached.exists()


def host_local(name: str | None, **more: str) -> dict[str, Any]:
    conf: dict[str, Any] = {"type": "bridge", "ipam": {"type": "host-local", **more}}
    return {"name": name, **conf} if name else conf


async def test_an_address_of_which_nothing_else_tells_is_free_again(world: World) -> None:
    world.conf({**CONF, "delegates": [host_local("pinned")]})
    world.networks = [
        ("nad", json.dumps(host_local(None))),
        ("b", json.dumps({"name": "moved", "plugins": [host_local(None, dataDir="/leases")]})),
        ("c", "no JSON"),
        ("d", json.dumps(host_local("../../escapes"))),
    ]
    leases = "var/lib/cni/networks"
    gone = f"{sandbox(1)}\r\neth0"
    freed = [
        world.seen_by_the_runtime(path, gone)
        for path in (f"{leases}/pinned/10.1.1.2", f"{leases}/nad/fd00::2", "leases/moved/10.1.1.2")
    ]
    kept = [
        world.seen_by_the_runtime(f"{leases}/{path}", text)
        for path, text in (
            ("another/10.1.1.2", gone),
            ("nad/last_reserved_ip.0", gone),
            ("nad/10.1.1.3", f"{AGENT}\r\neth0"),
            ("nad/10.1.1.4", "not-a-sandbox\r\neth0"),
            ("nad/10.1.1.5", f"{sandbox(5)}\r\nnet1"),
        )
    ]
    # Another program's container, which its libcni knows.
    world.seen_by_the_runtime(f"var/lib/cni/results/own-{sandbox(5)}-net1", "{}")
    async with world.going():
        await asyncio.sleep(250)
        assert all(path.exists() for path in freed)
        await asyncio.sleep(750)
    assert not any(path.exists() for path in freed)
    assert all(path.exists() for path in kept)
    assert world.garbage.counts.leases == len(freed)
    assert world.dels == []


async def test_absolute_links_of_the_node_lead_to_the_node(world: World) -> None:
    world.seen_by_the_runtime("run/netns/nerdctl", "")
    (world.node.root / "var/run").symlink_to("/run")
    (world.node.root / "var/lib/cni").symlink_to("/data/cni")
    header = {"type": "header", "version": 1, "bootID": BOOT, "netns": "/var/run/netns/nerdctl"}
    (world.node.places.journals / f"{sandbox(1)}@eth0.jsonl").write_bytes(line(header))
    cached = world.seen_by_the_runtime(f"data/cni/results/multus-cni-network-{sandbox(2)}-eth1", "{}")
    lease = world.seen_by_the_runtime("data/cni/networks/nad/10.1.1.2", f"{sandbox(3)}\r\neth0")
    nowhere = [json.dumps(host_local("x", dataDir=folder)) for folder in (f"/{'x' * 5000}", "/zero\0byte")]
    world.networks = [("nad", json.dumps(host_local("nad"))), *(("x", text) for text in nowhere)]
    async with world.running_for(1800):
        assert world.undone == [sandbox(2)]
        assert world.garbage.health.warning == ""
    assert not cached.exists()
    assert not lease.exists()


async def test_an_address_is_not_taken_while_host_local_works(world: World) -> None:
    world.networks = [("nad", json.dumps(host_local("nad")))]
    lease = world.seen_by_the_runtime("var/lib/cni/networks/nad/10.1.1.2", f"{sandbox(1)}\r\neth0")
    with (lease.parent / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        async with world.running_for(1800):
            assert lease.exists()
    async with world.running_for(1800):
        assert not lease.exists()
