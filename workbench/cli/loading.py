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

    A KeyboardInterrupt raised inside an import may come out as another error, or not at all: packages of native code
    clear exceptions while they set themselves up, and the command would then run on as if nobody had pressed it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os.write(2, f"workbench: {INTERRUPTED}\n".encode())
    os._exit(INTERRUPTED_CODE)
