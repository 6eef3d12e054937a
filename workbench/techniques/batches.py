"""Training samples read batch by batch, where they are more than memory should hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def held(values: Any) -> bool:
    """Whether samples or labels, an array or a dict or list of such, lie in memory; else they are rows of a file."""
    listed = values.values() if isinstance(values, Mapping) else values if isinstance(values, list) else [values]
    return all(isinstance(v, np.ndarray) for v in listed)


def batches(x: Any, y: Any, size: int, seed: int | None = None) -> Any:
    """Return a tf_keras Sequence of batches of `x` and `y` (of `x` alone where `y` is None); arrays, or dicts or lists of such.

    With a `seed` every pass over them has another order, drawn by it.
    """
    import tf_keras

    count = len(next(iter(x.values())) if isinstance(x, Mapping) else x)
    draw = None if seed is None else np.random.default_rng(seed)

    class Batches(tf_keras.utils.Sequence):  # type: ignore[misc]  # tf_keras is untyped
        def __init__(self) -> None:
            super().__init__()
            self.order = np.arange(count)
            self.on_epoch_end()

        def __len__(self) -> int:
            return math.ceil(count / size)

        def __getitem__(self, number: int) -> Any:
            # In the order of the file, which is read faster; within a batch order says nothing.
            places = np.sort(self.order[number * size : (number + 1) * size])
            return _rows(x, places) if y is None else (_rows(x, places), _rows(y, places))

        def on_epoch_end(self) -> None:
            if draw is not None:
                self.order = draw.permutation(count)

    return Batches()


def _rows(values: Any, places: Any) -> Any:
    if isinstance(values, Mapping):
        return {name: v[places] for name, v in values.items()}
    return tuple(v[places] for v in values) if isinstance(values, list) else values[places]
