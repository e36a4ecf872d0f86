"""Which types of links work is asked of the kernel, in a place of its own, without loading a module."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mooring.node import links

if TYPE_CHECKING:
    from collections.abc import Iterable

ALIASES = "# Aliases\nalias rtnl-link-vlan 8021q\nalias rtnl-link-ipvlan ipvlan\nalias rtnl-link-macvlan macvlan\n"


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    (tmp_path / "modules.alias").write_text(ALIASES)
    return tmp_path


def test_what_would_load_a_module_is_not_tried(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()

    def tried(kinds: Iterable[str]) -> set[str]:
        asked.update(kinds)
        return {"veth", "macvlan"} & asked

    monkeypatch.setattr(links, "tried", tried)
    found = links.available(modules, "macvlan 28672 0 - Live 0x0\nxfs 1 0 - Live 0x0\n")
    assert found == ("ipvlan", "macvlan", "veth", "vlan")
    assert asked == set(links.TYPES) - {"vlan", "ipvlan"}


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces are root's")
def test_the_kernel_says_what_it_knows_and_keeps_nothing_of_the_question() -> None:
    own = Path("/proc/thread-self/ns/net").readlink()
    assert links.tried(["veth", "nonsense"]) == {"veth"}
    assert not list(Path("/sys/class/net").glob("try*"))
    assert Path("/proc/thread-self/ns/net").readlink() == own
