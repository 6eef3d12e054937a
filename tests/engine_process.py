"""A process with workers to which something happens: `python engine_process.py SCENE FOLDER`, for test_leaks.py.

It says "ready" when its workers are at the point that the scene is about, and goes on when it reads a line.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import workbench
from workbench.engine.events import Event
from workbench.engine.pool import Pool
from workbench.errors import Cancelled

JOBS = 2
# Work whose future is gone would be taken back, and an engine that is gone would be closed.
KEPT: list[Any] = []


def ready() -> None:
    """Let the test look, and wait until it has."""
    print("ready", flush=True)
    sys.stdin.readline()


def up(engine: workbench.Engine) -> Pool:
    """Return the engine's pool when all its workers are up."""
    pool = engine.pool()
    pool.client.wait_for_workers(JOBS, timeout=600)
    return pool


def busy(engine: workbench.Engine) -> Pool:
    """Return the engine's pool when every worker writes into the temporary folder and does not end."""
    pool = up(engine)
    marks = [Path(os.environ["TMPDIR"]).parent / f"busy-{i}" for i in range(JOBS)]
    for worker, mark in zip(pool.workers(), marks, strict=True):
        KEPT.append(pool.submit(worker, mark.name, work, str(mark)))
    while not all(m.exists() for m in marks):
        time.sleep(0.02)
    return pool


def work(mark: str) -> None:
    """Write one file after the other into the temporary folder; runs in a worker."""
    import multiprocessing
    import tempfile

    # What joblib and others have too: it has a name in shared memory, which a resource tracker takes away in the end.
    held = multiprocessing.get_context("spawn").Semaphore()
    for i in range(100_000):
        Path(tempfile.mkstemp(prefix="left-")[1]).write_text("x")
        Path(tempfile.mkdtemp(prefix="left-"), "y").write_text("x")
        if i == 3:
            with held:
                Path(mark).touch()
        time.sleep(0.01)


def closed(start: Callable[[workbench.Engine], Pool]) -> None:
    """Close an engine with workers in some state."""
    with workbench.Engine(JOBS) as engine:
        start(engine)
        ready()


def closed_twice() -> None:
    """Close an engine, use it again and close it again."""
    engine = workbench.Engine(JOBS)
    up(engine)
    engine.close()
    up(engine)
    ready()
    engine.close()
    engine.close()


def restarted() -> None:
    """Restart a worker, as is done with one that ran over its time, and close when the new one is there."""
    with workbench.Engine(JOBS) as engine:
        pool = busy(engine)
        first = pool.workers()[0]
        ready()
        pool.kill(first)
        until(lambda: len(pool.workers()) == JOBS and first not in pool.workers())


def died() -> None:
    """Have a worker die by itself, as a crash in native code would end it, and close when a new one is there."""
    with workbench.Engine(JOBS) as engine:
        pool = busy(engine)
        first = pool.workers()[0]
        ready()
        os.kill(pool.client.run(os.getpid)[first], signal.SIGKILL)
        until(lambda: len(pool.workers()) == JOBS and first not in pool.workers())


def until(true: Callable[[], bool]) -> None:
    """Wait until something is true; for at most two minutes."""
    deadline = time.monotonic() + 120
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)


def left_open() -> None:
    """End without closing anything."""
    KEPT.append(workbench.Engine(JOBS))
    busy(KEPT[0])
    ready()


def forgotten() -> None:
    """Let go of an engine without closing it, and go on."""
    engine = workbench.Engine(JOBS)
    up(engine)
    ready()
    del engine
    gc.collect()


def swept(cancel: bool) -> None:
    """Sweep to the end, measuring too, or cancel after the first stage."""
    told: list[Event] = []

    def listener(event: Event) -> None:
        if event.kind == "stage-done" and not told:
            told.append(event)
            ready()
            if cancel:
                study.cancel()

    folder = Path(sys.argv[2])
    study = workbench.sweep(
        folder / "model.tflite",
        folder / "data.npz",
        {"quantize": ["float32", "float16", "dynamic", "int8"], "measure": {"budget": 0.2, "samples": 10}},
        store=folder / "store",
        jobs=JOBS,
        listener=listener,
        wait=False,
    )
    try:
        study.wait()
    except Cancelled:
        assert cancel
    else:
        assert not cancel
        assert [t.error for t in study.trials if t.state != "ok"] == []


SCENES: dict[str, Callable[[], None]] = {
    "closed": lambda: closed(up),
    "closed while workers start": lambda: closed(workbench.Engine.pool),
    "closed while workers work": lambda: closed(busy),
    "closed twice": closed_twice,
    "a worker restarted": restarted,
    "a worker died": died,
    "never closed": left_open,
    "forgotten": forgotten,
    "swept": lambda: swept(cancel=False),
    "cancelled": lambda: swept(cancel=True),
}

if __name__ == "__main__":
    SCENES[sys.argv[1]]()
