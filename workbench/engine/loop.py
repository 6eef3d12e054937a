"""An event loop in a thread of its own: what dask does for a pool can be told from what it does for the user."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from workbench.quiet import quiet

STOP_SECONDS = 10


class OwnLoop:
    """A running tornado loop, to be handed to dask's cluster and client; what they log in it is kept from the user."""

    loop: Any

    def __init__(self) -> None:
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="workbench-pool")
        self._thread.start()
        self._running.wait()

    def stop(self) -> None:
        """Stop the loop and wait for its thread; does nothing a second time."""
        if self._thread.is_alive():
            self.loop.add_callback(self._asked.set)
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            # What goes wrong with a worker is told by the stage that it ran.
            with quiet("distributed", logging.CRITICAL), quiet("tornado", logging.CRITICAL):
                asyncio.run(self._until_asked())
        finally:
            # Whoever waits for a loop that could not start goes on, and finds none.
            self._running.set()

    async def _until_asked(self) -> None:
        from tornado.ioloop import IOLoop

        self.loop, self._asked = IOLoop.current(), asyncio.Event()
        self._running.set()
        await self._asked.wait()
