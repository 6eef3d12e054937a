"""Whether a model expects its inputs in another scale than the data has: told by what the labels say of its outputs in each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workbench.data.rows import Values
from workbench.errors import StageFailed
from workbench.evaluate.interpreter import describe_ends
from workbench.evaluate.quality import quality
from workbench.evaluate.run import run_all
from workbench.flatbuffer.entry import first_affine
from workbench.flatbuffer.opening import read_file
from workbench.flatbuffer.reader import read_model
from workbench.values.figure import Figure
from workbench.values.task import TaskSpec
from workbench.values.warning import Warning_, warning

Array = np.ndarray[Any, Any]
# As many samples as tell a wrong scale from chance, and too few to.
SAMPLES, FEWEST = 256, 24
# Of large ones no more than so many numbers of an input are held, a few times over.
MOST_VALUES = 1 << 24
# Of slow models fewer samples are run: how many, where one takes no longer than so many seconds.
TIMES = ((0.01, SAMPLES), (0.05, 96), (float("inf"), 32))
# The whole interval of what is won has to be above this: in shares two points, else a tenth of the figure.
WON, WON_SHARE = 0.02, 0.1
RANGES = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0), "0..255": (0.0, 255.0)}
# Pixels above this are of 8 bits; below, the largest value is the end of the range (16 in scikit-learn's digits).
_EIGHT_BITS = 128.0


class Scale(NamedTuple):
    """Another scale of one input: how it is called, and what values are multiplied by and added to; `advice` says so."""

    name: str
    factor: Array
    offset: Array
    advice: str


def check_scale(
    file: Path,
    inputs: Mapping[str, Values],
    labels: Mapping[str, Array],
    tasks: Mapping[str, TaskSpec],
    threads: int = 1,
) -> Warning_ | None:
    """Return a warning where a float file's primary figure is clearly better with its inputs in another likely scale.

    `inputs` `{name: (n, *shape)}` and `labels` `{output: (n, ...)}` are those of a split, of which a sample is run once for each scale. A
    scale counts as better only where its outputs also know more of the labels than the same outputs in another order, so that an untrained
    model or labels drawn by chance give no warning.
    """
    count = len(next(iter(inputs.values())))
    if count < FEWEST or not labels:
        return None
    largest = max(max(1, values.size // count) for values in inputs.values())
    most = min(count, SAMPLES, max(FEWEST, MOST_VALUES // largest))
    chosen = np.sort(np.random.default_rng(0).choice(count, most, replace=False))
    few = {name: np.asarray(values[chosen]) for name, values in inputs.items()}
    y = {output: np.asarray(values[chosen]) for output, values in labels.items()}
    candidates = list(_candidates(file, few))
    if not candidates:
        return None
    # In levels, so that a machine that is busy hardly ever changes what is run.
    begin = time.perf_counter()
    run_all(file, {name: values[:2] for name, values in few.items()}, threads)
    each = (time.perf_counter() - begin) / 2
    most = next(count for seconds, count in TIMES if each <= seconds)
    few = {name: values[:: -(-len(values) // most)] for name, values in few.items()}
    y = {output: values[:: -(-len(values) // most)] for output, values in y.items()}
    given, _ = run_all(file, few, threads)
    best: tuple[float, Figure, Figure, str, Scale] | None = None
    for name, scale in candidates:
        changed = {**few, name: (few[name] * scale.factor + scale.offset).astype(np.float32)}
        try:
            other, _ = run_all(file, changed, threads)
            pair = _won(given, other, y, tasks)
        except (StageFailed, RuntimeError, ValueError):
            continue  # not a scale in which the model runs
        if pair is not None and (best is None or pair[0] > best[0]):
            best = (*pair, name, scale)
    if best is None:
        return None
    _, mine, theirs, name, scale = best
    of = f" of input {name!r}" if name else ""
    seen = f"{mine.key} {mine.value:.4g} with the values{of} as given ({_range(few[name])}), {theirs.value:.4g} with {scale.name}, on {len(next(iter(few.values())))} samples"
    return warning("input-scale", seen).model_copy(update={"advice": scale.advice})


def _won(
    given: dict[str, Array], other: dict[str, Array], y: Mapping[str, Array], tasks: Mapping[str, TaskSpec]
) -> tuple[float, Figure, Figure] | None:
    """Return what another scale wins, and the primary figure as given and in it; None where nothing is won for sure."""
    mine = next(iter(quality(given, other, y, tasks, 1).figures), None)
    if mine is None or mine.loss is None:
        return None
    least = WON if mine.unit == "share" else WON_SHARE * abs(mine.value)
    if mine.loss.low <= least:
        return None
    # Neighbours' outputs: as many of each kind, but they know nothing of the labels.
    order = np.random.default_rng(1).permutation(len(next(iter(other.values()))))
    theirs = quality(other, {n: v[order] for n, v in other.items()}, y, tasks, 1).figures[0]
    if theirs.loss is None or theirs.loss.high >= -least:
        return None
    return mine.loss.value, mine, theirs


def _candidates(file: Path, inputs: dict[str, Array]) -> Iterator[tuple[str, Scale]]:
    """Give the other scales of each input of numbers whose scale is a choice."""
    ends, graph = describe_ends(file), read_model(read_file(file), file.name).graphs[0]
    for (public, detail), tensor in zip(ends.inputs, graph.inputs, strict=True):
        name = public if public in inputs else ""
        if name not in inputs or np.dtype(detail["dtype"]).kind != "f":
            continue
        values = inputs[name]
        found = [*_ranges(values)]
        undone = first_affine(graph, tensor)
        if undone is not None and undone[0].all():
            found.append(_undoing(*undone))
        kept: list[Scale] = []
        for scale in found:
            grows = np.abs(values * scale.factor + scale.offset).max() > np.abs(values).max()
            # Whole numbers in a row may be numbers of words, of which there is none beyond the last.
            if (not grows or values.ndim > 2 or not (values == np.round(values)).all()) and not any(
                _alike(scale, other, values) for other in kept
            ):
                kept.append(scale)
        yield from ((name, scale) for scale in kept)


def _ranges(values: Array) -> Iterator[Scale]:
    """Give the ranges that pixels come in, but the one that these values fill."""
    low, high = float(values.min()), float(values.max())
    if low < -1 or high <= low or (low < 0 and high > 1):
        return  # centred or standardized: which range it was cannot be seen
    top = 1.0 if high <= 1 else 255.0 if _EIGHT_BITS < high <= 255 else high
    have = (-1.0, 1.0) if low < 0 else (0.0, top)
    for name, (to_low, to_high) in RANGES.items():
        if (to_low, to_high) == have:
            continue
        factor = (to_high - to_low) / (have[1] - have[0])
        offset = to_low - have[0] * factor
        option = f" (a folder of images: `?scale={name}`)" if values.ndim > 2 else ""
        advice = f"Preprocess as the model was trained: {_formula(factor, offset)} before the values are given{option}."
        yield Scale(f"{name}", np.asarray(factor), np.asarray(offset), advice)


def _undoing(factor: Array, offset: Array) -> Scale:
    """Return the scale in which values are before what the model itself does to them first."""
    plain = factor.size == 1 and offset.size == 1
    done = f"x * {float(factor.ravel()[0]):.6g} + {float(offset.ravel()[0]):.6g}" if plain else "(x - mean) / deviation"
    advice = f"The model begins with {done} itself (a `Rescaling` or `Normalization`): give it the values as they are before that."
    return Scale("the values before the model's own normalization", 1 / factor, -offset / factor, advice)


def _alike(one: Scale, other: Scale, values: Array) -> bool:
    a, b = values[:8] * one.factor + one.offset, values[:8] * other.factor + other.offset
    return bool(np.allclose(a, b, rtol=1e-3, atol=1e-3 * max(float(np.abs(a).max()), 1e-9)))


def _formula(factor: float, offset: float) -> str:
    """Return what is done to x, in words of Python."""
    scaled = f"x * {factor:.6g}" if factor >= 1 else f"x / {1 / factor:.6g}"
    if factor == 1:
        scaled = "x"
    added = f" {'+' if offset > 0 else '-'} {abs(offset):.6g}" if offset else ""
    return f"`{scaled}{added}`"


def _range(values: Array) -> str:
    return f"{values.min():.4g} to {values.max():.4g}"
