"""Medians with bootstrap intervals over blocks of rounds.

Samples of one block share a process and what the machine did at that moment, so blocks, not samples, are
drawn again (a cluster bootstrap; Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 8).
"""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import NormalDist
from typing import Any

import numpy as np

from workbench.values.trial import PROCESSES_OF_AN_INTERVAL, Latency, Ratio

Array = np.ndarray[Any, Any]
Rounds = dict[int, list[int]]
RESAMPLES = 1000
LEVEL = 0.95
# The range of n values holds the median with a probability of 1 - 2^(1 - n): from five on that is 94 %.
# Of fewer nothing can be drawn that holds it in 95 %; they are told as they are.
LEAST = PROCESSES_OF_AN_INTERVAL


def latency(rounds: Rounds, block: int = 1) -> Latency:
    """Return the median of all samples (nanoseconds by round) in milliseconds, with the interval of block medians drawn again.

    Of fewer than LEAST blocks, or where `block` is 0 and all rounds had one process, `low` and `high` are the smallest and
    the largest median of a block, or of a round.
    """
    everything = np.concatenate([np.asarray(r, dtype=np.float64) for r in rounds.values()]) / 1e6
    median = float(np.median(everything))
    by_round = {i: float(np.median(r)) / 1e6 for i, r in rounds.items()}
    low, high = _interval(by_round, block)
    return Latency(
        median=median,
        low=min(low, median),
        high=max(high, median),
        p90=float(np.percentile(everything, 90)),
        samples=len(everything),
        processes=len(_block_medians(by_round, block)) if block else 1,
    )


def ratio(rounds: Rounds, baseline: Rounds, block: int = 1) -> Ratio | None:
    """Return the median of round-by-round ratios to the baseline; None where no round has both."""
    paired = {i: float(np.median(rounds[i]) / np.median(baseline[i])) for i in sorted(set(rounds) & set(baseline))}
    if not paired:
        return None
    low, high = _interval(paired, block)
    median = float(np.median(list(paired.values())))
    return Ratio(median=median, low=min(low, median), high=max(high, median), rounds=len(paired))


def interval(values: Array, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Return the 95 % expanded percentile bootstrap interval of the median; seeded. Of fewer than LEAST their range.

    With few values the plain percentile interval is too narrow; its tails are widened as Student's t widens the normal
    ones (Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015, sec. 5.3).
    """
    if len(values) < LEAST:
        return float(np.min(values)), float(np.max(values))
    draws = np.random.default_rng(0).integers(0, len(values), (resamples, len(values)))
    medians = np.median(values[draws], axis=1)
    tail = expanded_tail(len(values))
    return float(np.quantile(medians, tail)), float(np.quantile(medians, 1 - tail))


def expanded_tail(count: int) -> float:
    """Return the share to cut off at either end of the resampled medians of `count` values."""
    normal = NormalDist()
    z, free = normal.inv_cdf((1 + LEVEL) / 2), count - 1
    # Student's quantile by its expansion around the normal one (Abramowitz & Stegun, 26.7.5).
    student = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return normal.cdf(-math.sqrt(count / free) * student)


def half_width(rounds: Rounds, block: int = 1) -> float:
    """Return the interval's half-width as a share of the median."""
    by_round = {i: float(np.median(r)) for i, r in rounds.items()}
    low, high = _interval(by_round, block)
    return (high - low) / 2 / float(np.median(_block_medians(by_round, block or 1)))


def _interval(by_round: dict[int, float], block: int) -> tuple[float, float]:
    if block:
        return interval(_block_medians(by_round, block))
    # Rounds of one process tell of that process alone, however many they are.
    return min(by_round.values()), max(by_round.values())


def _block_medians(by_round: dict[int, float], block: int) -> Array:
    blocks: dict[int, list[float]] = defaultdict(list)
    for number, value in by_round.items():
        blocks[number // block].append(value)
    return np.array([np.median(b) for b in blocks.values()])
