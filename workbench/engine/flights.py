"""Stages under way on workers: started, watched, and what became of them when they ended, crashed or ran over their time."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.engine.plan import Stage
from workbench.engine.pool import Pool, threads_per_worker
from workbench.engine.stages import run_stage
from workbench.values.explained import explain

# A worker that vanished is given this long to be reported by the scheduler before its stage counts as crashed.
VANISHED_SECONDS = 5.0


@dataclass
class Flight:
    """A stage on a worker, since when, and since when its worker is not to be seen."""

    stage: Stage
    future: Any
    worker: str
    started: float
    missing_since: float | None = None


class Flights:
    """The stages that run, by key; one on each worker, and each for at most `seconds`."""

    def __init__(self, jobs: int, root: Path, seconds: float) -> None:
        self.jobs, self.root, self.seconds = jobs, root, seconds
        self._running: dict[str, Flight] = {}
        self._ended: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[str]:
        return iter(self._running)

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, key: str) -> bool:
        return key in self._running

    @contextlib.contextmanager
    def on(self, pool: Pool) -> Iterator[None]:
        """Run stages on a pool for the body; those that are left then are ended."""
        self._pool = pool
        try:
            yield
        finally:
            # None unless the sweep was stopped; the workers may belong to an engine, whose next sweep needs them.
            for flight in self._running.values():
                flight.future.release()
                pool.kill(flight.worker)

    def free(self, workers: list[str]) -> list[str]:
        """Return the workers that have nothing to do."""
        busy = {f.worker for f in self._running.values()}
        return [w for w in workers if w not in busy]

    def start(self, worker: str, stage: Stage, inputs: dict[str, Any]) -> None:
        """Start a stage; `inputs` are the artifacts of the stages before it, by role."""
        future = self._pool.submit(
            worker,
            f"{stage.kind}-{stage.key[:12]}-{time.monotonic_ns()}",
            run_stage,
            stage.kind,
            stage.payload,
            inputs,
            str(self.root),
            threads_per_worker(self.jobs),
            tuple(stage.tools),
        )
        future.add_done_callback(lambda f, k=stage.key: self._ended.put((k, f)))
        self._running[stage.key] = Flight(stage, future, worker, time.monotonic())

    def landed(self, workers: set[str]) -> Iterator[tuple[Flight, dict[str, Any]]]:
        """Wait a moment and give the stages that ended, done, crashed, or over the time limit; each runs until it is given."""
        found: dict[str, dict[str, Any]] = {}
        for key, future in self._waited():
            if key in self._running and self._running[key].future is future:
                found[key] = _outcome(future)
        now = time.monotonic()
        for key, flight in self._running.items():
            result = None if key in found else self._lost(flight, workers, now)
            if result is not None:
                found[key] = result
        for key, result in found.items():
            yield self._running.pop(key), result

    def _waited(self) -> list[tuple[str, Any]]:
        try:
            batch = [self._ended.get(timeout=0.1)]
            while not self._ended.empty():
                batch.append(self._ended.get_nowait())
        except queue.Empty:
            return []
        return batch

    def _lost(self, flight: Flight, workers: set[str], now: float) -> dict[str, Any] | None:
        """Return the error of a stage that ran too long, or whose worker is gone; None for one that is well."""
        label = flight.stage.label
        if now - flight.started > self.seconds:
            flight.future.cancel(force=True)
            self._pool.kill(flight.worker)
            return {
                "error": f"time limit: stage `{label}` ran longer than {self.seconds:g} s and was ended. Raise it with --limits-stage-seconds and --retry-failed."
            }
        if flight.worker in workers:
            flight.missing_since = None
        elif flight.missing_since is None:
            flight.missing_since = now
        elif now - flight.missing_since > VANISHED_SECONDS:
            flight.future.cancel(force=True)
            return {"error": crash_text(label)}
        return None


def crash_text(label: str) -> str:
    """Return what is said of a stage whose process died."""
    said = f"crash: the worker process died in stage `{label}` (segmentation fault, out of memory, or killed). The other trials went on; see the store's logs."
    known = explain(said)
    return f"{said} {known.text}" if known else said


def _outcome(future: Any) -> dict[str, Any]:
    if future.status == "finished":
        result: dict[str, Any] = future.result()
        return result
    error = future.exception() if future.status == "error" else None
    if error is None or type(error).__name__ in ("KilledWorker", "FutureCancelledError"):
        return {"crash": True}
    return {"error": f"{type(error).__name__}: {str(error).strip()[:500]}"}
