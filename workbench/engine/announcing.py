"""Lets other processes see a sweep that runs, and stop it: its events as a small file in the store."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from workbench.engine.events import STAYS, Event, Listener
from workbench.store.underway import Announcement, clear_dead

BEAT_S = 0.5
# Said again where nothing happens, for those that cannot look at the process.
AGAIN_S = 20.0


class Announced(NamedTuple):
    """The listener that tells others too, and what tells them the study's name."""

    listener: Listener
    found: Callable[[str], None]


@contextlib.contextmanager
def announced(
    root: Path, listener: Listener, found: Callable[[str], None], cancel: threading.Event
) -> Iterator[Announced]:
    """Say in a store what a sweep is doing while the body runs, and set `cancel` once another process asks it to stop."""
    sign = Announcement(root)
    news: dict[str, object] = {}
    changed, over = threading.Event(), threading.Event()

    def hear(event: Event) -> None:
        listener(event)
        # What is only told, or damaged, says nothing of how far it is.
        if event.kind not in STAYS:
            # Not every event counts; those between keep what the last one said of the phase.
            if event.total or news.get("phase") != event.phase:
                news.update(done=event.done, total=event.total, failed=event.failed, eta_s=event.eta_s)
            news.update(phase=event.phase, label=event.label)
            changed.set()

    def named(name: str) -> None:
        # Before whoever waits for the name can ask whether it runs.
        news["study"] = name
        sign.say(**news)
        found(name)

    def follow() -> None:
        silent = 0.0
        while not over.wait(BEAT_S):
            silent += BEAT_S
            if sign.stop_asked:
                cancel.set()
            if changed.is_set() or silent >= AGAIN_S:
                changed.clear()
                sign.say(**dict(news))
                silent = 0.0

    clear_dead(root)
    sign.say()
    thread = threading.Thread(target=follow, name="workbench-announce", daemon=True)
    thread.start()
    try:
        yield Announced(hear, named)
    finally:
        over.set()
        thread.join()
        sign.end()
