"""Owns what a node's kernel says about time and boots; refuses wall clocks.

A wall clock jumps when NTP corrects it, so whatever must be judged fresh or stale is measured with
`CLOCK_BOOTTIME`, which also counts while the machine sleeps, together with the boot that it belongs to.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
_BOOT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def boot_id(path: Path = BOOT_ID_FILE) -> str:
    """Return the id of the running boot, for example `0f8b7a52-3c1d-4e6f-9a80-1b2c3d4e5f60`.

    Raises `OSError` where the kernel does not tell and `ValueError` where it tells something else.
    """
    text = path.read_text(encoding="ascii").strip()
    if not _BOOT_ID.fullmatch(text):
        raise ValueError(f"{path} holds {text[:64]!r}, which is no boot id")
    return text


def boottime() -> float:
    """Return the seconds since boot, suspended time included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
