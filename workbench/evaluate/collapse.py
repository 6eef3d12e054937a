"""Outputs that no longer say what they said: each is looked at, whether it has labels or not."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.evaluate.quality import classes_of
from workbench.values.warning import Warning_, warning

Array = np.ndarray[Any, Any]
# Of the spread of an output over samples: what is left of it where it is as good as constant.
CONSTANT = 0.01
# Where no labels say that another answer is a better one: noise of half the spread, or another top class in one of four places that were
# sure of theirs. A top that leads by less than such noise would flip at any rounding: boxes of a detector, which have no class, say nothing.
NOISE_DB = 6.0
AGREEMENT = 0.75
# Of probabilities: one step of eight bits.
_STEP = 1 / 256


def collapsed(outputs: dict[str, Array], baseline: dict[str, Array], labelled: set[str]) -> list[Warning_]:
    """Return a warning for each output `(n, ...)` that became constant or, where it has no labels, noise, against the float baseline.

    Noise is held against the spread over samples, not against the values: an output near 20000 that varies by 1000 loses
    all where it is constant, at 26 dB of its values. Where names differ the order tells which output is which.
    """
    other = dict(zip(outputs, outputs if set(outputs) == set(baseline) else baseline, strict=False))
    found = []
    for name, theirs in other.items():
        mine, base = (v.reshape(len(v), -1).astype(np.float64) for v in (outputs[name], baseline[theirs]))
        spread = float(((base - base.mean(axis=0)) ** 2).sum())
        if mine.shape != base.shape or spread == 0 or _as_sure(baseline[theirs]):
            continue
        kept = float(np.sqrt(((mine - mine.mean(axis=0)) ** 2).sum() / spread))
        noise = float(((mine - base) ** 2).sum())
        same = _same_top(outputs[name], baseline[theirs], float(np.sqrt(spread / base.size)))
        decibels = np.inf if noise == 0 else 10 * np.log10(spread / noise)
        if kept < CONSTANT:
            said = f"it is as good as constant: it varies by {kept:.2%} of what the float baseline's does"
        elif name not in labelled and (decibels < NOISE_DB or (same is not None and same < AGREEMENT)):
            top = "" if same is None else f", {same:.0%} the same top class where that is clear"
            said = f"it has no labels, and differs from the float baseline's: {decibels:.1f} dB of its spread over samples{top}"
        else:
            continue
        found.append(warning("output-collapsed", f"output {name!r}: {said}"))
    return found


def _same_top(mine: Array, base: Array, spread: float) -> float | None:
    """Return the share of places whose largest value is the same, of those where the baseline's leads by half of its spread; None without any."""
    if (classes := classes_of(base)) < 2:
        return None
    ours, theirs = (v.reshape(-1, classes).astype(np.float64) for v in (mine, base))
    second, first = np.partition(theirs, -2, axis=1)[:, -2:].T
    clear = first - second > spread * 10 ** (-NOISE_DB / 20)
    return float((ours.argmax(axis=1) == theirs.argmax(axis=1))[clear].mean()) if clear.any() else None


def _as_sure(values: Array) -> bool:
    """Return whether outputs are probabilities of classes that hardly differ between samples: such data shows nothing that could be lost."""
    if values.ndim < 2 or values.shape[-1] < 2 or values.min() < 0:
        return False
    sums = values.sum(axis=-1)
    return bool(np.abs(sums - 1).max() < 1e-3 and np.abs(values - values.mean(axis=0)).max() < _STEP)
