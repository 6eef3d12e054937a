"""Arrays as users name them: several inputs or outputs in a flat mapping, and labels that are words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from workbench.data.rows import Rows
from workbench.errors import WorkbenchError, shown

Array = np.ndarray[Any, Any]
SPLITS = ("", "_train", "_calibration", "_test")
MOST_CLASSES = 100_000


def grouped(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return arrays with those of several inputs or outputs as dicts: `x_train.image` is `image` of `x_train`.

    A `.npz` file holds arrays only, no dicts. Raises WorkbenchError where one is given both ways.
    """
    found: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for key, value in data.items():
        whole, dot, part = str(key).partition(".")
        if dot and part and whole in {f"{axis}{split}" for axis in "xy" for split in SPLITS}:
            parts.setdefault(whole, {})[part] = value
        else:
            found[str(key)] = value
    both = next((key for key in parts if found.get(key) is not None), None)
    if both is not None:
        raise WorkbenchError(
            f"dataset {name!r} has {both!r} and {f'{both}.{next(iter(parts[both]))}'!r}. Name all arrays of several inputs or outputs, or give one."
        )
    return {**found, **parts}


def numbered(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return arrays with labels that are words as numbers of classes, the same in all splits.

    Classes are in the order of `class_names` where that is given, else of the alphabet; of several outputs in words the first one names the classes
    of the dataset. Raises WorkbenchError for a word that is none of `class_names`, or words in one split and numbers in another.
    """
    found = dict(data)
    labels = [key for key in (f"y{split}" for split in SPLITS) if data.get(key) is not None]
    outputs = dict.fromkeys(o for key in labels for o in (data[key] if isinstance(data[key], Mapping) else [None]))
    names = data.get("class_names")
    for output in outputs:
        given = {k: v for k in labels if (v := _of(data[k], output)) is not None}
        words = {k: w for k, v in given.items() if (w := _words(v)) is not None}
        if not words:
            continue
        where = "y" if output is None else f"y of output {output!r}"
        if len(words) < len(given):
            other = next(k for k in given if k not in words)
            raise WorkbenchError(
                f"dataset {name!r}: {where} is words in {next(iter(words))} and numbers in {other}. Give both as words, or as numbers."
            )
        first = output == next(iter(outputs))
        known = [str(c) for c in np.asarray(names).tolist()] if first and names is not None else None
        classes = known or sorted({word for part in words.values() for word in part.ravel().tolist()})
        if len(classes) > MOST_CLASSES:
            raise WorkbenchError(
                f"dataset {name!r}: {where} has {len(classes):,} words. Allowed: {MOST_CLASSES:,} classes."
            )
        places = {word: i for i, word in enumerate(classes)}
        for key, part in words.items():
            strange = next((w for w in part.ravel().tolist() if w not in places), None)
            if strange is not None:
                raise WorkbenchError(
                    f"dataset {name!r}: {where} has the word {shown(strange)} in {key}, which is none of class_names ({', '.join(map(shown, classes[:5]))}{', ...' if len(classes) > 5 else ''})."
                )
            numbers = np.array([places[w] for w in part.ravel().tolist()], dtype=np.int64).reshape(part.shape)
            found[key] = numbers if output is None else {**found[key], output: numbers}
        if first:
            found["class_names"] = np.array(classes)
    return found


def _of(value: Any, output: str | None) -> Any:
    if isinstance(value, Mapping):
        return value.get(output)
    return value if output is None else None


def _words(value: Any) -> Array | None:
    """Return labels as text where all of them are, bytes as UTF-8; None for anything else."""
    if isinstance(value, Rows):
        return None  # words are never left in a file
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "surrogateescape")
    if array.dtype.kind == "U":
        return array
    if array.dtype.kind == "O" and array.ndim == 1 and len(array) and all(isinstance(v, str) for v in array):
        return array.astype(str)
    return None
