"""Owns where things are on a node, and where the agent sees them; refuses a path that leaves the node's folders.

The node's own path (what stands in a conf and in a message) and the agent's (below the host root) differ, because the
agent runs in a container that has the node's file system mounted below `/host`. A link on the way leads from the node's
root, not from the container's: `located` follows it as the node does.
"""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path, PurePosixPath

from mooring.installing import distributions

PLUGIN = "mooring"
_MOST_LINKS = 40
FORMER = "mooring-api"
"""A second program that agents before 0.1.0 installed beside the plugin, for it to execute. Nothing needs it now."""

STATE = "/var/lib/mooring"
"""The state folder where the Installation names no other."""
ORIGINALS = "originals"
"""In the state folder: what programs of plugin sets overwrote."""
PRESENCE = "presence.json"
"""In the state folder: when the runtime of the node may not have run us."""
LEAVING = "leaving.json"
"""In the state folder while a node is drained: our conf as it was, by which the plugin undoes what is left."""


@dataclasses.dataclass(frozen=True, slots=True)
class Places:
    """The folders of one node. `bin_dir`, `conf_dir` and `state_dir` are the node's own absolute paths."""

    host_root: Path
    bin_dir: str
    conf_dir: str
    state_dir: str
    where: tuple[tuple[str, Path], ...] = ()
    """Of each folder that links lead to, where the agent sees it; `located` finds that out."""

    def __post_init__(self) -> None:
        for name in ("bin_dir", "conf_dir", "state_dir"):
            path = PurePosixPath(getattr(self, name))
            if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
                raise ValueError(f"{name} is {str(path)!r}: an absolute path below / without '..' is needed")

    def located(self) -> Places:
        """Return the same with the links in the paths followed, as they lead now. Blocks; raises `OSError`."""
        folders = sorted({self.bin_dir, self.conf_dir, self.state_dir}, key=len, reverse=True)
        found = tuple((path, follow(self.host_root, path)) for path in folders)
        return dataclasses.replace(self, where=found)

    def same(self, one: str, other: str) -> bool:
        """Say whether two paths of the node are one folder, there or not. Blocks; raises `OSError`."""
        return follow(self.host_root, one) == follow(self.host_root, other)

    def seen(self, path: str) -> Path:
        """Return where the agent sees a path of the node."""
        for folder, place in self.where:
            inside = folder.rstrip("/")
            if path == folder or path.startswith(f"{inside}/"):
                return place / path[len(inside) :].lstrip("/")
        return self.host_root / path.lstrip("/")

    def named(self, seen: Path) -> str:
        """Return the node's own path of what the agent sees there; raises `ValueError` for what is not the node's."""
        return f"/{seen.relative_to(self.host_root)}"

    def absent(self) -> list[str]:
        """Return those of the three folders that are not on the node. Blocks."""
        return [path for path in (self.bin_dir, self.conf_dir, self.state_dir) if not self.seen(path).is_dir()]

    @property
    def binaries(self) -> Path:
        """The folder of CNI plugins, as the agent sees it."""
        return self.seen(self.bin_dir)

    @property
    def plugin(self) -> Path:
        """The meta-plugin, as the agent sees it."""
        return self.binaries / PLUGIN

    @property
    def state(self) -> Path:
        """The folder of all that we keep, as the agent sees it."""
        return self.seen(self.state_dir)

    @property
    def programs(self) -> Path:
        """The programs that the node had and may need again, as the agent sees them."""
        return self.state / "programs"

    @property
    def plugin_path(self) -> str:
        """The meta-plugin: the node's own path."""
        return f"{self.bin_dir.rstrip('/')}/{PLUGIN}"

    @property
    def confs(self) -> Path:
        """The runtime's folder of confs, as the agent sees it."""
        return self.seen(self.conf_dir)

    @property
    def kubeconfig(self) -> str:
        """The plugin's kubeconfig: the node's own path."""
        return f"{self.conf_dir.rstrip('/')}/mooring.d/kubeconfig"

    @property
    def networks(self) -> Path:
        """The cache of NADs, as the agent sees it."""
        return self.seen(self.state_dir) / "networks"

    @property
    def journals(self) -> Path:
        """The folder of journals, as the agent sees it."""
        return self.seen(self.state_dir) / "attachments"

    @property
    def results(self) -> Path:
        """The plugin's cache of results, as the agent sees it."""
        return self.seen(self.state_dir) / "results"

    @property
    def failures(self) -> Path:
        """The plugin's list of failed calls, as the agent sees it."""
        return self.seen(self.state_dir) / "failures.jsonl"


def usual(host_root: Path, *, state_dir: str) -> Places:
    """Return the folders of a node where nothing is said of them."""
    folders = distributions.DEFAULT
    return Places(host_root, folders["cniBinDir"], folders["cniConfDir"], state_dir)


def follow(root: Path, path: str) -> Path:
    """Return what a path of the node is when all links in it are followed as from `root`; the end may not exist.

    Blocks. Raises `OSError` where links lead round in a circle.
    """
    at, rest, links = root, list(reversed(PurePosixPath(path).parts)), 0
    while rest:
        part = rest.pop()
        if part == "/":
            at = root
        elif part == "..":
            at = at if at == root else at.parent
        else:
            at /= part
            try:
                target = at.readlink()
            except OSError:
                continue  # no link, or nothing
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            at = at.parent
            rest.extend(reversed(target.parts))
    return at
