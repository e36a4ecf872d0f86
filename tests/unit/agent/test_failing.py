"""A pod that does not start is told why, by what the plugin wrote down and nobody else's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import failing, pods

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.looptime


def line(number: int = 0, *, uid: str = "uid-1", pod: str = "web", verb: str = "ADD", **more: Any) -> str:
    document = {
        "version": 1,
        "time": f"2026-03-01T12:00:00.{number:06}Z",
        "verb": verb,
        "pod": {"namespace": "default", "name": pod, "uid": uid},
        "network": "default/a",
        "code": 7,
        "msg": f"failure {number}",
        "details": "",
        **more,
    }
    return json.dumps(document) + "\n"


class World:
    """A list of failed calls, and one pod."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: list[tuple[str, str]] = []
        item = {"metadata": {"name": "web", "namespace": "default", "uid": "uid-1"}}
        self.failing = failing.Failing(
            path=lambda: self.path,
            known=lambda: {"default/web": pods.keep(item)},
            report=lambda pod, reason, note: self.told.append((reason, note)),
            on_health=lambda: None,
        )

    def add(self, *lines: str) -> None:
        with self.path.open("a") as file:
            file.write("".join(lines))

    @property
    def notes(self) -> list[str]:
        return [note for _, note in self.told]


@pytest.fixture
async def world(tmp_path: Path) -> World:
    made = World(tmp_path / "failures.jsonl")
    made.add(line(0))
    await made.failing.reconcile()
    return made


async def test_each_failed_add_of_a_pod_here_is_told_once_and_none_from_before(world: World) -> None:
    assert world.told == []
    world.add(
        line(1),
        line(2, reason="NoNetworkFound", details="create it"),
        line(3, verb="DEL"),
        line(4, pod="other"),
        line(5, uid="uid-2"),
        line(6, uid="", reason="not a word"),
    )
    for _ in range(2):
        await world.failing.reconcile()
    assert world.told == [
        ("AttachmentFailed", "failure 1"),
        ("NoNetworkFound", "failure 2. create it"),
        ("AttachmentFailed", "failure 6"),
    ]


async def test_a_line_that_is_still_being_written_is_told_when_it_is_whole(world: World) -> None:
    whole = line(1)
    world.add(whole[:20])
    await world.failing.reconcile()
    assert world.told == []
    world.add(whole[20:])
    await world.failing.reconcile()
    assert world.notes == ["failure 1"]


@pytest.mark.parametrize("how", ["cut", "replaced", "removed"])
async def test_a_list_that_is_cut_or_another_one_tells_nothing_twice(world: World, how: str) -> None:
    world.add(*(line(number) for number in range(1, 10)))
    await world.failing.reconcile()
    del world.told[:]
    younger = "".join(line(number) for number in range(6, 11))
    match how:
        case "cut":
            world.path.write_text(younger)
        case "replaced":
            other = world.path.with_name("other")
            other.write_text(younger)
            other.rename(world.path)
        case _:
            world.path.unlink()
            await world.failing.reconcile()
            world.path.write_text(younger)
    await world.failing.reconcile()
    assert world.notes == ["failure 10"]
