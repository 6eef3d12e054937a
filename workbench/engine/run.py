"""One sweep while it runs: how stage results become trials, and trials get measured."""

from __future__ import annotations

import dataclasses
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.data.materialize import calibration_warnings, open_split
from workbench.engine import verdicts
from workbench.engine.build import Builder
from workbench.engine.damage import Tell, check_data
from workbench.engine.events import Event, Listener
from workbench.engine.plan import Plan
from workbench.engine.pool import Pool
from workbench.engine.request import Prepared, Request
from workbench.engine.search import search
from workbench.errors import Cancelled
from workbench.evaluate.arrays import load_arrays
from workbench.measure.environment import fingerprint, machine
from workbench.measure.looks import Samples
from workbench.measure.session import Asked, Measured, Subject, measure
from workbench.measure.watch import Watch
from workbench.recipes import grammar
from workbench.store.store import runtime_key
from workbench.values.base import digest
from workbench.values.profile import StageTime
from workbench.values.settings import Measure
from workbench.values.trial import Measurement, RuntimeSpec, Trial
from workbench.values.warning import Warning_


def measurement_key(
    artifact: str, runtime: RuntimeSpec, where: dict[str, Any], settings: Measure, profile: bool
) -> str:
    """Return the hash of all that makes two measurements the same: file, runtime, machine, and how it was measured."""
    how = settings.model_dump(exclude={"budget", "wait", "skip", "profile"})
    asked = {"profile": True} if profile else {}
    return digest({"artifact": artifact, "runtime": runtime.to_json(), "machine": where, "settings": how, **asked})


def cut_shorter(trial: Trial, runtime: RuntimeSpec, settings: Measure, count: int) -> bool:
    """Return whether a budget smaller than that of `settings` for `count` trials cut short what the store has of a trial."""
    each_s = 1.0 if settings.budget is None else settings.budget / max(1, count)
    where = (runtime.name, runtime.options, machine().id)
    here = [m.latency_ms for m in trial.measurements if (m.runtime, m.options, m.machine) == where]
    # Of shares that differ by rounding neither is smaller.
    return any(found and found.budget_s is not None and found.budget_s < 0.99 * each_s for found in here)


