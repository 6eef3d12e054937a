"""TFRecord files of `tf.train.Example`, in any number of shards, with a description of their features beside them."""

from __future__ import annotations

import glob
import gzip
import hashlib
import math
import os
import re
import struct
from pathlib import Path
from typing import Any

from workbench.data.base import DatasetReader, InputShape
from workbench.data.dataset import name_of
from workbench.data.features import EXAMPLE, NAMES, Described, read_description
from workbench.data.images import TEST, target_size
from workbench.data.pieces import Known, Pieces
from workbench.data.records import RecordParams, Records, Shard, serialized
from workbench.errors import WorkbenchError, shown
from workbench.files import file_sha256, kind_of, open_regular

_SHARD = re.compile(r"\.tfrecords?(-\d+-of-\d+)?(\.gz)?$", re.IGNORECASE)
_WORDS = re.compile(r"[a-z]+")


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
        if _SHARD.search(text) or kind_of(Path(text)) != "folder":
            return bool(_SHARD.search(text))
        try:
            return bool(_files(text))
        except (OSError, WorkbenchError):
            return False  # a folder that cannot be looked into, which whoever reads it says

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
    records = Records(shards, described, size, params)
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
        first = next(iter(serialized(path)), b"")
        features = tf.train.Example.FromString(first).features.feature
    except Exception:  # no record, or something else in it
        return f"{path.name} holds no example that can be read."
    kinds = {n: (f.WhichOneof("kind") or "nothing", f) for n, f in sorted(features.items())}
    told = ", ".join(
        f"{shown(n)} ({k.removesuffix('_list')} x {len(getattr(f, k).value) if k != 'nothing' else 0})"
        for n, (k, f) in kinds.items()
    )
    return f"The first record of {path.name} holds {told[:600]}."
