"""A local copy of a set of objects that follows the API server: owns listing, watching and recovering.

List, then watch with bookmarks; after 410 list anew and tell what went missing meanwhile as deletions. Refuses to
die of anything the API server or the network does: it backs off and tries again, for ever.
"""

from __future__ import annotations

import asyncio
import logging
import random
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mooring.kube import errors, resources
from mooring.kube.pauses import Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mooring.kube.client import Client
    from mooring.kube.resources import Resource

_LOG = logging.getLogger(__name__)

_PAUSE = Pause(first=0.5, longest=30.0)
# A kind that is not known yet (its CRD is being made): asking costs next to nothing.
_PAUSE_UNKNOWN_KIND = Pause(first=0.5, longest=5.0)
_WATCH_SECONDS = 600.0
_OVERDUE_SECONDS = 5.0
# What was missed comes at once when a watch opens; after this it has come.
_CAUGHT_UP_SECONDS = 1.0


def identity(item: dict[str, Any]) -> dict[str, Any]:
    """Keep an object as it is."""
    return item


class Informer:
    """Follows the objects of one kind, optionally of one namespace and by selectors.

    `transform` makes of an object what is to be kept; it must keep `metadata.name` and `metadata.namespace`.
    `on_change(key, old, new)` is called in the event loop after `store` was changed: old is None for a new object,
    new is None for one that is gone. It only notes what is to be done: while it runs, nothing is watched.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        transform: Callable[[dict[str, Any]], dict[str, Any]] = identity,
        on_change: Callable[[str, dict[str, Any] | None, dict[str, Any] | None], None],
        watch_seconds: float = _WATCH_SECONDS,
        pause: Pause = _PAUSE,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Take what to follow.

        `watch_seconds` is how long a watch lasts at most, `pause` how long to wait after failures; `clock` is that of
        `last_contact`, else the loop's.
        """
        self._pauses = pause
        self._client = client
        self._resource = resource
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._transform = transform
        self._on_change = on_change
        self._store: dict[str, dict[str, Any]] = {}
        self._version: str | None = None
        self._watch_seconds = watch_seconds
        self._clock = clock or self._now
        self._open = False
        self._catching_up: asyncio.TimerHandle | None = None
        self.store: Mapping[str, dict[str, Any]] = MappingProxyType(self._store)
        self.synced = asyncio.Event()
        """Set from the first complete list on."""
        self.last_contact: float | None = None
        """When `store` last was all that the API server had to say: a list, or a sign of life of an open watch."""
        self.last_error: errors.ApiError | None = None
        """Why there is no contact; None while there is."""

    @property
    def plural(self) -> str:
        """The kind's name in the plural, as in URLs."""
        return self._resource.plural

    @property
    def live(self) -> bool:
        """Whether the watch is established now, so that `store` is as fresh as it can be."""
        return self._open

    async def run(self) -> None:
        """Follow until cancelled."""
        failures = 0
        while True:
            began = self._now()
            try:
                if self._version is None:
                    await self._relist()
                await self._watch(self._version or "")
                # A proxy that ends every watch at once must not make us ask in a tight loop.
                failures = 0 if self._now() - began > 1 else failures + 1
            except errors.Gone:
                _LOG.info("%s: the watch fell too far behind, listing anew", self._resource.plural)
                self._version = None
                failures += 1
            except errors.ApiError as error:
                failures = 1 if self._now() - began > self._pauses.longest else failures + 1
                self._report(error, failures)
            if failures:
                await asyncio.sleep(self._pause(failures))

    async def _relist(self) -> None:
        fresh: dict[str, dict[str, Any]] = {}
        version = ""
        asked = self._clock()
        async for page in self._client.pages(
            self._resource,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        ):
            version = version or page["metadata"]["resourceVersion"]
            for item in page["items"]:
                fresh[resources.key(item)] = self._transform(item)
        self._hear(asked)
        gone = [name for name in self._store if name not in fresh]
        for name in gone:
            self._put(name, None)
        for name, item in fresh.items():
            if self._store.get(name) != item:
                self._put(name, item)
        self._version = version
        self.synced.set()

    async def _watch(self, version: str) -> None:
        try:
            async for event in self._client.watch(
                self._resource,
                namespace=self._namespace,
                resource_version=version,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
                # Spread, so that the watches of many agents do not end in the same second.
                timeout_seconds=int(self._watch_seconds * random.uniform(0.5, 1)),  # noqa: S311  no secret
                overdue_seconds=_OVERDUE_SECONDS,
                on_open=self._opened,
            ):
                self._hear(self._clock() if self._catching_up is None else None)
                item = event["object"]
                self._version = item["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                name = resources.key(item)
                if event["type"] == "DELETED":
                    if name in self._store:
                        self._put(name, None)
                else:
                    self._put(name, self._transform(item))
        finally:
            self._open = False
            if self._catching_up is not None:
                self._catching_up.cancel()
                self._catching_up = None

    def _opened(self) -> None:
        self._open = True
        self._hear(None)
        self._catching_up = asyncio.get_running_loop().call_later(_CAUGHT_UP_SECONDS, self._caught_up)

    def _caught_up(self) -> None:
        self._catching_up = None
        self._hear(self._clock())

    def _put(self, name: str, item: dict[str, Any] | None) -> None:
        old = self._store.get(name)
        if item is None:
            del self._store[name]
        else:
            self._store[name] = item
        try:
            self._on_change(name, old, item)
        except Exception:
            # A fault in a listener is a fault of ours; it must not stop the others from seeing what follows.
            _LOG.exception("%s %s: the listener failed", self._resource.kind, name)

    def _hear(self, contact: float | None) -> None:
        if self.last_error is not None:
            _LOG.info("%s: the API server is back", self._resource.plural)
        if contact is not None:
            self.last_contact = contact
        self.last_error = None

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _report(self, error: errors.ApiError, failures: int) -> None:
        # Once when it begins; what repeats is the same sentence.
        level = logging.WARNING if self.last_error is None else logging.DEBUG
        _LOG.log(level, "%s: %s; trying again (%d)", self._resource.plural, error, failures)
        self.last_error = error

    def _pause(self, failures: int) -> float:
        pause = _PAUSE_UNKNOWN_KIND if isinstance(self.last_error, errors.NotFound) else self._pauses
        return pause.after(failures, asked=self.last_error.retry_after if self.last_error is not None else None)
