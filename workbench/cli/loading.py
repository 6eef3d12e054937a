"""Ctrl-C while modules load: nothing has begun yet, so the process leaves at once and in words."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

INTERRUPTED = "interrupted; finished work is kept, run the same command again to go on"
INTERRUPTED_CODE = 130


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Answer Ctrl-C by leaving with exit status 130 while the body imports modules.

    A KeyboardInterrupt raised inside an import may come out as another error with a traceback, as it was seen to do where
    pydantic builds its classes, or be swallowed by code that catches everything. Where the process was started to
    ignore Ctrl-C, as in the background of a shell, it goes on ignoring it.
    """
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(_number: int, _frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):  # stderr may be full or closed
        os.write(2, f"workbench: {INTERRUPTED}\n".encode())
    os._exit(INTERRUPTED_CODE)
