"""The process behind a pool's workers: it imports once what they all need, forks them, and puts a new one in the place of each that ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import faulthandler
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from workbench.engine.imports import import_all
from workbench.engine.residue import importing
from workbench.engine.sessions import kill_sessions
from workbench.files import open_private

# From <sys/prctl.h>: the signal that a process gets when its parent ends.
PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.1
# A worker is ended above this part of its memory limit, before the system ends another process in its place; dask's own figure.
MOST_MEMORY = 0.95
# One that ends so soon has not come to work; another one at once would end likewise.
SHORT_LIFE_SECONDS = 2.0


class Brood(NamedTuple):
    """What a nursery is told on its standard input, as JSON, which may hold a key: where to, how many, with what, and for whom.

    `memory` is a worker's limit in bytes, `options` goes to `distributed.Worker`, `security` to `distributed.Security`.
    """

    scheduler: str
    jobs: int
    memory: int
    tensorflow: bool
    parent: int
    logs: str
    scratch: str
    options: dict[str, Any]
    security: dict[str, Any]


def name_of(number: int, pid: int) -> str:
    """Return the name of a worker: its place, and its process, which its successor in that place does not share."""
    return f"{number}-{pid}"


def process_of(name: str) -> int:
    """Return the process of a worker that a nursery has named."""
    return int(name.rpartition("-")[2])


class Nursery:
    """The workers that a process has forked, by their process."""

    def __init__(self, brood: Brood) -> None:
        self.brood = brood
        self._places: dict[int, tuple[int, float]] = {}
        self._free = [(number, 0.0) for number in range(brood.jobs)]

    def tend(self) -> None:
        """Keep every place taken until the parent has ended."""
        while os.getppid() == self.brood.parent:
            now = time.monotonic()
            for number, since in [f for f in self._free if f[1] <= now]:
                self._free.remove((number, since))
                self._fork(number)
            self._reap()
            self._end_the_hungry()
            time.sleep(POLL_SECONDS)

    def _fork(self, number: int) -> None:
        pid = os.fork()
        if pid == 0:
            _live(self.brood, number)
        self._places[pid] = (number, time.monotonic())

    def _reap(self) -> None:
        while self._places:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            number, born = self._places.pop(pid)
            now = time.monotonic()
            self._free.append((number, now if now - born > SHORT_LIFE_SECONDS else now + SHORT_LIFE_SECONDS))

    def _end_the_hungry(self) -> None:
        import psutil

        for pid in self._places:
            with contextlib.suppress(psutil.Error):  # it ended meanwhile
                if psutil.Process(pid).memory_info().rss > MOST_MEMORY * self.brood.memory:
                    os.kill(pid, signal.SIGKILL)


def _live(brood: Brood, number: int) -> None:
    """Be a worker, in a process that was just forked; does not return."""
    code = 1
    try:
        parent = os.getppid()
        if sys.platform == "linux":
            # Native code that keeps the interpreter's lock stops the thread below; the kernel ends such a worker.
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        def watch() -> None:
            while os.getppid() == parent:
                time.sleep(0.5)
            os._exit(1)

        threading.Thread(target=watch, daemon=True, name="parent-watch").start()
        with open_private(Path(brood.logs) / f"worker-{brood.parent}-{number}.log") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        if (numpy := sys.modules.get("numpy")) is not None:
            # Seeded as it was imported, so that all workers would draw the same.
            numpy.random.seed()
        asyncio.run(_work(brood, number))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


async def _work(brood: Brood, number: int) -> None:
    from distributed import Security

    from workbench.compat.distributed_servers import Worker

    name = name_of(number, os.getpid())
    async with Worker(brood.scheduler, name=name, security=Security(**brood.security), **brood.options) as worker:
        await worker.finished()


def import_needed(tensorflow: bool) -> None:
    """Import what workers need; what cannot be imported is told by the stage that needs it."""
    with importing():
        import workbench.compat.distributed_servers
        import workbench.engine.stages  # noqa: F401

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if tensorflow:
        try:
            import_all()
        except Exception:
            traceback.print_exc()


def main() -> None:
    """Read what to tend from standard input, and tend it until the process that started this one ends."""
    brood = Brood(**json.load(sys.stdin))
    # Workers inherit what is open, and what was told holds the key.
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        faulthandler.enable()
    # Whatever the caller's, others write nothing of ours.
    os.umask(os.umask(0o077) | 0o022)
    try:
        import_needed(brood.tensorflow)
        Nursery(brood).tend()
    finally:
        # Not the resource tracker: it clears away what is left once this process has ended too.
        kill_sessions([os.getsid(0)])
        if os.getppid() != brood.parent:
            # The pool was killed, and cannot do it.
            shutil.rmtree(brood.scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
