"""The trials of one sweep: which there are by now, what is known of them from before, and how they are written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from workbench.engine.planning import Planner
from workbench.recipes import grammar
from workbench.store.store import Store
from workbench.values.recipe import Recipe
from workbench.values.trial import Trial


class Ledger:
    """Trials by id in the order in which their recipes were added; each is written as it changes."""

    def __init__(self, store: Store, study: str, planner: Planner, retry_failed: bool) -> None:
        self.store, self.study, self.retry_failed = store, study, retry_failed
        self.planner, self.plan = planner, planner.plan
        self.trials: dict[str, Trial] = {}
        self.ids_by_stage: dict[str, list[str]] = defaultdict(list)
        self._ids: dict[str, str] = {}
        self._positions: dict[str, int] = {}
        self._before = {t.id: t for t in store.trials(study)}
        self._keys = store.trial_keys(study)
        self._first: int | None = None

    @property
    def baseline(self) -> Trial:
        """The float baseline, which is added first."""
        return self.trials[self.plan.baseline]

    def of(self, recipe: Recipe) -> Trial | None:
        """Return the trial of a recipe, None before it was added."""
        return self.trials.get(self._ids.get(recipe.id, ""))

    def add(self, recipes: Sequence[Recipe]) -> list[str]:
        """Plan recipes, and return the ids of those trials that are still to be built, which are written as pending."""
        added: list[str] = []
        for recipe in recipes:
            trial_id = self._ids[recipe.id] = self.planner.add(recipe)
            if trial_id not in self._positions:
                added.append(trial_id)
                self._positions[trial_id] = len(self._positions)
                self.ids_by_stage[self.plan.ends[trial_id]].append(trial_id)
                self.trials[trial_id] = self._known(trial_id) or self._new(trial_id)
        others = self._others()
        if self._first is None:
            self._first = len(others)
        alike = {t.steps for t in others}
        found = [self.trials[i] for i in added]
        if any(t.steps in alike for t in found):
            self._write(t for t in found if t.state != "pending")
        self._write(t for t in found if t.state == "pending")
        return [t.id for t in found if t.state == "pending"]

    def settle(self) -> None:
        """Write trials in their places once no more come: some of those that were there before may have been added late."""
        first = len(self._others())
        if first != self._first:
            self._first = first
            self._write(self.trials.values())

    def renew(self, ids: Sequence[str]) -> None:
        """Forget what is known of trials, which are to be built once more."""
        self.trials.update({i: self._new(i) for i in ids})
        self._write(self.trials[i] for i in ids)

    def save(self, trial: Trial) -> None:
        """Keep a trial as it is now."""
        self.trials[trial.id] = trial
        self._write([trial])

    def ends(self, ids: Iterable[str]) -> list[str]:
        """Return the keys of the stages that end trials."""
        return [self.plan.ends[i] for i in ids]

    def chain(self, trial_id: str) -> list[str]:
        """Return the keys of all stages that a trial's file goes through."""
        return [s.key for s in self.plan.chain(self.plan.stages[self.plan.ends[trial_id]].parents["file"])]

    def _others(self) -> list[Trial]:
        """Return the trials of earlier sweeps that are none of this one.

        What is swept now comes after them, so that of two that are alike it is the one that its recipe names.
        """
        return [t for i, t in self._before.items() if i not in self.plan.ends]

    def _write(self, trials: Iterable[Trial]) -> None:
        first = self._first or 0
        rows = [(t, self.plan.ends[t.id], first + self._positions[t.id]) for t in trials]
        if rows:
            self.store.save_trials(self.study, rows)

    def _known(self, trial_id: str) -> Trial | None:
        """Return a trial of an earlier sweep as one of this sweep, where it need not be built again."""
        # A row that cannot be read has a key, but is not known.
        known = self._before.get(trial_id)
        if known is None or self._keys.get(trial_id) != self.plan.ends[trial_id] or not self._finished(known):
            return None
        return known.model_copy(update={"baseline": trial_id == self.plan.baseline})

    def _finished(self, trial: Trial) -> bool:
        if trial.state == "failed":
            return not self.retry_failed
        return trial.state == "ok" and self.store.intact(trial.artifact)

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
