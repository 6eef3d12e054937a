"""What a sweep is asked to do, and the checks that come before anything runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench import registry
from workbench.data.dataset import Dataset
from workbench.data.load import load_dataset, takes_shape
from workbench.data.materialize import check_fit, feeding_of, materialize
from workbench.engine.build import Builder
from workbench.engine.engine import Engine
from workbench.engine.events import Event, Listener
from workbench.engine.options import SweepOptions
from workbench.engine.plan import Plan
from workbench.engine.planning import add_describing
from workbench.engine.pool import Pool, available_cores
from workbench.errors import WorkbenchError, shown
from workbench.names import printable
from workbench.recipes import grammar
from workbench.recipes.grid import Expansion, Grid, expand, parse_grid, parse_runtimes
from workbench.recipes.task import choose_tasks, parse_tasks
from workbench.sources.glance import glance
from workbench.sources.identify import identify
from workbench.sources.signatures import choose, every, named
from workbench.store.store import Store
from workbench.techniques.base import KerasTechnique
from workbench.values.recipe import Recipe
from workbench.values.settings import MOST_SEED, Search
from workbench.values.source import DatasetInfo, ModelInfo, Signature
from workbench.values.study import StudyRecord
from workbench.values.task import TaskSpec
from workbench.values.trial import RuntimeSpec

MOST_CHARACTERS = 200


@dataclass
class Request:
    """A sweep as asked for; `model` and `data` as the Python API takes them, `grid` with the options' runtimes and seed."""

    model: Any
    data: Any
    grid: Grid
    store: Store
    options: SweepOptions = field(default_factory=SweepOptions)
    command: str = ""
    engine: Engine | None = None

    @property
    def workers(self) -> int:
        """Worker processes: the engine's, or as many as cores unless said otherwise."""
        return self.engine.jobs if self.engine else self.options.jobs or available_cores()


@dataclass(frozen=True)
class Prepared:
    """A checked sweep: what is known of model and data, and the recipes that will be made."""

    model: ModelInfo
    dataset: DatasetInfo
    signature: Signature
    tasks: dict[str, TaskSpec]
    expansion: Expansion
    study: str
    untrainable: str | None = None

    def unfit(self, recipe: Recipe) -> str | None:
        """Return why a recipe cannot be made of this model and data, or None."""
        reason = grammar.check_recipe(recipe, self.model.kind)
        if reason or self.untrainable is None or not _trains(recipe):
            return reason
        return f"{grammar.recipe_text(recipe)!r} fine-tunes, but {self.untrainable}"


def make_grid(grid: Any, runtimes: Any, seed: int | None) -> Grid:
    """Return the grid with its runtimes (argument, else grid, else `xnnpack`) and seed; everything checked by name."""
    made = parse_grid(grid)
    chosen = parse_runtimes(runtimes) if runtimes else made.runtimes or parse_runtimes(["xnnpack"])
    updates: dict[str, Any] = {"runtimes": chosen}
    if seed is not None:
        if seed < 0:
            raise WorkbenchError(f"seed {shown(seed)} is negative. Allowed: 0 and up.")
        if seed > MOST_SEED:
            raise WorkbenchError(f"seed {shown(seed)} is too large. Allowed: 0 to {MOST_SEED}.")
        updates["train"] = made.train.model_copy(update={"seed": seed})
    return made.model_copy(update=updates)


def prepare(request: Request, pool: Callable[[bool], Pool], listener: Listener, cancel: threading.Event) -> Prepared:
    """Check everything that can be checked before a stage runs; the model is described in a worker.

    Raises WorkbenchError for the first thing that is wrong.
    """
    data = request.data
    # What does not have to know the model's input is read while the model's file is.
    with ThreadPoolExecutor(1) as reader:
        reading = None if takes_shape(data) else reader.submit(load_dataset, data, None, request.store.data)
        model = identify(request.model, request.store.models, request.options.allow_code)
        expansion = expand(request.grid, model.kind)
        _check_proposer(request.grid.search)
        asked = parse_tasks(request.options.task, request.options.allow_code)
        if not request.grid.measure.skip:
            check_runtimes(request.grid.runtimes)
        data = reading.result() if reading else data
    signature = signature_of(model, request, pool, listener, cancel)
    options = request.options
    shape = named(signature, options.signature, model.name).inputs[0].shape
    dataset = data if isinstance(data, Dataset) else load_dataset(data, shape, request.store.data)
    several = bool(signature.others)
    signature = choose(signature, options.signature, model.name, dataset.name, dataset.test.shapes)
    if several:
        model = model.model_copy(update={"signature": signature.key})
        listener(Event("told", "prepare", f"signature {printable(signature.key)} of {model.name}"))
    untrainable = _untrainable(dataset)
    trained = next((r for r in expansion.recipes if _trains(r)), None)
    if untrainable and trained:
        raise WorkbenchError(
            f"{untrainable}, which {grammar.recipe_text(trained)!r} fine-tunes on. {_ADD[dataset.train is None]}, or use post-training schemes only."
        )
    labels = dataset.label_infos
    if labels and any(not t.shape for t in signature.outputs):
        # The file does not say how its outputs look, which labels are held against.
        signature = every(loaded(model, request, pool, listener, cancel)).get(signature.key, signature)
    tasks = choose_tasks(labels, output_shapes(dataset, signature), asked)
    info = materialize(dataset, request.store.data, request.store.keeps)
    info = info.model_copy(update={"labels": kind_of_labels(tasks)})
    check_fit(info, signature)
    for output, spec in tasks.items():
        if spec.name != "none":
            listener(Event("told", "prepare", f"task of output {output}: {spec.name} ({spec.why})"))
    name = _study_name(request, model, info)
    return Prepared(model, info, signature, tasks, expansion, name, untrainable)


