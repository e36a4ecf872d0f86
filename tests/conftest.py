"""What all tests share: no event loop but that of the test that runs, no clock that fails a property, and workers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import hypothesis
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer

# Each of these has a cluster, an API server or a kernel that its tests share, and that cannot be had twice at a time.
_TOGETHER = frozenset({"adoption", "e2e", "faults", "integration", "kernel2", "release", "upgrade"})

# pytest-asyncio asks for the loop before its own, and up to Python 3.13 asking makes one, which nobody closes: the
# warning about that is an error here. Once one was set, even None, nothing is made any more.
asyncio.set_event_loop(None)

# How long an example takes depends on what else the machine does; pytest's own time limit ends one that hangs.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


class _Together(LoadScopeScheduling):  # type: ignore[misc]  # its package has no types
    """Keeps on one worker what shares something; every other test goes to the worker that is free."""

    def _split_scope(self, nodeid: str) -> str:
        # tests/<kind>/…
        kind = nodeid.split("/")[1]
        return kind if kind in _TOGETHER else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Together:
    """Say which test runs on which worker."""
    return _Together(config, log)
