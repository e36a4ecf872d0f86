"""DEL after a power cut in the middle of ADD: whatever of its writes reached the disk, nothing is left.

ADD is ended in front of every single step. What it did to the kernel and to the leases stays, which is the worst that
a disk can remember; of its own writes those may be lost that it had not brought to disk by then. The journal and the
result cache are lost in turn.
"""

from __future__ import annotations

import enum
import itertools
import shutil

import pytest

from tests.conformance.node import DEFAULT_NETWORK, NETWORKS, Json, Node, Pod
from tests.conformance.worlds import KILLED, before, networks, world

ANOTHER_BOOT = "11111111-2222-4333-8444-555555555555"


class Cut(enum.Enum):
    """What of the journal reached the disk, and what else is lost."""

    LEAST = "no more than was brought to disk, and no cache"
    TORN = "more than was brought to disk, up to the middle of a line"
    JOURNAL_LOST = "no journal"
    CACHE_LOST = "no cache"


def _least(synced: bool) -> int:
    """How many lines are on the disk for certain: header and intents, once the journal was brought there."""
    return 2 if synced else 0


def _cut(node: Node, pod: Pod, cut: Cut, synced: bool) -> None:
    path = node.journal_path(pod)
    if cut in (Cut.LEAST, Cut.CACHE_LOST):
        shutil.rmtree(node.state / "results", ignore_errors=True)
    if not path.exists():
        return
    if cut is Cut.JOURNAL_LOST:
        path.unlink()
        return
    records = node.journal(pod)
    for record in records:
        if record["type"] == "header":
            record["bootID"] = ANOTHER_BOOT
    node.write_journal(pod, records[: _least(synced)] if cut is Cut.LEAST else records)
    if cut is Cut.TORN:
        lines = path.read_bytes().splitlines(keepends=True)
        certain = b"".join(lines[: _least(synced)])
        rest = b"".join(lines[_least(synced) :])
        path.write_bytes(certain + rest[: len(rest) * 2 // 3])


def _synced(node: Node, *, reached: int) -> bool:
    """Whether the journal, and its name in the folder, were on the disk before the step at which ADD was ended."""
    done = (node.root / "steps").read_text().splitlines()[: reached - 1]
    return "fdatasync" in done and "fsync" in done[done.index("fdatasync") :]


@pytest.mark.parametrize("cut", list(Cut), ids=lambda cut: cut.name.lower())
@pytest.mark.parametrize("default", ["configured", "the pod's own"])
def test_DEL_19_after_a_power_cut_at_any_step_of_add_del_leaves_nothing(node: Node, cut: Cut, default: str) -> None:
    conf = networks(node)
    annotations = {NETWORKS: "a"}
    if default != "configured":
        annotations[DEFAULT_NETWORK] = "default/own"
        node.network("own", conf["delegates"][0])
        other = node.bridge("other", "10.77.3.0/24")
        conf = node.conf(other)
    clean = before(node, conf, annotations)
    synced = False
    for step in itertools.count(1):
        pod = node.pod()
        status = _add_until(node, conf, pod, step, annotations)
        assert status in {0, KILLED}
        synced = _synced(node, reached=step)
        _cut(node, pod, cut, synced)
        node.delete(conf, pod).ok()
        shutil.rmtree(node.state / "quarantine", ignore_errors=True)
        assert world(node, pod) == clean, f"cut in front of step {step}"
        if status == 0:
            break
    assert synced, "the journal is brought to disk at some step"
    assert step > 20, "the killer saw the steps"


def _add_until(node: Node, conf: Json, pod: Pod, step: int, annotations: dict[str, str]) -> int:
    steps = {"KILLER_STEPS": str(node.root / "steps")}
    return node.call("ADD", conf, pod, annotations=annotations, prefix=(node.killer, str(step)), env=steps).status
