"""What the kernel counts of a pod's interfaces is read where the pod is, and nothing stays behind there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mooring.node import traffic

TABLE = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 100 2 0 0 0 0 0 0 100 2 0 0 0 0 0 0
net1.10:18446744073709551615 7 1 3 0 0 0 5 40 6 1 2 0 0 0 0
"""


def test_the_kernels_table_is_read_by_interface() -> None:
    assert traffic.parse(TABLE) == {
        "lo": traffic.Counters(100, 2, 0, 100, 2, 0),
        "net1.10": traffic.Counters(18446744073709551615, 7, 3, 40, 6, 2),
    }
    assert traffic.parse("") == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces are root's")
def test_each_namespace_is_read_for_itself_and_what_is_none_is_passed_over(tmp_path: Path) -> None:
    own = Path("/proc/thread-self/ns/net").readlink()
    process = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo; cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.mkfifo(tmp_path / "pipe")
    try:
        there = Path(f"/proc/{process.pid}/ns/net")
        found = traffic.read([tmp_path / "gone", there, tmp_path / "pipe", there, Path("/proc/self/ns/net")])
    finally:
        process.communicate()
    assert [each is None for each in found] == [True, False, True, False, False]
    assert found[1] is not None
    assert found[1] == found[3]
    assert found[1]["lo"].receive_bytes == 0
    assert found[4] is not None
    assert found[4].keys() == traffic.parse(Path("/proc/net/dev").read_text()).keys()
    assert Path("/proc/thread-self/ns/net").readlink() == own
