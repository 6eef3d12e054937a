"""Who looks on while something is measured: is told how far it is and what is waited for, and may stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from workbench.errors import Cancelled

# What takes no longer than this is not worth a word; what takes longer is told again now and then.
QUIET_SECONDS = 1.0
AGAIN_SECONDS = 10.0


@dataclass(frozen=True)
class Watch:
    """`on_progress` hears of steps (label, done, total), `on_wait` in words of what is waited for; `cancel` ends it all."""

    cancel: threading.Event | None = None
    on_progress: Callable[[str, int, int], None] = lambda label, done, total: None
    on_wait: Callable[[str], None] = lambda text: None

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop."""
        return bool(self.cancel and self.cancel.is_set())

    def check(self) -> None:
        """Raise Cancelled when asked to stop."""
        if self.stopped:
            raise Cancelled


class Waiting:
    """One wait: when it began, and when it is time for a word."""

    def __init__(self, watch: Watch, quiet: float = QUIET_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._watch, self._clock = watch, clock
        self._begin = clock()
        self._next = self._begin + quiet

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return self._clock() - self._begin

    def go_on(self, words: str) -> None:
        """Say what is waited for, where it is time for a word; raises Cancelled when asked to stop."""
        self._watch.check()
        if self._clock() >= self._next:
            self._next = self._clock() + AGAIN_SECONDS
            self._watch.on_wait(words)
