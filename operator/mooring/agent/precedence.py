"""Owns under which name our conf is the first of the runtime's folder; refuses to judge what a rival holds.

A runtime loads the file that sorts first. One that comes before ours, sound or not, takes the networks from every pod
of the node, so ours moves before it at once. It moves back when the rival has been gone for a while: an installer that
removes and writes its file by turns would make the runtime load its folder again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mooring.installing import confs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_CALM_SECONDS = 5.0


class Precedence:
    """Decides for one folder; `clock` gives monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rivals: tuple[str, ...] = ()
        self._calm_since: float | None = None

    def decide(self, names: Collection[str], *, beside_multus: bool = False) -> tuple[confs.Place, float | None]:
        """Return our place among files of these names, and after how many seconds to decide again if nothing changes.

        While ours still has the name that a rival made it take, that rival is among those of the place. `beside_multus`
        is as in `confs.place`.
        """
        place = confs.place(names, beside_multus=beside_multus)
        kept = next((name for name in (confs.FIRST, confs.BESIDE) if name in names), None)
        if place.rivals or beside_multus or kept is None:
            self._rivals, self._calm_since = place.rivals, None
            return place, None
        if self._calm_since is None:
            self._calm_since = self._clock()
        wait = self._calm_since + _CALM_SECONDS - self._clock()
        if wait <= 0:
            return place, None
        return confs.Place(kept, tuple(name for name in self._rivals if name > kept)), wait


def report(place: confs.Place, folder: str) -> tuple[str, str]:
    """Return in a sentence each what keeps pods from their networks, and what a person should know though they do not.

    `folder` is the node's own path.
    """
    if place.unbeaten:
        names = _listed(place.unbeaten)
        return (
            f"In {folder} the runtime loads {names} and not ours, because no name of ours sorts before it: pods start "
            f"without their networks. Remove it, or give it a name that sorts after {confs.FILE}",
            "",
        )
    if place.rivals:
        names = _listed(place.rivals)
        return "", f"In {folder} the runtime would load {names} before {confs.FILE}: ours is called {place.file}."
    return "", ""


def _listed(names: tuple[str, ...]) -> str:
    most = 3
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
