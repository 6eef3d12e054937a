"""TFRecord files of `tf.train.Example`, in any number of shards, with a description of their features beside them."""

from __future__ import annotations

import glob
import gzip
import hashlib
import math
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from workbench.data.base import DatasetReader, InputShape
from workbench.data.dataset import Split, name_of
from workbench.data.features import EXAMPLE, NAMES, Described, from_bytes, read_description, spec
from workbench.data.images import TEST, ImageParams, scaled, target_size
from workbench.data.pictures import Corrupt, Notes, decode_picture
from workbench.data.pieces import Known, Pieces
from workbench.errors import WorkbenchError, shown
from workbench.files import file_sha256, kind_of, open_regular

_SHARD = re.compile(r"\.tfrecords?(-\d+-of-\d+)?(\.gz)?$", re.IGNORECASE)
_WORDS = re.compile(r"[a-z]+")
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


class TFRecord(DatasetReader[RecordParams]):
    """Records as TensorFlow writes them."""

    name = "tfrecord"
    help = "TFRecord files of examples, one or many, with a description of their features"
    takes = "TFRecord files (a folder, FILE or FILES*.tfrecord) with features.yaml"
    options = "record"
    params = RecordParams
    fits_shape = True

    def matches(self, text: str) -> bool:
        """Whether it is such a file, a pattern of some, or a folder with some in it."""
        if re.search(r"[*?\[]", text) and ".tfrecord" in text.lower():
            return True
        return bool(_SHARD.search(text)) or (kind_of(Path(text)) == "folder" and bool(_files(text)))

    def read(self, text: str, params: RecordParams, input_shape: InputShape | None) -> Pieces:
        """Return the records as they come."""
        return read_records(text, params, input_shape)

    def sha256(self, text: str) -> str:
        """Return a hash over the names and contents of all files, and of the description beside them."""
        hasher = hashlib.sha256()
        for path in [*_some(text), *filter(None, [_beside(text)])]:
            hasher.update(os.fsencode(f"{path.name}\0{file_sha256(path)}\n"))
        return hasher.hexdigest()

    def further(self, params: RecordParams) -> tuple[Path, ...]:
        """Return the description where it lies elsewhere."""
        return (Path(params.features),) if params.features else ()


def read_records(text: str, params: RecordParams, input_shape: InputShape | None) -> Pieces:
    """Return records as they come; raises WorkbenchError where they or their description cannot be read."""
    found = Path(params.features) if params.features else _beside(text)
    if found is None:
        raise WorkbenchError(
            f"records {shown(text)} have no description of their features. Write {NAMES[0]} beside them, or give ?features=FILE: {EXAMPLE}. "
            f"{_seen(_some(text)[0])}"
        )
    described = read_description(found)
    images = [n for n, f in described.used.items() if f.encoding == "image"]
    size = target_size(Path(text), params, _shape_of(images, described, input_shape)) if images else (0, 0, 0)
    shards, left = _shards(_some(text))
    name = name_of(
        re.sub(r"\.tfrecords?.*", "", Path(text).resolve().name).strip("*.-_?[]") or Path(text).resolve().parent.name
    )
    records = _Records(shards, described, size, params)
    return Pieces(
        name, records.each(), lambda: Known(described.class_names, (*left, *records.sentences())), records.expected()
    )


def _files(text: str) -> list[Path]:
    """Return the shards of a folder (of its subfolders for splits too), a pattern or a file, in order."""
    path = Path(text)
    if kind_of(path) == "folder":
        inside = [p for part in ("", "train", "calibration", *TEST) for p in (path / part).glob("*")]
    else:
        inside = [path] if kind_of(path) != "nothing" else [Path(p) for p in glob.glob(text)]
    return sorted(p for p in inside if _SHARD.search(p.name) and kind_of(p) != "folder")


def _some(text: str) -> list[Path]:
    found = _files(text)
    if not found:
        raise WorkbenchError(
            f"records {shown(text)}: there is no such file. Expected FILE.tfrecord, FILES*.tfrecord or a folder."
        )
    return found


def _beside(text: str) -> Path | None:
    path = Path(text)
    folder = path if kind_of(path) == "folder" else path.parent
    return next((folder / n for n in NAMES if kind_of(folder / n) == "file"), None)


def _shards(files: list[Path]) -> tuple[list[Shard], list[str]]:
    """Return files with their splits, told by their folder or a word of their names, and what is not read."""
    splits = {
        f: next((w for w in _WORDS.findall(_told(f, files)) if w in ("train", "calibration", *TEST)), "") for f in files
    }
    test = next((t for t in TEST if t in splits.values()), None)
    if test is None:
        splits = {f: "calibration" if s == "calibration" else "" for f, s in splits.items()}
    renamed = {test: "test", "train": "train", "calibration": "calibration", "": ""}
    kept = [
        Shard(f, "" if test is None and s == "" else renamed[s], _count(f))
        for f, s in splits.items()
        if s in renamed and (s or test is None)
    ]
    left = sorted(f.name for f, s in splits.items() if s not in renamed or (not s and test is not None))
    told = (
        [f"{len(left):,} files of records are not read, as those of {test!r} are the test split (first {left[0]!r})"]
        if left
        else []
    )
    return kept, told


def _told(file: Path, files: list[Path]) -> str:
    """Return what tells a file's split: its folder's name where files lie in several, then its own."""
    several = len({f.parent for f in files}) > 1
    return f"{file.parent.name if several else ''} {file.name}".lower()


def _count(path: Path) -> int:
    """Return the number of records, from their lengths alone; what follows a broken one is not counted."""
    count = 0
    with open_regular(path, "record file") as raw:
        size = math.inf if path.suffix == ".gz" else os.fstat(raw.fileno()).st_size
        file: Any = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        try:
            at = 0
            while len(head := file.read(12)) == 12:
                at += 16 + struct.unpack("<Q", head[:8])[0]
                if at > size:
                    break
                file.seek(at)
                count += 1
        except (OSError, EOFError, OverflowError):
            pass  # read on until there, which tells
    return count


def _shape_of(images: list[str], described: Described, input_shape: InputShape | None) -> InputShape | None:
    """Return the shape that images are read in: the model's, where the first input is one."""
    return input_shape if next(iter(described.of(described.inputs).values())) in images else None


def _seen(path: Path) -> str:
    """Return what the first record holds, for who writes the description."""
    import tensorflow as tf

    try:
        first = next(iter(_serialized(path)), b"")
        features = tf.train.Example.FromString(first).features.feature
    except Exception:  # no record, or something else in it
        return f"{path.name} holds no example that can be read."
    kinds = {n: (f.WhichOneof("kind") or "nothing", f) for n, f in sorted(features.items())}
    told = ", ".join(
        f"{shown(n)} ({k.removesuffix('_list')} x {len(getattr(f, k).value) if k != 'nothing' else 0})"
        for n, (k, f) in kinds.items()
    )
    return f"The first record of {path.name} holds {told[:600]}."


def _serialized(path: Path) -> Iterator[bytes]:
    import tensorflow as tf

    packed = "GZIP" if path.suffix == ".gz" else ""
    with tf.device("CPU:0"):
        yield from tf.data.TFRecordDataset(os.fspath(path), packed).as_numpy_iterator()


class _Records:
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
            for record in _serialized(shard.path):
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
        return Split(x[""] if list(x) == [""] else x, y[""] if list(y) == [""] else y or None)
