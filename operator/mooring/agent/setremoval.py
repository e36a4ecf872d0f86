"""Owns how programs of plugin sets leave a node; refuses to remove what somebody else changed, and what is needed.

A plugin that is gone cannot undo what it attached: it stays while a journal names it. What was overwritten comes back.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING

from mooring.agent import setplans
from mooring.agent.setplans import Step
from mooring.installing import deliveries
from mooring.node import journals, manifest, setfiles
from mooring.node.places import ORIGINALS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from mooring.node.places import Places

_LOG = logging.getLogger(__name__)

# What nobody has vouched for so long belongs to no set of any revision.
_STALE_SECONDS = 3600.0


def remove(
    places: Places,
    owned: manifest.Manifest,
    entries: Iterable[manifest.Entry],
    digests: setfiles.Digests,
    *,
    node: str,
    primary: Collection[str],
) -> list[str]:
    """Take programs that are in no set any more off the node; return in sentences which stay, and why. It blocks.

    `primary` are the programs of the primary network: without them no pod starts or ends here. Raises `OSError` where
    the journals cannot be read.
    """
    listed = list(entries)
    needed = _needed(places.journals) if listed else set()
    stay = []
    for entry in listed:
        target = places.seen(entry.path)
        what = f"{entry.path} on node {node} is in no plugin set any more"
        if not target.parent.is_dir():
            continue  # its folder is gone, and it went with that
        if target.name in primary:
            stay.append(f"{what}, and stays because the primary network needs it: install it by other means.")
            continue
        if target.name in needed:
            stay.append(f"{what}, and stays while attachments of pods need it to be undone.")
            continue
        try:
            _take_away(places, owned, entry, digests.find(target))
        except OSError as error:
            stay.append(f"{what}, and cannot be removed: {error}.")
    return stay


def withdraw(places: Places) -> list[str]:
    """Take every program of a plugin set off the node, for good; what was overwritten comes back. It blocks.

    For the drain of a node, when nothing of its pods is attached any more. Returns what could not be done, in
    sentences.
    """
    failed = []
    owned = manifest.Manifest(places.seen(places.state_dir))
    digests = setfiles.Digests()
    for entry in setplans.superfluous(owned.owned(), {}):
        try:
            _take_away(places, owned, entry, digests.find(places.seen(entry.path)))
        except OSError as error:
            failed.append(f"{entry.path} cannot be removed: {error}.")
    return failed


def clear(places: Places, wanted: Collection[str], *, now: float) -> None:
    """Remove what was handed over once, has none of the wanted checksums, and is vouched for by no pod any more."""
    folder = places.seen(places.state_dir) / deliveries.HANDOVER
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as listed:
        for each in listed:
            old = abs(now - each.stat(follow_symlinks=False).st_mtime) > _STALE_SECONDS
            if each.name not in wanted and old:
                (folder / each.name).unlink(missing_ok=True)


def kept(places: Places, path: str) -> Path:
    """Return where the agent sees what was at a path of the node before it was overwritten."""
    return places.seen(places.state_dir) / ORIGINALS / path.strip("/").replace("%", "%25").replace("/", "%2F")


def _take_away(places: Places, owned: manifest.Manifest, entry: manifest.Entry, found: setfiles.Found) -> None:
    target, original = places.seen(entry.path), kept(places, entry.path)
    if found.kind == "nothing" or setplans.end(entry, found) is Step.REMOVE:
        if not setfiles.put_back(original, target):
            target.unlink(missing_ok=True)
        _LOG.info("removed %s, which is in no plugin set any more", entry.path)
    else:
        setfiles.drop(original)
        _LOG.warning("left %s alone: it is in no plugin set any more, and somebody else changed it", entry.path)
    owned.forget(entry.path)


def _needed(folder: Path) -> set[str]:
    """Return the plugins that what is attached, or not wholly undone, names. Raises `OSError`."""
    needed: set[str] = set()
    for _, journal in journals.each(folder):
        for attachment in journal.attachments:
            if attachment.last is not None and not attachment.undone:
                needed |= setplans.types(attachment.conf)
    return needed
