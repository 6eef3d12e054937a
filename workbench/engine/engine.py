"""An engine keeps its workers between sweeps, so that the second one does not start them again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType

from workbench.engine.pool import Pool, available_cores
from workbench.values.settings import Limits


class Engine:
    """Worker processes for several sweeps: `with Engine(jobs=2) as engine: workbench.sweep(..., engine=engine)`.

    Workers start on first use and stay warm: TensorFlow is imported once. `warm()` does that ahead.
    """

    def __init__(self, jobs: int | None = None, cluster_address: str | None = None, memory: str | None = None) -> None:
        self.jobs = jobs or available_cores()
        self.cluster_address = cluster_address
        self.memory = memory or Limits().memory
        self._pool: Pool | None = None
        self._logs: tempfile.TemporaryDirectory[str] | None = None

    def pool(self, logs: Path | None = None, tensorflow: bool = False) -> Pool:
        """Return the running pool, started now if need be; workers write what they print into `logs`.

        With `tensorflow` new workers import it while they wait for their first stage.
        """
        if self._pool is None:
            if logs is None:
                self._logs = tempfile.TemporaryDirectory(prefix="workbench-logs-")
                logs = Path(self._logs.name)
            self._pool = Pool(self.jobs, logs, self.cluster_address, self.memory, tensorflow)
        return self._pool

    def warm(self) -> Engine:
        """Start the workers and import TensorFlow in each; returns when they are ready."""
        self.pool(tensorflow=True).warm()
        return self

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._logs is not None:
            self._logs.cleanup()
            self._logs = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
