"""Whether samples are of the kind that others are: by how their values are distributed, not by their extremes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
# A scale that is off is off by two or more (-1..1 is 0..1 twice as wide); what is within this may be chance or another camera.
FACTOR = 1.6
# Standard errors by which it has to be off: by chance once in some ten thousand times.
ERRORS = 4.0
# Of two columns, the distance of their distributions (Kolmogorov-Smirnov): how large it has to be, and beyond chance by how much
# (p = 2 exp(-2 * 2.3**2) = 5e-5).
APART, BEYOND = 0.4, 2.3
FEWEST = 10
# A vector of more numbers than this is no row of a table.
MOST_COLUMNS = 512


class Likeness:
    """What values `(n, *shape)` of one input look like; those of a table, `(n, columns)`, column by column."""

    def __init__(self, values: Array) -> None:
        self._columns = values.ndim <= 2 and values[:1].size <= MOST_COLUMNS
        self._values = _flat(values)

    def unlike(self, values: Array) -> int | None:
        """Return the first column whose values are of another scale or place, -1 where it is all of them, None where they are alike."""
        mine = _flat(values)
        if min(len(mine), len(self._values)) < FEWEST or mine.shape[1] != self._values.shape[1]:
            return None
        if not self._columns:
            return -1 if self._off(mine) else None
        pairs = zip(mine.T, self._values.T, strict=True)
        # What is constant here tells nothing of a scale.
        return next((i for i, (a, b) in enumerate(pairs) if b.min() < b.max() and _distance(a, b)), None)

    def _off(self, values: Array) -> bool:
        """Return whether samples clearly spread otherwise, or lie elsewhere, than these.

        Compared are logarithms of each sample's mean distance from a middle: from that of its own set, and from that of these. They do not hang
        on a few large values, as ranges and deviations do.
        """
        middle = self._values.mean()
        spread = np.abs(self._values - middle).mean()
        if spread == 0:
            return False

        def distances(of: Array, from_: Array) -> Array:
            found: Array = np.log(np.abs(of - from_).mean(axis=1) / spread + 1e-3)
            return found

        here = distances(self._values, middle)
        for there in (distances(values, values.mean()), distances(values, middle)):
            error = math.sqrt(here.var() / len(here) + there.var() / len(there))
            if abs(there.mean() - here.mean()) > max(math.log(FACTOR), ERRORS * error):
                return True
        return False


def _flat(values: Array) -> Array:
    return values.astype(np.float64).reshape(len(values), -1)


def _distance(one: Array, other: Array) -> bool:
    """Return whether two samples are of distributions that are far apart, by Kolmogorov and Smirnov."""
    at = np.concatenate([one, other])
    ranks = (np.searchsorted(np.sort(v), at, side="right") / len(v) for v in (one, other))
    apart = float(np.abs(next(ranks) - next(ranks)).max())
    chance = math.sqrt((len(one) + len(other)) / (len(one) * len(other)))
    return apart > max(APART, BEYOND * chance)


def span(values: Array) -> Array:
    """Return the difference of the largest and smallest value of each sample."""
    flat = _flat(values)
    found: Array = flat.max(axis=1) - flat.min(axis=1)
    return found
