"""What reviews found, counted: owns numbers by rule and severity, which two threads count; refuses names of objects."""

from __future__ import annotations

import collections
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mooring.rules.findings import Finding


class Tally:
    """Findings of reviews by rule code and severity. There are as many as rules, times three."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: collections.Counter[tuple[str, str]] = collections.Counter()

    def add(self, findings: Iterable[Finding]) -> None:
        """Count the findings of one review; from any thread."""
        with self._lock:
            self._counts.update((finding.code, str(finding.severity)) for finding in findings)

    def counts(self) -> dict[tuple[str, str], int]:
        """Return what was counted so far."""
        with self._lock:
            return dict(self._counts)
