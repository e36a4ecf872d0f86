"""Owns which revision this node is to have: reads it from the NodeState and its ConfigMap; refuses any other.

The leader of the operator writes the name of a revision into `NodeState.spec.revision`, when it is this node's turn.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from typing import TYPE_CHECKING, Any

from mooring.agent import loops
from mooring.kube import errors, resources
from mooring.node import files, places

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mooring.kube.informers import Informer

_LOG = logging.getLogger(__name__)

VERSIONS = (1, 2)
"""The versions of the document that are read: the operator's, and the one before."""
_KEY = "revision.json"
_AGENTS = "app.kubernetes.io/name=mooring,app.kubernetes.io/component=agent"


class RevisionError(ValueError):
    """A revision that cannot be read; the text is a sentence."""


@dataclasses.dataclass(frozen=True, slots=True)
class Revision:
    """What a node is to have. `plugin` holds keys of 00-multus.conf as they stand."""

    name: str
    image: str
    places: places.Places
    default_network: str
    plugin: dict[str, Any]
    renderer: int = 1
    """The version of the code that makes the conf of all this."""
    plugin_sets: tuple[dict[str, Any], ...] = ()
    """Further CNI plugins, as on the wire in the Installation: `name`, `image` and `binaries`."""
    dhcp_daemon: bool = False


def parse(name: str, text: str, *, host_root: Path) -> Revision:
    """Return the revision that a ConfigMap's `revision.json` holds; raises `RevisionError`."""
    try:
        document = json.loads(text)
        version = document["version"]
        if version not in VERSIONS:
            known = " and ".join(map(str, VERSIONS))
            raise RevisionError(f"{name} has version {version}; this agent reads versions {known}: update the agent")
        paths = document["paths"]
        plugin = document["plugin"]
        default = document["defaultNetwork"]
        if not isinstance(plugin, dict) or not isinstance(default, str) or not default:
            raise TypeError("plugin must be an object and defaultNetwork a name")
        return Revision(
            name=name,
            image=str(document["image"]),
            places=places.Places(
                host_root=host_root,
                bin_dir=paths["cniBinDir"],
                conf_dir=paths["cniConfDir"],
                state_dir=paths["stateDir"],
            ),
            default_network=default,
            plugin=plugin,
            **(_since_version_2(document) if version >= 2 else {}),
        )
    except RevisionError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise RevisionError(f"{name} cannot be read: {type(error).__name__}: {error}") from error


def _since_version_2(document: dict[str, Any]) -> dict[str, Any]:
    renderer, sets, daemon = document["renderer"], document["pluginSets"], document["dhcpDaemon"]
    if type(renderer) is not int or renderer < 1:
        raise TypeError("renderer must be a number from 1 on")
    if not isinstance(sets, list) or not all(isinstance(each, dict) for each in sets):
        raise TypeError("pluginSets must be a list of objects")
    if not isinstance(daemon, bool):
        raise TypeError("dhcpDaemon must be true or false")
    return {"renderer": renderer, "plugin_sets": tuple(sets), "dhcp_daemon": daemon}


