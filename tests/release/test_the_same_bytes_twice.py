"""Who builds our programs from the same sources with the same Go gets the same bytes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from typing import TYPE_CHECKING

from testbed import plugin
from testbed.kubectl import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_two_builds_in_different_folders_have_one_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def built(top: Path) -> dict[str, str]:
        for module in ("plugin", "cri"):
            shutil.copytree(CHECKOUT / module, top / module, ignore=shutil.ignore_patterns("bin", "tools"))
        folder = top / "out"
        plugin.build(folder, version="1.2.3", commit="abcdef0", date="2026-01-02T03:04:05Z", checkout=top)
        plugin.build_cri(folder, version="1.2.3", checkout=top)
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}

    first = built(tmp_path / "here")
    monkeypatch.setenv("GOCACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("HOME", str(tmp_path))
    second = built(tmp_path / "somewhere" / "else" / "and deeper")
    assert first == second
    assert {"mooring", "mooring-cri"} <= set(first)


def test_a_program_says_neither_where_nor_out_of_which_tree_it_was_built(tmp_path: Path) -> None:
    program = plugin.build(tmp_path)
    told = subprocess.run(["go", "version", "-m", program], capture_output=True, text=True, check=True).stdout
    assert "mooring.dev/mooring/plugin" in told
    assert "vcs" not in told
    identity = subprocess.run(["go", "tool", "buildid", program], capture_output=True, text=True, check=True).stdout
    assert identity.strip() == ""
    data = program.read_bytes()
    for place in (str(CHECKOUT), str(tmp_path)):
        assert place.encode() not in data
