"""What all tests share: no event loop but that of the test that runs, no clock that fails a property, and workers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import hypothesis
import pytest

_HERE = Path(__file__).parent
# Each of these has a cluster, or a kernel, which cannot be had twice at a time.
_TOGETHER = ("e2e", "kernel2", "faults", "upgrade", "adoption", "release")

# pytest-asyncio asks for the loop before its own, and up to Python 3.13 asking makes one, which nobody closes: the
# warning about that is an error here. Once one was set, even None, nothing is made any more.
asyncio.set_event_loop(None)

# How long an example takes depends on what else the machine does; pytest's own time limit ends one that hangs.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep on one worker what shares something; all else goes to the worker that is free."""
    for item in items:
        kind = item.path.relative_to(_HERE).parts[0]
        if kind in _TOGETHER:
            item.add_marker(pytest.mark.xdist_group(kind))
