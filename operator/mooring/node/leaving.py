"""Owns what a node is given back when we leave it: its conf, and the removal of what is ours; refuses to touch more.

A file outside of our own folders goes only where the manifest says that we wrote what it holds, or its content proves
it. All of it blocks, can be cut off anywhere, and is done again from the beginning.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import logging
import os
import shutil
import stat
import time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mooring.installing import chains, confs, deliveries, leaving
from mooring.node import binaries, conffolder, confrecords, files, journals, manifest, places, proof, store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mooring.node.places import Places

_LOG = logging.getLogger(__name__)

# What we and the plugin make in the state folder; the manifest goes last.
_OURS = (
    "networks",
    "attachments",
    "results",
    "quarantine",
    "programs",
    deliveries.HANDOVER,
    places.ORIGINALS,
    proof.FOLDER,
    "failures.jsonl",
    places.PRESENCE,
    confrecords.FILE,
    manifest.DAMAGED,
    places.LEAVING,
)
# An ADD that has not ended after so many seconds has been given up by its delegates' time limit.
_MAKING_SECONDS = 120.0
_CONF_MODE = 0o644


def give_back(node: Places, file: str) -> str:
    """Take our conf out of the runtime's folder, where that leaves a network; return in a sentence why it cannot be.

    The same for folders of former paths, which the runtime may still read. `file` is where the primary network came
    from. What the plugin needs to undo the rest is kept before.
    """
    owned = manifest.Manifest(node.state)
    ours = [PurePosixPath(path) for path, entry in sorted(owned.owned().items()) if entry.owner == manifest.MOORING]
    former = sorted({str(path.parent) for path in ours if path.name == places.PLUGIN})
    programs = [node.binaries, *(places.follow(node.host_root, folder) for folder in former)]
    for folder in _conf_folders(node, ours):
        problem = _give_back(folder, file, owned, programs)
        if problem:
            return problem
    return ""


def _conf_folders(node: Places, ours: Iterable[PurePosixPath]) -> Iterator[Places]:
    """Return the node once for its own folder of confs, and for each former one that is there."""
    yield node
    for folder in sorted({str(path.parent) for path in ours if path.name in confs.FILES and len(path.parts) > 2}):
        former = dataclasses.replace(node, conf_dir=folder, where=()).located()
        if not node.same(folder, node.conf_dir) and former.confs.is_dir():
            yield former


def _give_back(node: Places, file: str, owned: manifest.Manifest, programs: list[Path]) -> str:
    found = conffolder.read(node.confs, ours=confs.FILES, candidates=confs.candidates)
    ours = {name: text for name in confs.FILES if (text := _own(found.ours.get(name, b"")))}
    if not ours:
        return ""
    texts = list(ours.values())
    pinned = next(filter(None, map(confs.pinned, texts)), None)
    back = leaving.plan(
        pinned=pinned,
        file=file,
        texts=found.texts,
        folders={
            name: conffolder.chain(node.confs / name)
            for name in {*chains.folders(found.texts), *([pinned.name] if pinned else [])}
        },
        executable=lambda program: any(binaries.is_executable(folder / program) for folder in programs),
    )
    if back.problem:
        return back.problem
    if not (node.state / places.LEAVING).exists():  # that of the node's own folder is the newest
        files.write_atomically(node.state / places.LEAVING, texts[0].encode(), mode=0o600, durable=True)
    if back.file:
        files.write_atomically(node.confs / back.file, back.data, mode=_CONF_MODE, durable=True)
        _LOG.info("wrote %s/%s back: it was gone, and pods ran by what we had pinned", node.conf_dir, back.file)
    for name in sorted(ours, reverse=True):  # while a rival is there, the first is the one that is loaded
        conffolder.remove(node.confs, name)
        owned.forget(f"{node.conf_dir.rstrip('/')}/{name}")
        _LOG.info("removed %s/%s: this node is drained", node.conf_dir, name)
    return ""


def attached(node: Places) -> list[str]:
    """Return the pods (or container ids) that nobody but our plugin can undo, or that are in the making.

    A pod with the default network alone is none: what its ADD did, the runtime undoes with that network's own conf.
    """
    found: dict[str, str] = {}
    for name in _listed(node.journals):
        if not journals.is_journal(name):
            continue
        path = node.journals / name
        try:
            age = time.time() - path.stat().st_ctime
        except FileNotFoundError:
            continue
        journal = journals.read(path)
        if journal is not None and _needs_us(journal, age):
            container, _ = journals.sandbox(name)
            found[container] = f"{journal.namespace}/{journal.pod}" if journal.pod else container[:12]
    for name in _listed(node.results):
        container = _of_another_network(node.results / name)
        if container:
            found.setdefault(container, container[:12])
    return sorted(found.values())


def traces(host_root: Path, *, state_dir: str) -> list[str]:
    """Return the paths on the node of what is ours in its state folders: that needs no revision. Raises `OSError`.

    Nothing of ours is on a node without any: all that is outside of them is in the manifest. `state_dir` is the node's
    own path of the one that the agent was started with; another one is the default.
    """
    found = [
        f"{folder.rstrip('/')}/{name}"
        for folder in sorted({places.STATE, state_dir})
        for name in _listed(places.follow(host_root, folder))
        if name in (manifest.FILE, *_OURS)
    ]
    return sorted(found)


def remove(node: Places) -> None:
    """Remove every file of ours, and of our own folders all; nothing of anybody else's. Raises `OSError`."""
    owned = manifest.Manifest(node.state)
    for path, entry in sorted(owned.owned().items()):
        if _is_ours(node.seen(path), entry.proven):
            files.remove(node.seen(path), durable=True)
            _LOG.info("removed %s", path)
        elif os.path.lexists(node.seen(path)):
            _LOG.warning("left %s alone: somebody put something else there", path)
        owned.forget(path)
    # What a manifest that was lost does not tell, and the content does.
    if _is_ours(node.plugin, tuple(store.Store(node.programs).listed())):
        files.remove(node.plugin, durable=True)
    kubeconfig = node.seen(node.kubeconfig)
    if _is_our_kubeconfig(kubeconfig):
        files.remove(kubeconfig)
    files.sweep(node.binaries, of=places.PLUGIN)
    for name in confs.FILES:
        files.sweep(node.confs, of=name)
    files.sweep(kubeconfig.parent)
    _remove_empty(kubeconfig.parent)
    for name in _OURS:
        _remove_all(node.state / name)
    owned.remove()
    files.sweep(node.state)
    files.sync_folder(node.state)
    left = _listed(node.state)
    if left:
        _LOG.warning("left in %s, because it is not ours: %s", node.state_dir, ", ".join(sorted(left)[:5]))


