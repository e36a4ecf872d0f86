"""What all tests share: no event loop but the one of the test that runs, and no clock that fails a property."""

from __future__ import annotations

import asyncio

import hypothesis

# pytest-asyncio asks for the loop before its own, and up to Python 3.13 asking makes one, which nobody closes: the
# warning about that is an error here. Once one was set, even None, nothing is made any more.
asyncio.set_event_loop(None)

# How long an example takes depends on what else the machine does; pytest's own time limit ends one that hangs.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
