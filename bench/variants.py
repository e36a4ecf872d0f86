"""The plugin beside builds of it in which one part of ours is a library's: what pays, and what does not.

Owns which parts, and that a difference is not one between two files: two copies of one program differ by up to 0.1 ms,
for as long as they live, so every block of rounds measures copies of its own. Refuses to judge.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from bench import attaching, building, node
from testbed import commands, machine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.attaching import Key
    from bench.contenders import Meta
    from bench.node import Node
    from bench.processes import Took

COUNTS = (0, 1, 4)
BLOCKS = 5
ROUNDS = 200
PLUGIN = "mooring"
_PLAIN = str.maketrans("/ ", "--")
_SOURCES = Path(__file__).parent / "variants"


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """A build in which `source` takes the place of the plugin's file `replaced`; `module` is what it needs more."""

    label: str
    replaced: str
    source: str
    module: str = ""


VARIANTS = (
    Variant("os/exec", "internal/delegate/spawn.go", "osexec.go"),
    Variant("encoding/json", "internal/object/valid.go", "encodingjson.go"),
    Variant("gjson", "internal/object/valid.go", "gjson.go", "github.com/tidwall/gjson@v1.19.1"),
)


def built(variant: Variant, folder: Path) -> Path:
    """Build a variant into a folder and return its path. Raises Failure where Go is missing or the build fails."""
    machine.require_go()
    folder.mkdir()
    plugin = building.CHECKOUT / "plugin"
    overlay, modules = folder / "overlay.json", folder / "go.mod"
    overlay.write_text(json.dumps({"Replace": {str(plugin / variant.replaced): str(_SOURCES / variant.source)}}))
    flags = [f"-overlay={overlay}"]
    if variant.module:
        for name in ("go.mod", "go.sum"):
            shutil.copy(plugin / name, folder / name)
        commands.run(["go", "get", f"-modfile={modules}", variant.module], cwd=plugin)
        flags.append(f"-modfile={modules}")
    made = folder / PLUGIN
    commands.run(
        ["go", "build", "-trimpath", "-buildvcs=false", *flags, "-ldflags", "-s -w", "-o", made, "."],
        cwd=plugin,
        environment={"CGO_ENABLED": "0"},
    )
    return made


def measured(
    place: Node,
    programs: dict[str, Path],
    meta: Callable[[Node, str, Path], Meta],
    *,
    rounds: int,
    warm_up: int,
) -> dict[Key, list[Took]]:
    """Attach and detach above idle delegates, all programs in turn in every round.

    `meta` makes a contender of a label and a program. Raises Failure where a call fails.
    """
    taken: dict[Key, list[Took]] = {}
    for block in range(BLOCKS):
        folder = place.folder / f"variants-{block}"
        folder.mkdir()
        everyone: Sequence[Meta] = [
            meta(place, label, node.copied(program, folder / label.translate(_PLAIN)))
            for label, program in programs.items()
        ]
        found = attaching.measured(
            place, everyone, counts=COUNTS, rounds=-(-rounds // BLOCKS), warm_up=warm_up, real=False
        )
        for key, each in found.items():
            taken.setdefault(key, []).extend(each)
    return taken