def stay(node: Places) -> None:
    """Forget that we were leaving. Raises `OSError`."""
    files.remove(node.state / places.LEAVING, durable=True)


def _own(data: bytes) -> str:
    """Return the text of a conf of ours; "" for any other."""
    try:
        conf = json.loads(data)
        return data.decode() if conf["type"] == confs.TYPE else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _needs_us(journal: journals.Journal, age: float) -> bool:
    if not journal.readable or any(not each.undone and (each.nad or not each.default) for each in journal.attachments):
        return True
    return not journal.complete and not journal.ending and age < _MAKING_SECONDS


def _of_another_network(path: Path) -> str:
    """Return the container of a result that is no default network's; "" for any other file."""
    try:
        entry = json.loads(conffolder.content(path))
        told = entry["mooring"]
        is_other = told["default"] is not True or told.get("nad") is True
        return str(entry["containerId"]) if is_other else ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""


def _is_ours(path: Path, digests: tuple[str, ...]) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode) and store.sha256(path) in digests
    except FileNotFoundError:
        return False


def _is_our_kubeconfig(path: Path) -> bool:
    try:
        return bool(json.loads(conffolder.content(path))["current-context"] == "mooring")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise


def _remove_all(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        path.unlink()


def _listed(folder: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return os.listdir(folder)  # noqa: PTH208  names alone
    return []
