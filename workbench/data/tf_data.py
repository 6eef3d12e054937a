"""`tf.data.Dataset` objects: one, a pair of train and test, or a dict of splits, read element by element."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from workbench.data.base import InputShape
from workbench.data.dataset import Split
from workbench.data.pieces import Known, Pieces
from workbench.errors import WorkbenchError, shown, unknown

SPLITS = ("train", "calibration", "test")
# As others call it.
_ALSO = {"validation": "test", "val": "test"}
# Of one without splits, one of so many samples is for the test split.
_SHARE = 4


def is_tf_data(data: Any) -> bool:
    """Whether it is a `tf.data.Dataset`, or a pair or dict of such; TensorFlow is not imported for it."""
    if isinstance(data, Mapping):
        return bool(data) and all(_is_one(v) for v in data.values())
    if isinstance(data, (tuple, list)):
        return bool(data) and all(_is_one(v) for v in data)
    return _is_one(data)


def _is_one(data: Any) -> bool:
    kinds = [c for c in type(data).__mro__ if c.__module__.startswith("tensorflow.")]
    return bool(kinds) and hasattr(data, "element_spec") and hasattr(data, "as_numpy_iterator")


def read_tf_data(data: Any, input_shape: InputShape | None) -> Pieces:
    """Return the samples as they come, batched or not; raises WorkbenchError where it cannot be told what they are.

    Elements are samples, or pairs of samples and labels; either may be a dict by the model's inputs and outputs.
    """
    parts = _parts(data)
    reads = {split: _Elements(split, of, input_shape) for split, of in parts.items()}

    def each() -> Iterator[tuple[str, Split]]:
        for split, elements in reads.items():
            yield from ((split, part) for part in elements.each()) if split else _drawn(elements.each())

    notes = tuple(dict.fromkeys(note for elements in reads.values() for note in elements.notes))
    return Pieces("tf.data", each(), lambda: Known((), notes))


def _parts(data: Any) -> dict[str, Any]:
    """Return what was given by split, "" for one that is to be divided."""
    if isinstance(data, Mapping):
        found = {}
        for name, value in data.items():
            split = _ALSO.get(str(name), str(name)) if "test" not in data else str(name)
            if split in SPLITS:
                found[split] = value
            elif split not in _ALSO:
                raise unknown("split of tf.data datasets", str(name), [*SPLITS, *_ALSO])
        if "test" not in found:
            raise WorkbenchError(
                f"tf.data datasets {', '.join(map(shown, data))} have no test split. Add one named test."
            )
        return found
    if isinstance(data, (tuple, list)):
        if len(data) != 2:
            raise WorkbenchError(
                f"{len(data)} tf.data datasets were given. Expected a pair (train, test), or a dict of splits."
            )
        return {"train": data[0], "test": data[1]}
    return {"": data}


def _drawn(each: Iterator[Split]) -> Iterator[tuple[str, Split]]:
    """Give samples with their split: of each four in a row one, drawn with seed 0, is for the test."""
    draw, at, chosen = np.random.default_rng(0), 0, 0
    for part in each:
        tests = np.zeros(len(part), bool)
        for place in range(len(part)):
            if at % _SHARE == 0:
                chosen = int(draw.integers(_SHARE))
            tests[place] = at % _SHARE == chosen
            at += 1
        for split, where in (("test", tests), ("train", ~tests)):
            if where.any():
                yield split, part.take(np.flatnonzero(where))


class _Elements:
    """The elements of one dataset."""

    def __init__(self, split: str, data: Any, input_shape: InputShape | None) -> None:
        self._data, spec = data, data.element_spec
        where = f"tf.data dataset{f' {split!r}' if split else ''}"
        pair = spec if isinstance(spec, tuple) else (spec,)
        if not 1 <= len(pair) <= 3:
            raise WorkbenchError(f"{where} has elements of {len(pair)} parts. Expected samples, or (samples, labels).")
        self.notes = ["sample weights of the tf.data dataset are left out"] if len(pair) == 3 else []
        named = [_named(part, where) for part in pair[:2]]
        self._batched = _is_batched(named, input_shape, where)
        self._labelled = len(named) == 2

    def each(self) -> Iterator[Split]:
        for element in self._data.as_numpy_iterator():
            pair = element if isinstance(element, tuple) else (element,)
            yield Split(self._values(pair[0]), self._values(pair[1]) if self._labelled else None)

    def _values(self, part: Any) -> Any:
        if isinstance(part, Mapping):
            return {str(name): self._values(value) for name, value in part.items()}
        array = np.asarray(part)
        array = array if self._batched else array[None]
        if array.dtype.kind in "OS":
            words = [
                w.decode("utf-8", "surrogateescape") if isinstance(w, bytes) else w for w in array.ravel().tolist()
            ]
            return np.asarray(words).reshape(array.shape)
        return array


def _named(part: Any, where: str) -> list[Any]:
    """Return the shapes of the tensors of a part; raises WorkbenchError for what are no tensors."""
    import tensorflow as tf

    found = list(part.values()) if isinstance(part, Mapping) else [part]
    for spec in found:
        if not isinstance(spec, tf.TensorSpec) or spec.shape.rank is None:
            raise WorkbenchError(
                f"{where} has elements {shown(str(spec))}. Expected tensors of known rank, or dicts of such by the model's inputs and outputs."
            )
    return [tuple(spec.shape) for spec in found]


def _is_batched(named: list[list[Any]], input_shape: InputShape | None, where: str) -> bool:
    shapes = [shape for part in named for shape in part]
    if any(not shape for shape in shapes):
        return False  # a number for each: labels of single samples
    first = named[0][0]
    if input_shape is not None and len(first) in (len(input_shape), len(input_shape) - 1):
        return len(first) == len(input_shape)
    if all(shape[0] is None for shape in shapes):
        return True
    if len({shape[0] for shape in shapes}) == 1 and len(shapes) > 1:
        return True  # all begin alike, as batches do
    raise WorkbenchError(
        f"{where}: it cannot be told whether elements of shape {first} are batches. Give .batch(32), whose last one may be smaller."
    )
