"""Which versions of CNI a container runtime parses: owns the table; refuses to guess upwards.

A runtime reads confs and results with the libcni that it was built with: 1.1 of that library stops at CNI 1.0.0, and
1.2 brought 1.1.0, with which the runtime asks us for STATUS and, where it collects garbage, for GC. What a runtime does
not parse fails every pod of the node, so a runtime that is not in the table gets what all of them parse.

Sources are the `go.mod` of each runtime at the tags of that version, and `version.All` of the libcni named there:

| runtime | libcni | CNI |
|---|---|---|
| containerd 1.5.18 | 0.8.1 | 0.4.0 |
| containerd 1.6.38, 1.7.0, 1.7.29 | 1.1.1, 1.1.2 | 1.0.0 |
| containerd 2.0.0, 2.1.0, 2.2.0, 2.4.2 | 1.2.3, 1.3.0, 1.3.1 | 1.1.0 |
| CRI-O 1.24.0, 1.28.0, 1.29.0, 1.30.0 | 1.1.0, 1.1.2 | 1.0.0 |
| CRI-O 1.31.0, 1.32.0, 1.33.0, 1.34.0, 1.35.0 | 1.2.3, 1.3.0 | 1.1.0 |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN = "1.0.0"
"""What every supported runtime parses."""

# By the name that the runtime gives itself: from which version on, the highest first.
_SINCE: Mapping[str, tuple[tuple[tuple[int, int], str], ...]] = {
    "containerd": (((2, 0), "1.1.0"), ((1, 6), "1.0.0"), ((0, 0), "0.4.0")),
    "cri-o": (((1, 31), "1.1.0"), ((0, 0), "1.0.0")),
}
_VERSION = re.compile(r"v?([0-9]{1,6})\.([0-9]{1,6})(?:[^0-9].*)?", re.ASCII | re.DOTALL)


def highest(runtime: str, version: str) -> str:
    """Return the highest version of CNI that a runtime parses; `UNKNOWN` for one that is not known.

    `runtime` and `version` are as the CRI's Version tells them: `containerd` and `v2.1.4-k3s1`, for example.
    """
    known, found = _SINCE.get(runtime), _VERSION.fullmatch(version)
    if known is None or found is None:
        return UNKNOWN
    number = (int(found[1]), int(found[2]))
    return next(cni for since, cni in known if number >= since)
