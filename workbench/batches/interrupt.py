"""Finds the kernels of one batch among this process's children, and interrupts or ends them."""

from __future__ import annotations

import contextlib
import signal
import time

# In the environment of every kernel that a batch starts.
TOKEN = "WORKBENCH_BATCH"
# A kernel is asked again only after so long, or it would be interrupted while it tidies up.
_AGAIN_SECONDS = 5.0
_asked: dict[int, float] = {}
_wanted: set[str] = set()


def kernels(token: str, kill: bool = False) -> int:
    """Interrupt (or kill) the kernels of a batch that this process started, and return how many there are."""
    import psutil

    _wanted.add(token)
    found = 0
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.environ().get(TOKEN) != token or "ipykernel_launcher" not in " ".join(child.cmdline()):
                continue
            found += 1
            if kill:
                child.kill()
            elif time.monotonic() - _asked.get(child.pid, -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
                _asked[child.pid] = time.monotonic()
                child.send_signal(signal.SIGINT)
    return found


def wanted(token: str) -> bool:
    """Whether a batch was asked to end."""
    return token in _wanted
