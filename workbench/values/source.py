"""What is known of a model source and of a dataset before anything runs."""

from __future__ import annotations

from typing import Literal

from workbench.values.base import Count, Value

SourceKind = Literal["keras", "savedmodel", "tflite"]


class ModelInfo(Value):
    """A model source: a file or folder, the kind that stages start from, and the SHA-256 of its content.

    `source` names who opens it where that is not the kind's own by the look of its path: a third party, or whom the user named.
    `signature` is the one that is meant where it has several.
    """

    name: str
    kind: SourceKind
    path: str
    sha256: str
    allow_code: bool = False
    source: str = ""
    signature: str = ""

    @property
    def opener(self) -> str:
        """The name of the source that opens it."""
        return self.source or self.kind

    @property
    def told(self) -> str:
        """How a user names it so that the same source opens it."""
        return f"{self.source}:{self.path}" if self.source else self.path


class TensorInfo(Value):
    """Name, shape (None where free, batch first) and NumPy type name of a model's input or output."""

    name: str
    shape: tuple[Count | None, ...]
    dtype: str


class Signature(Value):
    """Inputs and outputs of a model: its only signature, or the one called `key` of several, with the `others`."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    parameters: Count | None = None
    key: str = ""
    others: tuple[Signature, ...] = ()


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
