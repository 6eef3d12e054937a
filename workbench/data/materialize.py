"""Write a dataset once, as `.npy` files named by content; workers map small ones into memory and read large ones in pieces."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np

from workbench.data.dataset import Dataset, Split
from workbench.data.feeding import Feeding, feeding
from workbench.data.rows import HELD, PIECE, Values, open_npy, pieces, save_npy
from workbench.errors import WorkbenchError
from workbench.files import make_within
from workbench.names import printable
from workbench.values.source import DatasetInfo, Signature

# Says which inputs have files that are not called as they are.
NAMES = "inputs.json"
# File systems take 255 bytes, some fewer.
LONGEST = 120


# Whether a folder is there and what reads it returns a hash; where it does not, the folder is gone when it returns.
Keeps = Callable[[Path, str, Callable[[Path], str]], bool]


def materialize(dataset: Dataset, root: Path, keeps: Keeps | None = None) -> DatasetInfo:
    """Write the arrays into `root/<sha256>/` unless they are there, and return what they are.

    `keeps` looks whether what is there is still what was put there, and moves it out of the way where it is not.
    """
    digest = dataset_sha256(dataset)
    folder = root / digest

    def contents(path: Path) -> str:
        return stored_sha256(path, dataset.test.inputs, dataset.class_names)

    def is_there() -> bool:
        return (keeps or _holds)(folder, digest, contents)

    if not is_there():
        make_within(root)
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=root))
        try:
            for split, part in dataset.splits().items():
                for name, array in part.inputs.items():
                    save_npy(partial / f"x_{split}.{_file_part(name)}.npy", array)
                for name, labels in part.targets.items():
                    save_npy(partial / (f"y_{split}.{_file_part(name)}.npy" if name else f"y_{split}.npy"), labels)
            names = {_file_part(name): name for name in (*dataset.test.inputs, *dataset.test.targets)}
            hashed = {part: name for part, name in names.items() if unquote(part) != name}
            if hashed:
                (partial / NAMES).write_text(json.dumps(hashed), encoding="utf-8")
            os.rename(partial, folder)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            # Otherwise another process wrote the same content first.
            if not is_there():
                raise WorkbenchError(
                    f"dataset {dataset.name!r} cannot be written into {str(root)!r}: {error}. Free some space or choose another --store."
                ) from error
    return DatasetInfo(
        name=printable(dataset.name),
        sha256=digest,
        splits={k: len(v) for k, v in dataset.splits().items()},
        inputs={k: tuple(v.shape[1:]) for k, v in dataset.test.inputs.items()},
        labels=dataset.labels,
        class_names=tuple(map(printable, dataset.class_names)),
        calibration_from=dataset.calibration_from,
        notes=dataset.notes,
    )


def _holds(folder: Path, digest: str, contents: Callable[[Path], str]) -> bool:
    try:
        return folder.exists() and contents(folder) == digest
    except Exception:  # NumPy raises anything for a damaged file
        return False


def _file_part(name: str) -> str:
    """Return what an input's files are called: its name, quoted, or a hash of one that is too long for a file's."""
    quoted = quote(name, safe="", errors="surrogatepass")
    return quoted if len(quoted) <= LONGEST else hashlib.sha256(quoted.encode()).hexdigest()


def dataset_sha256(dataset: Dataset) -> str:
    """Return the SHA-256 (hex) over all splits: names, types, shapes and bytes."""
    hasher = hashlib.sha256()
    order = {name: n for n, name in enumerate(dataset.test.inputs)}
    for split, part in dataset.splits().items():
        # The order of the test split's inputs is kept with the dataset, that of the others is not.
        inputs = sorted(part.inputs.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))
        labels = {f"y.{k}" if k else "y": v for k, v in sorted(part.targets.items())}
        arrays = {**{f"x.{k}": v for k, v in inputs}, **labels}
        for name, array in arrays.items():
            hasher.update(f"{split}.{name}:{array.dtype}:{array.shape}\0".encode(errors="surrogatepass"))
            for piece in pieces(array):
                hasher.update(piece.data)
    hasher.update("\0".join(dataset.class_names).encode(errors="surrogatepass"))
    return hasher.hexdigest()


def stored_sha256(folder: Path, inputs: Iterable[str], class_names: tuple[str, ...]) -> str:
    """Return what `dataset_sha256` is of a stored dataset whose inputs have these names, in this order.

    Raises what NumPy raises for a damaged file, WorkbenchError where a split is missing.
    """
    test, train, calibration = (
        open_split(folder, split) if split == "test" or any(folder.glob(f"x_{split}.*.npy")) else None
        for split in ("test", "train", "calibration")
    )
    if test is None or set(test.inputs) != set(inputs):
        return ""
    if isinstance(test.x, dict):
        test = Split({name: test.x[name] for name in inputs}, test.y)
    return dataset_sha256(Dataset("", test, train, calibration, class_names))


def open_split(folder: Path, split: str) -> Split:
    """Return a stored split, memory-mapped, or as `Rows` where it is more than memory should hold; calibration falls back to train, then test.

    Raises WorkbenchError when there is no such split.
    """
    listed = folder / NAMES
    names = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else {}
    large = sum(path.stat().st_size for path in folder.glob(f"[xy]_{split}.*npy")) > HELD

    def arrays(axis: str) -> dict[str, Values]:
        """Return arrays by name; one without a name lies in a file without one."""
        start, found = f"{axis}_{split}", dict[str, Values]()
        for path in sorted(folder.glob(f"{start}.*npy")):
            part = "" if path.name == f"{start}.npy" else path.name[len(start) + 1 : -len(".npy")]
            is_large = large and path.stat().st_size > PIECE
            array = open_npy(path) if is_large else np.load(path, mmap_mode="r", allow_pickle=False)
            found[names.get(part, unquote(part))] = array
        return found

    inputs, y = arrays("x"), arrays("y")
    if not inputs and split == "calibration":
        return open_split(folder, "train" if any(folder.glob("x_train.*")) else "test")
    if not inputs:
        raise WorkbenchError(f"the dataset has no {split} split")
    return Split.named(inputs, y)


def check_fit(info: DatasetInfo, signature: Signature) -> None:
    """Raise WorkbenchError when samples do not have the model's input names and shapes, or classes its outputs."""
    names = [t.name for t in signature.inputs]
    if texts := [t.name for t in signature.inputs if t.dtype == "string"]:
        raise WorkbenchError(
            f"the model's input {texts[0]!r} takes text, and data is numbers here: LiteRT has no operators that make numbers of text. "
            "Export a signature that begins behind that, with indexes of words or characters, and give these."
        )
    if list(info.inputs) != [""] and sorted(info.inputs) != sorted(names):
        raise WorkbenchError(
            f"dataset {info.name!r} has inputs {', '.join(sorted(info.inputs))}; the model takes {', '.join(sorted(names))}"
        )
    if list(info.inputs) == [""] and len(names) > 1:
        raise WorkbenchError(
            f"the model takes {len(names)} inputs ({', '.join(names)}); give x as a dict of arrays by these names"
        )
    how = feeding_of(info.name, info.inputs, signature)
    sample = how.sample_shape(signature.outputs[0].shape)
    classes = sample[-1] if sample else None
    # Where labels are values or boxes, the numbers of an output are no classes.
    are_classes = len(info.class_names) and info.labels != "value"
    if are_classes and classes and classes > 1 and len(info.class_names) > classes:
        raise WorkbenchError(
            f"dataset {info.name!r} has {len(info.class_names)} classes, but the model's output {signature.outputs[0].name!r} has {classes}"
        )


def feeding_of(name: str, inputs: Mapping[str, tuple[int, ...]], signature: Signature) -> Feeding:
    """Return how samples of such shapes, of the dataset `name`, go into a model; raises WorkbenchError where they do not fit."""
    has = {t.name: tuple(inputs.get(t.name, inputs.get("", ()))) for t in signature.inputs}
    return feeding({t.name: t.shape for t in signature.inputs}, has, f"dataset {name!r}")
