"""What a program is, is read from its file: nobody's program is executed to be asked."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from mooring.node import plugins

if TYPE_CHECKING:
    from pathlib import Path

MODULE = "path\tgithub.com/containernetworking/plugins/plugins/main/bridge\nmod\texample/plugins\tv1.9.1\th1:8oU=\n"


def text(said: bytes) -> bytes:
    length, out = len(said), b""
    while length >= 0x80:
        out += bytes([length & 0x7F | 0x80])
        length >>= 7
    return out + bytes([length]) + said


def go(modules: str, *, before: int = 4096) -> bytes:
    """Return bytes that say of themselves what a program of Go says."""
    header = b"\xff Go buildinf:" + b"\x08\x02" + b"\0" * 16
    info = text(b"go1.26.8") + text(b"0" * 16 + modules.encode() + b"1" * 16)
    return b"\x7fELF" + b"\0" * before + b"\xff Go buildinf:\x08\x00 in a string" + header + info + b"\0" * 100


def program(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("modules", "version"),
    [
        (MODULE, "v1.9.1"),
        (MODULE.replace("v1.9.1", "(devel)"), ""),
        (MODULE + 'build\t-ldflags="-s -X example/buildversion.BuildVersion=v1.8.0"\n', "v1.8.0"),
        (MODULE.replace("v1.9.1", "(devel)") + "build\t-ldflags=-X main.version=0.7.2-rc.1\n", "0.7.2-rc.1"),
        (MODULE.replace("v1.9.1", "v" + "9" * 300), "v" + "9" * 63),
        ("", ""),
    ],
)
def test_a_program_of_go_says_its_version(tmp_path: Path, modules: str, version: str) -> None:
    path = program(tmp_path, "bridge", go(modules))
    assert plugins.read(path) == plugins.Plugin("bridge", hashlib.sha256(path.read_bytes()).hexdigest(), version)


@pytest.mark.parametrize("offset", range(-40, 4))
def test_the_mark_is_found_wherever_a_block_ends(tmp_path: Path, offset: int) -> None:
    path = program(tmp_path, "bridge", go(MODULE, before=plugins._BLOCK + offset))
    assert plugins.read(path).version == "v1.9.1"


@pytest.mark.parametrize(
    "data", [b"", b"#!/bin/sh\n", b"\xff Go buildinf:", b"\xff Go buildinf:\x08\x02" + b"\xff" * 60]
)
def test_of_anything_else_the_version_is_not_known(tmp_path: Path, data: bytes) -> None:
    assert plugins.read(program(tmp_path, "flannel", data)).version == ""


def test_programs_are_listed_by_name_and_nothing_else(tmp_path: Path) -> None:
    program(tmp_path, "macvlan", b"1")
    program(tmp_path, "bridge", b"2")
    program(tmp_path, ".bridge.tmp", b"3")
    (tmp_path / "README").write_text("none")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/nowhere/at/all")
    assert [each.name for each in plugins.Plugins().look(tmp_path)] == ["bridge", "macvlan"]


def test_a_program_is_read_once_until_it_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    real = plugins.read

    def read(path: Path) -> plugins.Plugin:
        reads.append(path.name)
        return real(path)

    monkeypatch.setattr(plugins, "read", read)
    known = plugins.Plugins()
    program(tmp_path, "bridge", b"1")
    program(tmp_path, "macvlan", b"1")
    first = known.look(tmp_path)
    assert known.look(tmp_path) == first
    assert reads == ["bridge", "macvlan"]
    program(tmp_path, ".new", b"2").replace(tmp_path / "bridge")
    assert known.look(tmp_path)[0].sha256 == hashlib.sha256(b"2").hexdigest()
    assert reads == ["bridge", "macvlan", "bridge"]


def test_of_very_many_programs_the_first_are_told(tmp_path: Path) -> None:
    for number in range(plugins.MOST + 5):
        program(tmp_path, f"plugin-{number:03}", b"")
    assert len(plugins.Plugins().look(tmp_path)) == plugins.MOST
