"""The card of an export: what is known of a trial and its file, JSON-shaped."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.errors import WorkbenchError
from workbench.targets.base import Export, ModelTensor
from workbench.values.study import StudyRecord
from workbench.values.trial import Trial


def describe_export(record: StudyRecord, trial: Trial, content: bytes) -> Export:
    """Return what targets are told of a trial whose file has that content; figures that are not finite become null in the card.

    Raises WorkbenchError for a file that is no `.tflite`, which is opened, not run.
    """
    inputs, outputs = _ends(content)
    settings = trial.settings.to_json() if trial.settings else {}
    labels = record.dataset.class_names if record.dataset.labels == "class" else ()
    card = {
        "study": record.name,
        "recipe": {
            "text": trial.recipe,
            "id": trial.id,
            "steps": [s.to_json() for s in trial.steps],
            "baseline": trial.baseline,
        },
        "model": {"name": record.model.name, "kind": record.model.kind, "parameters": record.signature.parameters},
        "inputs": [{**t.to_json(), "preprocessing": _preprocessing(t)} for t in inputs],
        "outputs": [t.to_json() for t in outputs],
        "labels": list(labels),
        "size": trial.size.to_json() if trial.size else None,
        "quality": {**trial.quality.to_json(), "dataset": record.dataset.name} if trial.quality else None,
        "census": _census(trial),
        "conversion": trial.conversion,
        "warnings": [w.to_json() for w in trial.warnings],
        "measurements": [m.to_json() for m in trial.measurements],
        "environment": record.environment,
        # The trial's own, not those that its study was swept with last; null where the file does not hang on them.
        "train": settings.get("train"),
        "calibration": settings.get("calibration"),
        "settings": settings or None,
        "provenance": {
            "file_sha256": trial.artifact.sha256 if trial.artifact else None,
            "source_model_sha256": record.model.sha256,
            "dataset_sha256": record.dataset.sha256,
            "study_started": record.started or None,
        },
    }
    return Export(content, _finite(card), labels, inputs, outputs)


def _census(trial: Trial) -> dict[str, Any] | None:
    if trial.census is None:
        return None
    return {k: v for k, v in trial.census.to_json().items() if k != "tensors"}


def _ends(content: bytes) -> tuple[tuple[ModelTensor, ...], tuple[ModelTensor, ...]]:
    """Return inputs and outputs in the file's order."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=content)
    except (ValueError, RuntimeError) as error:
        raise WorkbenchError(f"the file of the trial cannot be opened as a .tflite model: {error}") from error
    public: dict[str, dict[int, str]] = {"inputs": {}, "outputs": {}}
    signatures = interpreter.get_signature_list()
    if signatures:
        runner = interpreter.get_signature_runner(next(iter(signatures)))
        public["inputs"] = {d["index"]: name for name, d in runner.get_input_details().items()}
        public["outputs"] = {d["index"]: name for name, d in runner.get_output_details().items()}
    inputs = tuple(_tensor(d, public["inputs"]) for d in interpreter.get_input_details())
    return inputs, tuple(_tensor(d, public["outputs"]) for d in interpreter.get_output_details())


def _tensor(detail: dict[str, Any], names: dict[int, str]) -> ModelTensor:
    shape = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
    tensor = ModelTensor(
        name=names.get(detail["index"], detail["name"]),
        tensor=detail["name"],
        shape=tuple(None if size < 0 else int(size) for size in shape),
        dtype=np.dtype(detail["dtype"]).name,
    )
    scale, zero = detail["quantization"]
    if not scale or not np.issubdtype(detail["dtype"], np.integer):
        return tensor
    limits = np.iinfo(detail["dtype"])
    low, high = (float(scale) * (int(limit) - int(zero)) for limit in (limits.min, limits.max))
    return tensor.model_copy(update={"scale": float(scale), "zero_point": int(zero), "range": (low, high)})


def _preprocessing(tensor: ModelTensor) -> str:
    if tensor.range:
        low, high = tensor.range
        return (
            f"Prepare values as in training; they were calibrated to lie between {low:.6g} and {high:.6g}. "
            "Then quantize: q = round(value / scale) + zero_point, clipped to the type. The target `python` has a predict.py that does it."
        )
    if tensor.dtype.startswith("float"):
        return "Prepare values exactly as in training; the file does not tell their range."
    return "Whole numbers, taken as they are."


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {k: _finite(v) for k, v in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(v) for v in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
