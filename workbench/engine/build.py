"""Run a plan's stages on the pool in the order of their ranks, one stage per worker, failures kept to their trials."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from workbench.engine.damage import check_data, stands, usable
from workbench.engine.events import Event, Listener
from workbench.engine.flights import Flight, Flights, crash_text
from workbench.engine.plan import COST, Plan, Rank, Stage
from workbench.engine.pool import Pool
from workbench.errors import Cancelled, WorkbenchError
from workbench.store.store import Store
from workbench.values.graph import Artifact, Execution, Machine
from workbench.values.profile import StageTime
from workbench.values.source import DatasetInfo

STARTUP_SECONDS = 120.0
# A stage whose inputs were damaged while it ran is done again so often.
MOST_AGAIN = 3
OnEnd = Callable[[str, dict[str, Any]], None]


class Growth:
    """How a plan grows while it is run; this one does not."""

    @property
    def left(self) -> int:
        """How many more recipes may come."""
        return 0

    def more(self) -> list[str]:
        """Return the keys of further stages, which are in the plan by now; none where results have to come first, or nothing comes."""
        return []


class Builder:
    """Runs the stages of a plan that are not in the store yet.

    `on_end(key, result)` is called for every stage that ended, with its result or `{"error": ...}`.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        pool: Callable[[bool], Pool],
        jobs: int,
        stage_seconds: float,
        listener: Listener,
        cancel: threading.Event,
        dataset: DatasetInfo | None = None,
    ) -> None:
        self.plan, self.store, self.jobs = plan, store, jobs
        self.dataset = dataset
        self.make_pool = pool
        self.listener = listener
        self.cancel = cancel
        self.results: dict[str, dict[str, Any]] = {}
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.origin = time.monotonic()
        self.ready_at: dict[str, float] = {}
        self.times: list[StageTime] = []
        self.found: set[str] = set()
        self.again: Counter[str] = Counter()
        self.machines: set[str] = set()
        # Stages by what they still wait for, those that run, and all that had to run or have to.
        self.waiting: dict[str, set[str]] = {}
        self.flights = Flights(jobs, store.root, stage_seconds)
        self.todo: set[str] = set()
        self.wanted = 0
        self.failed = 0
        self.ranks: dict[str, Rank] = {}

    def run(
        self, wanted: list[str], on_start: Callable[[str], None], on_end: OnEnd, growth: Growth | None = None
    ) -> dict[str, dict[str, Any]]:
        """Run what the wanted stages need, and what comes to them meanwhile, and return every result by stage key.

        Raises Cancelled when asked to stop, WorkbenchError when no worker comes up.
        """
        growth = growth or Growth()
        self._want(wanted, on_end)
        self._grow(growth, on_end)
        if not self.waiting:
            return self.results
        pool = self.make_pool(any(self.plan.stages[k].needs_tensorflow for k in self.waiting))
        with self.flights.on(pool):
            self._loop(pool, growth, on_start, on_end)
        return self.results

    def _grow(self, growth: Growth, on_end: OnEnd) -> None:
        """Take what has come to the plan; what of it the store has may bring more at once."""
        while keys := growth.more():
            self._want(keys, on_end)

    def _want(self, keys: list[str], on_end: OnEnd) -> None:
        """Take stages, with all that they need, among those that are to be run, but what is in the store or was taken before."""
        needed = [s.key for s in self.plan.chain(*keys)]
        stored = self.store.stages([k for k in needed if k not in self.results and k not in self.todo])
        self.results.update({k: r for k, r in stored.items() if usable(self.plan.stages[k], r)})
        new = self._missing(keys) - self.todo
        self.todo |= new
        self.found |= set(needed) - self.todo
        self.wanted += len(keys)
        for key in new:
            self.waiting[key] = set()
        for key in new:
            stage = self.plan.stages[key]
            first = [self.plan.survey] if stage.kind == "train" else []
            self.waiting[key] |= {
                p for p in (*stage.parents.values(), *first) if p in self.waiting or p in self.flights
            }
        if new:
            self.ranks = self.plan.ranks()
        ended = [key for key in keys if key in self.results]
        for parent in {
            p for k in new for p in self.plan.stages[k].parents.values() if "error" in self.results.get(p, {})
        }:
            ended += self._fail(parent)
        self.failed += sum(k in new for k in ended)
        for key in ended:
            on_end(key, self.results[key])

    def _loop(self, pool: Pool, growth: Growth, on_start: Callable[[str], None], on_end: OnEnd) -> None:
        """Keep every worker busy with the ready stage that comes first (`Rank.place`), until none is left."""
        waiting, flights = self.waiting, self.flights
        deadline = time.monotonic() + STARTUP_SECONDS
        while waiting or flights:
            if self.cancel.is_set():
                raise Cancelled
            workers = pool.workers()
            if workers or flights:
                deadline = time.monotonic() + STARTUP_SECONDS
            elif pool.gone() or time.monotonic() > deadline:
                raise WorkbenchError(pool.missing(str(self.store.logs), STARTUP_SECONDS))
            free = flights.free(workers)
            many = sum(self.ranks[k].training for k in waiting) > 2 * len(workers)
            ready = sorted(
                (k for k, parents in waiting.items() if not parents), key=lambda k: self.ranks[k].place(many)
            )
            for key in ready:
                self.ready_at.setdefault(key, time.monotonic())
            for worker, key in zip(free, ready, strict=False):
                waiting.pop(key)
                self._start(worker, key)
                on_start(key)
            for flight, result in flights.landed(set(workers)):
                key = flight.stage.key
                self._clock(flight, result)
                if self._spoilt(key):
                    continue
                ended = self._end(key, result)
                self.failed += sum("error" in self.results[k] for k in ended)
                for ended_key in ended:
                    on_end(ended_key, self.results[ended_key])
                self._grow(growth, on_end)
                self._tell(key, growth.left)

    def _tell(self, key: str, more: int) -> None:
        """Tell that a stage has ended, and how many are left where so many more recipes need as much each as those so far."""
        left = [*self.waiting, *self.flights]
        each = len(self.todo) / max(1, self.wanted)
        self.listener(
            Event(
                "stage-failed" if "error" in self.results[key] else "stage-done",
                "build",
                self.plan.stages[key].label,
                len(self.todo) - len(left),
                len(self.todo) + round(more * each),
                self.failed,
                self._eta(left, more),
            )
        )

    def _clock(self, flight: Flight, result: dict[str, Any]) -> None:
        now = time.monotonic()
        busy = float(result.get("seconds", now - flight.started))
        self.times.append(
            StageTime(
                kind=flight.stage.kind,
                label=flight.stage.label,
                worker=flight.worker,
                ready_s=self.ready_at[flight.stage.key] - self.origin,
                started_s=flight.started - self.origin,
                ended_s=now - self.origin,
                busy_s=busy,
                ok="error" not in result and "crash" not in result,
            )
        )

    def _missing(self, wanted: list[str]) -> set[str]:
        """Return the stages that have to run: those wanted and not in the store, and what they start from."""
        found: set[str] = set()
        stack = [k for k in wanted if k not in self.results]
        while stack:
            key = stack.pop()
            if key not in found:
                found.add(key)
                stack.extend(p for p in self.plan.stages[key].parents.values() if p not in self.results)
        return found

    def _spoilt(self, key: str) -> bool:
        """Whether something that an ended stage was made from is damaged; that and the stage itself are then waiting again.

        Raises WorkbenchError where it is the dataset, and where it does not end.
        """
        stage = self.plan.stages[key]
        if self.dataset is not None and "dataset" in stage.payload:
            check_data(self.store, self.dataset)
        lost = self._lost(key)
        if not lost:
            return False
        self.again[key] += 1
        if self.again[key] > MOST_AGAIN:
            raise WorkbenchError(
                f"files of the store {self.store.location!r} are damaged again and again while stage `{stage.label}` reads them. See its folder `damaged`, and whether the disk is sound."
            )
        stack = [key]
        while stack:
            child = stack.pop()
            self.todo.add(child)
            lost = self._lost(child)
            self.waiting[child] = set(lost)
            for parent in lost:
                self.results.pop(parent, None)
                if parent not in self.waiting and parent not in self.flights:
                    stack.append(parent)
        for child, parents in self.waiting.items():
            before = self.plan.stages[child].parents.values()
            parents.update(p for p in before if p in self.waiting or p in self.flights)
        return True

    def _lost(self, key: str) -> list[str]:
        """Return the stages before a stage whose files are not there, or not intact."""
        parents = self.plan.stages[key].parents.values()
        return [p for p in parents if p not in self.results or not stands(self.store, self.results[p])]

    def _start(self, worker: str, key: str) -> None:
        stage = self.plan.stages[key]
        self.flights.start(worker, stage, {role: self.results[p]["artifact"] for role, p in stage.parents.items()})
        self.listener(Event("stage-started", "build", stage.label))

    def _end(self, key: str, result: dict[str, Any]) -> list[str]:
        """Record a result; a failure ends all stages that start from it. Returns the keys that ended."""
        stage = self.plan.stages[key]
        if "crash" in result:
            result = {"error": crash_text(stage.label)}
        self.results[key] = result
        ended = [key]
        if "error" not in result:
            self.seconds[stage.kind].append(float(result["seconds"]))
            self._record(stage, result)
        else:
            ended += self._fail(key)
        # After a failure those that wait for its end alone are left.
        for parents in self.waiting.values():
            parents.discard(key)
        return ended

    def _fail(self, key: str) -> list[str]:
        """End all stages that start from one that failed, at any distance, for its reason. Returns their keys."""
        ended: list[str] = []
        for child in [k for k in self.waiting if key in self.plan.stages[k].parents.values()]:
            if self.waiting.pop(child, None) is not None:
                self.results[child] = {"error": self.results[key]["error"], "seconds": 0.0}
                ended += [child, *self._fail(child)]
        return ended

    def _record(self, stage: Stage, result: dict[str, Any]) -> None:
        """Write what a stage made, and where, when and with what it was done."""
        done = result.pop("done")
        where = Machine.model_validate(done.pop("machine"))
        if where.id not in self.machines:
            self.machines.add(where.id)
            self.store.save_machine(where)
        self.store.save_execution(
            Execution(
                key=stage.key,
                kind=stage.kind,
                label=stage.label,
                inputs=stage.parents,
                sources=stage.sources,
                settings=stage.identity,
                machine=where.id,
                seconds=float(result["seconds"]),
                outputs=tuple(Artifact.model_validate(a) for a in [result.get("artifact")] if a is not None),
                **done,
            ),
            result,
        )

    def _eta(self, left: list[str], more: int) -> float | None:
        """Return the seconds until stages have run, and so many more recipes that each need as much as those so far."""
        if not any(self.seconds.values()):
            return None
        scale = sum(sum(s) for s in self.seconds.values()) / max(
            1e-9, sum(COST[k] * len(s) for k, s in self.seconds.items())
        )
        mean = {k: sum(s) / len(s) for k, s in self.seconds.items() if s}

        def seconds(keys: Iterable[str]) -> float:
            return sum(mean.get(k, COST[k] * scale) for k in (self.plan.stages[key].kind for key in keys))

        return (seconds(left) + seconds(self.todo) * more / max(1, self.wanted)) / self.jobs