class Run:
    """One sweep while it runs: trials by id, and how stage results become trials."""

    def __init__(
        self,
        request: Request,
        prepared: Prepared,
        plan: Plan,
        listener: Listener,
        cancel: threading.Event,
        tell: Tell,
    ) -> None:
        self.request, self.prepared, self.plan = request, prepared, plan
        self.store, self.study = request.store, prepared.study
        self.listener, self.cancel, self.tell = listener, cancel, tell
        self.ids_by_stage: dict[str, list[str]] = defaultdict(list)
        for trial_id, key in plan.ends.items():
            self.ids_by_stage[key].append(trial_id)
        known = {t.id: t for t in self.store.trials(self.study)}
        keys = self.store.trial_keys(self.study)
        # What is swept now comes last, so that of two that are alike it is the one that its recipe names.
        others = [i for i in known if i not in plan.ends]
        self.positions = {t: n for n, t in enumerate([*others, *plan.ends])}
        self.moved = any(known[i].steps in {r.steps for r in plan.recipes.values()} for i in others)
        self.trials = {
            # A row that cannot be read has a key, but is not known.
            i: self._known(known[i]) if i in known and keys.get(i) == key and self._finished(known[i]) else self._new(i)
            for i, key in plan.ends.items()
        }
        self.machine = fingerprint()
        self.calibration: tuple[Warning_, ...] | None = None
        self.times: list[StageTime] = []
        self.reused: set[str] = set()
        self.ran: set[str] = set()

    def build(self, pool: Callable[[bool], Pool]) -> None:
        """Make, check and evaluate the artifacts that the store does not have yet: all of the grid, or those a search chooses.

        What was damaged meanwhile is made once more.
        """
        if self.moved:
            rows = [(t, self.plan.ends[i], self.positions[i]) for i, t in self.trials.items()]
            self.store.save_trials(self.study, [r for r in rows if r[0].state != "pending"])
        self._choose(pool)
        lost = [i for i, t in self.trials.items() if t.state == "ok" and not self.store.intact(t.artifact)]
        if lost:
            self.trials.update({i: self._new(i) for i in lost})
            self._build(pool, lost)
        if not self.request.grid.measure.skip:
            self._keep_outputs(pool)
        self.tell("build")

    def _choose(self, pool: Callable[[bool], Pool]) -> None:
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
        self._run(pool, list(dict.fromkeys([self.plan.ends[self.plan.baseline], *(self.plan.ends[i] for i in open_)])))

    def _keep_outputs(self, pool: Callable[[bool], Pool]) -> None:
        """Have the baseline's outputs, which a runtime's are held against, where they are gone while its file is not."""
        end = self.plan.ends[self.plan.baseline]
        gone = self.trials[self.plan.baseline].state == "ok" and self.store.stage(end) is None
        if gone and any(self._unmeasured(r) for r in self.request.grid.runtimes):
            self._run(pool, [end])

    def _run(self, pool: Callable[[bool], Pool], wanted: list[str]) -> None:
        limit = self.request.grid.limits.stage_seconds
        self.builder = Builder(
            self.plan,
            self.store,
            pool,
            self.request.workers,
            limit,
            self.listener,
            self.cancel,
            self.prepared.dataset,
        )
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
        watch = Watch(
            self.cancel,
            lambda label, done, total: self.listener(Event("measured", "measure", label, done, total)),
            lambda text: self.listener(Event("waiting", "measure", text)),
        )
        for runtime in grid.runtimes:
            missing = self._unmeasured(runtime)
            if not missing:
                continue
            baseline = self.trials[self.plan.baseline]
            chosen = [baseline, *(t for t in missing if not t.baseline)] if baseline.state == "ok" else missing
            self.listener(
                Event("phase", "measure", grammar.runtime_text(runtime.name, runtime.options), 0, len(chosen))
            )
            by_id = {t.id: t for t in chosen}

            def on_measured(result: Measured, by_id: dict[str, Trial] = by_id, runtime: RuntimeSpec = runtime) -> None:
                trial = by_id[result.subject]
                key = self._key(trial, runtime, grid.measure.profile)
                if not self.store.intact(trial.artifact):
                    self.tell("measure")
                    # Under no key, so that the next sweep measures it once its file is there again.
                    result, key = _of_damaged(result), ""
                self.store.save_measurement(self.study, trial.id, result.measurement, key, result.samples_ns)
                self._judge(trial.id, result)

            subjects = [
                Subject(t.id, self.store.artifacts.path(t.artifact.sha256, t.artifact.kind))
                for t in chosen
                if t.artifact
            ]
            what = f"study {self.study}"
            asked = Asked(grid.measure, self.plan.baseline, self._samples(), seed=grid.train.seed, what=what)
            hosts = self.request.engine.hosts() if self.request.engine else None
            measure(subjects, [runtime], asked, on_measured, watch, hosts)
            if self.cancel.is_set():
                raise Cancelled

    def _key(self, trial: Trial, runtime: RuntimeSpec, profile: bool) -> str:
        sha = trial.artifact.sha256 if trial.artifact else ""
        return measurement_key(sha, runtime, self.machine, self.request.grid.measure, profile)

    def _unmeasured(self, runtime: RuntimeSpec) -> list[Trial]:
        """Return the trials that are ok and were not measured on a runtime as they are to be."""
        done = self.store.measurement_keys(self.study, machine().id)
        name = runtime_key(runtime.name, runtime.options)
        # One that was measured with its operators' times serves a sweep that does not ask for them.
        profiles = (True,) if self.request.grid.measure.profile else (False, True)
        fit = [t for t in self.trials.values() if t.state == "ok" and t.artifact]

        def found(trial: Trial) -> bool:
            known = done.get((trial.id, name)) in [self._key(trial, runtime, p) for p in profiles]
            return known and not cut_shorter(trial, runtime, self.request.grid.measure, len(fit))

        return [t for t in fit if not found(t)]

    def _samples(self) -> Samples:
        """Return the test split, and what the float baseline makes of it, to look at a runtime's outputs with."""
        info = self.prepared.dataset
        check_data(self.store, info)
        split = open_split(self.store.data / info.sha256, "test")
        artifact = (self.store.stage(self.plan.ends[self.plan.baseline]) or {}).get("artifact")
        path = self.store.artifacts.path(artifact["sha256"], artifact["kind"]) if artifact else None
        baseline = load_arrays(path) if path and path.exists() else {}
        first = self.prepared.signature.outputs[0].name
        labels = {name or first: y for name, y in split.targets.items()}
        return Samples(split.inputs, labels, self.prepared.tasks, baseline)

    def _finished(self, trial: Trial) -> bool:
        if trial.state == "failed":
            return not self.request.options.retry_failed
        return trial.state == "ok" and self.store.intact(trial.artifact)

    def _known(self, trial: Trial) -> Trial:
        """Return a trial of an earlier sweep as one of this sweep."""
        return trial.model_copy(update={"baseline": trial.id == self.plan.baseline})

    def _new(self, trial_id: str) -> Trial:
        recipe = self.plan.recipes[trial_id]
        return Trial(
            id=trial_id,
            recipe=grammar.recipe_text(recipe),
            settings=self.plan.settings[trial_id],
            steps=recipe.steps,
            baseline=trial_id == self.plan.baseline,
            against=self.plan.baseline,
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
        return [s.key for s in self.plan.chain(self.plan.stages[self.plan.ends[trial_id]].parents["file"])]

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
        file = Path(trial.artifact.path) if trial.artifact else None
        found = verdicts.after_measuring(result.measurement, result.narrow, trial.baseline, file)
        kept = tuple(w for w in trial.warnings if not verdicts.replaced(w, result.measurement))
        if kept + found != trial.warnings:
            self._save(trial.model_copy(update={"warnings": kept + found}))


def _of_damaged(result: Measured) -> Measured:
    """Return what is kept of a measurement whose file was damaged meanwhile: that it was."""
    was = result.measurement
    error = "its file was damaged in the store while it was measured; run the same sweep again, which builds and measures it anew"
    failed = Measurement(
        runtime=was.runtime, options=was.options, kind=was.kind, machine=was.machine, state="failed", error=error
    )
    return dataclasses.replace(result, measurement=failed, samples_ns=None)
