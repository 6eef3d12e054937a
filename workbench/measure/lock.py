"""The one lock of a user on this machine under which Workbench times, so that two measurements never disturb each other."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import Field, ValidationError

from workbench.errors import WorkbenchError
from workbench.files import private_folder
from workbench.measure.watch import Waiting, Watch
from workbench.values.base import Value

NAME = "measure.lock"
# How long one and the same other measurement is waited for.
WAIT_SECONDS = 1800.0
POLL_SECONDS = 0.1
# A text of 200 characters has at most 12 bytes each in JSON.
HOLDER_BYTES = 4096


class LockHolder(Value):
    """Who has the lock: a process, what it measures, and since when (seconds since 1970)."""

    pid: int = Field(gt=0)
    what: str = Field(max_length=200)
    since: float = Field(allow_inf_nan=False)

    @property
    def text(self) -> str:
        """The holder in words, with how long it has had the lock."""
        what = f", `{printable(self.what)}`" if self.what else ""
        return f"process {self.pid}{what}, for {max(0.0, time.time() - self.since):.0f} s"


@contextlib.contextmanager
def machine_lock(
    what: str = "", wait: float = WAIT_SECONDS, watch: Watch | None = None, on_busy: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold the lock, telling others in its file that `what` is measured.

    Where another process has it, `on_busy` is called once, and the watch is told who has it and for how long. Raises
    WorkbenchError when the same one had it for `wait` seconds more, Cancelled when the watch is asked to stop.
    """
    path = private_folder() / NAME
    file = _open(path)
    try:
        _acquire(file, path, wait, watch or Watch(), on_busy)
        try:
            mine = LockHolder(pid=os.getpid(), what=printable(what)[:200], since=time.time())
            _write(file, json.dumps(mine.to_json()).encode() + b"\n")
            yield
        finally:
            _write(file, b"")
            # A process forked meanwhile has the descriptor too, and the lock would be its own with it.
            fcntl.flock(file, fcntl.LOCK_UN)
    finally:
        os.close(file)


def _write(file: int, line: bytes) -> None:
    # On a full disk others are told less; that is no reason not to measure.
    with contextlib.suppress(OSError):
        os.ftruncate(file, 0)
        os.pwrite(file, line, 0)


def holder(file: int) -> LockHolder | None:
    """Return who says in the open lock file to have it; None where that cannot be read."""
    try:
        return LockHolder.model_validate_json(os.pread(file, HOLDER_BYTES, 0))
    except (OSError, ValidationError):
        # It has just been taken and not yet written, or by another version.
        return None


def printable(text: str) -> str:
    """Return a text that came from a file without what a terminal would take for commands."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _open(path: Path) -> int:
    """Open the lock file, made now if need be; raises WorkbenchError for anything but a plain file of this user's."""
    try:
        # Not waiting on a pipe that has the name, and nothing is truncated before it is known what it is.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(path, flags, 0o600)
    except OSError as error:
        raise WorkbenchError(
            f"the lock of measurements {str(path)!r} cannot be opened: {error.strerror}. It has to be a plain file of yours: remove what is there."
        ) from error
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_nlink != 1:
        os.close(file)
        raise WorkbenchError(
            f"the lock of measurements {str(path)!r} is not a plain file of yours with one name. Remove what is there."
        )
    return file


def _acquire(file: int, path: Path, wait: float, watch: Watch, on_busy: Callable[[], None]) -> None:
    waiting, since, last, busy = Waiting(watch), time.monotonic(), holder(file), False
    while True:
        watch.check()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
        if not busy:
            busy = True
            on_busy()
        found = holder(file)
        if found != last:
            # Another one's turn; measurements that follow one another are not one that hangs.
            last, since = found, time.monotonic()
        who = found.text if found else "a process that does not say which"
        if time.monotonic() - since >= wait:
            end = f"end it (kill {found.pid})" if found else f"end the process that has {str(path)!r} open"
            raise WorkbenchError(
                f"another measurement has this machine: {who}. Latency is measured alone, and it was waited for {wait:g} s, "
                f"the longest allowed. Wait until it has ended, {end}, or allow more with --wait or `measure: {{wait: SECONDS}}`."
            )
        waiting.go_on(f"waiting for another measurement: {who}")
        time.sleep(POLL_SECONDS)
