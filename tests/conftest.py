"""What all tests share: no event loop but the one of the test that runs."""

from __future__ import annotations

import asyncio

# pytest-asyncio asks for the loop before its own, and up to Python 3.13 asking makes one, which nobody closes: the
# warning about that is an error here. Once one was set, even None, nothing is made any more.
asyncio.set_event_loop(None)
