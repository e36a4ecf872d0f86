"""Another program that keeps taking our conf: ours is there at the end, the other one named, and the node not busy."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.agents import eventually

if TYPE_CHECKING:
    from tests.integration.agents import Node

ACTS = 100
EVERY_SECONDS = 0.1
RIVAL = b'{"cniVersion": "0.3.1", "name": "rival", "type": "rival-cni"}'


def take(path: Path, how: str) -> None:
    """Do to our file what installers of networks do; it may be away."""
    aside = path.with_name(f"{path.name}.rival_bak")
    if how == "rewrite":
        path.write_bytes(RIVAL)
    elif how == "replace":
        aside.write_bytes(RIVAL)
        aside.replace(path)
    elif how == "rename" and path.exists():
        path.rename(aside)
    else:
        path.unlink(missing_ok=True)


def seconds_of_cpu(process: int) -> float:
    """Return what a process has used until now."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("how", ["rewrite", "replace", "rename", "delete", "all of it"])
def test_ours_is_there_at_the_end_and_the_other_is_named(ready: Node, how: str) -> None:
    ours = ready.conf.read_bytes()
    assert ready.process is not None
    process, choose = ready.process.pid, random.Random(how)  # noqa: S311  the same acts each time
    used, began, returned = seconds_of_cpu(process), time.monotonic(), 0
    for _ in range(ACTS):
        take(ready.conf, how if how != "all of it" else choose.choice(["rewrite", "replace", "rename", "delete"]))
        time.sleep(EVERY_SECONDS)  # the other program's own pace
        returned += ready.conf.exists() and ready.conf.read_bytes() == ours
    seconds, cpu = time.monotonic() - began, seconds_of_cpu(process) - used

    def named() -> str:
        return " ".join(each["message"] for each in ready.status()["conditions"] if each["type"] == "Degraded")

    eventually(
        lambda: ready.conf.exists() and ready.conf.read_bytes() == ours, seconds=30, what="our conf to be there again"
    )
    again = time.monotonic() - began - seconds
    eventually(lambda: "Another program" in named(), what=lambda: f"the NodeState to name the other program: {named()}")
    said = named()
    if how in ("rewrite", "replace"):
        assert "which held the network rival of rival-cni then" in said
    ready.get_ready(seconds=30)
    print(
        f"{ACTS} times {how}, one each {EVERY_SECONDS} s: there after {returned} of them, and {again:.1f} s after "
        f"the last; {cpu / seconds:.1%} of a core in {seconds:.1f} s. It says: {said}"
    )
