"""Output that cannot end a command: what the terminal does not take is escaped, what the disk does not take is told once.

A sweep's work is in its store, whatever becomes of the lines about it: stderr, where progress goes, is never a reason
to fail. Of stdout, where results go, the exit status says when it could not be written.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

# The exit status of a command that did its work and could not write its result.
LOST_CODE = 3


class Steady(io.TextIOWrapper):
    """A text stream that never raises for its file's sake; `lost` is the first error, after which nothing is written."""

    lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write text, or drop it where its file takes no more."""
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Hand what is waiting to the file, or drop it."""
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        self.lost = self.lost or error
        # What is in the buffers, and what native code or a child may write, has to go somewhere.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        super().flush()


def name_files_in_utf8() -> None:
    """Start the command again in Python's UTF-8 mode where the locale has file names in ASCII; else do nothing.

    Python does so by itself in the C locale unless it is told not to. A name with other characters would go no further
    than this process: neither JSON, SQLite nor LiteRT take the pieces that Python makes of it.
    """
    if sys.flags.utf8_mode or sys.getfilesystemencoding().lower() not in ("ascii", "us-ascii", "646"):
        return
    # What is printed stays what the terminal takes. The variables are for workers.
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    variables = {"PYTHONIOENCODING": f"{encoding}:backslashreplace", **os.environ, "PYTHONUTF8": "1"}
    os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], variables)


def steady() -> None:
    """Make the process's stdout and stderr steady; those that are closed are as `/dev/null`."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The next file that is opened would get this number, and everything printed would go into it.
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
    for number, name in ((1, "stdout"), (2, "stderr")):
        made = _steady(getattr(sys, name), number)
        setattr(sys, name, made)
        setattr(sys, f"__{name}__", made)


def _steady(stream: TextIO | None, number: int) -> Any:
    if stream is None:
        return Steady(io.FileIO(number, "w", closefd=False), "utf-8", "backslashreplace")
    if type(stream) is not io.TextIOWrapper:
        return stream
    encoding, by_line, at_once = stream.encoding, stream.line_buffering, stream.write_through
    return Steady(stream.detach(), encoding, "backslashreplace", None, by_line, at_once)


def takes_unicode(stream: Any) -> bool:
    """Whether every character can be written to a stream as it is."""
    return str(getattr(stream, "encoding", None) or "utf-8").lower().replace("_", "-") in ("utf-8", "utf8")


def ended(code: int) -> int:
    """Return the exit status of a command that ends with `code`: LOST_CODE where its result could not be written.

    One whose reader has left, as `| head -1` does, has written all that was wanted.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    lost = getattr(sys.stdout, "lost", None)
    if lost is None or lost.errno in (errno.EPIPE, errno.ECONNRESET):
        return code
    print(f"workbench: the output could not be written: {lost.strerror}", file=sys.stderr, flush=True)
    return code or LOST_CODE
