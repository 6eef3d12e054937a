"""What is known of labels before anything runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from workbench.values.base import Count, Value
from workbench.values.boxes import look_like_boxes

# Distinct values are counted up to this many.
MANY = 1000


class LabelInfo(Value):
    """Labels of one output: the shape of one sample's, their range, and whether they are whole numbers.

    `said` is what the user said they are, where they did: classes, or values. `boxes` says that they can be boxes with classes.
    """

    shape: tuple[Count, ...]
    low: float
    high: float
    whole: bool
    distinct: Count
    said: Literal["class", "value"] | None = None
    boxes: bool = False

    @property
    def binary(self) -> bool:
        """Whether every label is 0 or 1."""
        return self.whole and self.low >= 0 and self.high <= 1

    @property
    def text(self) -> str:
        """How the labels look, for a sentence."""
        kind = "whole numbers" if self.whole else "numbers"
        per = f" of shape {self.shape}" if self.shape else ""
        return f"{kind}{per} from {self.low:g} to {self.high:g}"


def together(parts: Sequence[LabelInfo]) -> LabelInfo:
    """Return what labels of several splits look like as one."""
    first = parts[0]
    return first.model_copy(
        update={
            "low": min(p.low for p in parts),
            "high": max(p.high for p in parts),
            "whole": all(p.whole for p in parts),
            "distinct": max(p.distinct for p in parts),
            "boxes": all(p.boxes for p in parts),
        }
    )


def label_info(y: Any, said: Literal["class", "value"] | None = None) -> LabelInfo:
    """Return what labels `(n, *shape)` look like: an array or rows of a file, read in pieces of at most 16 million values."""
    step = max(1, min(4096, (1 << 24) // max(1, math.prod(y.shape[1:]))))
    low, high, whole, boxes = np.inf, -np.inf, True, True
    seen: set[float] = set()
    for start in range(0, len(y), step):
        part = np.asarray(y[start : start + step])
        low, high = min(low, float(part.min())), max(high, float(part.max()))
        whole = whole and (part.dtype.kind in "biu" or bool((part == np.round(part)).all()))
        boxes = boxes and look_like_boxes(part)
        if len(seen) < MANY:
            seen.update(np.unique(part)[:MANY].tolist())
    return LabelInfo(
        shape=tuple(y.shape[1:]),
        low=low,
        high=high,
        whole=whole,
        distinct=min(len(seen), MANY),
        said=said,
        boxes=boxes,
    )
