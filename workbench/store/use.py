"""Who works in a store: sweeps side by side, or one process that deletes, alone; and which databases share a folder of files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from workbench.errors import Cancelled, WorkbenchError
from workbench.files import write_atomic
from workbench.names import printable
from workbench.store.place import DATABASE, StorePlace

LOCK = "in-use.lock"
# The databases by URL whose files lie in a folder, a line each.
DATABASES = "databases.txt"
POLL_SECONDS = 0.1
# What a file system says that knows no locks; what it holds is then kept by age and by unfinished trials alone.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@contextlib.contextmanager
def in_use(root: Path, stopped: Callable[[], bool], on_busy: Callable[[], None]) -> Iterator[None]:
    """Hold a store for work that goes on beside other work, so that nothing is deleted meanwhile.

    `on_busy` is called once where another process deletes, whose end is waited for. Raises Cancelled when `stopped` says so meanwhile.
    """
    with _opened(root) as file:
        told = False
        while not _locked(file, fcntl.LOCK_SH):
            if stopped():
                raise Cancelled
            if not told:
                on_busy()
            told = True
            time.sleep(POLL_SECONDS)
        yield


@contextlib.contextmanager
def alone(place: StorePlace, what: str) -> Iterator[None]:
    """Hold a store alone; raises WorkbenchError where a sweep works in it, or `what` is going on in another process."""
    with _opened(place.root) as file:
        if not _locked(file, fcntl.LOCK_EX):
            raise WorkbenchError(
                f"store {place.location!r} is in use: a sweep works in it, or another process deletes. {what} deleted nothing. "
                "Wait until that has ended, or cancel it, and run the same again."
            )
        yield


def register(place: StorePlace) -> None:
    """Note in a folder of files the database that they belong to, where that does not lie in the folder itself."""
    mine = _database(place)
    if mine == str(place.root / DATABASE) or mine in _registered(place.root):
        return
    lines = [*_registered(place.root), mine]
    write_atomic(place.root / DATABASES, "".join(f"{line}\n" for line in lines).encode())


def others(place: StorePlace) -> list[str]:
    """Return the other databases whose files lie in the same folder, SQLite's only where they are still there."""
    known = [*_registered(place.root), str(place.root / DATABASE)]
    return [d for d in dict.fromkeys(known) if d != _database(place) and ("://" in d or os.path.exists(d))]


def _database(place: StorePlace) -> str:
    return printable(str(place.file) if place.file is not None else place.location)


def _registered(root: Path) -> list[str]:
    try:
        return (root / DATABASES).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


@contextlib.contextmanager
def _opened(root: Path) -> Iterator[int]:
    # As open as the store: whoever may sweep into it may hold it.
    file = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, root.stat().st_mode & 0o666)
    try:
        yield file
    finally:
        # A process forked meanwhile has the descriptor too, and the lock would be its own with it.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)


def _locked(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True
