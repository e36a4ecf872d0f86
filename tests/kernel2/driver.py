"""What runs on the kernel that has the link types: every case, each step of it, and one line of JSON for each.

    python -m tests.kernel2.driver REQUEST RESULTS

Owns that every step has an entry, however a case ends; refuses to stop at the first failure.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.kernel2 import linktypes
from tests.kernel2 import delegates, dhcp, example, scenes, verbs

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO


Json = dict[str, Any]


def main(request: Path, results: Path) -> None:
    """Run what was requested and write the results, line by line."""
    asked = json.loads(request.read_text())
    tools = scenes.Tools(plugin=Path(asked["plugin"]), reference=Path(asked["reference"]))
    network = delegates.end_to_end(asked["example"]["config"])
    lives: list[tuple[delegates.Delegate, Json, Callable[[scenes.Scene], verbs.Life]]] = [
        *((one, scenes.PLAIN, functools.partial(_life, one, tools)) for one in delegates.DELEGATES),
        (network, scenes.CHAIN, lambda scene: example.Example(scene, network, asked["example"]["annotation"])),
    ]
    with results.open("w") as out:
        present = linktypes.present(linktypes.RECIPES)
        _write(out, {"kernel": os.uname().release, "types": sorted(present)})
        for delegate, default, begin in lives:
            if delegate.types <= present and delegate.name in asked["cases"]:
                _case(out, delegate.name, functools.partial(scenes.Scene, tools=tools, default=default), begin)


def _life(delegate: delegates.Delegate, tools: scenes.Tools, scene: scenes.Scene) -> verbs.Life:
    return dhcp.Leased(scene, delegate, tools) if delegate.dhcp else verbs.Life(scene, delegate)


def _case(
    out: TextIO, name: str, make: Callable[[Path], scenes.Scene], begin: Callable[[scenes.Scene], verbs.Life]
) -> None:
    """Run the steps of one case; what follows a step that failed may fail for its reason, and is tried all the same."""
    with tempfile.TemporaryDirectory() as folder:
        scene = None
        try:
            scene = make(Path(folder))
            for verb, step in begin(scene).steps():
                _step(out, name, verb, scene, step)
        except Exception:
            said = [*(scene.transcript if scene else []), traceback.format_exc()]
            _write(out, {"case": name, "verb": "", "passed": False, "output": "\n".join(said)})
        finally:
            if scene is not None:
                scene.close()


def _step(out: TextIO, name: str, verb: str, scene: scenes.Scene, step: Callable[[], None]) -> None:
    scene.transcript.clear()
    started = time.monotonic()
    problem = ""
    try:
        step()
    except (scenes.Wrong, subprocess.TimeoutExpired) as error:
        problem = str(error)
    except Exception:
        problem = traceback.format_exc()
    output = "\n".join([problem, *scene.transcript]) if problem else "\n".join(scene.transcript)
    entry = {
        "case": name,
        "verb": verb,
        "passed": not problem,
        "seconds": round(time.monotonic() - started, 2),
        "output": output,
    }
    _write(out, entry)


def _write(out: TextIO, entry: dict[str, Any]) -> None:
    print(json.dumps(entry), file=out, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
