"""The operator's own objects: written where they differ, removed where they are not wanted, else left alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mooring.controller import keys, managed
from mooring.kube import errors, resources


class API:
    """Notes what is asked of it, gives each object a default, and fails for the names in `broken`."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.applied: list[str] = []
        self.deleted: list[str] = []

    async def apply(self, _: Any, body: dict[str, Any], *, field_manager: str) -> dict[str, Any]:
        assert field_manager == keys.FIELD_MANAGER
        self._note(self.applied, body["metadata"]["name"])
        made = copy.deepcopy(body)
        made["spec"]["revisionHistoryLimit"] = 10
        return made

    async def delete(self, _: Any, name: str, *, namespace: str, uid: str | None) -> None:
        self._note(self.deleted, name)

    def _note(self, listed: list[str], name: str) -> None:
        if name in self.broken:
            raise errors.ApiError(message=f"{name} is broken", status=500)
        listed.append(name)


def daemon_set(name: str, image: str = "a") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "n", "labels": keys.OURS},
        "spec": {"template": {"spec": {"containers": [image]}}},
    }


def by_key(*items: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {resources.key(each): each for each in items}


class Objects:
    """The operator's objects, and the API server that it writes them to."""

    def __init__(self, *broken: str) -> None:
        self.api = API(*broken)
        self._managed = managed.Managed(self.api)  # type: ignore[arg-type]

    async def reconcile(self, found: list[dict[str, Any]], desired: list[dict[str, Any]]) -> None:
        await self._managed.reconcile(resources.DAEMON_SETS, desired, by_key(*found))


async def test_what_is_right_is_not_written_again() -> None:
    objects = Objects()
    await objects.reconcile([], [daemon_set("right")])
    right = daemon_set("right") | {"status": {"numberReady": 1}}
    right["spec"]["revisionHistoryLimit"] = 10
    await objects.reconcile([right], [daemon_set("right")])
    assert (objects.api.applied, objects.api.deleted) == (["right"], [])


async def test_what_is_no_longer_desired_of_one_is_missed_too() -> None:
    objects, before = Objects(), daemon_set("a")
    before["spec"]["template"]["spec"]["affinity"] = {"nodeAffinity": {}}
    await objects.reconcile([], [before])
    await objects.reconcile([before], [daemon_set("a")])
    assert objects.api.applied == ["a", "a"]


async def test_what_differs_or_is_absent_is_written_and_what_is_not_wanted_goes() -> None:
    objects = Objects()
    await objects.reconcile([daemon_set("b", "old"), daemon_set("c")], [daemon_set("a"), daemon_set("b")])
    assert (objects.api.applied, objects.api.deleted) == (["a", "b"], ["c"])


async def test_what_is_somebody_elses_stays() -> None:
    objects, theirs = Objects(), daemon_set("theirs")
    theirs["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "somebody"}
    await objects.reconcile([theirs], [])
    assert objects.api.deleted == []


async def test_one_that_cannot_be_written_or_removed_does_not_stop_the_others() -> None:
    objects = Objects("a", "c")
    with pytest.raises(errors.ApiError, match="a is broken"):
        await objects.reconcile([daemon_set("c"), daemon_set("d")], [daemon_set("a"), daemon_set("b")])
    assert (objects.api.applied, objects.api.deleted) == (["b"], ["d"])
