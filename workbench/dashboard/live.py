"""A pulse for what changes often: many pokes become few beats, in a thread of their own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

BEAT_S = 0.5
# A beat that takes long is followed by a longer rest, so that showing a sweep does not slow it.
REST = 4.0
LOOK_S = 2.0


class Pulse:
    """Calls `beat` soon after a poke, at most every `BEAT_S` seconds; `ended` once when nothing is `alive` any more.

    It looks every other second whether what it follows is alive, should the last word of it be lost.
    """

    def __init__(self, beat: Callable[[], None], alive: Callable[[], bool], ended: Callable[[], None]) -> None:
        self._beat, self._alive, self._ended = beat, alive, ended
        self._poked = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workbench-dashboard", daemon=True)
        self._thread.start()

    def poke(self) -> None:
        """Ask for a beat."""
        self._poked.set()

    def stop(self) -> None:
        """Beat no more; returns when a beat that runs has ended."""
        self._stopped.set()
        self._poked.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            poked = self._poked.wait(LOOK_S)
            self._poked.clear()
            if self._stopped.is_set():
                return
            if not self._alive():
                self._ended()
                return
            if not poked:
                continue
            started = time.monotonic()
            try:
                self._beat()
            except Exception:
                log.exception("the dashboard could not be brought up to date")
            self._stopped.wait(max(BEAT_S, REST * (time.monotonic() - started)))
