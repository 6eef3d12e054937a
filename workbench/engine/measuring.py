"""Timing a sweep's trials once they are built: what was measured before, what still has to be, and what it says of a trial."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

from workbench.data.materialize import open_split
from workbench.engine import warn
from workbench.engine.damage import Tell, check_data
from workbench.engine.events import Event, Listener
from workbench.engine.ledger import Ledger
from workbench.engine.request import Prepared, Request
from workbench.errors import Cancelled
from workbench.evaluate.arrays import load_arrays
from workbench.measure.environment import fingerprint, machine
from workbench.measure.looks import Samples
from workbench.measure.session import Measured, MeasureOptions, Subject, measure
from workbench.measure.watch import Watch
from workbench.recipes import grammar
from workbench.store.store import runtime_key
from workbench.values.base import digest
from workbench.values.settings import Measure
from workbench.values.trial import Measurement, RuntimeSpec, Trial


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


class SweepTiming:
    """The measuring of one sweep."""

    def __init__(
        self,
        request: Request,
        prepared: Prepared,
        ledger: Ledger,
        listener: Listener,
        cancel: threading.Event,
        tell: Tell,
    ) -> None:
        self.request, self.prepared, self.ledger = request, prepared, ledger
        self.store, self.study = request.store, prepared.study
        self.listener, self.cancel, self.tell = listener, cancel, tell
        self.machine = fingerprint()

    def wanted(self) -> bool:
        """Return whether something is still to be measured."""
        grid = self.request.grid
        return not grid.measure.skip and any(self._unmeasured(r) for r in grid.runtimes)

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
            baseline = self.ledger.baseline
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
            asked = MeasureOptions(grid.measure, baseline.id, self._samples(), seed=grid.train.seed, what=what)
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
        fit = [t for t in self.ledger.trials.values() if t.state == "ok" and t.artifact]

        def found(trial: Trial) -> bool:
            known = done.get((trial.id, name)) in [self._key(trial, runtime, p) for p in profiles]
            return known and not cut_shorter(trial, runtime, self.request.grid.measure, len(fit))

        return [t for t in fit if not found(t)]

    def _samples(self) -> Samples:
        """Return the test split, and what the float baseline makes of it, to look at a runtime's outputs with."""
        info = self.prepared.dataset
        check_data(self.store, info)
        split = open_split(self.store.data / info.sha256, "test")
        artifact = (self.store.stage(self.ledger.plan.ends[self.ledger.plan.baseline]) or {}).get("artifact")
        path = self.store.artifacts.path(artifact["sha256"], artifact["kind"]) if artifact else None
        baseline = load_arrays(path) if path and path.exists() else {}
        first = self.prepared.signature.outputs[0].name
        labels = {name or first: y for name, y in split.targets.items()}
        return Samples(split.inputs, labels, self.prepared.tasks, baseline)

    def _judge(self, trial_id: str, result: Measured) -> None:
        trial = self.ledger.trials[trial_id]
        file = Path(trial.artifact.path) if trial.artifact else None
        found = warn.after_measuring(result.measurement, result.narrow, trial.baseline, file)
        kept = tuple(w for w in trial.warnings if not warn.replaced(w, result.measurement))
        if kept + found != trial.warnings:
            self.ledger.save(trial.model_copy(update={"warnings": kept + found}))


def _of_damaged(result: Measured) -> Measured:
    """Return what is kept of a measurement whose file was damaged meanwhile: that it was."""
    was = result.measurement
    error = "its file was damaged in the store while it was measured; run the same sweep again, which builds and measures it anew"
    failed = Measurement(
        runtime=was.runtime, options=was.options, kind=was.kind, machine=was.machine, state="failed", error=error
    )
    return dataclasses.replace(result, measurement=failed, samples_ns=None)
