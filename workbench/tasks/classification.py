"""One class per sample, of two or of many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.errors import StageFailed
from workbench.tasks.base import Array, NoParams, Shape, Task, cut, looks_like_probabilities
from workbench.tasks.scores import Score, share
from workbench.values.labels import LabelInfo


class Classification(Task[NoParams]):
    """One class per sample; an output of one number is the probability (or the logit) of class 1."""

    name = "classification"
    help = "one class per sample: whole numbers from 0, or 0 and 1 beside an output of one number"
    primary = "accuracy"
    classes = True

    def misfit(self, labels: LabelInfo, output: Shape) -> str | None:
        """Refuse labels that are no classes of the output."""
        if labels.shape:
            return f"one sample's label has the shape {labels.shape}, not one class"
        if not labels.whole:
            return "labels are no whole numbers"
        if None in output:
            return None
        classes = max(2, math.prod(d or 1 for d in output))
        if labels.low < 0 or labels.high >= classes:
            return f"labels run from {labels.low:g} to {labels.high:g}, but the output has {classes} classes (0 to {classes - 1})"
        return None

    def scores(self, params: NoParams, outputs: Array, y: Array) -> list[Score]:
        """Return top-1 accuracy, and top-5 where there are more than five classes."""
        flat = outputs.reshape(len(outputs), -1)
        classes = _classes(y, max(2, flat.shape[1]))
        if flat.shape[1] == 1:
            return [share("accuracy", "Accuracy", (flat[:, 0] > cut(flat)) == classes)]
        found = [share("accuracy", "Accuracy", flat.argmax(axis=1) == classes)]
        if flat.shape[1] > 5:
            top = np.argpartition(-flat, 4, axis=1)[:, :5]
            found.append(share("top5", "Top-5 accuracy", (top == classes[:, None]).any(axis=1)))
        return found

    def loss(self, params: NoParams, outputs: Array, y: Array) -> Any:
        """Return cross-entropy, of logits where outputs are no probabilities."""
        import tf_keras

        _classes(y, max(2, outputs.shape[-1]))
        if outputs.shape[-1] == 1:
            return tf_keras.losses.BinaryCrossentropy(from_logits=cut(outputs) == 0.0)
        return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=not looks_like_probabilities(outputs))


def _classes(y: Array, count: int) -> Array:
    if y.min() < 0 or y.max() >= count:
        raise StageFailed(
            f"labels run from {y.min():g} to {y.max():g}, but the model has {count} classes (0 to {count - 1})"
        )
    return y.reshape(len(y)).astype(np.int64)
