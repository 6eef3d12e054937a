"""What looks wrong with the samples that set ranges: each mistake by name, on the very samples that are drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from workbench.data.dataset import Split
from workbench.data.likeness import Likeness, span
from workbench.data.materialize import open_split
from workbench.errors import WorkbenchError
from workbench.values.source import DatasetInfo
from workbench.values.warning import Warning_, warning

Array = np.ndarray[Any, Any]
FEW = 50
# What is looked at: as many samples as tell, and no more bytes of each input than this.
MOST_SAMPLES, MOST_BYTES = 500, 1 << 26
# Rows that are looked up among those of other splits.
MOST_ROWS = 20_000
# Shares of samples: distinct ones, of the test split; those found there; those without any contrast.
DISTINCT, FOUND, FLAT = 0.9, 0.1, 0.5
# A class is missing where chance would have left it out once in so many draws.
CHANCE = 1e-3


def drawn(count: int, samples: int, seed: int) -> Array:
    """Return which of `count` samples are drawn for calibration, in order."""
    return np.sort(np.random.default_rng(seed).choice(count, min(samples, count), replace=False))


def calibration_warnings(folder: Path, info: DatasetInfo, samples: int, seed: int = 0) -> tuple[Warning_, ...]:
    """Return what looks wrong with the samples that calibration draws from a stored dataset; arrays are read in part.

    Looked at are their number, repeats, samples of the test split, types, ranges, inputs in another's place, constants and missing classes.
    """
    split, test = open_split(folder, "calibration"), open_split(folder, "test")
    chosen = drawn(len(split), samples, seed)
    found: list[Warning_] = []
    if len(chosen) < FEW:
        found.append(warning("calibration-few-samples", f"{len(chosen)} calibration samples"))
    part, other = _part(split, chosen), _part(test, np.arange(len(test)))
    mine, theirs = _hashes(part), _hashes(other)
    few = min(len(mine), len(theirs))
    distinct, natural = (len(set(hashes[:few])) / few for hashes in (mine, theirs))
    # What repeats itself in the test split too, as rows of a few categories do, is no mistake.
    if distinct < DISTINCT * min(1.0, natural):
        found.append(
            warning("calibration-duplicates", f"{len(set(mine))} distinct among {len(mine)} calibration samples")
        )
    if info.calibration_from == "test":
        found.append(
            warning(
                "calibration-from-test",
                "there is no train or calibration split; samples were drawn from the test split",
            )
        )
    elif natural >= DISTINCT:
        found += _overlap(mine, test)
    swapped = _swapped(part, other, folder)
    if swapped:
        names = ", ".join(f"{mine!r} look like {its!r}" for mine, its in swapped.items())
        found.append(warning("calibration-order", f"calibration samples of input {names} of the test split"))
    for name in part:
        if name not in swapped:
            found += _values(name, part[name], other[name])
    found += _classes(split, test, chosen, mine, folder)
    return tuple(found)


def _part(split: Split, chosen: Array) -> dict[str, Array]:
    """Return those of the chosen samples that are looked at, evenly spread, by input."""
    # As many bytes as they have as float32: compared are floats, whatever type they come in.
    size = max(sum(a[:1].size * 4 for a in split.inputs.values()), 1)
    most = min(MOST_SAMPLES, max(FEW, MOST_BYTES // size), len(chosen))
    spread = chosen[np.linspace(0, len(chosen) - 1, most).astype(int)]
    return {name: np.asarray(array[spread]) for name, array in split.inputs.items()}


def _hashes(inputs: Mapping[str, Array]) -> list[bytes]:
    """Return a hash of each sample over all inputs; one number is the same in every type."""
    return [_hash(inputs[n][i] for n in sorted(inputs)) for i in range(len(next(iter(inputs.values()))))]


def _hash(arrays: Iterator[Array] | list[Array]) -> bytes:
    hasher = hashlib.blake2b(digest_size=16)
    for array in arrays:
        hasher.update(np.ascontiguousarray(array, dtype=np.float32).data)
    return hasher.digest()


def _rows(split: Split, names: list[str] | None = None) -> list[bytes]:
    """Return hashes of a split's first samples, read one by one."""
    inputs = [split.inputs[n] for n in names or sorted(split.inputs)]
    return [_hash([a[i] for a in inputs]) for i in range(min(len(split), MOST_ROWS))]


def _overlap(mine: list[bytes], test: Split) -> Iterator[Warning_]:
    held = set(_rows(test))
    count = sum(h in held for h in mine)
    if count >= max(2, FOUND * len(mine)):
        yield warning("calibration-overlap", f"{count} of {len(mine)} calibration samples are in the test split too")


