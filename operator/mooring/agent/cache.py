"""Owns that the files of NADs on the node are what the API server says; refuses a heartbeat while they are not.

The plugin trusts a fresh heartbeat and asks nobody, so every change is on disk before the heartbeat is renewed.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from mooring.agent import loops
from mooring.node import files, networkfiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mooring.agent.revisions import Revision
    from mooring.kube.informers import Informer

_LOG = logging.getLogger(__name__)

_RESOURCE_NAME = "k8s.v1.cni.cncf.io/resourceName"
HEARTBEAT_SECONDS = 10.0


def keep(item: dict[str, Any]) -> dict[str, Any]:
    """Keep of a NAD what its file says."""
    metadata = item["metadata"]
    spec = item.get("spec")
    config = spec.get("config") if isinstance(spec, dict) else None
    resource = (metadata.get("annotations") or {}).get(_RESOURCE_NAME)
    return {
        "metadata": {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata},
        "resourceName": resource if isinstance(resource, str) else "",
        "config": config if isinstance(config, str) else "",
    }


class Cache(loops.Reconciler):
    """Writes and removes the files of NADs. `current`: every change that was heard of is on disk."""

    name = "cache"
    reason = "CacheNotWritten"
    pause = loops.Pause(longest=5.0)  # while it fails the cache grows stale, and pods wait for the API server

    def __init__(
        self,
        *,
        revision: Callable[[], Revision | None],
        on_current: Callable[[], None],
        on_health: Callable[[], None],
    ) -> None:
        super().__init__(on_health=on_health)
        self._revision = revision
        self._on_current = on_current
        self._informer: Informer | None = None
        self._pending: set[str] = set()
        self._folder: Path | None = None
        self._writing = False

    def follow(self, informer: Informer) -> None:
        """Take the informer whose `on_change` is `changed`."""
        self._informer = informer

    def changed(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        """Note that a NAD is new, another one, or gone."""
        self._pending.add(key)
        self.wake()

    @property
    def folder(self) -> Path | None:
        """Where the files are, once it is known."""
        return self._folder

    @property
    def current(self) -> bool:
        """The watch is live and all that it told is on disk."""
        informer = self._informer
        return (
            informer is not None
            and informer.live
            and self._folder is not None
            and not self._pending
            and not self._writing
        )

    async def look(self) -> float | None:
        """Bring the files of changed NADs in line; at the first look those of all."""
        revision, informer = self._revision(), self._informer
        if revision is None or informer is None:
            return None
        if not informer.synced.is_set():
            problem = f"the networks cannot be listed: {informer.last_error}" if informer.last_error else ""
            self.tell(problem=problem)
            return 1.0
        folder = revision.places.networks
        if folder != self._folder:
            self._pending |= set(informer.store) | await asyncio.to_thread(self._prepare, folder)
            self._folder = folder
        pending, self._pending = self._pending, set()
        self._writing = True
        try:
            failed = await asyncio.to_thread(self._write, folder, {key: informer.store.get(key) for key in pending})
        except BaseException:
            self._pending |= pending
            raise
        finally:
            self._writing = False
        if failed:
            self._pending |= set(failed)
            key, error = next(iter(failed.items()))
            raise OSError(f"the file of network {key} cannot be written ({len(failed)} in all): {error}")
        self.tell(settled=True)
        self._on_current()
        return None

    def _prepare(self, folder: Path) -> set[str]:
        files.make_folder(folder.parent)
        files.make_folder(folder, mode=0o700)
        networkfiles.sweep(folder)
        return networkfiles.listed(folder)

    def _write(self, folder: Path, wanted: dict[str, dict[str, Any] | None]) -> dict[str, OSError]:
        failed: dict[str, OSError] = {}
        for key, nad in wanted.items():
            try:
                if nad is None:
                    networkfiles.remove(folder, key)
                else:
                    networkfiles.write(folder, key, _render(nad))
            except ValueError as error:
                # A name that the API server would not take, or a foreign file in our folder: not ours to touch.
                _LOG.warning("cache: %s", error)
            except OSError as error:
                failed[key] = error
        return failed


class Heart(loops.Reconciler):
    """Renews the heartbeat while the cache is current."""

    name = "heartbeat"
    reason = "HeartbeatNotWritten"
    period = HEARTBEAT_SECONDS
    pause = loops.Pause(first=1.0, longest=HEARTBEAT_SECONDS)

    def __init__(
        self,
        cache: Cache,
        *,
        boot: str,
        boottime: Callable[[], float],
        on_health: Callable[[], None],
    ) -> None:
        super().__init__(on_health=on_health)
        self._cache = cache
        self._boot = boot
        self._boottime = boottime

    async def look(self) -> float | None:
        """Renew it, or let it grow old."""
        folder = self._cache.folder
        if folder is not None and self._cache.current:
            # Taken before the write: a write that takes long must not make it younger.
            now = self._boottime()
            await asyncio.to_thread(networkfiles.beat, folder, boot=self._boot, boottime=now)
            self.tell(settled=True)
        return None


def _render(nad: dict[str, Any]) -> bytes:
    metadata = nad["metadata"]
    return networkfiles.render(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        resource_name=nad["resourceName"],
        config=nad["config"],
    )
