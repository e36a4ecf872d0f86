"""A plugin binary is put in its place once it has proven itself, and never otherwise."""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING

import pytest

from mooring.node import binaries, files, proof, store

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """#!/bin/sh
[ "$CNI_COMMAND" = VERSION ] || exit 3
cat >/dev/null
echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'
"""


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


async def test_a_good_binary_replaces_the_one_before_it(tmp_path: Path) -> None:
    source = program(tmp_path / "source", GOOD)
    (tmp_path / "bin").mkdir()
    target = program(tmp_path / "bin" / "mooring", "old")
    recorded: list[str] = []
    with target.open() as running:  # whoever executes the old one goes on with it
        digest = await binaries.install(source, target, prove=proof.answers, record=recorded.append)
        assert running.read() == "old"
    assert digest == hashlib.sha256(GOOD.encode()).hexdigest() == store.sha256(target)
    assert recorded == [digest]
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert list((tmp_path / "bin").iterdir()) == [target]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#!/bin/sh\necho broken >&2; exit 1\n", "status 1: broken"),
        ("#!/bin/sh\necho no json\n", "no JSON object"),
        ("#!/bin/sh\necho '{\"supportedVersions\":[]}'\n", "supportedVersions"),
        ("\x7fELF of another machine", "cannot be executed"),
    ],
)
async def test_a_bad_binary_leaves_the_old_one_and_nothing_else(tmp_path: Path, text: str, said: str) -> None:
    source = program(tmp_path / "source", text)
    (tmp_path / "bin").mkdir()
    target = program(tmp_path / "bin" / "mooring", "old")
    recorded: list[str] = []
    with pytest.raises(proof.UnprovenError, match=said):
        await binaries.install(source, target, prove=proof.answers, record=recorded.append)
    assert (target.read_text(), recorded) == ("old", [])
    assert list((tmp_path / "bin").iterdir()) == [target]


async def test_what_a_killed_installer_left_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    source, target = program(tmp_path / "source", GOOD), tmp_path / "bin" / "mooring"
    target.parent.mkdir()
    files.temporary_beside(target).touch()
    others = [files.temporary_beside(target.with_name(name)) for name in ("bridge", "mooring.x")]
    for other in others:
        other.touch()
    await binaries.install(source, target, prove=proof.answers, record=lambda _: None)
    assert sorted(target.parent.iterdir()) == sorted([target, *others])


async def test_a_binary_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_ANSWER_SECONDS", 0.05)
    with pytest.raises(proof.UnprovenError, match="did not answer"):
        await proof.answers(program(tmp_path / "x", "#!/bin/sh\nexec sleep 60\n"))


def test_what_may_be_executed_is_told_from_what_may_not(tmp_path: Path) -> None:
    assert binaries.is_executable(program(tmp_path / "x", ""))
    (tmp_path / "plain").write_text("")
    assert not binaries.is_executable(tmp_path / "plain")
    assert not binaries.is_executable(tmp_path / "absent")
    assert not binaries.is_executable(tmp_path)
    (tmp_path / "link").symlink_to("/a/place/of/the/node/only")
    assert binaries.is_executable(tmp_path / "link")


def test_the_hash_of_a_missing_file_is_none(tmp_path: Path) -> None:
    assert store.sha256(tmp_path / "absent") is None