def _values(name: str, mine: Array, theirs: Array) -> Iterator[Warning_]:
    """Give what looks wrong with the values of one input."""
    of = f" of input {name!r}" if name else ""
    kinds = {"b": "booleans", "i": "whole numbers", "u": "whole numbers", "f": "numbers with a fraction"}
    if kinds[mine.dtype.kind] != kinds[theirs.dtype.kind]:
        seen = f"calibration values{of} are {kinds[mine.dtype.kind]} ({mine.dtype}), test values {kinds[theirs.dtype.kind]} ({theirs.dtype})"
        yield warning("calibration-type", seen)
    constant = list(_constant(mine, theirs))
    if constant:
        yield warning("calibration-constant", f"calibration values{of}: {constant[0]}")
        return
    unlike = Likeness(theirs).unlike(mine)
    if unlike is not None:
        where = f"{of}, column {unlike}" if unlike >= 0 else of
        a, b = (mine[:, unlike], theirs[:, unlike]) if unlike >= 0 else (mine, theirs)
        seen = f"calibration values{where} run from {a.min():g} to {a.max():g} (mean {a.mean():.4g}), test values from {b.min():g} to {b.max():g} (mean {b.mean():.4g})"
        yield warning("calibration-range", seen)


def _constant(mine: Array, theirs: Array) -> Iterator[str]:
    """Give what does not vary while it does in the test split: all, most samples in themselves, or a column."""
    if mine.min() == mine.max() and theirs.min() < theirs.max():
        yield f"all are {mine.min():g}"
        return
    if mine[0].size > 1:
        flat, natural = (span(v) == 0 for v in (mine, theirs))
        if flat.mean() > FLAT and natural.mean() < FLAT / 2:
            yield f"{int(flat.sum())} of {len(flat)} samples hold one value throughout"
    if mine.ndim == 2:
        still = (mine.max(axis=0) == mine.min(axis=0)).nonzero()[0]
        # By chance a column with a rare value can look so: it would have to be missed once in `1 / CHANCE` draws.
        rare = [c for c in still if (theirs[:, c] == mine[0, c]).mean() ** len(mine) < CHANCE]
        if rare and mine.shape[1] > 1:
            yield f"column {rare[0]} is {mine[0, rare[0]]:g} in all {len(mine)} samples"


def _swapped(part: Mapping[str, Array], other: Mapping[str, Array], folder: Path) -> dict[str, str]:
    """Return the inputs whose samples are like another input's and unlike their own, with that other one."""
    names = [n for n in part if n in other]
    alike = [(a, b) for a, b in permutations(names, 2) if part[a].shape[1:] == other[b].shape[1:]]
    if not alike:
        return {}
    known = {n: Likeness(other[n]) for n in names}
    unlike = {n for n in names if known[n].unlike(part[n]) is not None}
    found = {a: b for a, b in alike if a in unlike and known[b].unlike(part[a]) is None}
    if found and set(found) == set(found.values()):
        return found
    # Inputs that look the same: their samples themselves, found among those of another input.
    held: dict[str, set[bytes]] = {n: set() for n in names}
    for split in _known_splits(folder):
        for name in names:
            held[name].update(_rows(split, [name]))
    mine = {n: [_hash([row]) for row in part[n]] for n in names}
    found = {}
    for a, b in alike:
        own, its = (sum(h in held[n] for h in mine[a]) / len(mine[a]) for n in (a, b))
        if its > FLAT and own < FOUND:
            found[a] = b
    return found if set(found) == set(found.values()) else {}


def _known_splits(folder: Path) -> Iterator[Split]:
    """Give the train split where there is one, and the test split."""
    try:
        yield open_split(folder, "train")
    except WorkbenchError:
        pass
    yield open_split(folder, "test")


def _classes(split: Split, test: Split, chosen: Array, mine: list[bytes], folder: Path) -> Iterator[Warning_]:
    """Give the classes of the test split that are not among the samples drawn, where chance does not explain it."""
    first = next(iter(test.targets.values()), None)
    if first is None or first.ndim != 1 or first.dtype.kind not in "biu":
        return
    own = next(iter(split.targets.values()), None)
    labels = np.asarray(own[chosen]) if own is not None and own.ndim == 1 else _looked_up(mine, folder)
    if labels is None:
        return
    classes, counts = np.unique(np.asarray(first), return_counts=True)
    shares = counts / counts.sum()
    missing = [
        c for c, share in zip(classes, shares, strict=True) if c not in labels and (1 - share) ** len(labels) < CHANCE
    ]
    if missing:
        named = ", ".join(str(c) for c in missing[:5]) + (", ..." if len(missing) > 5 else "")
        yield warning(
            "calibration-classes",
            f"{len(missing)} of {len(classes)} classes of the test split are not among {len(labels)} calibration samples: {named}",
        )


def _looked_up(mine: list[bytes], folder: Path) -> Array | None:
    """Return the labels of samples without any, where most of them are found in another split."""
    labels: dict[bytes, Any] = {}
    for split in _known_splits(folder):
        y = next(iter(split.targets.values()), None)
        if y is not None and y.ndim == 1:
            labels.update(zip(_rows(split), np.asarray(y[:MOST_ROWS]), strict=False))
    found = [labels[h] for h in mine if h in labels]
    return np.asarray(found) if len(found) > 0.8 * len(mine) else None
