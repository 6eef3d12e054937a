"""What a target is: a name, typed `Params`, and one method that writes what is needed to run a trial's file there.

A third party subclasses `Target`, gives it `name`, `help` and `write`, and declares an entry point `workbench.targets`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from workbench.values.base import Count, Value
from workbench.values.params import NoParams as NoParams
from workbench.values.params import Params

P = TypeVar("P", bound=Params)


class ModelTensor(Value):
    """An input or output as the file has it: its name in the signature and its own, its shape (None where free, batch first), its NumPy type.

    A quantized one has the `scale` and `zero_point` of real = scale * (stored - zero_point), and the `range` of real values that it can hold.
    """

    name: str
    tensor: str
    shape: tuple[Count | None, ...]
    dtype: str
    scale: float | None = None
    zero_point: Count | None = None
    range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Export:
    """What is known of the trial that is exported.

    `content` is its `.tflite`; `card` all that is told of it, JSON-shaped, as `card.json` has it; `labels` the names of its classes, none where it
    has no classes. Names of a model, its tensors and its classes are whatever somebody called them: text, never identifiers or code.
    """

    content: bytes
    card: dict[str, Any]
    labels: tuple[str, ...]
    inputs: tuple[ModelTensor, ...]
    outputs: tuple[ModelTensor, ...]


class Target(ABC, Generic[P]):
    """Somewhere an export is to run. Every export has `model.tflite`, `card.json` and, where there are classes, `labels.txt`; a target adds the rest."""

    name: ClassVar[str]
    help: ClassVar[str]
    params: ClassVar[type[Params]] = NoParams

    def available(self) -> str | None:
        """Return what is missing here and how to get it, or None."""
        return None

    def check(self, params: P) -> str | None:
        """Return what is missing here for an export with these options, and how to get it, or None."""
        return self.available()

    def unfit(self, params: P, export: Export) -> str | None:
        """Return why this trial cannot run there, or None."""
        return None

    @abstractmethod
    def write(self, params: P, export: Export, folder: Path) -> None:
        """Write the target's own files into `folder`, which is empty and its alone; what is in it then goes into the export.

        The same export gives the same bytes: no times, no paths of this machine. Raises WorkbenchError for what cannot be written.
        """
