"""A change in a watched folder is told, and so is that changes were lost."""

from __future__ import annotations

import asyncio
import os
import struct
import threading
from pathlib import Path

import pytest

from mooring.node import files, inotify


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def next_of(watch: inotify.Watch) -> frozenset[str | None]:
    async with asyncio.timeout(5):
        async for names in watch.changes():
            return names
    raise AssertionError("the watch ended")


async def test_a_finished_file_is_told_by_its_name(tmp_path: Path) -> None:
    async with inotify.Watch(tmp_path) as watch:
        (tmp_path / "héllo.conf").write_bytes(b"x")
        assert await next_of(watch) == {"héllo.conf"}


async def test_a_rename_and_a_removal_are_told(tmp_path: Path) -> None:
    (tmp_path / "00-multus.conf").write_bytes(b"x")
    async with inotify.Watch(tmp_path) as watch:
        (tmp_path / "00-multus.conf").rename(tmp_path / "00-multus.conf.cilium_bak")
        assert await next_of(watch) == {"00-multus.conf", "00-multus.conf.cilium_bak"}
        (tmp_path / "00-multus.conf.cilium_bak").unlink()
        assert await next_of(watch) == {"00-multus.conf.cilium_bak"}


async def test_an_atomic_write_is_told_under_its_final_name_too(tmp_path: Path) -> None:
    async with inotify.Watch(tmp_path) as watch:
        files.write_atomically(tmp_path / "x.conf", b"x", mode=0o600)
        assert "x.conf" in await next_of(watch)


async def test_a_file_linked_after_it_was_opened_is_told_under_its_first_name(tmp_path: Path) -> None:
    """As the plugin makes its journals; whoever follows them has to know both names."""
    async with inotify.Watch(tmp_path) as watch:
        descriptor = os.open(tmp_path / ".c@eth0.jsonl.tmp", os.O_CREAT | os.O_WRONLY)
        (tmp_path / "c@eth0.jsonl").hardlink_to(tmp_path / ".c@eth0.jsonl.tmp")
        (tmp_path / ".c@eth0.jsonl.tmp").unlink()
        await next_of(watch)
        os.write(descriptor, b"later")
        os.close(descriptor)
        assert await next_of(watch) == {".c@eth0.jsonl.tmp"}


async def test_a_folder_that_is_removed_or_renamed_ends_the_watch(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    async with inotify.Watch(folder) as watch:
        folder.rename(tmp_path / "other")
        with pytest.raises(inotify.FolderGone):
            await next_of(watch)


async def test_a_missing_folder_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        async with inotify.Watch(tmp_path / "absent"):
            pass
    assert descriptors() == before


def test_an_overflow_carries_no_name() -> None:
    data = (
        struct.pack("iIII", -1, inotify.IN_Q_OVERFLOW, 0, 0) + struct.pack("iIII", 1, 8, 0, 16) + b"a".ljust(16, b"\0")
    )
    assert inotify.parse(data) == [(-1, inotify.IN_Q_OVERFLOW, ""), (1, 8, "a")]


async def test_an_overflow_is_told_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with inotify.Watch(tmp_path) as watch:
        monkeypatch.setattr(inotify, "parse", lambda data: [(-1, inotify.IN_Q_OVERFLOW, "")])
        (tmp_path / "x").write_bytes(b"")
        assert await next_of(watch) == {None}


async def test_folders_below_are_watched_as_they_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    async with inotify.Watch(tmp_path, below=True) as watch:
        (tmp_path / "old" / "a.conf").write_bytes(b"x")
        assert await next_of(watch) == {None}
        (tmp_path / "new").mkdir()
        assert await next_of(watch) == {None}
        (tmp_path / "new" / "a.conf").write_bytes(b"x")
        assert await next_of(watch) == {None}
        (tmp_path / "link").symlink_to(tmp_path.parent)
        assert await next_of(watch) == {None}
        (tmp_path / "new").rename(tmp_path.parent / "elsewhere")
        assert None in await next_of(watch)
        (tmp_path / "x.conf").write_bytes(b"x")
        assert "x.conf" in await next_of(watch)


async def test_a_file_that_is_still_being_written_is_not_told_under_below_either(tmp_path: Path) -> None:
    async with inotify.Watch(tmp_path, below=True) as watch:
        with (tmp_path / "half.conf").open("w"):
            (tmp_path / "whole.conf").write_bytes(b"x")
            assert await next_of(watch) == {"whole.conf"}


async def test_a_file_system_that_hangs_holds_up_one_watch_and_takes_no_descriptor_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers = threading.Event(), threading.Event()
    real = inotify._add

    def add(*arguments: object) -> int:
        asked.set()
        answers.wait()
        return real(*arguments)  # type: ignore[arg-type]

    before = descriptors()
    monkeypatch.setattr(inotify, "_add", add)
    watching = asyncio.create_task(inotify.Watch(tmp_path).__aenter__())
    async with asyncio.timeout(5):
        await asyncio.to_thread(asked.wait)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert descriptors() == before + 1  # the thread still has it
    answers.set()
    async with asyncio.timeout(5):
        while descriptors() != before:  # noqa: ASYNC110  a thread closes it
            await asyncio.sleep(0)
