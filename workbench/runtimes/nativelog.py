"""What native libraries print while an artifact is opened: their only account of what they took."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


class NativeLog:
    """The text printed so far."""

    def __init__(self, file: int) -> None:
        self._file = file

    @property
    def text(self) -> str:
        """All that was printed, by Python and by native code."""
        size = os.fstat(self._file).st_size
        return os.pread(self._file, size, 0).decode(errors="replace")

    def last(self, *words: str) -> str:
        """Return the last line that holds one of the words, without its level and place; empty where there is none."""
        for line in reversed(self.text.splitlines()):
            if any(w.lower() in line.lower() for w in words):
                return line.split("] ", 1)[-1].removeprefix("ERROR: ").strip()[:300]
        return ""


@contextmanager
def native_log() -> Iterator[NativeLog]:
    """Collect what is written to the process's stdout and stderr, by native code too, until the end of the body."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        kept = {n: os.dup(n) for n in (1, 2)}
        for n in kept:
            os.dup2(file.fileno(), n)
        try:
            yield NativeLog(file.fileno())
        finally:
            for n, copy in kept.items():
                os.dup2(copy, n)
                os.close(copy)