def output_shapes(dataset: Dataset, signature: Signature) -> dict[str, tuple[int | None, ...]]:
    """Return the shape of one sample's outputs by name; where the data does not fit, which is told later, as with a batch axis."""
    try:
        how = feeding_of(dataset.name, dataset.test.shapes, signature)
    except WorkbenchError:
        return {t.name: t.shape[1:] for t in signature.outputs}
    return {t.name: how.sample_shape(t.shape) for t in signature.outputs}


def kind_of_labels(tasks: Mapping[str, TaskSpec]) -> Literal["class", "value", "none"]:
    """Return what labels of the first output that has any are, in the words of layout 1."""
    first = next((t.name for t in tasks.values() if t.name != "none"), None)
    if first is None:
        return "none"
    return "class" if registry.tasks.get(first).classes else "value"


def check_runtimes(runtimes: tuple[RuntimeSpec, ...]) -> None:
    """Raise WorkbenchError for the first runtime that cannot work here, with what to install or attach."""
    for spec in runtimes:
        backend = registry.runtimes.get(spec.name)
        missing = backend.check(backend.params.model_validate(spec.options))
        if missing:
            text = grammar.runtime_text(spec.name, spec.options)
            raise WorkbenchError(f"runtime {text!r} cannot work here: {missing}. `workbench doctor` lists what does.")


def signature_of(
    model: ModelInfo, request: Request, pool: Callable[[bool], Pool], listener: Listener, cancel: threading.Event
) -> Signature:
    """Return a model's inputs and outputs: read from its file, or in a worker where only loading it can tell."""
    seen = glance(model)
    return loaded(model, request, pool, listener, cancel) if seen is None else seen


def loaded(
    model: ModelInfo, request: Request, pool: Callable[[bool], Pool], listener: Listener, cancel: threading.Event
) -> Signature:
    """Return a model's inputs and outputs as a worker finds them when it loads the model."""
    plan = Plan()
    key = add_describing(plan, model)
    builder = Builder(plan, request.store, pool, request.workers, request.grid.limits.stage_seconds, listener, cancel)
    result = builder.run([key], lambda _: None, lambda _, __: None)[key]
    if "error" in result:
        raise WorkbenchError(result["error"])
    return Signature.model_validate(result["data"])


def _check_proposer(search: Search) -> None:
    """Raise WorkbenchError where recipes cannot be proposed as asked for here, with what to install."""
    name, _ = grammar.parse_proposer(search.strategy)
    missing = registry.proposers.get(name).available()
    if missing:
        raise WorkbenchError(f"proposer {name!r} cannot work here: {missing}. `workbench doctor` lists what does.")


def _trains(recipe: Recipe) -> bool:
    return any(isinstance(grammar.resolve(s)[0], KerasTechnique) for s in recipe.steps)


# By whether the split itself is not there.
_ADD = {True: "Add x_train and y_train", False: "Add them"}


def _untrainable(dataset: Dataset) -> str | None:
    """Return why nothing can be trained on a dataset, or None."""
    if dataset.train is None:
        return f"dataset {dataset.name!r} has no train split"
    return None if dataset.train.y is not None else f"dataset {dataset.name!r} has no labels (y_train)"


def _study_name(request: Request, model: ModelInfo, dataset: DatasetInfo) -> str:
    known, asked = {s.name: s for s in request.store.studies()}, request.options.study
    if asked is not None and asked not in known and asked in request.store.study_names():
        request.store.study(asked)  # says what is wrong with it
    mine = (model.sha256, model.signature, dataset.sha256)
    same = [s for s in known.values() if (s.model.sha256, s.model.signature, s.dataset.sha256) == mine]
    if asked is None:
        whole = "-".join(filter(None, (model.name, printable(model.signature), dataset.name)))
        name, own = whole, f"-{model.sha256[:4]}{dataset.sha256[:4]}"
        if len(name) > MOST_CHARACTERS or (name in request.store.study_names() and known.get(name) not in same):
            return f"{name[: MOST_CHARACTERS - len(own)]}{own}"
        return name
    if not asked.strip() or len(asked) > MOST_CHARACTERS:
        raise WorkbenchError(
            f"study name {asked[:80]!r} is empty or longer than {MOST_CHARACTERS} characters ({len(asked)})"
        )
    if "\0" in asked or printable(asked) != asked:
        raise WorkbenchError(f"study name {asked!r} holds NUL or is no UTF-8. Any other text is allowed.")
    if asked in known and known[asked] not in same:
        other: StudyRecord = known[asked]
        raise WorkbenchError(
            f"study {asked!r} is about model {other.model.name!r} ({other.model.sha256[:8]}) on {other.dataset.name!r} ({other.dataset.sha256[:8]}), "
            f"not {model.name!r} ({model.sha256[:8]}) on {dataset.name!r} ({dataset.sha256[:8]}). Choose another --study name."
        )
    return asked
