"""Owns which network a node's runtime loads when our conf goes; refuses to let it go where that would be none.

The primary network's own file is mostly still there. Where it is gone, its content is what we pinned, and it is
written back under its name. Pure: what is in the folder comes in, what is to be done goes out.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from mooring.installing import chains, confs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Return:
    """What makes the folder whole without us."""

    file: str = ""
    """The file to write before ours goes; "" for none."""
    data: bytes = b""
    problem: str = ""
    """Why ours cannot go yet: a sentence; nothing is to be done then."""


def plan(
    *,
    pinned: confs.Primary | None,
    file: str,
    texts: Mapping[str, str],
    folders: Mapping[str, chains.Folder],
    executable: Callable[[str], bool],
) -> Return:
    """Return what is to be done before ours goes.

    `pinned` is the primary that our conf holds (None: it holds none, or there is no conf), `file` where that came from
    as the agent knows it; `texts` holds the other files of the runtime's folder, `folders` the chains beside them;
    `executable` tells whether a plugin's program is on the node.
    """
    good, bad = {}, {}
    for name in sorted(texts):
        try:
            primary = confs.read(name, texts[name], folders)
            missing = [program for program in primary.binaries if not executable(program)]
            if missing:
                raise confs.NotPrimaryError(f"its program {' and '.join(missing)} is not on the node")
            good[name] = primary
        except confs.NotPrimaryError as error:
            bad[name] = str(error)
    back = Return()
    if pinned is not None and not _holds(good, pinned, from_file="/" not in file):
        name = file if _is_file(file, pinned) else f"10-{pinned.name}{_ending(pinned)}"
        if name in bad:
            return Return(problem=_unusable(name, bad[name]))
        back = Return(name, _render(pinned, folders.get(pinned.name, chains.EMPTY)))
    first = min((*texts, *filter(None, [back.file])), default="")
    if pinned is not None and first in bad:
        return Return(problem=_unusable(first, bad[first]))
    return back


def _holds(good: Mapping[str, confs.Primary], pinned: confs.Primary, *, from_file: bool) -> bool:
    """Say whether the folder has what pods had; of a network that was no file, anything that was there before."""
    return any(primary.name == pinned.name or not from_file for primary in good.values())


def _is_file(file: str, pinned: confs.Primary) -> bool:
    endings = (".conflist",) if "plugins" in pinned.conf else (".conf", ".json")
    return file.endswith(endings) and "/" not in file and not file.startswith((*confs.FILES, "."))


def _ending(pinned: confs.Primary) -> str:
    return ".conflist" if "plugins" in pinned.conf else ".conf"


def _render(pinned: confs.Primary, folder: chains.Folder) -> bytes:
    conf = dict(pinned.conf)
    if folder.texts and "plugins" in conf:
        conf["loadOnlyInlinedPlugins"] = True  # what is chained to it in that folder is pinned already
    return (json.dumps(conf, indent=2) + "\n").encode()


def _unusable(file: str, reason: str) -> str:
    return f"Without our conf the runtime would load {file}, which cannot be used: {reason}. Mend it or remove it"
