"""Says to the runs of one batch, in this process, that they are to end."""

from __future__ import annotations

import threading

_asked: dict[str, threading.Event] = {}
_lock = threading.Lock()


def flag(token: str) -> threading.Event:
    """Return what is set once the batch of that token is to end."""
    with _lock:
        return _asked.setdefault(token, threading.Event())


def end(token: str) -> None:
    """Ask all runs of a batch to end; those that begin later end at once."""
    flag(token).set()
