"""What libraries log while they work for us, kept from the user without touching how the user has them log."""

from __future__ import annotations

import contextlib
import importlib
import logging
import threading
from collections.abc import Iterator


class _Kept(logging.Filter):
    """Drops what is logged below a level in the thread that made it."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._level, self._thread = level, threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= self._level or threading.get_ident() != self._thread


@contextlib.contextmanager
def quiet(package: str, level: int) -> Iterator[None]:
    """Import a package, and drop what it logs below `level` in this thread until the body ends.

    Levels and handlers stay as they are, and so does what the user's own work with the package logs in other threads.
    """
    importlib.import_module(package)
    kept = _Kept(level)
    known = list(logging.Logger.manager.loggerDict.items())
    found = [log for n, log in known if isinstance(log, logging.Logger) and n.partition(".")[0] == package]
    for log in found:
        log.addFilter(kept)
    try:
        yield
    finally:
        for log in found:
            log.removeFilter(kept)
