"""What a sweep is asked to do, and the checks that come before anything runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import registry
from workbench.data.dataset import Dataset
from workbench.data.load import load_dataset
from workbench.data.materialize import check_fit, materialize
from workbench.engine.build import Builder
from workbench.engine.engine import Engine
from workbench.engine.events import Listener
from workbench.engine.plan import Plan
from workbench.engine.pool import Pool, available_cores
from workbench.errors import WorkbenchError
from workbench.recipes import grammar
from workbench.recipes.grid import Expansion, Grid, expand, parse_grid, parse_runtimes
from workbench.sources.glance import glance
from workbench.sources.identify import identify
from workbench.store.store import Store
from workbench.techniques.base import KerasTechnique
from workbench.values.recipe import Recipe
from workbench.values.source import DatasetInfo, ModelInfo, Signature
from workbench.values.study import StudyRecord
from workbench.values.trial import RuntimeSpec


@dataclass
class Request:
    """A sweep as asked for; `model` and `data` as the Python API takes them."""

    model: Any
    data: Any
    grid: Grid
    store: Store
    study: str | None = None
    jobs: int | None = None
    cluster_address: str | None = None
    cluster_security: Any = None
    allow_code: bool = False
    retry_failed: bool = False
    command: str = ""
    engine: Engine | None = None

    @property
    def workers(self) -> int:
        """Worker processes: the engine's, or as many as cores unless said otherwise."""
        return self.engine.jobs if self.engine else self.jobs or available_cores()


@dataclass(frozen=True)
class Prepared:
    """A checked sweep: what is known of model and data, and the recipes that will be made."""

    model: ModelInfo
    dataset: DatasetInfo
    signature: Signature
    expansion: Expansion
    study: str


def make_grid(grid: Any, runtimes: Any, seed: int | None) -> Grid:
    """Return the grid with its runtimes (argument, else grid, else `xnnpack`) and seed; everything checked by name."""
    made = parse_grid(grid)
    chosen = parse_runtimes(runtimes) if runtimes else made.runtimes or parse_runtimes(["xnnpack"])
    updates: dict[str, Any] = {"runtimes": chosen}
    if seed is not None:
        if seed < 0:
            raise WorkbenchError(f"seed {seed} is negative. Allowed: 0 and up.")
        updates["train"] = made.train.model_copy(update={"seed": seed})
    return made.model_copy(update=updates)


def prepare(request: Request, pool: Callable[[bool], Pool], listener: Listener, cancel: threading.Event) -> Prepared:
    """Check everything that can be checked before a stage runs; the model is described in a worker.

    Raises WorkbenchError for the first thing that is wrong.
    """
    data = request.data
    # Only a folder of images has to know the model's input; everything else is read while the model's file is.
    is_folder = isinstance(data, (str, Path)) and Path(str(data).partition("?")[0]).is_dir()
    with ThreadPoolExecutor(1) as reader:
        reading = None if is_folder else reader.submit(load_dataset, data)
        model = identify(request.model, request.store.root / "models", request.allow_code)
        expansion = expand(request.grid, model.kind)
        if not request.grid.measure.skip:
            check_runtimes(request.grid.runtimes)
        data = reading.result() if reading else data
    signature = describe(model, request, pool, listener, cancel)
    dataset = data if isinstance(data, Dataset) else load_dataset(data, signature.inputs[0].shape)
    _check_labels(dataset, expansion.recipes)
    info = materialize(dataset, request.store.data)
    check_fit(info, signature)
    return Prepared(model, info, signature, expansion, _study_name(request, model, info))


def check_runtimes(runtimes: tuple[RuntimeSpec, ...]) -> None:
    """Raise WorkbenchError for the first runtime that cannot work here, with what to install or attach."""
    for spec in runtimes:
        backend = registry.runtimes.get(spec.name)
        missing = backend.check(backend.params.model_validate(spec.options))
        if missing:
            text = grammar.runtime_text(spec.name, spec.options)
            raise WorkbenchError(f"runtime {text!r} cannot work here: {missing}. `workbench doctor` lists what does.")


def describe(
    model: ModelInfo, request: Request, pool: Callable[[bool], Pool], listener: Listener, cancel: threading.Event
) -> Signature:
    """Return a model's inputs and outputs: read from its file, or in a worker where only loading it can tell."""
    seen = glance(model)
    if seen is not None:
        return seen
    plan = Plan()
    key = plan.add(
        "describe", f"read {model.name}", {"model": model.sha256, "kind": model.kind}, {"source": model.to_json()}
    )
    builder = Builder(plan, request.store, pool, request.workers, request.grid.limits.stage_seconds, listener, cancel)
    result = builder.run([key], lambda _: None, lambda _, __: None)[key]
    if "error" in result:
        raise WorkbenchError(result["error"])
    return Signature.model_validate(result["data"])


def _check_labels(dataset: Dataset, recipes: tuple[Recipe, ...]) -> None:
    trained = [r for r in recipes if any(isinstance(grammar.resolve(s)[0], KerasTechnique) for s in r.steps)]
    if not trained:
        return
    text = grammar.recipe_text(trained[0])
    if dataset.train is None:
        raise WorkbenchError(
            f"dataset {dataset.name!r} has no train split, which {text!r} fine-tunes on. Add x_train and y_train, or use post-training schemes only."
        )
    if dataset.train.y is None:
        raise WorkbenchError(
            f"dataset {dataset.name!r} has no labels (y_train), which {text!r} fine-tunes on. Add them, or use post-training schemes only."
        )


def _study_name(request: Request, model: ModelInfo, dataset: DatasetInfo) -> str:
    known = {s.name: s for s in request.store.studies()}
    same = [s for s in known.values() if s.model.sha256 == model.sha256 and s.dataset.sha256 == dataset.sha256]
    if request.study is None:
        name = f"{model.name}-{dataset.name}"
        if name in known and known[name] not in same:
            return f"{name}-{model.sha256[:4]}{dataset.sha256[:4]}"
        return name
    if not request.study.strip() or len(request.study) > 200:
        raise WorkbenchError(f"study name {request.study!r} is empty or longer than 200 characters")
    if request.study in known and known[request.study] not in same:
        other: StudyRecord = known[request.study]
        raise WorkbenchError(
            f"study {request.study!r} is about model {other.model.name!r} ({other.model.sha256[:8]}) on {other.dataset.name!r} ({other.dataset.sha256[:8]}), "
            f"not {model.name!r} ({model.sha256[:8]}) on {dataset.name!r} ({dataset.sha256[:8]}). Choose another --study name."
        )
    return request.study
