"""From recipes to a plan: which stages each needs, what goes into them, and what a trial's settings are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench import registry
from workbench.engine.plan import TRIAL_DIGITS, Plan
from workbench.recipes import grammar
from workbench.recipes.grid import Grid
from workbench.sources.base import ConvertedSource
from workbench.techniques.base import Finisher, KerasTechnique, Promise
from workbench.values.recipe import Recipe, Step
from workbench.values.source import DatasetInfo, ModelInfo
from workbench.values.task import TaskSpec
from workbench.values.trial import TrialSettings


def make_plan(
    recipes: tuple[Recipe, ...],
    model: ModelInfo,
    dataset: DatasetInfo,
    grid: Grid,
    tasks: Mapping[str, TaskSpec],
    threads: int,
) -> Plan:
    """Return the plan of a sweep; the float baseline is always in it, first. `tasks` by output name say what labels mean."""
    planner = Planner(model, dataset, grid, tasks, threads)
    for recipe in (float_baseline(), *recipes):
        planner.add(recipe)
    return planner.plan


def float_baseline() -> Recipe:
    """Return the recipe that all others are evaluated against."""
    return Recipe(steps=(grammar.make_step("quantize", {"scheme": "float32"}),))


class Planner:
    """Adds recipes to a plan, one by one, whenever they come; the first one is the baseline."""

    def __init__(
        self, model: ModelInfo, dataset: DatasetInfo, grid: Grid, tasks: Mapping[str, TaskSpec], threads: int
    ) -> None:
        self.plan = Plan(threads)
        self.model, self.dataset, self.grid = model, dataset, grid
        kinds = {o: registry.tasks.get(t.name) for o, t in tasks.items()}
        self.tasks = [
            {"output": o, "name": t.name, "options": t.options, "reads": list(t.reads), "version": kinds[o].version}
            for o, t in tasks.items()
        ]
        packed = {o: k.pack(k.params.model_validate(tasks[o].options)) for o, k in kinds.items()}
        self.packed = {o: content for o, content in packed.items() if content is not None}
        # Where a stage opens the source, the others know that stage instead.
        self.opened = add_opening(self.plan, model)
        self.source = {} if self.opened else source_identity(model)

    def add(self, recipe: Recipe) -> str:
        """Add the stages of a recipe that are not in the plan yet, and return the id of its trial."""
        text = grammar.recipe_text(recipe)
        finish = self._finish(recipe)
        trial = finish[:TRIAL_DIGITS]
        if trial in self.plan.ends:
            return trial
        promise = _promise(recipe.prefix)
        self.plan.baseline = self.plan.baseline or trial
        is_baseline = trial == self.plan.baseline
        identity = {
            "dataset": self.dataset.sha256,
            "recipe": recipe.to_json(),
            "scheme": str(recipe.steps[-1].params.get("scheme", "")),
            "sparsity": promise.sparsity,
            "clusters": promise.clusters,
            "tasks": self.tasks,
        }
        parents = {"file": finish}
        if not is_baseline:
            parents["baseline"] = self.plan.ends[self.plan.baseline]
        self.plan.recipes[trial] = recipe
        self.plan.settings[trial] = self._settings(finish)
        self.plan.ends[trial] = self.plan.add(
            "evaluate", f"evaluate {text}", identity, {"packed": self.packed} if self.packed else {}, parents
        )
        return trial

    def _settings(self, finish: str) -> TrialSettings:
        chain = self.plan.chain(finish)
        trained = [s for s in chain if s.kind == "train"]
        drawn = any(s.kind == "calibrate" or (s.kind == "finish" and "samples" in s.identity) for s in chain)
        return TrialSettings(
            train=self.grid.train if trained else None,
            calibration=self.grid.calibration if drawn else None,
            seed=self.grid.train.seed if trained or drawn else None,
            threads=self.plan.threads if any(s.threads for s in chain) else None,
            tools=dict(sorted({tool: v for s in chain for tool, v in s.tools.items()}.items())),
        )

    def _finish(self, recipe: Recipe) -> str:
        step, before = recipe.steps[-1], recipe.prefix
        technique, params = grammar.resolve(step)
        if not isinstance(technique, Finisher):
            raise TypeError(f"{step.technique} does not finish a recipe")
        needs = technique.needs(params, before)
        parents: dict[str, str] = {}
        identity: dict[str, Any] = {
            "step": _full(step, params),
            "version": technique.version,
            "before": [s.to_json() for s in before],
        }
        payload: dict[str, Any] = {}
        if needs.float_model or needs.calibration:
            parents["float_model"] = self._float_model(before)
        if needs.saved_model:
            parents["saved_model"] = self._saved_model(before)
            parents.update(self._keras_parent(before))
        if needs.calibration:
            parents["calibration"] = self._calibration(before)
        if needs.samples:
            identity.update(self._samples())
        tools = technique.tools_of(params, before)
        return self.plan.add(
            "finish", f"write {grammar.recipe_text(recipe)}", identity, {**payload, **self._info()}, parents, tools
        )

    def _calibration(self, before: tuple[Step, ...]) -> str:
        parents = {"float_model": self._float_model(before)}
        return self.plan.add("calibrate", f"calibrate {_prefix(before)}", self._samples(), {}, parents)

    def _samples(self) -> dict[str, Any]:
        return {"dataset": self.dataset.sha256, "samples": self.grid.calibration.samples, "seed": self.grid.train.seed}

    def _float_model(self, before: tuple[Step, ...]) -> str:
        if self.model.kind == "tflite":
            return self.plan.add("import", f"import {self.model.name}", self.source, self._info(), self.opened)
        return self._from_keras("convert", before)

    def _saved_model(self, before: tuple[Step, ...]) -> str:
        if before and _aware(before[-1]):
            return self._trained(before)
        return self._from_keras("freeze", before)

    def _from_keras(self, kind: str, before: tuple[Step, ...]) -> str:
        """Add a stage that starts from the last trained model, or from the source where nothing was trained."""
        parents = self._keras_parent(before)
        identity = {"before": [s.to_json() for s in before]} if parents else self.source
        return self.plan.add(kind, f"{kind} {_prefix(before)}", identity, self._info(), parents)

    def _keras_parent(self, before: tuple[Step, ...]) -> dict[str, str]:
        """Return the trained stage that the steps end in, else the one that opens the source, nothing where the source itself is meant."""
        return {"keras": self._trained(before)} if before else self.opened

    def _trained(self, before: tuple[Step, ...]) -> str:
        step, earlier = before[-1], before[:-1]
        technique, params = grammar.resolve(step)
        if not isinstance(technique, KerasTechnique):
            raise TypeError(f"{step.technique} does not work on a Keras model")
        identity = {
            "step": _full(step, params),
            "version": technique.version,
            "before": [s.to_json() for s in earlier],
            "train": self.grid.train.to_json(),
            "tasks": self.tasks,
            "dataset": self.dataset.sha256,
            **({} if earlier else self.source),
        }
        parents = self._keras_parent(earlier)
        return self.plan.add("train", f"train {_prefix(before)}", identity, self._info(), parents, technique.tools)

    def _info(self) -> dict[str, Any]:
        return {"source": self.model.to_json()}


def add_opening(plan: Plan, model: ModelInfo) -> dict[str, str]:
    """Add the stage that makes a source the kind that others start from, and return it by its role; nothing where it is one."""
    source = registry.sources.get(model.opener)
    if not isinstance(source, ConvertedSource):
        return {}
    identity = {**source_identity(model), "opener": source.name, "version": source.version}
    return {"source": plan.add("open", f"open {model.name}", identity, {"source": model.to_json()}, tools=source.tools)}


def add_describing(plan: Plan, model: ModelInfo) -> str:
    """Add the stage that loads a model to tell its inputs and outputs, with what it needs, and return its key."""
    tools = registry.sources.get(model.kind).tools
    payload = {"source": model.to_json()}
    return plan.add("describe", f"read {model.name}", source_identity(model), payload, add_opening(plan, model), tools)


def source_identity(model: ModelInfo) -> dict[str, Any]:
    """Return what tells a source from others in the keys of stages that start from it."""
    chosen = {"signature": model.signature} if model.signature else {}
    return {"model": model.sha256, "kind": model.kind, **chosen}


def _aware(step: Step) -> bool:
    technique, _ = grammar.resolve(step)
    return isinstance(technique, KerasTechnique) and technique.quantization_aware


def _full(step: Step, params: Any) -> dict[str, Any]:
    return {"technique": step.technique, "params": params.to_json()}


def _prefix(before: tuple[Step, ...]) -> str:
    return "+".join(grammar.step_text(s) for s in before) or "the model"


def _promise(before: tuple[Step, ...]) -> Promise:
    sparsity: float | None = None
    clusters: int | None = None
    for step in before:
        technique, params = grammar.resolve(step)
        if isinstance(technique, KerasTechnique):
            promise = technique.promise(params)
            sparsity = promise.sparsity if promise.sparsity is not None else sparsity
            clusters = promise.clusters if promise.clusters is not None else clusters
    return Promise(sparsity, clusters)
