"""An engine keeps its workers between sweeps, so that the second one does not start them again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from workbench.engine.cluster import own_cluster
from workbench.engine.pool import Pool, available_cores
from workbench.errors import Cancelled
from workbench.measure.hosts import Hosts
from workbench.values.settings import StageLimits


class Engine:
    """Worker processes for several sweeps: `with Engine(jobs=2) as engine: workbench.sweep(..., engine=engine)`.

    Workers start on first use and stay warm: TensorFlow is imported once. `warm()` does that ahead. Sweeps take turns:
    latency is measured alone. `cluster_address` is a dask scheduler to use instead; `cluster_security` the certificates for it,
    `{"ca": FILE, "cert": FILE, "key": FILE}` or a `distributed.Security`, where dask's configuration does not name them.
    """

    def __init__(
        self,
        jobs: int | None = None,
        cluster_address: str | None = None,
        memory: str | None = None,
        cluster_security: Any = None,
    ) -> None:
        self.jobs = jobs or available_cores()
        self.cluster = own_cluster(cluster_address, cluster_security)
        self.memory = memory or StageLimits().memory
        self._pool: Pool | None = None
        self._hosts: Hosts | None = None
        self._turn = threading.Lock()

    @contextlib.contextmanager
    def turn(self, cancel: threading.Event, wait: Callable[[], None]) -> Iterator[None]:
        """Have the engine alone for the body; where another sweep has it, `wait` is called and its end waited for.

        Raises Cancelled when asked to stop meanwhile.
        """
        if not self._turn.acquire(blocking=False):
            wait()
            while not self._turn.acquire(timeout=0.1):
                if cancel.is_set():
                    raise Cancelled
        try:
            yield
        finally:
            self._turn.release()

    def pool(self, logs: Path | None = None, tensorflow: bool = False) -> Pool:
        """Return the running pool, started now if need be; workers write what they print into `logs`, or where it goes with them.

        With `tensorflow` new workers import it while they wait for their first stage.
        """
        if self._pool is None:
            self._pool = Pool(self.jobs, logs, self.cluster, self.memory, tensorflow)
        return self._pool

    def hosts(self) -> Hosts:
        """Return what starts the processes in which latency is measured; it sleeps meanwhile."""
        if self._hosts is None:
            self._hosts = Hosts()
        return self._hosts

    def warm(self) -> Engine:
        """Start the workers, have each take a small model all the way, and get measuring ready; returns when all are."""
        self.pool(tensorflow=True).warm()
        self.hosts().warm()
        return self

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._hosts is not None:
            self._hosts.close()
            self._hosts = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