class Follower(loops.Reconciler):
    """Knows the revision that this node is to have; tells the others when it is another one."""

    name = "revision"
    reason = "NoRevision"
    period = 60.0  # nothing tells that a link in the paths was turned

    def __init__(
        self,
        site: loops.Site,
        *,
        host_root: Path,
        on_revision: Callable[[Revision], None],
        on_health: Callable[[], None],
    ) -> None:
        super().__init__(on_health=on_health)
        self._site = site
        self._host_root = host_root
        self._on_revision = on_revision
        self._informer: Informer | None = None
        self.current: Revision | None = None
        self.asked: places.Places | None = None
        """The folders that the leader wants, although they may not be there."""
        self.known = asyncio.Event()
        """Set from the first revision on."""
        self.image: str | None = None
        """The image of the agent's own pod; "" where it runs in none, None while it is not known."""

    def follow(self, informer: Informer) -> None:
        """Take the informer of this node's NodeState, which wakes us."""
        self._informer = informer

    @property
    def wanted(self) -> str:
        """The name that the leader wrote last; "" where there is none."""
        state = self._informer.store.get(self._site.node, {}) if self._informer else {}
        return str((state.get("spec") or {}).get("revision") or "")

    @property
    def applied_before(self) -> str:
        """The revision that the NodeState says is on the node, by this agent or the one before it."""
        state = self._informer.store.get(self._site.node, {}) if self._informer else {}
        return str((state.get("status") or {}).get("revision") or "")

    async def places(self) -> places.Places:
        """Wait for the first revision and return the node's folders."""
        await self.known.wait()
        if self.current is None:
            raise OSError("there is no revision")  # cannot be: it was known
        return self.current.places

    async def reconcile(self) -> float | None:
        """Read the wanted revision, once for each name: its content never changes, what links in its paths mean may."""
        informer = self._informer
        if informer is None or not informer.synced.is_set():
            error = informer.last_error if informer else None
            self.report(problem=f"the NodeState cannot be read: {error}" if error and self.current is None else "")
            return 1.0
        wanted = self.wanted
        if not wanted:
            if self.current is None:
                self.report(problem=f"The operator has not given node {self._site.node} a revision yet")
            return None
        if self.current is None or self.current.name != wanted:
            if self.image is None:
                self.image = await self._own_image()
            try:
                revision = await self._read(wanted)
                await self._check(revision)
            except OSError:
                await self._go_on(wanted)
                raise
            self._take(revision)
        else:
            await self._follow_links(self.current)
        self.report(settled=True)
        return None

    async def _follow_links(self, current: Revision) -> None:
        """Take the folders that links in the paths lead to now: distributions turn such a link at an upgrade."""
        there = await asyncio.to_thread(current.places.located)
        # In the midst of an upgrade a link may lead to nothing: until it is whole the folders are those of before.
        if there != current.places and not await asyncio.to_thread(there.absent):
            _LOG.info("links in the paths of revision %s lead to other folders now", current.name)
            self._take(dataclasses.replace(current, places=there))

    def _take(self, revision: Revision) -> None:
        self.current = revision
        self.known.set()
        self._on_revision(revision)

    async def _go_on(self, wanted: str) -> None:
        """Where the agent just started, take the revision that is on the node: what is wanted cannot be had."""
        before = self.applied_before
        if self.current is not None or before in ("", wanted):
            return
        try:
            self._take(await self._read(before))
        except OSError as error:
            _LOG.warning("the revision on the node cannot be gone on with: %s", error)

    async def _check(self, revision: Revision) -> None:
        """Raise `OSError` where the node cannot have a revision; our own folder is made."""
        self.asked = revision.places
        kept = self.current.places.state_dir if self.current else await self._kept_in(revision)
        if kept not in ("", revision.places.state_dir):
            raise OSError(
                f"The revision {revision.name} wants stateDir {revision.places.state_dir}, and what this node keeps of "
                f"its pods is in {kept}: it cannot be changed while Mooring is on the node. Set paths.stateDir back"
            )
        await asyncio.to_thread(files.make_folder, revision.places.state)
        absent = await asyncio.to_thread(revision.places.absent)
        if absent:
            raise OSError(
                f"The revision {revision.name} wants {' and '.join(absent)}, which this node does not have: Mooring "
                "makes no folder that others read. Correct paths in the Installation"
            )

    async def _kept_in(self, revision: Revision) -> str:
        """Return the state folder of the revision that is on the node; "" where that is not known, or is this one."""
        if self.applied_before in ("", revision.name):
            return ""
        try:
            return (await self._read(self.applied_before)).places.state_dir
        except OSError as error:
            _LOG.warning("the revision on the node cannot be read: %s", error)
            return ""

    async def _own_image(self) -> str:
        """Return the image of the agent's pod on this node; "" outside of a cluster's pod, as in a test."""
        found = await self._site.client.list(
            resources.PODS,
            namespace=self._site.namespace,
            label_selector=_AGENTS,
            field_selector=f"spec.nodeName={self._site.node}",
        )
        for pod in found["items"]:
            # The one before us may still be ending.
            if not pod["metadata"].get("deletionTimestamp"):
                return str(pod["spec"]["containers"][0]["image"])
        return ""

    async def _read(self, name: str) -> Revision:
        try:
            found = await self._site.client.get(resources.CONFIG_MAPS, name, namespace=self._site.namespace)
        except errors.NotFound as error:
            raise OSError(
                f"The revision {name} of node {self._site.node} has no ConfigMap in {self._site.namespace}"
            ) from error
        try:
            revision = parse(name, (found.get("data") or {}).get(_KEY, ""), host_root=self._host_root)
        except RevisionError as error:
            raise OSError(str(error)) from error
        return dataclasses.replace(revision, places=await asyncio.to_thread(revision.places.located))


def keep(item: dict[str, Any]) -> dict[str, Any]:
    """Keep of a NodeState what the agent looks at."""
    metadata = item["metadata"]
    kept = {key: metadata[key] for key in ("name", "uid", "generation") if key in metadata}
    return {"metadata": kept, "spec": item.get("spec") or {}, "status": item.get("status") or {}}
