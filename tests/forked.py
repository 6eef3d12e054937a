"""Commands as processes of their own, forked from one that has imported what they import: a tenth of the time of a start.

`python forked.py` serves them: a line of JSON on stdin for each, `{"folder", "arguments", "environment", "out", "err"}`; it answers
with the process's id and, when that has ended, its exit status.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import nurseries

Done = subprocess.CompletedProcess[str]


class Server:
    """The process that commands are forked from."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        atexit.register(self.close)

    def run(self, folder: Path, arguments: list[str], environment: dict[str, str], seconds: float) -> Done:
        """Run a command to its end; raises TimeoutExpired after so many seconds."""
        with tempfile.TemporaryDirectory(prefix="forked-") as place:
            out, err = Path(place, "out"), Path(place, "err")
            asked = {"folder": str(folder), "arguments": arguments, "environment": environment}
            assert self._process.stdin
            assert self._process.stdout
            self._process.stdin.write(json.dumps({**asked, "out": str(out), "err": str(err)}) + "\n")
            self._process.stdin.flush()
            pid = int(self._process.stdout.readline())
            over = threading.Event()

            def end() -> None:
                over.set()
                os.kill(pid, signal.SIGKILL)

            watch = threading.Timer(seconds, end)
            watch.start()
            code = int(self._process.stdout.readline())
            watch.cancel()
            said = [p.read_text(encoding="utf-8", errors="replace") for p in (out, err)]
        if over.is_set():
            raise subprocess.TimeoutExpired(arguments, seconds, *said)
        return subprocess.CompletedProcess(arguments, code, *said)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


@cache
def server() -> Server:
    """Return this process's server, started at the first time."""
    return Server()


def _serve() -> None:
    import distributed  # noqa: F401
    import numpy as np  # noqa: F401

    import workbench.api
    import workbench.cli.app  # noqa: F401

    nurseries.install()
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be(asked)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _be(asked: dict[str, Any]) -> NoReturn:
    """Be the command, in a process that was just forked."""
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, asked["out"], 0o1101), (2, asked["err"], 0o1101)):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    nurseries.become(asked["environment"], asked["folder"])
    sys.argv = ["workbench", *asked["arguments"]]
    from workbench.cli import main

    main()
    raise AssertionError("it exits")


if __name__ == "__main__":
    _serve()
