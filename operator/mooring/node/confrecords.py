"""Owns what the agent remembers of the conf that it wrote: `conf.json` in the state folder; refuses to guess.

The conf itself does not say for which `defaultNetwork` its primary was chosen, nor which renderer made it. An agent
that starts anew must know both: a pin holds only while the same is wanted, and a conf of a newer renderer has to go
before its plugin does. It is written after the conf: who was cut off between the two chooses again, and alike.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from typing import TYPE_CHECKING

from mooring.node import conffolder, files

if TYPE_CHECKING:
    from pathlib import Path

_LOG = logging.getLogger(__name__)

VERSION = 1
FILE = "conf.json"
_MODE = 0o600


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What is known of the conf on the node; each field is empty where it is not known."""

    renderer: int = 1
    """The version of the renderer that made it."""
    default_network: str = ""
    """The `defaultNetwork` that its primary was chosen for."""
    cni_version: str = ""
    """The highest version of CNI that the container runtime parsed."""


def read(state: Path) -> Record:
    """Return what is remembered in a state folder; a record that is missing or damaged says nothing. Raises `OSError`.

    One that is damaged is logged: what it said is found out again.
    """
    try:
        text = conffolder.content(state / FILE)
    except FileNotFoundError:
        return Record()
    except UnicodeDecodeError:
        text = ""
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise ValueError(f"it has version {document['version']!r}")
        record = Record(document["renderer"], document["defaultNetwork"], document["cniVersion"])
        if type(record.renderer) is not int or record.renderer < 1:
            raise ValueError("its renderer is no number from 1 on")
        if not isinstance(record.default_network, str) or not isinstance(record.cni_version, str):
            raise ValueError("its texts are none")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        _LOG.warning("%s is damaged and says nothing: %s", state / FILE, error)
        return Record()
    return record


def write(state: Path, record: Record) -> None:
    """Remember it, outliving a power cut. Raises `OSError`."""
    document = {
        "version": VERSION,
        "renderer": record.renderer,
        "defaultNetwork": record.default_network,
        "cniVersion": record.cni_version,
    }
    files.sweep(state, of=FILE)
    files.write_atomically(state / FILE, (json.dumps(document) + "\n").encode(), mode=_MODE, durable=True)
