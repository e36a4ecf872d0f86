"""A replica whose term is over writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mooring.controller.fencing import Deposed, Writer
from mooring.kube import resources

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Recording:
    """Notes what is written."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def __getattr__(self, name: str) -> Any:
        async def write(*_: Any, **__: Any) -> dict[str, Any]:
            self.written.append(name)
            return {}

        return write


async def test_every_write_asks_first() -> None:
    client, leads = Recording(), True
    writer = Writer(client, leads=lambda: leads)  # type: ignore[arg-type]  # it answers alike
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: writer.create(resources.NODE_STATES, {}),
        lambda: writer.apply(resources.NODE_STATES, {}, field_manager="x"),
        lambda: writer.patch(resources.NODE_STATES, "n", {}),
        lambda: writer.delete(resources.NODE_STATES, "n"),
    ]
    for call in calls:
        await call()
    assert client.written == ["create", "apply", "patch", "delete"]
    leads = False
    for call in calls:
        with pytest.raises(Deposed):
            await call()
    assert len(client.written) == 4
