"""Owns what a Multus has on the node, as found there, and taking its confs away; refuses to touch anything else of it.

Its scratch files tell what its pods are attached to: our plugin undoes these pods by them, so they stay.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from typing import TYPE_CHECKING

from mooring.installing import multus
from mooring.node import conffolder, files, places, records

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What is there: its confs in the runtime's folder, by name, and of how many sandboxes it has a scratch file."""

    confs: tuple[str, ...] = ()
    sandboxes: int = 0


def look(node: places.Places) -> Found:
    """Look at the node; what is absent is none. Raises `OSError`."""
    try:
        found = conffolder.look((node if node.where else node.located()).confs).multus
    except FileNotFoundError:
        found = ()
    return Found(found, _scratch_files(node))


def _scratch_files(node: places.Places) -> int:
    try:
        with os.scandir(places.follow(node.host_root, multus.STATE_DIR)) as entries:
            return sum(1 for entry in entries if records.SANDBOX_ID.fullmatch(entry.name) and entry.is_file())
    except FileNotFoundError:
        return 0


def remove(node: places.Places, names: Iterable[str]) -> None:
    """Take confs of Multus out of the runtime's folder, the first one last. Raises `OSError`."""
    for name in sorted(names, reverse=True):
        files.remove(node.confs / name, durable=True)
        _LOG.info("removed %s/%s of Multus, which was kept from this node", node.conf_dir, name)
