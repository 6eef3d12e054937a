"""The main flow: prepare, plan, build, measure; every result is in the store before the next begins."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from workbench.engine.announcing import announced
from workbench.engine.damage import DamageTeller
from workbench.engine.engine import Engine
from workbench.engine.events import Event, Listener
from workbench.engine.ledger import Ledger
from workbench.engine.measuring import SweepTiming
from workbench.engine.planning import Planner
from workbench.engine.pool import Pool, threads_per_worker
from workbench.engine.request import Prepared, Request, prepare
from workbench.engine.run import Run
from workbench.measure.environment import environment, machine
from workbench.store.artifacts import Artifacts
from workbench.store.cleaning import ABANDONED_SECONDS
from workbench.store.use import in_use
from workbench.values.profile import Profile
from workbench.values.study import StudyRecord


def run_sweep(
    request: Request, listener: Listener, cancel: threading.Event, found: Callable[[str], None]
) -> StudyRecord:
    """Do what the request asks and return the study's record; trials and measurements are in the store.

    `found` is called with the study's name as soon as its record is written.

    Raises WorkbenchError for a mistake in the request (nothing is written then), Cancelled when asked to stop.
    """
    options = request.options
    engine = request.engine or Engine(
        request.workers, options.cluster_address, request.grid.limits.memory, options.cluster_security
    )

    def wait() -> None:
        listener(Event("phase", "prepare", "waiting for another sweep to end"))

    def wait_for_gc() -> None:
        listener(Event("phase", "prepare", "waiting for `workbench store` to end deleting in this store"))

    # Nothing is deleted in the store while the sweep works in it.
    root = request.store.root
    with (
        announced(root, listener, found, cancel) as said,
        engine.turn(cancel, wait),
        in_use(root, cancel.is_set, wait_for_gc),
    ):
        return _run(request, engine, said.listener, cancel, said.found)


def _run(
    request: Request, engine: Engine, listener: Listener, cancel: threading.Event, found: Callable[[str], None]
) -> StudyRecord:
    def pool(tensorflow: bool) -> Pool:
        return engine.pool(request.store.logs, tensorflow)

    clock = [time.monotonic()]
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    told = DamageTeller(request.store.root, listener)
    try:
        listener(Event("phase", "prepare", "reading model and data"))
        prepared = prepare(request, pool, listener, cancel)
        told.tell("prepare")
        clock.append(time.monotonic())
        threads = threads_per_worker(request.workers)
        planner = Planner(prepared.model, prepared.dataset, request.grid, prepared.tasks, threads)
        record = _record(request, prepared)
        request.store.save_study(record)
        request.store.save_machine(machine())
        found(record.name)
        for folder in (request.store.artifacts, Artifacts(request.store.data)):
            folder.sweep(time.time() - ABANDONED_SECONDS)
        ledger = Ledger(request.store, prepared.study, planner, request.options.retry_failed)
        run = Run(request, prepared, ledger, listener, cancel, told.tell)
        timing = SweepTiming(request, prepared, ledger, listener, cancel, told.tell)
        told.tell("build")
        run.build(pool)
        run.keep_outputs(pool, timing.wanted)
    finally:
        told.tell("build")
        # Workers end before measuring begins: latency is measured alone. An engine's own are idle then.
        if request.engine is None:
            engine.close()
    clock.append(time.monotonic())
    if not request.grid.measure.skip:
        timing.measure()
    clock.append(time.monotonic())
    prepare_s, build_s, measure_s = (round(b - a, 3) for a, b in itertools.pairwise(clock))
    reused = Counter(planner.plan.stages[k].kind for k in run.reused)
    request.store.save_profile(
        record.name,
        Profile(
            started=started,
            workers=engine.jobs,
            prepare_s=prepare_s,
            build_s=build_s,
            measure_s=measure_s,
            stages=tuple(run.times),
            reused=dict(reused),
        ),
    )
    listener(Event("phase", "done", prepared.study, len(ledger.trials), len(ledger.trials)))
    return record


def _record(request: Request, prepared: Prepared) -> StudyRecord:
    known = {s.name: s for s in request.store.studies()}
    started = (
        known[prepared.study].started if prepared.study in known else datetime.now(UTC).isoformat(timespec="seconds")
    )
    return StudyRecord(
        name=prepared.study,
        model=prepared.model,
        dataset=prepared.dataset,
        signature=prepared.signature,
        tasks=prepared.tasks,
        threads=threads_per_worker(request.workers),
        grid={**request.grid.to_json(), "dropped": prepared.expansion.dropped},
        environment=environment(),
        command=request.command,
        started=started,
    )
