"""Loaded by every worker process: ends with its parent, and writes a stack when native code crashes."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import os
import shutil
import signal
import sys
import threading
import time

from workbench.engine.sessions import kill_sessions

# From <sys/prctl.h>: the signal that a process gets when its parent ends.
PR_SET_PDEATHSIG = 1
# The environment variable that names the process which started a nanny.
PARENT = "WORKBENCH_PARENT_PID"
# The one that names the folder which a pool removes in the end, and a nanny where its pool was killed.
SCRATCH = "WORKBENCH_POOL_SCRATCH"


def dask_setup(server: object) -> None:
    """Called by dask in a nanny and in its worker as each starts."""
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        faulthandler.enable()
    # A nanny is told its parent: a parent that was killed while the nanny started has already been replaced.
    nanny = type(server).__name__ == "Nanny"
    # Whatever the caller's, others write nothing of ours.
    os.umask(os.umask(0o077) | 0o022)
    parent = int(os.environ[PARENT]) if nanny and PARENT in os.environ else os.getppid()
    if sys.platform == "linux" and type(server).__name__ == "Worker":
        # Native code that keeps the interpreter's lock stops the thread below; the kernel ends such a worker.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        # The workers run in a session of their own, so that Ctrl-C does not reach them; a killed
        # parent must not leave them behind.
        while os.getppid() == parent:
            time.sleep(0.5)
        if nanny:
            clear_up()
        os._exit(1)

    def clear_up() -> None:
        # Not the resource tracker: it clears away what is left once this process has ended too.
        kill_sessions([os.getsid(0)])
        if os.getppid() != parent and SCRATCH in os.environ:
            shutil.rmtree(os.environ[SCRATCH], ignore_errors=True)

    if nanny:
        # A nanny may see its scheduler go, and leave, before the watch sees the parent go.
        atexit.register(clear_up)
    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
