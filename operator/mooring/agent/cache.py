"""Owns that the files of NADs on the node are what the API server says; refuses a heartbeat while they are not.

The plugin trusts a fresh heartbeat and asks nobody. So a heartbeat is written only after all files were compared with
the disk, and its time is not that of the writing: it is the API server's last sign of life before the comparison.
A watch that falls silent makes the heartbeat stale within its time to live, whatever goes on here.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from mooring.agent import loops, watching
from mooring.node import inotify, networkfiles, networkmirror

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mooring.agent.revisions import Revision
    from mooring.kube.informers import Informer

_LOG = logging.getLogger(__name__)

_RESOURCE_NAME = "k8s.v1.cni.cncf.io/resourceName"
#: All files are compared this often though nobody told of a change.
COMPARE_SECONDS = 4.0
#: They are read this often though nothing seems to have happened to them: a disk may lie.
READ_SECONDS = 300.0
#: The informer's watch is begun anew this often: that proves, well within the time to live, that nothing was missed.
WATCH_SECONDS = 16.0
#: A heartbeat is not written for less.
BEAT_SECONDS = 5.0


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
    """Compares the files of all NADs with what the API server said, and renews the heartbeat where they agree."""

    name = "cache"
    reason = "CacheNotWritten"
    # While it fails no heartbeat vouches for the cache, and pods wait for the API server.
    pause = loops.Pause(longest=4.0)

    def __init__(
        self,
        *,
        revision: Callable[[], Revision | None],
        boot: str,
        boottime: Callable[[], float],
        on_health: Callable[[], None],
        namespaces: frozenset[str] = frozenset(),
    ) -> None:
        """`boottime` is the clock of the heartbeat and of the informer's `last_contact`.

        With `namespaces`, the files are those of their networks alone: the plugin asks for every other one.
        """
        super().__init__(on_health=on_health)
        self._revision = revision
        self._namespaces = namespaces
        self._boot = boot
        self._boottime = boottime
        self._informer: Informer | None = None
        self._mirror: networkmirror.Mirror | None = None
        self._made = asyncio.Event()
        self._changes = 0
        self._read_at: float | None = None
        self._foreign: frozenset[str] = frozenset()
        self.repaired = 0
        """Files that somebody damaged, changed or removed, and that were put right."""

    def follow(self, informer: Informer) -> None:
        """Take the informer whose `on_change` is `changed`."""
        self._informer = informer

    def changed(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        """Note that a NAD is new, another one, or gone."""
        self._changes += 1
        self.wake()

    async def watch(self) -> None:
        """Wake at every change of the files until cancelled, whoever removes their folder."""
        while True:
            await self._made.wait()
            if self._mirror is None:
                raise RuntimeError("a folder was made and is not known")
            try:
                await watching.follow_below(self._mirror.folder, self.wake)
            except (inotify.FolderGone, FileNotFoundError):
                self._made.clear()
                self.wake()

    async def reconcile(self) -> float | None:
        """Bring the files in line with what is known, and vouch for them as of the API server's last word."""
        revision, informer = self._revision(), self._informer
        if revision is None or informer is None:
            self._mirror = None  # while this node is drained its files go
            return None
        if not informer.synced.is_set():
            problem = f"the networks cannot be listed: {informer.last_error}" if informer.last_error else ""
            self.report(problem=problem)
            return 1.0
        folder = revision.places.networks
        if self._mirror is None or self._mirror.folder != folder:
            self._mirror = networkmirror.Mirror(folder)
        mirror = self._mirror
        # All three before the comparison: what comes while it runs is compared, and vouched for, the next time.
        wanted, changes, contact = self._kept(informer.store), self._changes, informer.last_contact
        heartbeat = await self._compare(mirror, wanted)
        if contact is not None and changes == self._changes and _due(heartbeat, contact):
            await asyncio.to_thread(mirror.beat, boot=self._boot, boottime=contact)
        warning = ""
        if contact is None or self._boottime() - contact > networkfiles.TTL_SECONDS:
            why = informer.last_error or "the watch is silent"
            warning = f"The cache of networks is stale, pods ask the API server: {why}"
        self.report(settled=True, warning=warning)
        return COMPARE_SECONDS

    def _kept(self, networks: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if not self._namespaces:
            return dict(networks)
        return {key: nad for key, nad in networks.items() if nad["metadata"]["namespace"] in self._namespaces}

    async def _compare(self, mirror: networkmirror.Mirror, wanted: dict[str, dict[str, Any]]) -> float | None:
        """Put the files right and return the heartbeat that stands; whatever fails takes the heartbeat away."""
        now = self._boottime()
        if self._read_at is None or now - self._read_at >= READ_SECONDS:
            mirror.forget()
            self._read_at = now
        try:
            compared = await asyncio.to_thread(mirror.align, wanted, render)
            if compared.failed:
                key, error = next(iter(compared.failed.items()))
                raise OSError(f"the file of network {key} cannot be put right ({len(compared.failed)} in all): {error}")
        except Exception as error:
            try:
                await asyncio.to_thread(mirror.withdraw)
            except OSError as kept:
                raise OSError(f"{error}; the heartbeat, which ends within 30 s, cannot be withdrawn: {kept}") from error
            raise
        self._made.set()
        if compared.damaged:
            self.repaired += len(compared.damaged)
            _LOG.warning("cache: somebody changed %d files, now put right: %s", *_some(compared.damaged))
        foreign = frozenset(compared.foreign)
        if foreign - self._foreign:
            _LOG.warning("cache: %d files are of no network and left alone: %s", *_some(compared.foreign))
        self._foreign = foreign
        return compared.heartbeat


def _due(heartbeat: float | None, contact: float) -> bool:
    """Whether the API server's last word is worth a new heartbeat."""
    return heartbeat is None or contact - heartbeat >= BEAT_SECONDS


def _some(keys: tuple[str, ...]) -> tuple[int, str]:
    return len(keys), ", ".join(keys[:5]) + (", …" if len(keys) > 5 else "")


def render(nad: dict[str, Any]) -> bytes:
    """Return the bytes of the file of a NAD that `keep` made."""
    metadata = nad["metadata"]
    return networkfiles.render(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        resource_name=nad["resourceName"],
        config=nad["config"],
    )
