"""Process sessions of workers, ended so that nothing of theirs stays in shared memory."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection

# The dead need a moment: a worker to give back its memory, a resource tracker to see that all it serves are gone.
DYING_SECONDS = 3.0


def kill_sessions(sessions: Collection[int]) -> None:
    """Kill every process of these sessions at once, but neither the caller nor resource trackers; returns when they are dead.

    Semaphores have names, in `/dev/shm` on Linux, that outlive a killed process. Python's and joblib's resource trackers
    remove them once all that they serve has ended, and then end themselves.
    """
    deadline = time.monotonic() + DYING_SECONDS
    # A nanny may start a worker while the others are listed; hence again and again, and nannies, who lead, first.
    while (others := _members(sessions, trackers=False)) and time.monotonic() < deadline:
        for pid in sorted(others, key=lambda p: p not in sessions):
            _kill(pid)
        time.sleep(0.002)


def end_sessions(sessions: Collection[int]) -> None:
    """Kill every process of these sessions, and return when the shared memory that they held is free."""
    kill_sessions(sessions)
    deadline = time.monotonic() + DYING_SECONDS
    while _members(sessions, trackers=True) and time.monotonic() < deadline:
        time.sleep(0.002)
    for pid in _members(sessions, trackers=True):
        _kill(pid)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _members(sessions: Collection[int], trackers: bool) -> list[int]:
    """Return the processes of these sessions that are resource trackers, or those that are not; the caller is none of them."""
    import psutil

    found = []
    for pid in psutil.pids() if sessions else ():
        with contextlib.suppress(OSError, psutil.Error):  # it ended meanwhile, or is another user's
            if pid == os.getpid() or os.getsid(pid) not in sessions:
                continue
            process = psutil.Process(pid)
            command = " ".join(process.cmdline())
            if process.status() != psutil.STATUS_ZOMBIE and ("resource_tracker" in command) == trackers:
                found.append(pid)
    return found
