"""Write a dataset once, as `.npy` files named by content; workers memory-map them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from workbench.data.dataset import Dataset, Split
from workbench.errors import WorkbenchError
from workbench.files import make_within
from workbench.values.source import DatasetInfo, Signature
from workbench.values.warning import Warning_, warning

Array = np.ndarray[Any, Any]


def materialize(dataset: Dataset, root: Path) -> DatasetInfo:
    """Write the arrays into `root/<sha256>/` unless they are there, and return what they are."""
    digest = dataset_sha256(dataset)
    folder = root / digest
    if not folder.exists():
        make_within(root)
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=root))
        try:
            for split, part in dataset.splits().items():
                for name, array in part.inputs.items():
                    np.save(partial / f"x_{split}.{quote(name, safe='')}.npy", array)
                if part.y is not None:
                    np.save(partial / f"y_{split}.npy", part.y)
            os.rename(partial, folder)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            # Otherwise another process wrote the same content first.
            if not folder.exists():
                raise WorkbenchError(
                    f"dataset {dataset.name!r} cannot be written into {str(root)!r}: {error}. Free some space or choose another --store."
                ) from error
    return DatasetInfo(
        name=dataset.name,
        sha256=digest,
        splits={k: len(v) for k, v in dataset.splits().items()},
        inputs={k: tuple(v.shape[1:]) for k, v in dataset.test.inputs.items()},
        labels=dataset.labels,
        class_names=dataset.class_names,
        calibration_from=dataset.calibration_from,
    )


def dataset_sha256(dataset: Dataset) -> str:
    """Return the SHA-256 (hex) over all splits: names, types, shapes and bytes."""
    hasher = hashlib.sha256()
    for split, part in dataset.splits().items():
        arrays = {**{f"x.{k}": v for k, v in part.inputs.items()}, **({"y": part.y} if part.y is not None else {})}
        for name, array in arrays.items():
            hasher.update(f"{split}.{name}:{array.dtype}:{array.shape}\0".encode())
            hasher.update(np.ascontiguousarray(array).data)
    hasher.update("\0".join(dataset.class_names).encode())
    return hasher.hexdigest()


def open_split(folder: Path, split: str) -> Split:
    """Return a stored split, memory-mapped; calibration falls back to train, then test.

    Raises WorkbenchError when there is no such split.
    """
    files = {
        unquote(p.name.removeprefix(f"x_{split}.").removesuffix(".npy")): p
        for p in sorted(folder.glob(f"x_{split}.*.npy"))
    }
    if not files and split == "calibration":
        return open_split(folder, "train" if any(folder.glob("x_train.*")) else "test")
    if not files:
        raise WorkbenchError(f"the dataset has no {split} split")
    inputs = {k: np.load(p, mmap_mode="r", allow_pickle=False) for k, p in files.items()}
    labels = folder / f"y_{split}.npy"
    y = np.load(labels, mmap_mode="r", allow_pickle=False) if labels.exists() else None
    return Split(inputs[""] if list(inputs) == [""] else inputs, y)


def check_fit(info: DatasetInfo, signature: Signature) -> None:
    """Raise WorkbenchError when samples do not have the model's input names and shapes, or classes its outputs."""
    names = [t.name for t in signature.inputs]
    if list(info.inputs) != [""] and sorted(info.inputs) != sorted(names):
        raise WorkbenchError(
            f"dataset {info.name!r} has inputs {', '.join(sorted(info.inputs))}; the model takes {', '.join(sorted(names))}"
        )
    if list(info.inputs) == [""] and len(names) > 1:
        raise WorkbenchError(
            f"the model takes {len(names)} inputs ({', '.join(names)}); give x as a dict of arrays by these names"
        )
    for tensor in signature.inputs:
        have = info.inputs.get(tensor.name, info.inputs.get("", ()))
        want = tensor.shape[1:]
        if len(have) != len(want) or any(w is not None and w != h for w, h in zip(want, have, strict=True)):
            raise WorkbenchError(
                f"dataset {info.name!r} has samples of shape {tuple(have)}, but the model's input {tensor.name!r} takes {tuple(want)}. "
                "Reshape or resize the samples to the model's input, without the batch axis."
            )
    classes = signature.outputs[0].shape[-1] if signature.outputs[0].shape else None
    if info.labels == "class" and len(info.class_names) and classes and classes > 1 and len(info.class_names) > classes:
        raise WorkbenchError(
            f"dataset {info.name!r} has {len(info.class_names)} classes, but the model's output {signature.outputs[0].name!r} has {classes}"
        )


def calibration_warnings(folder: Path, info: DatasetInfo, samples: int) -> tuple[Warning_, ...]:
    """Return what looks wrong with the calibration split: too few, repeated, another range, or taken from the test split."""
    calibration = open_split(folder, "calibration")
    test = open_split(folder, "test")
    found: list[Warning_] = []
    used = min(samples, len(calibration))
    if used < 50:
        found.append(warning("calibration-few-samples", f"{used} calibration samples"))
    for name, array in calibration.inputs.items():
        part = np.asarray(array[:500])
        distinct = len({hashlib.sha256(row.tobytes()).digest() for row in part})
        if distinct < 0.9 * len(part):
            found.append(
                warning(
                    "calibration-duplicates", f"{distinct} distinct among the first {len(part)} calibration samples"
                )
            )
        other = np.asarray(test.inputs[name][:500])
        low, high, test_low, test_high = (float(v) for v in (part.min(), part.max(), other.min(), other.max()))
        span, test_span = high - low, test_high - test_low
        if test_span > 0 and not 0.5 <= span / test_span <= 2:
            found.append(
                warning(
                    "calibration-range",
                    f"calibration values run from {low:g} to {high:g}, test values from {test_low:g} to {test_high:g}",
                )
            )
    if info.calibration_from == "test":
        found.append(
            warning(
                "calibration-from-test",
                "there is no train or calibration split; samples were drawn from the test split",
            )
        )
    return tuple(found)
