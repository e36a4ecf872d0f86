"""What a measurement stands on: kernel, processor, disk, versions. Refuses what identifies a machine: no names,
no addresses, no paths."""

from __future__ import annotations

import os
import platform
import re
import statistics
import tempfile
import time
from pathlib import Path

from bench import node
from testbed import binaries, commands

_SYNCS = 30


def gathered(folder: Path) -> dict[str, str | int | float]:
    """Return the facts. `folder` is where journals are kept meanwhile."""
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    plugins = binaries.CNI_PLUGINS
    module = Path(binaries.__file__).parent / plugins.module / "go.mod"
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu": processor(Path("/proc/cpuinfo").read_text()),
        "cores": len(os.sched_getaffinity(0)),
        "memoryMiB": int(memory.group(1)) // 1024 if memory else 0,
        "go": commands.run(["go", "env", "GOVERSION"]).strip(),
        "python": platform.python_version(),
        "referencePlugins": binaries.pinned_version(module.read_text(), plugins.pinned),
        "fileSystem": node.filesystem(folder),
        "fdatasyncMilliseconds": round(sync_seconds(folder) * 1000, 3),
        "loadAverage": round(os.getloadavg()[0], 2),
    }


def processor(text: str) -> str:
    """Return the processor's name from /proc/cpuinfo, `unknown` where it has none."""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else "unknown"


def slug(found: dict[str, str | int | float]) -> str:
    """Return facts as a part of a file name: lower-case letters, digits, dots, dashes."""
    text = f"linux-{found['kernel']}-{found['cpu']}-{found['cores']}-cores".lower()
    return re.sub(r"[^a-z0-9.]+", "-", text).strip("-")


def sync_seconds(folder: Path) -> float:
    """Return what bringing a line that was appended to a new file to disk takes, the median of some."""
    taken = []
    for _ in range(_SYNCS):
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)
