"""Worker processes behind `dask.distributed`: a local cluster by default, any scheduler address instead."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

from workbench.engine.cluster import OwnCluster
from workbench.engine.imports import warm_up
from workbench.engine.loop import OwnLoop
from workbench.engine.nursery import Brood, process_of
from workbench.engine.sessions import end_sessions
from workbench.files import open_private
from workbench.values.settings import parse_size

# Freed memory that a worker keeps for its next arrays.
RETAINED_BYTES = 256 * 2**20
YEAR_SECONDS = 365 * 24 * 3600


class Pool:
    """Workers that run one stage each; workers appear in `workers()` as they come up.

    They are forked by a process that has imported what they need (`engine/nursery.py`). Scheduler and workers talk TLS with a
    certificate made for this pool, which nobody else has.
    """

    def __init__(
        self,
        jobs: int,
        logs: Path | None,
        cluster: OwnCluster | None = None,
        memory: str = "auto",
        tensorflow: bool = False,
    ) -> None:
        import distributed

        self.jobs = jobs
        self._ending: set[str] = set()
        self._loop = OwnLoop()
        self.cluster: Any = None
        self._sessions: list[int] = []
        self._end: Callable[[], Any] = lambda: None
        try:
            if cluster is not None:
                self.client = cluster.connect(self._loop.loop)
                return
            # Dask's own place for what it writes is one that all users share, and modules are imported from it.
            scratch = Path(tempfile.mkdtemp(prefix="workbench-pool-"))
            # Also where nobody closes the pool: its owner forgets it, or the process ends.
            self._end = weakref.finalize(self, _end, self._sessions, scratch)
            folders = Folders(logs or scratch, scratch)
            self.cluster = _local_cluster(
                jobs, folders, _memory(memory, jobs), tensorflow, self._sessions, self._loop.loop
            )
            self.client = distributed.Client(self.cluster, timeout=30, set_as_default=False)
        except BaseException:
            self.close()
            raise

    def workers(self) -> list[str]:
        """Return the addresses of the workers that are up."""
        listed = list(self.client.scheduler_info(n_workers=-1)["workers"])
        # A worker that is being ended is listed for a while yet; a stage given to it would die with it.
        self._ending &= set(listed)
        return [w for w in listed if w not in self._ending]

    def gone(self) -> bool:
        """Whether the process that forks workers has ended: none will come up."""
        import psutil

        return any(
            not psutil.pid_exists(p) or psutil.Process(p).status() == psutil.STATUS_ZOMBIE for p in self._sessions
        )

    def missing(self, logs: str, seconds: float) -> str:
        """Return what is said where no worker came up; `logs` is where they write."""
        if self.cluster is None:
            return f"no worker came up within {seconds:.0f} s. Start some for the scheduler of --cluster-address, e.g. `dask worker ADDRESS`."
        return f"no worker came up{'' if self.gone() else f' within {seconds:.0f} s'}. The logs in {logs!r} say why."

    def submit(self, worker: str, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function on a worker and return its future."""
        return self.client.submit(
            function, *args, key=name, workers=[worker], allow_other_workers=False, retries=0, pure=False
        )

    def warm(self) -> None:
        """Wait until all workers are up and have TensorFlow and its converter running."""
        if self.cluster is not None:
            self.client.wait_for_workers(self.jobs, timeout=120)
        self.client.run(warm_up, threads_per_worker(self.jobs))

    def kill(self, worker: str) -> None:
        """End a worker's process, whatever it is doing, and have another one in its place; returns at once."""
        self._ending.add(worker)
        if self.cluster is not None:
            # One that is gone already is listed no more.
            if (found := self.client.scheduler_info(n_workers=-1)["workers"].get(worker)) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process_of(found["name"]), signal.SIGKILL)
            return

        def restart() -> None:
            with contextlib.suppress(Exception):  # a worker that is gone already cannot be restarted
                self.client.restart_workers([worker], timeout=30, raise_for_error=False)

        threading.Thread(target=restart, daemon=True, name="restart-worker").start()

    def close(self) -> None:
        """End the local workers; a cluster given by address is left as it is."""
        # Finished work is in the store; asking workers that start or train to leave would only take time.
        end_sessions(self._sessions)
        client = getattr(self, "client", None)
        with contextlib.suppress(Exception):  # closing a broken cluster may fail in many ways
            if client is not None:
                client.close(timeout=2)
        with contextlib.suppress(Exception):
            if self.cluster is not None:
                self.cluster.close(timeout=3)
        self._end()
        self._loop.stop()


def _end(sessions: list[int], scratch: Path) -> None:
    """End all processes of these sessions and remove what they wrote."""
    end_sessions(sessions)
    sessions.clear()
    shutil.rmtree(scratch, ignore_errors=True)


