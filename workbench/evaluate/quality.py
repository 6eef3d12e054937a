"""Quality against labels, and agreement with the float baseline, in one pass over the outputs."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from workbench.errors import StageFailed
from workbench.values.trial import Quality

Array = np.ndarray[Any, Any]


def quality(
    outputs: dict[str, Array],
    baseline: dict[str, Array],
    y: Array | None,
    labels: Literal["class", "value", "none"],
    batch: int,
    output: str | None = None,
) -> Quality:
    """Return the quality of outputs `{name: (n, *shape)}`; labels `y` `(n,)` classes or `(n, ...)` values, or None.

    Labels belong to the model's first `output`, which a file may keep in another place; without it to the file's first.
    Raises StageFailed when outputs and labels do not fit, or an output is not finite.
    """
    first = output if output in outputs else next(iter(outputs))
    count = len(outputs[first])
    for name, value in outputs.items():
        if not np.isfinite(value).all():
            raise StageFailed(f"output {name!r} holds values that are not finite (NaN or infinity)")
    if len(outputs) != len(baseline):
        raise StageFailed(
            f"the file has {len(outputs)} outputs ({', '.join(outputs)}), the float baseline {len(baseline)}"
        )
    # A third party's step may have renamed the outputs; their order then tells which is which.
    pairs = zip(outputs, outputs if set(outputs) == set(baseline) else baseline, strict=True)
    per_output = {name: agreement(outputs[name], baseline[other]) for name, other in pairs}
    figures: dict[str, Any] = dict(per_output.get(first, {}))
    task: Literal["classification", "regression", "none"] = "none"
    if y is not None and labels == "class":
        task = "classification"
        figures.update(classification(outputs[first], y))
    elif y is not None and labels == "value":
        task = "regression"
        figures.update(regression(outputs[first], y))
    return Quality(samples=count, task=task, outputs=per_output, batch=batch, **figures)


def classification(scores: Array, y: Array) -> dict[str, float | None]:
    """Return top-1 and top-5 accuracy of scores `(n, classes)`; one column is read as the probability of class 1."""
    scores = scores.reshape(len(scores), -1)
    classes = scores.shape[1]
    if classes == 1:
        _check_labels(y, 2)
        cut = 0.5 if scores.min() >= 0 and scores.max() <= 1 else 0.0
        return {"accuracy": float((y == (scores[:, 0] > cut)).mean()), "top5": None}
    _check_labels(y, classes)
    top1 = float((scores.argmax(axis=1) == y).mean())
    if classes <= 5:
        return {"accuracy": top1, "top5": None}
    top = np.argpartition(-scores, 4, axis=1)[:, :5]
    return {"accuracy": top1, "top5": float((top == y[:, None]).any(axis=1).mean())}


def _check_labels(y: Array, classes: int) -> None:
    if y.min() < 0 or y.max() >= classes:
        raise StageFailed(
            f"labels run from {y.min()} to {y.max()}, but the model has {classes} classes (0 to {classes - 1})"
        )


def regression(values: Array, y: Array) -> dict[str, float | None]:
    """Return mean absolute and root mean squared error in the labels' unit."""
    if values.size != y.size:
        raise StageFailed(f"labels of shape {y.shape} do not fit outputs of shape {values.shape}")
    error = values.reshape(-1).astype(np.float64) - y.reshape(-1)
    return {"mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean()))}


def agreement(values: Array, baseline: Array) -> dict[str, float | None]:
    """Return top-1 agreement (where there are classes), SQNR in dB (None where the outputs are equal) and mean cosine similarity."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    base = baseline.reshape(len(baseline), -1).astype(np.float64)
    noise = float(((base - flat) ** 2).sum())
    signal = float((base**2).sum())
    norms = np.linalg.norm(flat, axis=1) * np.linalg.norm(base, axis=1)
    dots = (flat * base).sum(axis=1)
    # All zeros have no direction: like other zeros, unlike anything else.
    equal = (flat == base).all(axis=1).astype(np.float64)
    cosine = np.divide(dots, norms, out=equal, where=norms > 0)
    top = float((flat.argmax(axis=1) == base.argmax(axis=1)).mean()) if flat.shape[1] > 1 else None
    sqnr = math.inf if noise == 0 else 10 * math.log10(signal / noise) if signal > 0 else -math.inf
    return {"agreement": top, "sqnr_db": None if math.isinf(sqnr) else sqnr, "cosine": float(cosine.mean())}
