"""The fence of leadership: owns that a replica whose term is over writes nothing more, wherever its pass was.

Every write asks right before it is sent, by a clock that goes on while the process is stopped. Refuses nothing that
only reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from mooring.kube.client import Client
    from mooring.kube.resources import Resource


class Deposed(Exception):
    """This replica does not lead any more; what it was about to write is the next one's work."""


class Writer:
    """Writes while `leads()`; every method raises `Deposed` when it is not so, and else as those of `Client`."""

    def __init__(self, client: Client, *, leads: Callable[[], bool]) -> None:
        self._client = client
        self._leads = leads

    async def create(self, resource: Resource, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Create an object."""
        self._check()
        return await self._client.create(resource, body, **more)

    async def apply(self, resource: Resource, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Apply an object."""
        self._check()
        return await self._client.apply(resource, body, **more)

    async def patch(self, resource: Resource, name: str, patch: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Change an object."""
        self._check()
        return await self._client.patch(resource, name, patch, **more)

    async def delete(self, resource: Resource, name: str, **more: Any) -> None:
        """Delete an object."""
        self._check()
        await self._client.delete(resource, name, **more)

    def _check(self) -> None:
        if not self._leads():
            raise Deposed
