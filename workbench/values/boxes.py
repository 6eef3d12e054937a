"""Boxes as labels: rows of `x1 y1 x2 y2 class`, and perhaps `crowd`, as many for each sample as the sample with the most has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
# Fills rows behind a sample's last box; a class below zero is none.
PAD = -1
# Corners and class; a crowd (a box around many objects, which counts for none and against none, as in COCO) has 1 behind them.
WIDTHS = (5, 6)
CLASS, CROWD = 4, 5


def padded(boxes: Sequence[Array]) -> Array:
    """Return boxes of samples, each `(k, 5)` or `(k, 6)`, k from 0, as one array `(n, most, 5 or 6)`, at least one row each."""
    width = max((b.shape[1] for b in boxes if b.size), default=WIDTHS[0])
    kind = np.result_type(np.float32, *{b.dtype for b in boxes if b.size})
    found = np.full((len(boxes), max([1, *(len(b) for b in boxes if b.size)]), width), PAD, dtype=kind)
    for row, given in zip(found, boxes, strict=True):
        if given.size:
            row[: len(given), : given.shape[1]] = given
            row[: len(given), given.shape[1] :] = 0
    return found


def there(y: Array) -> Array:
    """Return which rows of labels `(..., rows, 5 or 6)` are boxes, not filling."""
    found: Array = y[..., CLASS] >= 0
    return found


def look_like_boxes(y: Array) -> bool:
    """Whether labels `(n, rows, 5 or 6)` can be boxes: corners in order, whole classes, fillings of -1, crowds of 0 or 1."""
    if y.ndim != 3 or y.shape[2] not in WIDTHS or y.dtype.kind not in "iuf":
        return False
    rows = y.reshape(-1, y.shape[2])
    real, filling = rows[there(rows)], rows[~there(rows)]
    ordered = (real[:, 2:4] >= real[:, :2]).all() and (real[:, CLASS] == np.round(real[:, CLASS])).all()
    return bool(ordered and (filling == PAD).all() and np.isin(real[:, CROWD:], (0, 1)).all())
