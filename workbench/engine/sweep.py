"""The main flow: prepare, plan, build, measure; every result is in the store before the next begins."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from workbench.data.materialize import calibration_warnings
from workbench.engine import verdicts
from workbench.engine.build import Builder
from workbench.engine.engine import Engine
from workbench.engine.events import Event, Listener
from workbench.engine.plan import Plan, make_plan
from workbench.engine.pool import Pool
from workbench.engine.request import Prepared, Request, prepare
from workbench.engine.search import search
from workbench.errors import Cancelled
from workbench.measure.environment import environment, fingerprint
from workbench.measure.session import Measured, Subject, measure
from workbench.recipes import grammar
from workbench.store.artifacts import Artifacts
from workbench.store.store import runtime_key
from workbench.values.base import digest
from workbench.values.profile import Profile, StageTime
from workbench.values.study import StudyRecord
from workbench.values.trial import Trial
from workbench.values.warning import Warning_

# What a killed run left unfinished is removed when it is so old that nobody can be working on it.
ABANDONED_SECONDS = 86_400.0


def run_sweep(
    request: Request, listener: Listener, cancel: threading.Event, found: Callable[[str], None]
) -> StudyRecord:
    """Do what the request asks and return the study's record; trials and measurements are in the store.

    `found` is called with the study's name as soon as its record is written.

    Raises WorkbenchError for a mistake in the request (nothing is written then), Cancelled when asked to stop.
    """
    engine = request.engine or Engine(request.workers, request.cluster_address, request.grid.limits.memory)

    def pool(tensorflow: bool) -> Pool:
        return engine.pool(request.store.logs, tensorflow)

    clock = [time.monotonic()]
    started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    try:
        listener(Event("phase", "prepare", "reading model and data"))
        prepared = prepare(request, pool, listener, cancel)
        clock.append(time.monotonic())
        plan = make_plan(prepared.expansion.recipes, prepared.model, prepared.dataset, request.grid)
        record = _record(request, prepared)
        request.store.save_study(record)
        found(record.name)
        for folder in (request.store.artifacts, Artifacts(request.store.data)):
            folder.sweep(time.time() - ABANDONED_SECONDS)
        run = _Run(request, prepared, plan, listener, cancel)
        run.build(pool)
    finally:
        # Workers end before measuring begins: latency is measured alone. An engine's own are idle then.
        if request.engine is None:
            engine.close()
    clock.append(time.monotonic())
    if not request.grid.measure.skip:
        run.measure()
    clock.append(time.monotonic())
    prepare_s, build_s, measure_s = (round(b - a, 3) for a, b in itertools.pairwise(clock))
    reused = Counter(plan.stages[k].kind for k in run.reused)
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
    listener(Event("phase", "done", prepared.study, len(plan.ends), len(plan.ends)))
    return record


class _Run:
    """One sweep while it runs: trials by id, and how stage results become trials."""

    def __init__(
        self, request: Request, prepared: Prepared, plan: Plan, listener: Listener, cancel: threading.Event
    ) -> None:
        self.request, self.prepared, self.plan = request, prepared, plan
        self.store, self.study = request.store, prepared.study
        self.listener, self.cancel = listener, cancel
        self.ids_by_stage: dict[str, list[str]] = defaultdict(list)
        for trial_id, key in plan.ends.items():
            self.ids_by_stage[key].append(trial_id)
        known = {t.id: t for t in self.store.trials(self.study)}
        keys = self.store.trial_keys(self.study)
        self.positions = {t: n for n, t in enumerate(dict.fromkeys([*known, *plan.ends]))}
        self.trials = {
            i: known[i] if keys.get(i) == key and self._finished(known[i]) else self._new(i)
            for i, key in plan.ends.items()
        }
        self.calibration: tuple[Warning_, ...] | None = None
        self.times: list[StageTime] = []
        self.reused: set[str] = set()
        self.ran: set[str] = set()

    def build(self, pool: Callable[[bool], Pool]) -> None:
        """Make, check and evaluate the artifacts that the store does not have yet: all of the grid, or those a search chooses."""
        settings = self.request.grid.search
        if settings.strategy == "grid":
            self._build(pool, list(self.trials))
            return
        self._build(pool, [self.plan.baseline])
        chosen = search(
            {i: self.plan.recipes[i] for i in self.plan.ends},
            settings,
            self.request.grid.constraints,
            self.request.workers,
            lambda ids: self._build(pool, ids),
            self.trials.__getitem__,
            lambda: self.trials[self.plan.baseline],
            self.cancel,
        )
        self.trials = {
            i: t for i, t in self.trials.items() if i in {*chosen, self.plan.baseline} or t.state != "pending"
        }

    def _build(self, pool: Callable[[bool], Pool], ids: list[str]) -> None:
        open_ = [i for i in ids if self.trials[i].state == "pending"]
        self.store.save_trials(self.study, [(self.trials[i], self.plan.ends[i], self.positions[i]) for i in open_])
        if not open_:
            return
        self.listener(Event("phase", "build", f"{len(open_)} of {len(self.trials)} recipes", 0, len(open_)))
        wanted = list(dict.fromkeys([self.plan.ends[self.plan.baseline], *(self.plan.ends[i] for i in open_)]))
        limit = self.request.grid.limits.stage_seconds
        self.builder = Builder(self.plan, self.store, pool, self.request.workers, limit, self.listener, self.cancel)
        try:
            self.builder.run(wanted, self._on_start, self._on_end)
        finally:
            self.times += self.builder.times
            self.reused |= self.builder.found - self.ran
            self.ran |= self.builder.ready_at.keys()
            for trial in [t for t in self.trials.values() if t.state == "running"]:
                # Only where the sweep was stopped: what was under way waits for the next one.
                self._save(trial.model_copy(update={"state": "pending"}))

    def measure(self) -> None:
        """Time every artifact that is ok and was not measured like this before."""
        grid = self.request.grid
        done = self.store.measurement_keys(self.study)
        machine = fingerprint()
        settings = grid.measure.model_dump(exclude={"budget", "skip"})

        def key(trial: Trial, runtime: Any) -> str:
            sha = trial.artifact.sha256 if trial.artifact else ""
            return digest({"artifact": sha, "runtime": runtime.to_json(), "machine": machine, "settings": settings})

        fit = [t for t in self.trials.values() if t.state == "ok" and t.artifact]
        for runtime in grid.runtimes:
            missing = [
                t for t in fit if done.get((t.id, runtime_key(runtime.name, runtime.options))) != key(t, runtime)
            ]
            if not missing:
                continue
            baseline = self.trials[self.plan.baseline]
            chosen = [baseline, *(t for t in missing if not t.baseline)] if baseline.state == "ok" else missing
            self.listener(
                Event("phase", "measure", grammar.runtime_text(runtime.name, runtime.options), 0, len(chosen))
            )
            by_id = {t.id: t for t in chosen}

            def on_measured(result: Measured, by_id: dict[str, Trial] = by_id, runtime: Any = runtime) -> None:
                trial = by_id[result.subject]
                self.store.save_measurement(
                    self.study, trial.id, result.measurement, key(trial, runtime), result.samples_ns
                )
                self._judge(trial.id, result)

            def on_progress(label: str, done: int, total: int) -> None:
                self.listener(Event("measured", "measure", label, done, total))

            subjects = [
                Subject(t.id, self.store.artifacts.path(t.artifact.sha256, t.artifact.kind))
                for t in chosen
                if t.artifact
            ]
            measure(
                subjects,
                [runtime],
                grid.measure,
                self.plan.baseline,
                on_measured,
                self.cancel,
                on_progress,
                grid.train.seed,
            )
            if self.cancel.is_set():
                raise Cancelled

    def _finished(self, trial: Trial) -> bool:
        if trial.state == "failed":
            return not self.request.retry_failed
        here = trial.artifact and self.store.artifacts.path(trial.artifact.sha256, trial.artifact.kind).exists()
        return trial.state == "ok" and bool(here)

    def _new(self, trial_id: str) -> Trial:
        recipe = self.plan.recipes[trial_id]
        return Trial(
            id=trial_id, recipe=grammar.recipe_text(recipe), steps=recipe.steps, baseline=trial_id == self.plan.baseline
        )

    def _save(self, trial: Trial) -> None:
        self.trials[trial.id] = trial
        self.store.save_trial(self.study, trial, self.plan.ends[trial.id], self.positions[trial.id])

    def _on_start(self, key: str) -> None:
        for trial_id in self.ids_by_stage.get(key, ()):
            self._save(self.trials[trial_id].model_copy(update={"state": "running"}))

    def _on_end(self, key: str, result: dict[str, Any]) -> None:
        for trial_id in self.ids_by_stage.get(key, ()):
            trial = self.trials[trial_id]
            if trial.state in ("ok", "failed"):
                continue
            if "error" in result:
                made = trial.model_copy(update={"state": "failed", "error": result["error"]})
            else:
                made = self._evaluated(trial, result["data"])
            self._save(made)
            self.listener(Event("trial", "build", f"{made.recipe}: {made.state}"))

    def _evaluated(self, trial: Trial, data: dict[str, Any]) -> Trial:
        conversion, notes = self._conversion(trial.id)
        made = Trial.model_validate(
            {
                **trial.to_json(),
                "state": "ok",
                "error": None,
                "artifact": {
                    **data["file"],
                    "path": str(self.store.artifacts.path(data["file"]["sha256"], data["file"]["kind"])),
                },
                "size": data["size"],
                "census": data["census"],
                "quality": data["quality"],
                "conversion": conversion,
                "warnings": data["warnings"],
            }
        )
        baseline = made if made.baseline else self.trials.get(self.plan.baseline)
        found = verdicts.after_build(made, baseline, notes)
        if self._calibrates(trial.id):
            found += self._calibration_warnings()
        return made.model_copy(update={"warnings": made.warnings + found})

    def _chain(self, trial_id: str) -> list[str]:
        """Return the keys of all stages that a trial's file went through."""
        found, stack = [], [self.plan.stages[self.plan.ends[trial_id]].parents["file"]]
        while stack:
            key = stack.pop()
            found.append(key)
            stack.extend(self.plan.stages[key].parents.values())
        return found

    def _conversion(self, trial_id: str) -> tuple[str | None, list[str]]:
        way: str | None = None
        notes: list[str] = []
        for key in self._chain(trial_id):
            result, kind = self.builder.results.get(key, {}), self.plan.stages[key].kind
            if kind in ("freeze", "convert", "finish"):
                notes += result.get("notes", [])
            if kind == "import":
                way = "imported"
            way = way or result.get("data", {}).get("conversion")
        return ("ordinary" if notes and way == "frozen" else way), notes

    def _calibrates(self, trial_id: str) -> bool:
        stages = [self.plan.stages[k] for k in self._chain(trial_id)]
        return any(s.kind == "calibrate" or (s.kind == "finish" and "samples" in s.payload) for s in stages)

    def _calibration_warnings(self) -> tuple[Warning_, ...]:
        if self.calibration is None:
            info = self.prepared.dataset
            self.calibration = calibration_warnings(
                self.store.data / info.sha256, info, self.request.grid.calibration.samples
            )
        return self.calibration

    def _judge(self, trial_id: str, result: Measured) -> None:
        trial = self.trials[trial_id]
        found = verdicts.after_measuring(result.measurement, result.narrow, trial.baseline)
        kept = tuple(
            w
            for w in trial.warnings
            if not (w.kind in verdicts.MEASURED and w.seen.startswith(verdicts.place(result.measurement)))
        )
        if kept + found != trial.warnings:
            self._save(trial.model_copy(update={"warnings": kept + found}))


def _record(request: Request, prepared: Prepared) -> StudyRecord:
    known = {s.name: s for s in request.store.studies()}
    started = (
        known[prepared.study].started
        if prepared.study in known
        else datetime.now(timezone.utc).isoformat(timespec="seconds")
    )
    return StudyRecord(
        name=prepared.study,
        model=prepared.model,
        dataset=prepared.dataset,
        signature=prepared.signature,
        grid={**request.grid.to_json(), "dropped": prepared.expansion.dropped},
        environment=environment(),
        command=request.command,
        started=started,
    )
