"""Nurseries of workers forked from a process that has imported what they import: most of the time of a small sweep is that.

`install` has the pools of this process ask for them; what a nursery does is its own. One process for each number of threads serves
all of a test run, and ends with it. Processes that the tests start afresh start nurseries afresh too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

# What libraries, or the system's, read as they are loaded; the import path is set anew.
EARLY = ("CUDA_", "DASK_", "KERAS_", "LD_", "MALLOC_", "OMP_", "OPENBLAS_", "PYTHON", "TF_", "XLA_")
EARLY_BUT = "PYTHONPATH"
RUN = "WORKBENCH_TESTS"
START_SECONDS = 120
Environment = dict[str, str]
# How pools start nurseries where nothing is installed.
_AS_IT_IS: dict[str, Any] = {}


class Forked:
    """A nursery as `asyncio` has its processes."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = os.pidfd_open(pid)

    def __del__(self) -> None:
        os.close(self._ended)

    @property
    def returncode(self) -> int | None:
        """0 once it has ended: what it ended with is not known."""
        return 0 if ended(self._ended) else None

    def kill(self) -> None:
        """Kill it."""
        signal.pidfd_send_signal(self._ended, signal.SIGKILL)

    async def communicate(self) -> None:
        """Wait for its end."""
        while self.returncode is None:
            await asyncio.sleep(0.01)


def ended(pidfd: int) -> bool:
    """Whether a process has ended, reaped or not."""
    return bool(select.select([pidfd], [], [], 0)[0])


@contextlib.contextmanager
def afresh() -> Iterator[None]:
    """Have pools start their nurseries as they do for users, below this process."""
    from workbench.engine import pool

    installed = pool.start_nursery
    pool.start_nursery = _AS_IT_IS.get("start", installed)
    try:
        yield
    finally:
        pool.start_nursery = installed


def install() -> None:
    """Have the pools of this process take forked nurseries."""
    from workbench.engine import pool

    start, usual = pool.start_nursery, early(dict(os.environ))
    mine = os.environ[RUN]
    _AS_IT_IS["start"] = start

    async def started(told: IO[bytes], log: IO[bytes], environment: Environment) -> Any:
        if early(dict(os.environ)) != usual or not json.load(told)["tensorflow"]:
            told.seek(0)
            return await start(told, log, environment)
        told.seek(0)
        return Forked(await asyncio.to_thread(_ask, mine, told, log, environment))

    pool.start_nursery = started


def early(environment: Environment) -> Environment:
    """Return what of an environment counts as a process begins."""
    return {k: v for k, v in environment.items() if k.startswith(EARLY) and k != EARLY_BUT}


def _ask(run: str, told: IO[bytes], log: IO[bytes], environment: Environment) -> int:
    """Return the process of a new nursery."""
    name = f"\0workbench-nurseries-{run}-{environment['OMP_NUM_THREADS']}"
    # There is no asking what the mask is without setting it.
    mask = os.umask(0o077)
    os.umask(mask)
    asked = {"environment": environment, "folder": os.getcwd(), "mask": mask, "parent": os.getpid()}
    with _connect(name, run, environment) as connection:
        socket.send_fds(connection, [b"\0"], [told.fileno(), log.fileno()])
        connection.sendall(json.dumps(asked).encode() + b"\n")
        return int(connection.makefile().readline())


def _connect(name: str, run: str, environment: Environment) -> socket.socket:
    deadline, server = time.monotonic() + START_SECONDS, None
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(name)
            return connection
        except ConnectionRefusedError:
            connection.close()
        if server is None:
            plain = {k: v for k, v in environment.items() if k not in ("TMPDIR", EARLY_BUT)}
            plain |= {EARLY_BUT: str(Path(__file__).parents[1]), "TMPDIR": tempfile.gettempdir()}
            server = subprocess.Popen(
                [sys.executable, "-P", __file__, name[1:], run],
                env=plain,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Who started it may be read to its end.
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        if time.monotonic() > deadline:
            raise TimeoutError(f"no answer of {name[1:]!r}")
        time.sleep(0.05)


def _serve(name: str, run: int) -> None:
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind("\0" + name)
    except OSError:
        return  # another one serves
    from workbench.engine import nursery

    nursery.import_needed(tensorflow=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    watched = os.pidfd_open(run)
    listening.listen(16)
    while True:
        ready: list[int] = select.select([listening.fileno(), watched], [], [])[0]
        if watched in ready:
            return
        with contextlib.suppress(OSError, ValueError), listening.accept()[0] as connection:
            _, streams, _, _ = socket.recv_fds(connection, 1, 2)
            asked = json.loads(connection.makefile().readline())
            pid = os.fork()
            if pid == 0:
                listening.close()
                connection.close()
                _be(asked, streams)
            for stream in streams:
                os.close(stream)
            connection.sendall(f"{pid}\n".encode())


def _be(asked: dict[str, Any], streams: list[int]) -> NoReturn:
    """Be a nursery, in a process that was just forked."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        told, log = streams
        for number, stream in ((0, told), (1, log), (2, log)):
            os.dup2(stream, number)
        os.close(told)
        os.close(log)
        become(asked["environment"], asked["folder"])
        os.umask(asked["mask"])
        _live_with(asked["parent"])
        from workbench.engine import nursery

        nursery.main()
        code = 0
    finally:
        os._exit(code)


def become(environment: Environment, folder: str) -> None:
    """Go on, in a process that was just forked, with another's standard input, variables, import path and folder."""
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # it was another's, or holds others' lines
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    named = [p for p in environment.get(EARLY_BUT, "").split(os.pathsep) if p]
    sys.path[:] = [*named, *(p for p in sys.path if p not in named)]
    os.chdir(folder)


def _live_with(parent: int) -> None:
    """Let whoever asked for this process be its parent, as long as it lives."""
    server, watched, true = os.getppid(), os.pidfd_open(parent), os.getppid

    def getppid() -> int:
        now = true()
        if now != server:
            return now
        return 1 if ended(watched) else parent

    os.getppid = getppid


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
