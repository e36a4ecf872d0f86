"""The sandboxes in memory are what the journals on disk say, soon after they say it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from mooring.agent import sandboxes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    Journal = Callable[..., bytes]


class Followed:
    """A followed folder, and the pods that were told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self.sandboxes = sandboxes.Sandboxes(on_change=self.told.put_nowait)

    async def next(self) -> str:
        async with asyncio.timeout(5):
            return await self.told.get()


@contextlib.asynccontextmanager
async def following(folder: Path) -> AsyncIterator[Followed]:
    followed = Followed(folder)
    task = asyncio.create_task(followed.sandboxes.follow(folder))
    await followed.sandboxes.scanned.wait()
    try:
        yield followed
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "attachments"


def made(folder: Path) -> None:
    folder.mkdir()


def moved(folder: Path, name: str) -> None:
    folder.rename(folder.with_name(name))


def write_as_the_plugin_does(folder: Path, name: str, content: bytes) -> None:
    """Open under a temporary name, link to the final one, write on."""
    temporary = folder / f".{name}.tmp"
    descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, content[:100])
        (folder / name).hardlink_to(temporary)
        temporary.unlink()
        os.write(descriptor, content[100:])
    finally:
        os.close(descriptor)


async def test_journals_that_are_there_are_read_at_the_start(folder: Path, write_journal: Journal) -> None:
    made(folder)
    (folder / "c@eth0.jsonl").write_bytes(write_journal(networks=("a/n", "a/n", "b/m")))
    (folder / "README").write_text("not ours")
    async with following(folder) as followed:
        assert await followed.next() == "default/web"
        [sandbox] = followed.sandboxes
        assert sandbox.networks == ("a/n", "a/n", "b/m")
        assert followed.sandboxes.of("default/web") == [sandbox]
        assert followed.sandboxes.of("default/other") == []


async def test_a_journal_that_the_plugin_closes_is_read(folder: Path, write_journal: Journal) -> None:
    async with following(folder) as followed:
        write_as_the_plugin_does(folder, "c@eth0.jsonl", write_journal())
        assert await followed.next() == "default/web"
        assert [sandbox.uid for sandbox in followed.sandboxes] == ["uid-1"]


async def test_a_journal_that_is_removed_is_forgotten(folder: Path, write_journal: Journal) -> None:
    async with following(folder) as followed:
        write_as_the_plugin_does(folder, "c@eth0.jsonl", write_journal())
        await followed.next()
        (folder / "c@eth0.jsonl").unlink()
        assert await followed.next() == "default/web"
        assert list(followed.sandboxes) == []
        assert followed.sandboxes.of("default/web") == []


async def test_a_journal_that_says_the_same_is_not_told_again(folder: Path, write_journal: Journal) -> None:
    async with following(folder) as followed:
        write_as_the_plugin_does(folder, "c@eth0.jsonl", write_journal())
        assert await followed.next() == "default/web"
        (folder / "c@eth0.jsonl").write_bytes(write_journal())
        (folder / "made-anew").write_bytes(write_journal())
        (folder / "made-anew").rename(folder / "c@eth0.jsonl")
        # Two marks: the first may be seen together with what came before it, in any order.
        for mark in ("default/first", "default/second"):
            write_as_the_plugin_does(folder, f"{mark.partition('/')[2]}@eth0.jsonl", write_journal(pod=mark))
            assert await followed.next() == mark


async def test_a_scan_forgets_what_is_gone(folder: Path, write_journal: Journal) -> None:
    made(folder)
    (folder / "c@eth0.jsonl").write_bytes(write_journal())
    followed = Followed(folder)
    await followed.sandboxes.scan(folder)
    (folder / "c@eth0.jsonl").unlink()
    await followed.sandboxes.scan(folder)
    assert list(followed.sandboxes) == []


async def test_a_journal_without_a_pod_or_that_nobody_can_read_is_none(folder: Path, write_journal: Journal) -> None:
    made(folder)
    (folder / "c@eth0.jsonl").write_bytes(write_journal(pod="/"))
    (folder / "d@eth0.jsonl").mkdir()
    followed = Followed(folder)
    await followed.sandboxes.scan(folder)
    assert list(followed.sandboxes) == []


async def test_a_folder_that_is_replaced_ends_the_following_so_that_it_begins_anew(folder: Path) -> None:
    followed = Followed(folder)
    task = asyncio.create_task(followed.sandboxes.follow(folder))
    await followed.sandboxes.scanned.wait()
    moved(folder, "old")
    with pytest.raises(OSError, match="removed or renamed"):
        await asyncio.wait_for(task, 5)
