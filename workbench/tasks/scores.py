"""Scores: figures that can be worked out again for samples drawn again, from what each sample adds to them or as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.values.figure import Better, Unit

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Score:
    """One figure of some outputs, made of parts that are averaged over samples.

    `parts` is `(n, k)`; `of` turns means of the parts `(..., k)` into the figure `(...)`. `shares` says that there is one part, 0 or 1 for
    each sample, and that the figure is its mean: then intervals have a closed form.
    """

    name: str
    title: str
    unit: Unit
    better: Better
    parts: Array
    of: Callable[[Array], Array]
    shares: bool = False

    @property
    def samples(self) -> int:
        """The number of samples."""
        return len(self.parts)

    @property
    def value(self) -> float:
        """The figure over all samples."""
        return float(self.of(self.parts.mean(axis=0)))


@dataclass(frozen=True)
class Redrawn:
    """One figure that is no function of means over samples.

    `of` takes samples drawn again, indices `(draws, n)`, and returns the figure of each draw `(draws)`, NaN where it has none; shorter where
    time was out. Equal draws are one object, so that figures made together are worked out once.
    """

    name: str
    title: str
    unit: Unit
    better: Better
    samples: int
    value: float
    of: Callable[[Array], Array]


AnyScore = Score | Redrawn


def share(name: str, title: str, right: Array) -> Score:
    """Return the share of samples that are right, `right` `(n,)` of 0 and 1."""
    return Score(name, title, "share", "high", right.astype(np.float64)[:, None], _first, shares=True)


def mean(name: str, title: str, unit: Unit, better: Better, values: Array) -> Score:
    """Return the mean of one value per sample, `(n,)`."""
    return Score(name, title, unit, better, values.astype(np.float64)[:, None], _first)


def _first(means: Array) -> Array:
    found: Array = means[..., 0]
    return found


def quotient(above: Array, below: Array) -> Array:
    """Return `above / below`, NaN where there is nothing below."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)
    return found


def mean_of_known(values: Array) -> Array:
    """Return the mean over the last axis of what is no NaN, zero where nothing is known."""
    known = ~np.isnan(values)
    found: Array = np.where(known, values, 0.0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    return found
