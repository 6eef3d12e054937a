"""What a runtime is: a name, typed `Params`, and one method: `open` an artifact for timing, or `estimate` it.

A `Runtime` runs artifacts here; an `Estimator` asks a compiler's model of a device that is elsewhere. Both are found by
name in the registry; a third party subclasses one and declares an entry point `workbench.runtimes`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np

from workbench.values.params import Params
from workbench.values.trial import OpProfile

P = TypeVar("P", bound=Params)
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Coverage:
    """Operators in the file, how many of them an accelerator took, in how many partitions, and the names of the others."""

    total: int
    taken: int
    partitions: int
    left: tuple[str, ...] = ()


class Session(ABC):
    """An artifact ready to run, its inputs filled.

    `invoke` does one inference to its very end: the outputs can be read when it returns. The timer calls it and nothing
    else, so it is best the library's own function. `memory` is bytes by part, `device` the name of what really runs it,
    `software` whether that is a processor standing in for an accelerator.
    """

    invoke: Callable[[], object]
    memory: dict[str, int] = {}
    device: str | None = None
    software: bool = False

    @cached_property
    def coverage(self) -> Coverage:
        """How many operators it took; asked for after opening and the first inference were timed. Can be set as well."""
        raise NotImplementedError(f"{type(self).__name__} does not say its coverage")

    @abstractmethod
    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Return the outputs of one call; arrays in the file's order, shapes and types."""

    def profile(self, invocations: int) -> OpProfile | None:
        """Return the time of each operator, or None where this runtime does not tell."""
        return None


@dataclass(frozen=True)
class Estimate:
    """What a compiler's model of a device says: milliseconds and cycles of one inference, bytes by part, operators taken."""

    coverage: Coverage
    latency_ms: float | None = None
    memory: dict[str, int] = field(default_factory=dict)
    cycles: dict[str, int] = field(default_factory=dict)
    profile: OpProfile | None = None
    device: str | None = None


class Backend(ABC, Generic[P]):
    """A place where artifacts run, or are said to run.

    `accelerated`: it is to take operators away from LiteRT's own kernels. `compared`: a sweep holds its outputs against
    the reference kernels. `own_quality`: its kernels round in their own way, so quality is evaluated on it too. `verifies`: it checks a file's bounds
    itself, as LiteRT's interpreter does; for others that is done before it opens one.
    """

    name: str
    help: str
    params: ClassVar[type[Params]] = Params
    kind: ClassVar[Literal["measured", "estimated"]] = "measured"
    clock: ClassVar[Literal["device", "host"]] = "device"
    accelerated: ClassVar[bool] = True
    compared: ClassVar[bool] = True
    own_quality: ClassVar[bool] = False
    verifies: ClassVar[bool] = False

    def available(self) -> str | None:
        """Return what is missing here and how to get it, or None."""
        return None

    def check(self, params: P) -> str | None:
        """Return why it cannot work with these options, or None; asked before a sweep begins."""
        return self.available()

    def environment(self, params: P) -> dict[str, str]:
        """Return variables that a process needs before it starts."""
        return {}


class Runtime(Backend[P]):
    """A place where artifacts run on this machine. `open` is called in a fresh process that holds nothing else."""

    @abstractmethod
    def open(self, path: Path, params: P) -> Session:
        """Load, allocate and fill the inputs.

        Raises Unfit for a kind of file that it does not take, any other WorkbenchError when it should run and does not.
        """


class Estimator(Backend[P]):
    """A compiler's model of a device that is not here."""

    kind = "estimated"
    compared = False

    @abstractmethod
    def estimate(self, path: Path, params: P) -> Estimate:
        """Return what the model says; raises Unfit for a file that the device does not take."""


def seeded(shape: Sequence[int], dtype: Any, seed: int = 0) -> Array:
    """Return seeded values for an input that is only to be timed.

    Floats are 0 to 1 and quantized integers all of their 8 bits; wider integers, which are often indices, are zero.
    """
    draw = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return draw.random(tuple(shape), dtype=np.float32).astype(kind)
    if kind.kind in "iu" and kind.itemsize <= 2:
        low, high = (0, 255) if kind.kind == "u" else (-128, 127)
        return draw.integers(low, high, tuple(shape), endpoint=True).astype(kind)
    return np.zeros(tuple(shape), kind)
