"""DEL after a crash: whatever step a call was killed at, nothing is left of the sandbox.

The killer ends the plugin in front of every single system call that changes something, one run for each. The
delegates are the reference plugins, so that links, addresses, leases and packet filter rules are at stake.
"""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.conformance.node import NETWORKS, Json, Node, Pod, chain
from tests.conformance.worlds import KILLED, before, networks, world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _kill(node: Node, verb: str, conf: Json, pod: Pod | None, step: int) -> int:
    annotations = {NETWORKS: "a"} if verb == "ADD" else None
    return node.call(verb, conf, pod, annotations=annotations, prefix=(node.killer, str(step))).status


def _steps() -> Iterator[int]:
    yield from itertools.count(1)


def test_DEL_12_after_a_kill_in_front_of_any_step_of_add_del_leaves_nothing(node: Node) -> None:
    conf = networks(node)
    clean = before(node, conf)
    for step in _steps():
        pod = node.pod()
        status = _kill(node, "ADD", conf, pod, step)
        assert status in {0, KILLED}
        node.delete(conf, pod).ok()
        assert world(node, pod) == clean, f"killed in front of step {step} of ADD"
        if status == 0:
            break
    assert step > 20, "the killer saw the steps"


def test_DEL_12_after_a_kill_in_front_of_any_step_of_del_the_next_leaves_nothing(node: Node) -> None:
    conf = networks(node)
    clean = before(node, conf)
    for step in _steps():
        pod = node.pod()
        node.add(conf, pod, "a").ok()
        status = _kill(node, "DEL", conf, pod, step)
        assert status in {0, KILLED}
        node.delete(conf, pod).ok()
        assert world(node, pod) == clean, f"killed in front of step {step} of DEL"
        if status == 0:
            break
    assert step > 10, "the killer saw the steps"


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
@pytest.mark.parametrize("network", ["primary", "a"])
@pytest.mark.parametrize("position", ["before the others", "after the others"])
def test_DEL_12_after_a_kill_while_a_delegate_works_del_leaves_nothing(
    node: Node, verb: str, network: str, position: str
) -> None:
    conf = networks(node, ports=True)
    killing: Json = {"type": "stub"}

    def with_killer(plugins: list[Json]) -> list[Json]:
        return [killing, *plugins] if position == "before the others" else [*plugins, killing]

    plugins = conf["delegates"][0]["plugins"]
    if network == "primary":
        conf["delegates"] = [chain("primary", *with_killer(plugins))]
    else:
        node.network("a", chain("a", *with_killer([node.bridge("a", "10.77.2.0/24")])))
    clean = before(node, conf)
    node.answer(**{f"stub__{verb}": {"killParent": True}})
    pod = node.pod()
    if verb == "DEL":
        node.add(conf, pod, "a").ok()
    assert node.call(verb, conf, pod, annotations={NETWORKS: "a"}).status == -9
    node.answer()
    node.delete(conf, pod).ok()
    assert world(node, pod) == clean


def _quarantine(node: Node, pod: Pod) -> None:
    """Let a network's DEL have failed often and long enough, as the journal tells it."""
    records = node.journal(pod)
    failure = {"type": "result", "verb": "DEL", "index": 1, "milliseconds": 1, "time": records[0]["time"]}
    failure |= {
        "error": {"code": 100, "msg": "it is stuck", "details": ""},
        "bootID": records[0]["bootID"],
        "boottime": 1,
    }
    given_up = {"type": "quarantined", "index": 1, "time": records[0]["time"], "reason": "it is stuck"}
    node.write_journal(pod, [*records, *[failure] * 5, given_up])


def _damage(node: Node, pod: Pod) -> None:
    path = node.journal_path(pod)
    header, intents, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([header, intents.replace(b'"crc":"', b'"crc":"0', 1), *rest]))


def _cut(node: Node, pod: Pod) -> None:
    path = node.journal_path(pod)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _lose(node: Node, pod: Pod) -> None:
    node.journal_path(pod).unlink()


def _nothing(node: Node, pod: Pod) -> None:
    pass


@pytest.mark.parametrize("happened", [_quarantine, _damage, _cut, _lose])
def test_DEL_12_after_a_kill_in_front_of_any_step_of_a_del_that_mends_its_records_the_next_leaves_nothing(
    node: Node, happened: Callable[[Node, Pod], None]
) -> None:
    conf = networks(node)
    clean = before(node, conf)
    for step in _steps():
        pod = node.pod()
        node.add(conf, pod, "a").ok()
        happened(node, pod)
        status = _kill(node, "DEL", conf, pod, step)
        assert status in {0, KILLED}
        node.delete(conf, pod).ok()
        shutil.rmtree(node.state / "quarantine", ignore_errors=True)
        assert world(node, pod) == clean, f"killed in front of step {step} of DEL"
        if status == 0:
            break
    assert step > 10, "the killer saw the steps"


@pytest.mark.parametrize("happened", [_nothing, _quarantine, _damage, _lose])
def test_DEL_12_after_a_kill_in_front_of_any_step_of_gc_the_next_leaves_nothing(
    node: Node, happened: Callable[[Node, Pod], None]
) -> None:
    conf = networks(node) | {"cniVersion": "1.1.0"}
    clean = before(node, conf)
    collecting = conf | {"cni.dev/valid-attachments": []}
    for step in _steps():
        pod = node.pod()
        node.add(conf, pod, "a").ok()
        happened(node, pod)
        status = _kill(node, "GC", collecting, None, step)
        assert status in {0, KILLED}
        node.call("GC", collecting).ok()
        shutil.rmtree(node.state / "quarantine", ignore_errors=True)
        assert world(node, pod) == clean, f"killed in front of step {step} of GC"
        if status == 0:
            break
    assert step > 10, "the killer saw the steps"
