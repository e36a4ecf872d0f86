"""DaemonSets of plugin sets: written where they differ, removed where no revision names them, else left alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.controller import delivering
from mooring.kube import errors

WORDS = st.text(max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=12,
)


class Client:
    """Notes what is asked of it; fails for the names in `broken`."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.applied: list[str] = []
        self.deleted: list[str] = []

    async def apply(self, resource: Any, body: dict[str, Any], *, field_manager: str) -> None:
        self._note(self.applied, body["metadata"]["name"])

    async def delete(self, resource: Any, name: str, *, namespace: str) -> None:
        self._note(self.deleted, name)

    def _note(self, listed: list[str], name: str) -> None:
        if name in self.broken:
            raise errors.ApiError(message=f"{name} is broken", status=500)
        listed.append(name)


def daemon_set(name: str, image: str = "a") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "n"}, "spec": {"template": {"spec": {"containers": [image]}}}}


async def applied(client: Client, found: list[dict[str, Any]], desired: list[dict[str, Any]]) -> None:
    await delivering.apply(
        client,  # type: ignore[arg-type]
        {f"n/{each['metadata']['name']}": each for each in found},
        {each["metadata"]["name"]: each for each in desired},
        namespace="n",
    )


async def test_what_is_right_is_not_written() -> None:
    client, right = Client(), delivering.marked(daemon_set("right"))
    right["status"] = {"numberReady": 1}
    await applied(client, [right], [daemon_set("right")])
    assert (client.applied, client.deleted) == ([], [])


async def test_what_is_no_longer_desired_is_missed_too() -> None:
    client, before, after = Client(), daemon_set("a"), daemon_set("a")
    before["spec"]["template"]["spec"]["affinity"] = {"nodeAffinity": {}}
    await applied(client, [delivering.marked(before)], [after])
    assert client.applied == ["a"]


async def test_what_differs_or_is_absent_is_written_and_what_no_revision_names_goes() -> None:
    client = Client()
    await applied(client, [daemon_set("b", "old"), daemon_set("c")], [daemon_set("a"), daemon_set("b")])
    assert (client.applied, client.deleted) == (["a", "b"], ["c"])


async def test_one_that_cannot_be_written_does_not_stop_the_others() -> None:
    client = Client("a", "c")
    with pytest.raises(errors.ApiError, match="a is broken"):
        await applied(client, [daemon_set("c"), daemon_set("d")], [daemon_set("a"), daemon_set("b")])
    assert (client.applied, client.deleted) == (["b"], ["d"])


@given(JSON, JSON)
def test_whatever_is_added_to_an_object_it_still_says_what_is_desired(desired: Any, more: Any) -> None:
    assert delivering.covers(desired, desired)
    if isinstance(desired, dict):
        assert delivering.covers({**desired, "another key": more}, desired)


@given(st.dictionaries(WORDS, JSON, min_size=1, max_size=3), st.data())
def test_whatever_is_taken_from_an_object_is_missed(desired: dict[str, Any], data: st.DataObject) -> None:
    found = copy.deepcopy(desired)
    del found[data.draw(st.sampled_from(sorted(desired)))]
    assert not delivering.covers(found, desired)
