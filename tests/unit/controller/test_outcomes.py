"""Objects of the operator's own are written where that is needed, and it is known what a write was for."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mooring.controller.managed import Managed
from mooring.kube import resources

DESIRED: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "namespace": "mooring-system"},
    "data": {"x": "1"},
}


class Shelf:
    """An API server that knows one object: a write that changes nothing keeps its version."""

    def __init__(self) -> None:
        self.there: dict[str, Any] | None = None
        self.writes = 0
        self._version = 0

    async def apply(self, _: resources.Resource, body: dict[str, Any], **__: Any) -> dict[str, Any]:
        self.writes += 1
        if self.there is None or self.there["data"] != body["data"]:
            self.put(body["data"])
        assert self.there is not None
        return copy.deepcopy(self.there)

    def put(self, data: dict[str, str]) -> None:
        self._version += 1
        self.there = copy.deepcopy(DESIRED) | {"data": data}
        self.there["metadata"]["resourceVersion"] = str(self._version)


class Subject:
    def __init__(self) -> None:
        self.shelf = Shelf()
        self.begin()

    def begin(self) -> None:
        """Start a process anew."""
        self._managed = Managed(self.shelf)  # type: ignore[arg-type]  # it answers alike

    async def ensure(self, seen: Any = "now", **data: str) -> str:
        found = copy.deepcopy(self.shelf.there) if seen == "now" else seen
        return await self._managed.ensure(resources.CONFIG_MAPS, DESIRED | {"data": {"x": "1"} | data}, found)


@pytest.fixture
def subject() -> Subject:
    return Subject()


async def test_what_is_as_it_should_be_is_not_written(subject: Subject) -> None:
    assert await subject.ensure() == "made"
    assert [await subject.ensure() for _ in range(3)] == ["", "", ""]
    assert subject.shelf.writes == 1


async def test_another_wish_is_a_change_and_somebodys_edit_or_deletion_is_repaired(subject: Subject) -> None:
    await subject.ensure()
    assert await subject.ensure(x="2") == "changed"
    subject.shelf.put({"x": "9"})
    assert await subject.ensure(x="2") == "repaired"
    subject.shelf.there = None
    assert await subject.ensure(x="2") == "repaired"


async def test_a_process_that_has_just_begun_tells_only_of_what_it_found_otherwise(subject: Subject) -> None:
    await subject.ensure()
    subject.begin()
    assert await subject.ensure() == ""
    assert subject.shelf.writes == 2, "once each"
    subject.begin()
    assert await subject.ensure(x="2") == "changed"


async def test_a_watch_that_is_late_makes_nobody_tell_of_a_repair(subject: Subject) -> None:
    assert await subject.ensure(seen=None) == "made"
    assert await subject.ensure(seen=None) == ""
    before = copy.deepcopy(subject.shelf.there)
    await subject.ensure(x="2")
    assert await subject.ensure(seen=before, x="2") == ""
