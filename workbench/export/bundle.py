"""Writes one trial as a folder that stands on its own: model, labels, card and a script to run it."""

from __future__ import annotations

import json
import math
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import WorkbenchError
from workbench.files import write_atomic
from workbench.store.artifacts import intact_bytes
from workbench.values.study import StudyRecord
from workbench.values.trial import Trial

MODEL, LABELS, CARD, SCRIPT = "model.tflite", "labels.txt", "card.json", "predict.py"


def export_trial(record: StudyRecord, trial: Trial, out: Path) -> Path:
    """Write `model.tflite`, `labels.txt` (where classes have names; line breaks within one are spaces there), `card.json` and `predict.py` into `out`.

    Returns the folder; an earlier export there is replaced file by file. Raises WorkbenchError for a trial
    that did not run (with its reason), a file that is gone or is not what was measured, and a path that
    is a file.
    """
    out = Path(out)
    content = _content(trial)
    if out.exists() and not out.is_dir():
        raise WorkbenchError(f"{str(out)!r} is a file; an export is a folder. Choose another --out.")
    card = _card(record, trial, content)
    stale = (out / CARD).exists()
    write_atomic(out / MODEL, content)
    if card["labels"]:
        write_atomic(out / LABELS, "".join(f"{_line(name)}\n" for name in card["labels"]).encode())
    elif stale:
        # Labels of an earlier export would put wrong names on this model's classes.
        (out / LABELS).unlink(missing_ok=True)
    write_atomic(out / SCRIPT, resources.files("workbench.export").joinpath("predict_template.py").read_bytes())
    write_atomic(out / CARD, (json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
    return out


def _line(name: str) -> str:
    """Return a class's name on one line, as a file of one per line needs it; the card has it as it is."""
    return " ".join(name.splitlines())


def _content(trial: Trial) -> bytes:
    if trial.state == "failed":
        raise WorkbenchError(
            f"trial {trial.recipe!r} failed, so there is nothing to export: {trial.error or 'no reason recorded'}"
        )
    if trial.state != "ok" or trial.artifact is None:
        raise WorkbenchError(
            f"trial {trial.recipe!r} is {trial.state} and has no file yet; export it when the sweep has built it."
        )
    return intact_bytes(trial.artifact, f"trial {trial.recipe!r}")


def _card(record: StudyRecord, trial: Trial, content: bytes) -> dict[str, Any]:
    """Return what is known of the model, JSON-shaped; figures that are not finite become null."""
    inputs, outputs = _ends(content)
    settings = trial.settings.to_json() if trial.settings else {}
    labels = list(record.dataset.class_names) if record.dataset.labels == "class" else []
    card = {
        "study": record.name,
        "recipe": {
            "text": trial.recipe,
            "id": trial.id,
            "steps": [s.to_json() for s in trial.steps],
            "baseline": trial.baseline,
        },
        "model": {"name": record.model.name, "kind": record.model.kind, "parameters": record.signature.parameters},
        "inputs": inputs,
        "outputs": outputs,
        "labels": labels,
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
    finite: dict[str, Any] = _finite(card)
    return finite


def _census(trial: Trial) -> dict[str, Any] | None:
    if trial.census is None:
        return None
    return {k: v for k, v in trial.census.to_json().items() if k != "tensors"}


def _ends(content: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the descriptions of inputs and outputs; the model is opened, not run."""
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
    inputs = [_tensor(d, public["inputs"]) for d in interpreter.get_input_details()]
    outputs = [_tensor(d, public["outputs"]) for d in interpreter.get_output_details()]
    return [{**t, "preprocessing": _preprocessing(t)} for t in inputs], outputs


def _tensor(detail: dict[str, Any], names: dict[int, str]) -> dict[str, Any]:
    shape = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
    tensor: dict[str, Any] = {
        "name": names.get(detail["index"], detail["name"]),
        "tensor": detail["name"],
        "shape": [None if size < 0 else int(size) for size in shape],
        "dtype": np.dtype(detail["dtype"]).name,
        "scale": None,
        "zero_point": None,
        "range": None,
    }
    scale, zero = detail["quantization"]
    if scale and np.issubdtype(detail["dtype"], np.integer):
        limits = np.iinfo(detail["dtype"])
        span = [float(scale) * (int(limit) - int(zero)) for limit in (limits.min, limits.max)]
        tensor.update(scale=float(scale), zero_point=int(zero), range=span)
    return tensor


def _preprocessing(tensor: dict[str, Any]) -> str:
    if tensor["range"]:
        low, high = tensor["range"]
        return (
            f"Prepare values as in training; they were calibrated to lie between {low:.6g} and {high:.6g}. "
            "Then quantize: q = round(value / scale) + zero_point, clipped to the type. predict.py does the quantizing."
        )
    if tensor["dtype"].startswith("float"):
        return "Prepare values exactly as in training; the file does not tell their range."
    return "Whole numbers, taken as they are."


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {k: _finite(v) for k, v in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(v) for v in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
