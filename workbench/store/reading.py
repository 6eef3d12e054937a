"""An SQLite file that is read and nothing else: no file is made or changed beside it, whoever else works on it."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import sqlalchemy as sa

from workbench.errors import WorkbenchError

T = TypeVar("T")
# Inode, size and time of a file; of the database, its log, its log's index, and the journal that there is without a log.
Stamp = tuple[int, int, int] | None
Seen = tuple[Stamp, Stamp, Stamp, Stamp]
# How long a process waits for another one that writes.
LOCK_SECONDS = 60
# Databases that this process has opened for writing, and who may open one.
#
# SQLite's locks belong to the process: closing the file a second time, past SQLite's own bookkeeping (as it does for a database
# that is said never to change), would give up those that a sweep of this process holds.
_written: set[str] = set()
_opening = threading.RLock()


class SqliteFile:
    """Reads an SQLite database in the way that its files allow.

    Without a log (`-wal`) beside it all is in the file, which is opened as one that does not change, and read again if it did.
    With a log and its index (`-shm`) the file is shared with whoever writes. With a log alone, left by a process that was killed,
    both are copied into a private temporary folder and read there: SQLite would have to write to read them where they are. The
    same is done with a journal, which there is where the file system does not do for a log. `copied` says whether that was so.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.wal, self.shm, self.journal = (Path(f"{file}{end}") for end in ("-wal", "-shm", "-journal"))
        self.copied = False
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._copied_from: Seen = (None, None, None, None)

    def read(self, ask: Callable[[sa.Connection], T]) -> T | None:
        """Return what `ask` makes of a connection, None where there is no such file; it may be asked more than once.

        Raises OSError and SQLAlchemy's errors where the file cannot be read.
        """
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            before = self._seen()
            if before[0] is None:
                return None
            # SQLite would only say that it cannot be opened.
            if not self.file.is_file():
                raise OSError(f"{self.file.name} is no file")
            if not os.access(self.file, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), self.file.name)
            try:
                found, whole = self._asked(ask, before)
                if whole:
                    return found
            except sa.exc.OperationalError:
                # Another process may have come or gone between the look at the files and opening them.
                if self._seen() == before or time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                raise WorkbenchError(
                    f"{str(self.file)!r} is being written without a pause for {LOCK_SECONDS} s, so it cannot be read. Try again later."
                )
            time.sleep(0.02)

    def close(self) -> None:
        """Remove the copy, where one was made."""
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None

    def _asked(self, ask: Callable[[sa.Connection], T], before: Seen) -> tuple[T, bool]:
        """Return the answer, and whether it can be counted on."""
        _, log, index, journal = before
        whole = not (log and log[1]) and not (journal and journal[1])
        with _opening:
            # Since then the right to write may have gone.
            ours = str(self.file) in _written and os.access(self.file, os.W_OK) and os.access(self.file.parent, os.W_OK)
            if not ours and whole and (index is None or log is None):
                return _ask(self.file, "mode=ro&immutable=1", ask), self._seen() == before
        if ours:
            return _ask(self.file, "mode=rw", ask), True
        if index is not None and log is not None:
            try:
                return _ask(self.file, "mode=ro&readonly_shm=1", ask), True
            except sa.exc.OperationalError:
                # An index that only who may write can bring up to date.
                if self._seen() != before:
                    raise
        return _ask(self._copy_of(before), "mode=rw", ask), True

    def _copy_of(self, before: Seen) -> Path:
        if self._copy is None or self._copied_from != before:
            self.close()
            self._copy = tempfile.TemporaryDirectory(prefix="workbench-store-")
            for path, there in zip((self.file, self.wal, self.journal), (*before[:2], before[3]), strict=True):
                if there:
                    shutil.copyfile(path, Path(self._copy.name) / path.name)
            if self._seen() != before:
                self.close()
                raise sa.exc.OperationalError(
                    "", {}, sqlite3.OperationalError("the database changed while it was copied")
                )
            self.copied, self._copied_from = True, before
        return Path(self._copy.name) / self.file.name

    def _seen(self) -> Seen:
        return _stamp(self.file), _stamp(self.wal), _stamp(self.shm), _stamp(self.journal)


def opened_for_writing(file: Path) -> None:
    """Note that this process is about to open a database for writing."""
    with _opening:
        _written.add(str(file))


def decoded(text: bytes) -> str:
    """Return a text of the database; bytes that are not UTF-8 become surrogates, so that one such row does not hide the others."""
    return text.decode("utf-8", "surrogateescape")


def _ask(file: Path, how: str, ask: Callable[[sa.Connection], T]) -> T:
    uri = f"file:{quote(os.fsencode(file))}?{how}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS, check_same_thread=False)
        connection.text_factory = decoded
        return connection

    # A connection for each question: what the files allow changes with those who write.
    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.pool.NullPool)
    with engine.connect() as db:
        return ask(db)


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
