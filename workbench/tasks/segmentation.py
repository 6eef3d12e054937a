"""A class for every place of a sample: pixels of an image, frames of a sound, words of a text."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from workbench.errors import StageFailed
from workbench.tasks.base import Array, NoParams, Shape, Task, cut, looks_like_probabilities
from workbench.tasks.scores import Score, mean, mean_of_known, quotient
from workbench.values.labels import LabelInfo


class Segmentation(Task[NoParams]):
    """A class for every place; an output with one number a place is the probability (or the logit) of class 1."""

    name = "segmentation"
    help = "a class for every pixel (or place): masks of whole numbers from 0"
    primary = "accuracy"
    classes = True

    def misfit(self, labels: LabelInfo, output: Shape) -> str | None:
        """Refuse masks that are no classes of the output's places."""
        if not labels.whole:
            return "masks are no whole numbers"
        places = _places(labels.shape, output)
        if places is None:
            return f"one sample's mask has the shape {labels.shape}, the output {output}"
        if labels.low < 0 or (places.classes is not None and labels.high >= places.classes):
            return f"masks hold classes from {labels.low:g} to {labels.high:g}, but the output has {places.classes}"
        return None

    def scores(self, params: NoParams, outputs: Array, y: Array) -> list[Score]:
        """Return the accuracy of places, and the mean over classes of intersection over union."""
        places = _places(y.shape[1:], outputs.shape[1:])
        classes = places.classes if places else None
        if places is None or classes is None or y.min() < 0 or y.max() >= classes:
            raise StageFailed(
                f"masks of shape {y.shape} with classes {y.min():g} to {y.max():g} do not fit outputs of shape {outputs.shape}"
            )
        truth = y.reshape(len(y), -1).astype(np.int64)
        said = (outputs.argmax(axis=-1) if places.each else outputs > cut(outputs)).reshape(len(y), -1).astype(np.int64)
        there = np.stack([(truth == k).sum(axis=1) for k in range(classes)], axis=1)
        told = np.stack([(said == k).sum(axis=1) for k in range(classes)], axis=1)
        both = np.stack([((said == k) & (truth == k)).sum(axis=1) for k in range(classes)], axis=1)
        parts = np.concatenate([both, there + told - both], axis=1).astype(np.float64)

        def iou(means: Array) -> Array:
            return mean_of_known(quotient(means[..., :classes], means[..., classes:]))

        return [
            mean("accuracy", "Pixel accuracy", "share", "high", (said == truth).mean(axis=1)),
            Score("mean_iou", "Mean intersection over union", "share", "high", parts, iou),
        ]

    def loss(self, params: NoParams, outputs: Array, y: Array) -> Any:
        """Return cross-entropy over all places, of logits where outputs are no probabilities."""
        import tf_keras

        places = _places(y.shape[1:], outputs.shape[1:])
        if places is not None and not places.each:
            return tf_keras.losses.BinaryCrossentropy(from_logits=cut(outputs) == 0.0)
        return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=not looks_like_probabilities(outputs))


class _Places(NamedTuple):
    """The places that mask and output share, the number of classes (None where open), and whether the output has a number for each class."""

    classes: int | None
    each: bool


def _places(mask: tuple[int, ...], output: Shape) -> _Places | None:
    """Return how a mask lies on an output, None where it does not."""
    bare = mask[:-1] if len(mask) > 1 and mask[-1] == 1 else mask
    if bare and len(output) == len(bare) + 1 and _same(bare, output[:-1]):
        return _Places(2, False) if output[-1] == 1 else _Places(output[-1], True)
    if bare and len(output) == len(bare) and _same(bare, output):
        return _Places(2, False)
    return None


def _same(shape: tuple[int, ...], output: Shape) -> bool:
    return all(o in (None, s) for s, o in zip(shape, output, strict=True))
