"""Values: a number, or several, per sample."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.errors import StageFailed
from workbench.tasks.base import Array, NoParams, Shape, Task
from workbench.tasks.scores import Score, mean, quotient
from workbench.values.labels import LabelInfo


class Regression(Task[NoParams]):
    """Numbers that outputs should come near."""

    name = "regression"
    help = "values: numbers as many as the output has"
    primary = "mae"

    def misfit(self, labels: LabelInfo, output: Shape) -> str | None:
        """Refuse labels of another size than the output's."""
        if None not in output and math.prod(labels.shape) != math.prod(d or 1 for d in output):
            return f"one sample's label has the shape {labels.shape}, the output {output}"
        return None

    def scores(self, params: NoParams, outputs: Array, y: Array) -> list[Score]:
        """Return mean absolute error and root mean squared error in the labels' unit, and R2 averaged over the outputs' numbers."""
        if outputs.size != y.size:
            raise StageFailed(f"labels of shape {y.shape} do not fit outputs of shape {outputs.shape}")
        truth = y.reshape(len(y), -1).astype(np.float64)
        error = outputs.reshape(len(y), -1).astype(np.float64) - truth
        # About the mean, so that large targets leave no rounding in the sum of squares.
        about = truth - truth.mean(axis=0)
        parts = np.concatenate([error**2, about, about**2], axis=1)
        width = truth.shape[1]

        def r2(means: Array) -> Array:
            squares, middle, spread = (means[..., i * width : (i + 1) * width] for i in range(3))
            found: Array = np.nan_to_num(1 - quotient(squares, spread - middle**2)).mean(axis=-1)
            return found

        def rmse(means: Array) -> Array:
            found: Array = np.sqrt(means[..., 0])
            return found

        return [
            mean("mae", "Mean absolute error", "number", "low", np.abs(error).mean(axis=1)),
            Score("rmse", "Root mean square error", "number", "low", (error**2).mean(axis=1)[:, None], rmse),
            Score("r2", "R2", "number", "high", parts, r2),
        ]

    def loss(self, params: NoParams, outputs: Array, y: Array) -> Any:
        """Return mean squared error."""
        import tf_keras

        return tf_keras.losses.MeanSquaredError()
