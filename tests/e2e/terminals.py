"""Places that a command may be started in: streams that are closed, full or left, odd terminals, odd folders."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from running import environment

SECONDS = 300.0
ASCII = {"LANG": "C", "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LOST = 3


class Ended(NamedTuple):
    """How a command ended, and what reached whoever reads."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Place:
    """A way to start the command line; `lost` where what is printed on stdout cannot be written and that is told."""

    name: str
    shell: str = '"$@"'
    variables: tuple[tuple[str, str], ...] = ()
    size: tuple[int, int] | None = None
    lost: bool = False
    silent: bool = False

    def run(self, arguments: list[str], folder: Path) -> Ended:
        """Run `workbench` there."""
        command = [
            "bash",
            "-c",
            f"set -o pipefail; {self.shell}",
            "bash",
            sys.executable,
            "-m",
            "workbench",
            *arguments,
        ]
        variables = environment(**dict(self.variables))
        if self.size is None:
            done = subprocess.run(command, env=variables, cwd=folder, capture_output=True, timeout=SECONDS, check=False)
            return Ended(
                done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
            )
        return _on_terminal(command, variables, folder, self.size)


def _on_terminal(command: list[str], variables: dict[str, str], folder: Path, size: tuple[int, int]) -> Ended:
    """Run with a terminal of so many rows and columns as stdin, stdout and stderr."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    kept = {k: v for k, v in variables.items() if k not in ("COLUMNS", "LINES")}
    with subprocess.Popen(command, env=kept, cwd=folder, stdin=child, stdout=child, stderr=child) as process:
        os.close(child)
        said = b""
        with contextlib.suppress(OSError):  # the last process that had the terminal is gone
            while select.select([parent], [], [], SECONDS)[0] and (block := os.read(parent, 1 << 16)):
                said += block
        code = process.wait(SECONDS)
    os.close(parent)
    text = said.decode("utf-8", "replace")
    return Ended(code, text, text)


def _variables(**named: str) -> tuple[tuple[str, str], ...]:
    return tuple(named.items())


PLACES = (
    Place("closed-stdout", '"$@" >&-', silent=True),
    Place("closed-stderr", '"$@" 2>&-'),
    Place("all-closed", '"$@" <&- >&- 2>&-', silent=True),
    Place("full-stdout", '"$@" >/dev/full', lost=True),
    Place("full-stderr", '"$@" 2>/dev/full'),
    Place("both-full", '"$@" >/dev/full 2>/dev/full', lost=True, silent=True),
    Place("head", '"$@" | head -1'),
    Place("nobody-reads", '"$@" | true', silent=True),
    Place("nobody-reads-either", '{ "$@" 2>&1; } | true', silent=True),
    Place("read-only-stdout", '"$@" 1</dev/null', lost=True),
    Place("ascii", variables=_variables(PYTHONIOENCODING="ascii")),
    Place("posix", variables=_variables(**ASCII)),
    Place("latin", variables=_variables(PYTHONIOENCODING="latin-1")),
    Place("no-colour", variables=_variables(NO_COLOR="1")),
    Place("dumb", variables=_variables(TERM="dumb"), size=(24, 80)),
    Place("zero-columns", variables=_variables(TERM="xterm"), size=(0, 0)),
    Place("ten-columns", variables=_variables(TERM="xterm"), size=(5, 10)),
    Place("one-column", variables=_variables(TERM="xterm"), size=(1, 1)),
    Place("ascii-terminal", variables=_variables(TERM="xterm", PYTHONIOENCODING="ascii", **ASCII), size=(24, 60)),
)
