"""The records of TFRecord files, one after the other: parsed, decoded, and told by file and place where they cannot be read."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from workbench.data.dataset import Split
from workbench.data.features import Described, from_bytes, spec
from workbench.data.images import ImageParams, scaled
from workbench.data.pictures import Corrupt, Notes, decode_picture
from workbench.errors import WorkbenchError

# Records that are parsed together, of so many bytes at most: one call for each would cost more than the work.
_TOGETHER, _BYTES = 64, 1 << 22


class RecordParams(ImageParams):
    """How records become arrays; written as `RECORDS?test=0.2&size=96x96`."""

    features: str | None = Field(
        None, description="file that describes the features; default is features.yaml or features.json beside them"
    )


class Shard(NamedTuple):
    """One file, the split it belongs to ("" for all), and how many records it has."""

    path: Path
    split: str
    records: int


def serialized(path: Path) -> Iterator[bytes]:
    """Give the records of a file, checked by their sums."""
    import tensorflow as tf

    packed = "GZIP" if path.suffix == ".gz" else ""
    with tf.device("CPU:0"):
        yield from tf.data.TFRecordDataset(os.fspath(path), packed).as_numpy_iterator()


class Records:
    """Records to be read one after the other, and what was found on the way."""

    def __init__(
        self, shards: list[Shard], described: Described, size: tuple[int, int, int], params: RecordParams
    ) -> None:
        self._shards, self._described, self._size, self._params = shards, described, size, params
        self._notes, self._corrupt = Notes(), Corrupt(params.corrupt == "skip", "records")
        self._total = sum(s.records for s in shards)
        drawn = sum(s.records for s in shards if not s.split)
        order = np.random.default_rng(params.seed).permutation(drawn)
        self._test = np.zeros(drawn, bool)
        self._test[order[: max(1, round(drawn * params.test))]] = True

    def expected(self) -> int:
        """Return about how many bytes all arrays have."""

        def one(name: str) -> int:
            feature = self._described.features[name]
            if feature.encoding == "image":
                return math.prod(self._size) * 4
            return 8 if feature.dtype == "string" else math.prod(feature.shape) * np.dtype(feature.dtype).itemsize

        return self._total * sum(map(one, self._described.used))

    def each(self) -> Iterator[tuple[str, Split]]:
        """Give the records that can be read; raises WorkbenchError that names those that cannot, unless they are left out."""
        drawn = 0
        for shard in self._shards:
            for first, group in self._groups(shard):
                for place, values in self._parsed(shard, first, group):
                    # One beyond those that were counted is there only where somebody writes on.
                    at = drawn + place
                    split = shard.split or ("test" if at < len(self._test) and self._test[at] else "train")
                    yield split, self._split(values)
            drawn += 0 if shard.split else shard.records
        self._corrupt.check(max(self._total, 1))

    def sentences(self) -> tuple[str, ...]:
        """Return what was left out or changed."""
        return (*self._corrupt.sentences(self._total), *self._notes.sentences(self._total))

    def _groups(self, shard: Shard) -> Iterator[tuple[int, list[bytes]]]:
        """Give the records of a file some at a time, with the place of the first."""
        import tensorflow as tf

        group, first, size = list[bytes](), 0, 0
        try:
            for record in serialized(shard.path):
                group.append(record)
                size += len(record)
                if len(group) >= _TOGETHER or size >= _BYTES:
                    yield first, group
                    group, first, size = [], first + len(group), 0
        except (tf.errors.DataLossError, tf.errors.OutOfRangeError) as error:
            at = first + len(group)
            lost = max(1, shard.records - at)
            why = " ".join(str(error.message).split())[:120]
            for number in range(lost):
                self._corrupt.add(
                    WorkbenchError(
                        f"record {at + number:,} of {str(shard.path)!r} cannot be read: it, or one before it, is damaged ({why})."
                    )
                )
        if group:
            yield first, group

    def _parsed(self, shard: Shard, first: int, group: list[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Give the features of records with their place; together where all can be parsed, else one by one."""
        import tensorflow as tf

        wanted = spec(self._described.used)
        with tf.device("CPU:0"):
            try:
                parsed = {n: t.numpy() for n, t in tf.io.parse_example(group, wanted).items()}
                rows: list[Any] = [{n: v[i] for n, v in parsed.items()} for i in range(len(group))]
            except tf.errors.InvalidArgumentError:
                rows = [self._alone(record, wanted) for record in group]
        for place, row in enumerate(rows, first):
            called = f"record {place:,} of {str(shard.path)!r}"
            try:
                if isinstance(row, str):
                    raise WorkbenchError(row)
                yield place, {n: self._value(n, v, called) for n, v in row.items()}
            except WorkbenchError as error:
                self._corrupt.add(WorkbenchError(f"{called} cannot be read: {error}."))

    def _alone(self, record: bytes, wanted: dict[str, Any]) -> Any:
        """Return a record's features, or why it has none."""
        import tensorflow as tf

        try:
            return {n: t.numpy() for n, t in tf.io.parse_single_example(record, wanted).items()}
        except tf.errors.InvalidArgumentError as error:
            return f"it does not fit its description ({' '.join(str(error.message).split())[:200]})"

    def _value(self, name: str, value: Any, called: str) -> np.ndarray[Any, Any]:
        feature = self._described.features[name]
        if feature.encoding == "image":
            pixels = decode_picture(value, Path(called), self._size[:2], self._size[2], self._notes)
            return scaled(pixels, self._params.scale)
        if feature.encoding == "raw":
            return from_bytes(value, name, feature)
        if feature.dtype == "string":
            return np.asarray(value.decode("utf-8", "surrogateescape"))
        return np.asarray(value).astype(feature.dtype)

    def _split(self, values: dict[str, np.ndarray[Any, Any]]) -> Split:
        x, y = (
            {k: values[f][None] for k, f in self._described.of(a).items()}
            for a in (self._described.inputs, self._described.labels)
        )
        return Split.named(x, y)
