"""A figure beside the one that it is held against: the difference in words, and which of them is better."""

from __future__ import annotations

import math
from typing import Literal

from workbench.values.figure import Unit
from workbench.views import units
from workbench.views.metric import Interval, Metric

Verdict = Literal["better", "worse", "same", ""]
# What describes a file and is neither good nor bad by itself.
_NEUTRAL = {"sparsity", "unique_weights"}
_NONE = {"1.00x", "0.00 points", "0.0 dB"}


def delta_text(value: float | None, reference: float | None, unit: Unit) -> str:
    """Return the difference as people speak of it: shares in points, decibels added, all else as a ratio.

    Empty where either figure is missing or endless, or where there is no ratio to zero.
    """
    if value is None or reference is None or not (math.isfinite(value) and math.isfinite(reference)):
        return ""
    if unit in ("share", "points"):
        return _signed(f"{100 * (value - reference):+.2f} points")
    if unit == "db":
        return _signed(f"{value - reference:+.1f} dB")
    return units.text(value / reference, "ratio") if reference and unit != "ratio" else ""


def verdict(
    metric: Metric,
    value: float | None,
    reference: float | None,
    interval: Interval | None = None,
    reference_interval: Interval | None = None,
) -> Verdict:
    """Return whether a figure is better than the reference; `same` too where their intervals overlap.

    Empty where either figure is missing, or where neither way is better.
    """
    if value is None or reference is None or metric.name in _NEUTRAL:
        return ""
    # What reads as no difference is none.
    if delta_text(value, reference, metric.unit) in _NONE or math.isclose(value, reference, rel_tol=1e-9, abs_tol=1e-9):
        return "same"
    if (
        interval
        and reference_interval
        and interval[0] <= reference_interval[1]
        and reference_interval[0] <= interval[1]
    ):
        return "same"
    return "better" if (value < reference) == (metric.better == "low") else "worse"


def _signed(text: str) -> str:
    number, _, unit = text.partition(" ")
    # Nothing has no sign.
    if float(number) == 0:
        return f"{number.lstrip('+-')} {unit}"
    return text.replace("-", "−")
