"""The uninstall, where the cluster changes while it is under way."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any, cast

from mooring.controller import uninstalling


class Writer:
    """Writes nothing; while each write is on its way, a revision goes."""

    def __init__(self, store: dict[str, Any]) -> None:
        self._store = store
        self.patched: list[str] = []

    async def patch(self, _: object, name: str, patch: dict[str, Any], **__: object) -> None:
        assert patch == {"metadata": {"ownerReferences": None}}
        self.patched.append(name)
        self._store.popitem()


async def test_a_revision_that_goes_meanwhile_does_not_end_it() -> None:
    store = {f"system/{name}": {"metadata": {"name": name, "ownerReferences": [{"name": "default"}]}} for name in "abc"}
    revisions, empty = SimpleNamespace(store=store), SimpleNamespace(store={})
    view = SimpleNamespace(deliveries={}, revisions=revisions, nodes=empty, agents={})
    states = SimpleNamespace(all=dict, ours=dict)
    writer = Writer(store)
    uninstall = uninstalling.Uninstaller(
        cast("Any", None),
        cast("Any", writer),
        cast("Any", view),
        cast("Any", states),
        namespace="system",
        now=lambda: datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC),
    )
    removal = await uninstall.begin({"metadata": {"deletionTimestamp": "2026-03-01T00:00:00Z"}}, None)
    assert not removal.waiting
    assert writer.patched == ["a", "b", "c"]
