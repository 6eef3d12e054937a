"""Medians with bootstrap intervals over rounds.

Samples of one round share what the machine did at that moment, so rounds, not samples, are drawn again
(a cluster bootstrap; Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 8).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.values.trial import Latency, Ratio

Array = np.ndarray[Any, Any]
RESAMPLES = 1000
LEVEL = 0.95


def latency(rounds: list[list[int]]) -> Latency:
    """Return the median of all samples in milliseconds, with the interval of round medians drawn again."""
    everything = np.concatenate([np.asarray(r, dtype=np.float64) for r in rounds]) / 1e6
    medians = np.array([np.median(r) for r in rounds]) / 1e6
    median = float(np.median(everything))
    low, high = interval(medians)
    return Latency(median=median, low=min(low, median), high=max(high, median), p90=float(np.percentile(everything, 90)), samples=len(everything))


def ratio(rounds: dict[int, list[int]], baseline: dict[int, list[int]]) -> Ratio | None:
    """Return the median of round-by-round ratios to the baseline; None where no round has both."""
    shared = sorted(set(rounds) & set(baseline))
    if not shared:
        return None
    paired = np.array([np.median(rounds[i]) / np.median(baseline[i]) for i in shared])
    low, high = interval(paired)
    median = float(np.median(paired))
    return Ratio(median=median, low=min(low, median), high=max(high, median), rounds=len(shared))


def interval(values: Array, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the median; seeded."""
    if len(values) < 2:
        return float(values[0]), float(values[0])
    draws = np.random.default_rng(0).integers(0, len(values), (resamples, len(values)))
    medians = np.median(values[draws], axis=1)
    tail = (1 - LEVEL) / 2
    return float(np.quantile(medians, tail)), float(np.quantile(medians, 1 - tail))


def half_width(rounds: list[list[int]]) -> float:
    """Return the interval's half-width as a share of the median."""
    medians = np.array([np.median(r) for r in rounds], dtype=np.float64)
    low, high = interval(medians, 200)
    return (high - low) / 2 / float(np.median(medians))
