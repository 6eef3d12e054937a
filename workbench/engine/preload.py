"""Loaded by every worker process: ends with its parent, and writes a stack when native code crashes."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import threading
import time


def dask_setup(_worker: object) -> None:
    """Called by dask in a nanny and in its worker as each starts."""
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        faulthandler.enable()
    parent = os.getppid()

    def watch() -> None:
        # The workers run in a session of their own, so that Ctrl-C does not reach them; a killed
        # parent must not leave them behind.
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
