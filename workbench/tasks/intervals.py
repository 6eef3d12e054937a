"""95 % intervals of scores, and of the paired difference of two scores on the same samples.

A share has closed forms that stay honest where no sample, or every one, is right, as the bootstrap does not: Wilson's interval (Wilson, "Probable
Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927), and for a paired difference the adjusted Wald interval (Agresti and
Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine 24, 2005). Everything else is drawn
again: the percentile bootstrap over samples (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13), bias-corrected and in
fewer draws where a figure has to be worked out as a whole for each (ch. 14, without acceleration).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

from workbench.tasks.scores import AnyScore, Redrawn, Score
from workbench.values.figure import Change, Figure

Array = np.ndarray[Any, Any]
LEVEL = 0.95
Z = 1.959963984540054
RESAMPLES = 1000
# Of figures that are worked out as a whole: the ends of an interval then vary by about a twentieth of its width.
REDRAWS = 200
AT_ONCE = 50
# More samples than this are put together into so many groups first: sums of a few samples vary as the samples do.
GROUPS = 5000


def figures(
    scores: Sequence[AnyScore], baseline: Sequence[AnyScore] | None = None, output: str = "", split: str = "test"
) -> tuple[Figure, ...]:
    """Return scores of the same samples with their intervals, each with its paired difference to the baseline's score of that name."""
    before = {b.name: b for b in baseline or ()}
    paired = [(s, b if (b := before.get(s.name)) and _comparable(s, b) else None) for s in scores]
    together = [s for pair in paired for s in pair if isinstance(s, Score) and not s.shares]
    drawn = _Drawn(together)
    return tuple(_figure(s, b, drawn, output, split) for s, b in paired)


def _comparable(score: AnyScore, baseline: AnyScore) -> bool:
    return type(score) is type(baseline) and score.samples == baseline.samples


def _figure(score: AnyScore, baseline: AnyScore | None, drawn: _Drawn, output: str, split: str) -> Figure:
    value = score.value
    if isinstance(score, Score) and score.shares:
        low, high = wilson(float(score.parts.sum()), score.samples)
    elif isinstance(score, Redrawn):
        low, high = _corrected(drawn.of(score), value)
    else:
        low, high = _percentiles(drawn.of(score))
    return Figure(
        name=score.name,
        title=score.title,
        value=value,
        low=min(low, value),
        high=max(high, value),
        unit=score.unit,
        better=score.better,
        samples=score.samples,
        split=split,
        output=output,
        change=None if baseline is None else _change(score, baseline, drawn),
    )


def _change(score: AnyScore, baseline: AnyScore, drawn: _Drawn) -> Change:
    value = score.value - baseline.value
    if isinstance(score, Score) and isinstance(baseline, Score) and score.shares and baseline.shares:
        mine, theirs = score.parts[:, 0], baseline.parts[:, 0]
        low, high = matched(int((mine > theirs).sum()), int((mine < theirs).sum()), score.samples)
    else:
        here, there = drawn.of(score), drawn.of(baseline)
        # One of them may have run out of time; what both have are the same draws.
        many = min(len(here), len(there))
        differences = here[:many] - there[:many]
        low, high = _corrected(differences, value) if isinstance(score, Redrawn) else _percentiles(differences)
    return Change(value=value, low=min(low, value), high=max(high, value))


def wilson(successes: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of `count` samples."""
    share = successes / count
    middle = (share + Z * Z / (2 * count)) / (1 + Z * Z / count)
    half = Z / (1 + Z * Z / count) * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def matched(gained: int, lost: int, count: int) -> tuple[float, float]:
    """Return Agresti and Min's 95 % interval of a paired difference of shares.

    Of `count` samples `gained` are right only here, `lost` only in the other.
    """
    b, c, n = gained + 0.5, lost + 0.5, count + 2
    middle = (b - c) / n
    half = Z * math.sqrt(max(0.0, b + c - (b - c) ** 2 / n)) / n
    return max(-1.0, middle - half), min(1.0, middle + half)


class _Drawn:
    """Figures over samples drawn again; the same draws for all, so that differences are paired."""

    def __init__(self, scores: Sequence[Score]) -> None:
        edges = np.cumsum([0, *(s.parts.shape[1] for s in scores)])
        self._places = {id(s): slice(a, b) for s, a, b in zip(scores, edges[:-1], edges[1:], strict=True)}
        self._means = _means(np.concatenate([s.parts for s in scores], axis=1)) if scores else np.zeros((0, 0))

    def of(self, score: AnyScore) -> Array:
        """Return a score's figure for each draw."""
        if isinstance(score, Redrawn):
            return score.of(redraws(score.samples))
        return score.of(self._means[:, self._places[id(score)]])


def _means(parts: Array) -> Array:
    """Return means of the parts over samples drawn again, `(RESAMPLES, k)`; seeded."""
    draw = np.random.default_rng(0)
    sizes = np.ones(len(parts))
    if len(parts) > GROUPS:
        # Labels may come sorted; a group is of samples from anywhere.
        edges = np.linspace(0, len(parts), GROUPS + 1).astype(int)
        parts = np.add.reduceat(parts[draw.permutation(len(parts))], edges[:-1], axis=0)
        sizes = np.diff(edges).astype(np.float64)
    count, found = len(parts), []
    for _ in range(RESAMPLES // AT_ONCE):
        chosen = draw.integers(0, count, (AT_ONCE, count)) + np.arange(AT_ONCE)[:, None] * count
        weights = np.bincount(chosen.ravel(), minlength=AT_ONCE * count).reshape(AT_ONCE, count).astype(np.float64)
        found.append(weights @ parts / (weights @ sizes)[:, None])
    return np.concatenate(found)


@lru_cache(maxsize=2)
def redraws(count: int) -> Array:
    """Return samples drawn again, indices `(REDRAWS, count)`; seeded, and the same for every score, so that differences are paired."""
    found = np.random.default_rng(0).integers(0, count, (REDRAWS, count), dtype=np.int32)
    found.setflags(write=False)
    return found


def _percentiles(values: Array) -> tuple[float, float]:
    """Return the ends of the middle 95 %."""
    tail = (1 - LEVEL) / 2
    return float(np.quantile(values, tail)), float(np.quantile(values, 1 - tail))


def _corrected(values: Array, value: float) -> tuple[float, float]:
    """Return the bias-corrected ends of the middle 95 %: moved by how far the draws lie to one side of the figure.

    Average precision is too high on few images, and higher still on fewer distinct ones. Draws without a figure (NaN) are left out.
    """
    known, normal = values[~np.isnan(values)], NormalDist()
    if not len(known):
        return value, value
    below = ((known < value).sum() + (known == value).sum() / 2 + 0.5) / (len(known) + 1)
    shift = 2 * normal.inv_cdf(float(below))
    return float(np.quantile(known, normal.cdf(shift - Z))), float(np.quantile(known, normal.cdf(shift + Z)))
