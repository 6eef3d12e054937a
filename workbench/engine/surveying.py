"""The stage that asks techniques what they will leave untouched of a model; runs in a worker, and trains nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.engine import failures
from workbench.engine.imports import set_up_tensorflow
from workbench.engine.job import Job
from workbench.errors import StageFailed
from workbench.recipes import grammar
from workbench.techniques.base import KerasTechnique
from workbench.techniques.survey import Answered, Link, Survey, described
from workbench.values.recipe import Step


def survey(job: Job) -> dict[str, Any]:
    """Return the layers of the model with their weights, and by chain of steps what its last one reaches and leaves."""
    set_up_tensorflow(job.threads)
    chains = [[_link(Step.model_validate(step)) for step in chain] for chain in job.payload["chains"]]
    path = job.keras_path()
    if path is None:
        errors = [{"error": no_keras_model(chain[-1].technique.name, job)} for chain in chains]
        return {"artifact": None, "data": {"layers": [], "chains": errors}}
    from workbench.sources.load import load_keras

    model = load_keras(path, [], job.source.allow_code)
    if not model.built:
        raise StageFailed(f"{path.name!r} has no fixed input: build or call the model once before saving it.")
    asked = Survey(model)
    told = [_told(asked.chain(chain), job.root) for chain in chains]
    return {"artifact": None, "data": {"layers": described(model), "chains": told}}


def no_keras_model(name: str, job: Job) -> str:
    """Return why a technique cannot work on a source that became a SavedModel."""
    from workbench.sources.keras3.export import reason_in

    why = reason_in(job.source_path) if job.source_path.is_dir() else ""
    return f"`{name}` needs a model of tf_keras{f', and {why}. Post-training schemes work' if why else ''}."


def left_of(size: int, layer: str, why: str, weights: int) -> dict[str, Any]:
    """Return what a step leaves of a layer as it is recorded; `size` is the number of weights of the model that the step was given."""
    return {"layer": layer, "why": why, "weights": weights, "share": weights / max(1, size)}


def _link(step: Step) -> Link:
    technique, params = grammar.resolve(step)
    if not isinstance(technique, KerasTechnique):
        raise StageFailed(f"{step.technique} does not work on a Keras model")
    return Link(technique, params)


def _told(told: Answered, root: Path) -> dict[str, Any]:
    if told.reach is None:
        return {"error": None if told.error is None else failures.told(told.error, root)}
    size = int(told.model.count_params())
    left = [left_of(size, item.layer, item.why, item.weights) for item in told.reach.left]
    return {"error": None, "reached": told.reach.reached, "left": left}