class Folders(NamedTuple):
    """Where the workers of a pool write: what they print, and what is gone with the pool."""

    logs: Path
    scratch: Path


def _local_cluster(jobs: int, folders: Folders, memory: int, tensorflow: bool, sessions: list[int], loop: Any) -> Any:
    """Return a running cluster; the id of its nursery's process session is added to `sessions`."""
    from distributed import Security, SpecCluster

    from workbench.compat.distributed import command_workers, plain_security
    from workbench.compat.distributed_servers import Scheduler

    security = Security.temporary()

    async def start(address: str) -> Any:
        brood = Brood(
            scheduler=address,
            jobs=jobs,
            memory=memory,
            tensorflow=tensorflow,
            parent=os.getpid(),
            logs=str(folders.logs),
            scratch=str(folders.scratch),
            options={
                "nthreads": 1,
                "host": "127.0.0.1",
                "memory_limit": memory,
                "local_directory": str(folders.scratch),
            },
            security=plain_security(security),
        )
        log = open_private(folders.logs / f"workers-{os.getpid()}.log")
        # What TensorFlow and others leave behind when they are killed goes with the pool.
        environment = {**os.environ, **worker_environment(jobs), "TMPDIR": str(folders.scratch)}
        with log, _unseen(brood) as told:
            process = await start_nursery(told, log, environment)
            sessions.append(process.pid)
        return process

    scheduler = {
        "cls": Scheduler,
        "options": {
            "protocol": "tls",
            "security": security,
            "host": "127.0.0.1",
            "port": 0,
            "dashboard": False,
            "local_directory": str(folders.scratch),
            # One lost worker is the fault of the one stage that it ran; it must not be tried elsewhere.
            "allowed_failures": 0,
            # TensorFlow can hold the interpreter for minutes; that is no reason to drop a worker. Dask takes 0 for not said.
            "worker_ttl": YEAR_SECONDS,
        },
    }
    workers = {"cls": command_workers(start, lambda pid: end_sessions([pid])), "options": {}}
    return SpecCluster(
        workers={"nursery": workers},
        scheduler=scheduler,
        worker=workers,
        security=security,
        name="workbench",
        loop=loop,
    )


async def start_nursery(told: IO[bytes], log: IO[Any], environment: dict[str, str]) -> Any:
    """Return the process of a nursery that reads its `Brood` from a file; it leads a session of its own."""
    # Safely: modules come from the caller's import path, not from wherever it happens to work.
    command = [sys.executable, "-P", "-m", "workbench.engine.nursery"]
    return await asyncio.create_subprocess_exec(
        *command, stdin=told, stdout=log, stderr=log, env=environment, start_new_session=True
    )


def _unseen(brood: Brood) -> IO[bytes]:
    """Return what a nursery is told as a file without a name: it holds the key, and command lines are public."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the caller's to close
    file.write(json.dumps(brood._asdict()).encode())
    file.seek(0)
    return file


def worker_environment(jobs: int) -> dict[str, str]:
    """Return the environment of a worker: quiet, no accelerator grabbed, threads divided, the caller's import path."""
    threads = str(threads_per_worker(jobs))
    return {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "PYTHONPATH": _import_path(),
        "TQDM_DISABLE": "1",
        # Dask asks malloc to hand memory back at once, and every large array then pays for its pages again; without
        # that, conversion is a fifth faster.
        "MALLOC_TRIM_THRESHOLD_": str(RETAINED_BYTES),
        "MALLOC_MMAP_THRESHOLD_": str(RETAINED_BYTES),
        # Dask would look at the stack a hundred times a second, and TensorFlow's stacks are deep.
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
        "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "500ms",
        "DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "[]",
        # A stage that needs more memory than there is ends; it is not slowed down, nor is its worker made to wait.
        "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
        "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
        "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "False",
    }


def _import_path() -> str:
    """Return where the caller imports from; an empty part, as notebooks have it, is the folder that it works in."""
    here = ""
    if "" in sys.path:
        with contextlib.suppress(FileNotFoundError):
            here = os.getcwd()
    return os.pathsep.join(p for p in (part or here for part in sys.path) if p)


def threads_per_worker(jobs: int) -> int:
    """Return how many threads each of `jobs` workers may use."""
    return max(1, available_cores() // jobs)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory(limit: str, jobs: int) -> int:
    """Return the bytes that each of `jobs` workers may take; `auto` is its part of nine tenths of the machine's."""
    if limit != "auto":
        return parse_size(limit)
    import psutil

    return int(psutil.virtual_memory().total * 0.9 / jobs)
