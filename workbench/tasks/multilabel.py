"""Several labels per sample, each of them there or not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.errors import StageFailed
from workbench.tasks.base import Array, NoParams, Shape, Task, cut
from workbench.tasks.scores import Score, mean, mean_of_known, quotient, share
from workbench.values.labels import LabelInfo


class MultiLabel(Task[NoParams]):
    """A number per label, 0 or 1; an output above one half (a logit above zero) says that the label is there."""

    name = "multi-label"
    help = "several labels per sample: a row of 0 and 1, one for each number of the output"
    primary = "accuracy"
    classes = True

    def misfit(self, labels: LabelInfo, output: Shape) -> str | None:
        """Refuse labels that are no rows of 0 and 1 as long as the output."""
        if not labels.binary:
            return f"labels are {labels.text}, not 0 and 1"
        if None not in output and (not labels.shape or math.prod(labels.shape) != math.prod(d or 1 for d in output)):
            return f"one sample's labels have the shape {labels.shape}, the output {output}"
        return None

    def scores(self, params: NoParams, outputs: Array, y: Array) -> list[Score]:
        """Return the share of right labels, the share of samples with all labels right, and F1 over all labels and averaged over labels."""
        scores, truth = outputs.reshape(len(outputs), -1), y.reshape(len(y), -1) > 0.5
        if scores.shape != truth.shape:
            raise StageFailed(f"labels of shape {y.shape} do not fit outputs of shape {outputs.shape}")
        said = scores > cut(scores)
        right = said == truth
        counts = np.stack([said & truth, said & ~truth, ~said & truth], axis=1).astype(np.float64)
        parts = counts.reshape(len(y), -1)

        def f1(means: Array, over_all: bool) -> Array:
            both, wrong, missed = np.moveaxis(means.reshape(*means.shape[:-1], 3, -1), -2, 0)
            if over_all:
                both, wrong, missed = (v.sum(axis=-1, keepdims=True) for v in (both, wrong, missed))
            # A label that is neither there nor said counts as zero, as in scikit-learn.
            return mean_of_known(np.nan_to_num(quotient(2 * both, 2 * both + wrong + missed)))

        return [
            mean("accuracy", "Label accuracy", "share", "high", right.mean(axis=1)),
            share("exact", "Samples with all labels right", right.all(axis=1)),
            Score("f1", "F1 over all labels", "share", "high", parts, lambda means: f1(means, True)),
            Score("f1_macro", "F1 averaged over labels", "share", "high", parts, lambda means: f1(means, False)),
        ]

    def loss(self, params: NoParams, outputs: Array, y: Array) -> Any:
        """Return binary cross-entropy, of logits where outputs are no probabilities."""
        import tf_keras

        return tf_keras.losses.BinaryCrossentropy(from_logits=cut(outputs) == 0.0)
