"""What is known of a model source and of a dataset before anything runs."""

from __future__ import annotations

from typing import Literal

from workbench.values.base import Count, Value

SourceKind = Literal["keras", "savedmodel", "tflite"]


class ModelInfo(Value):
    """A model source: a file or folder, what it is, and the SHA-256 of its content."""

    name: str
    kind: SourceKind
    path: str
    sha256: str
    allow_code: bool = False


class TensorInfo(Value):
    """Name, shape (None where free, batch first) and NumPy type name of a model's input or output."""

    name: str
    shape: tuple[Count | None, ...]
    dtype: str


class Signature(Value):
    """Inputs and outputs of a model."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    parameters: Count | None = None


class DatasetInfo(Value):
    """A dataset stored as `.npy` files in a folder: hash, sample counts, class names, input shapes.

    `notes` are sentences on what was changed or left out in reading it.
    """

    name: str
    sha256: str
    splits: dict[str, Count]
    inputs: dict[str, tuple[Count, ...]]
    labels: Literal["class", "value", "none"] = "none"
    class_names: tuple[str, ...] = ()
    calibration_from: str = "calibration"
    notes: tuple[str, ...] = ()
