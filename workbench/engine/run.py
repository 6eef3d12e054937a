"""One sweep while it builds: who chooses recipes, how the plan grows by them, and how stage results become trials."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from workbench.data.calibration import calibration_warnings
from workbench.engine import warn
from workbench.engine.build import Builder, Growth
from workbench.engine.choosing import AHEAD, Chooser, most_trials
from workbench.engine.damage import Tell
from workbench.engine.events import Event, Listener
from workbench.engine.ledger import Ledger
from workbench.engine.planning import float_baseline
from workbench.engine.pool import Pool
from workbench.engine.preflight import add_survey, answer, asked_of, lines
from workbench.engine.proposers.base import Space
from workbench.engine.request import Prepared, Request
from workbench.values.preflight import Surveyed
from workbench.values.profile import StageTime
from workbench.values.recipe import Recipe
from workbench.values.trial import Trial
from workbench.values.warning import Warning_


class Run:
    """The building of one sweep."""

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
        self.store, self.plan = request.store, ledger.plan
        self.listener, self.cancel, self.tell = listener, cancel, tell
        self.calibration: tuple[Warning_, ...] | None = None
        self.times: list[StageTime] = []
        self.reused: set[str] = set()
        self.ran: set[str] = set()

    def build(self, pool: Callable[[bool], Pool]) -> None:
        """Make, check and evaluate the artifacts of all recipes that are chosen, but those that the store has.

        What was damaged meanwhile is made once more. Raises WorkbenchError where choosing failed, once all that was chosen is built.
        """
        chooser = self._chooser()
        growth = _Chosen(chooser, self.ledger)
        # With the first ones, so that no worker waits for the baseline alone.
        wanted = self.ledger.add([float_baseline(), *growth.recipes()])
        if any(self._calibrates(i) for i in wanted):
            self._calibration_warnings()  # told before the first sample is run
        self._plan_survey(growth)
        self._build(pool, wanted, growth)
        self.ledger.settle()
        lost = [t.id for t in self.ledger.trials.values() if t.state == "ok" and not self.store.intact(t.artifact)]
        if lost:
            self.ledger.renew(lost)
            self._build(pool, lost)
        self.tell("build")
        if chooser.error:
            raise chooser.error

    def _chooser(self) -> Chooser:
        grid, recipes, baseline = self.request.grid, self.prepared.expansion.recipes, float_baseline()
        others = tuple(r for r in recipes if r.id != baseline.id)
        space = Space(
            source=self.prepared.model.kind,
            axes=grid.axes,
            recipes=others,
            baseline=baseline,
            trials=most_trials(grid.search, len(others)),
            limits=grid.constraints,
            seed=grid.search.seed,
            unfit=self.prepared.unfit,
        )
        return Chooser(grid.search, space, AHEAD * self.request.workers, grid.limits.stage_seconds, self.cancel)

    def _build(self, pool: Callable[[bool], Pool], open_: list[str], growth: Growth | None = None) -> None:
        if open_:
            more = f" so far, of at most {len(self.ledger.trials) + growth.left}" if growth and growth.left else ""
            label = f"{len(open_)} of {len(self.ledger.trials)} recipes{more}"
            self.listener(Event("phase", "build", label, 0, len(open_)))
        wanted = [self.plan.baseline, *open_] if open_ else []
        survey = [self.plan.survey] if open_ and self.plan.survey else []
        self._run(pool, survey + list(dict.fromkeys(self.ledger.ends(wanted))), growth)

    def keep_outputs(self, pool: Callable[[bool], Pool], wanted: Callable[[], bool]) -> None:
        """Have the baseline's outputs, which a runtime's are held against, where they are gone while its file is not, and are wanted."""
        end = self.plan.ends[self.plan.baseline]
        if self.ledger.baseline.state == "ok" and self.store.stage(end) is None and wanted():
            self._run(pool, [end])

    def _run(self, pool: Callable[[bool], Pool], wanted: list[str], growth: Growth | None = None) -> None:
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
            self.builder.run(wanted, self._on_start, self._on_end, growth)
        finally:
            self.times += self.builder.times
            self.reused |= self.builder.found - self.ran
            self.ran |= self.builder.ready_at.keys()
            for trial in [t for t in self.ledger.trials.values() if t.state == "running"]:
                # Only where the sweep was stopped: what was under way waits for the next one.
                self.ledger.save(trial.model_copy(update={"state": "pending"}))

    def _on_start(self, key: str) -> None:
        for trial_id in self.ledger.ids_by_stage.get(key, ()):
            self.ledger.save(self.ledger.trials[trial_id].model_copy(update={"state": "running"}))

    def _plan_survey(self, growth: _Chosen) -> None:
        """Have the techniques that may train asked what they will leave, where any of it is still to be done; nothing is where none trains."""
        trains = [k for k, s in self.plan.stages.items() if s.kind == "train"]
        asked = asked_of(self.prepared.expansion.recipes)
        if asked.chains and (growth.left or len(self.store.stages(trains)) < len(trains)):
            self.plan.survey = add_survey(self.plan, self.prepared.model, asked)

    def _tell_survey(self, result: dict[str, Any]) -> None:
        """Tell what asked techniques will not reach, before they train."""
        if "error" in result:
            said = [f"what training will leave untouched is not known: {result['error']}"]
        else:
            model, asked = self.prepared.model, asked_of(self.prepared.expansion.recipes)
            said = lines(answer(model, asked, Surveyed.model_validate(result["data"])))
        for line in said:
            self.listener(Event("told", "build", line))

    def _on_end(self, key: str, result: dict[str, Any]) -> None:
        if key == self.plan.survey:
            self._tell_survey(result)
        for trial_id in self.ledger.ids_by_stage.get(key, ()):
            trial = self.ledger.trials[trial_id]
            if trial.state in ("ok", "failed"):
                continue
            if "error" in result:
                made = trial.model_copy(update={"state": "failed", "error": result["error"]})
            else:
                made = self._evaluated(trial, result["data"])
            self.ledger.save(made)
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
        baseline = made if made.baseline else self.ledger.baseline
        made = made.model_copy(update={"warnings": made.warnings + self._unfolded(trial)})
        found = warn.after_build(made, baseline, notes) + self._left(trial.id)
        if self._calibrates(trial.id):
            found += self._calibration_warnings()
        return made.model_copy(update={"warnings": warn.explained(made.warnings, made.recipe) + found})

    def _unfolded(self, trial: Trial) -> tuple[Warning_, ...]:
        """Return what the file that all start from holds otherwise than the source; said once, of the baseline."""
        chain = self.ledger.chain(trial.id) if trial.baseline else []
        data = [self.builder.results.get(k, {}).get("data", {}) for k in chain if self.plan.stages[k].kind == "import"]
        return warn.of_import(data[0].get("unfolded", {})) if data else ()

    def _conversion(self, trial_id: str) -> tuple[str | None, list[str]]:
        way: str | None = None
        notes: list[str] = []
        for key in self.ledger.chain(trial_id):
            result, kind = self.builder.results.get(key, {}), self.plan.stages[key].kind
            if kind in ("freeze", "convert", "finish"):
                notes += result.get("notes", [])
            if kind == "import":
                way = "imported"
            way = way or result.get("data", {}).get("conversion")
        return ("ordinary" if notes and way == "frozen" else way), notes

    def _left(self, trial_id: str) -> tuple[Warning_, ...]:
        """Return what the trained steps of a trial did not reach."""
        data = [self.builder.results.get(key, {}).get("data", {}) for key in self.ledger.chain(trial_id)]
        return tuple(warn.left_layers(name, left) for d in data for name, left in d.get("left", {}).items())

    def _calibrates(self, trial_id: str) -> bool:
        stages = [self.plan.stages[k] for k in self.ledger.chain(trial_id)]
        return any(s.kind == "calibrate" or (s.kind == "finish" and "samples" in s.payload) for s in stages)

    def _calibration_warnings(self) -> tuple[Warning_, ...]:
        if self.calibration is None:
            info, grid = self.prepared.dataset, self.request.grid
            folder = self.store.data / info.sha256
            self.calibration = calibration_warnings(folder, info, grid.calibration.samples, grid.train.seed)
            for found in self.calibration:
                self.listener(Event("told", "build", f"{found.kind}: {found.seen}"))
        return self.calibration


class _Chosen(Growth):
    """A plan grows by what is chosen."""

    def __init__(self, chooser: Chooser, ledger: Ledger) -> None:
        self.chooser, self.ledger = chooser, ledger

    @property
    def left(self) -> int:
        """How many more recipes may come."""
        return self.chooser.left

    def more(self) -> list[str]:
        """Return the ends of what is to be built of further recipes; those that were built before may bring more at once."""
        wanted: list[str] = []
        while recipes := self.recipes():
            wanted += self.ledger.ends(self.ledger.add(recipes))
        return wanted

    def recipes(self) -> list[Recipe]:
        """Return further recipes, none where results have to come first."""
        return self.chooser.recipes(self._ended)

    def _ended(self, recipe: Recipe) -> Trial | None:
        trial = self.ledger.of(recipe)
        # The baseline is out before it is added: with the first ones.
        return trial if trial and trial.state in ("ok", "failed") else None
