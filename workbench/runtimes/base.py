"""What a runtime is: a name, typed `Params`, and one method that opens an artifact for timing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from workbench.values.params import Params

P = TypeVar("P", bound=Params)


@dataclass(frozen=True)
class Session:
    """An artifact ready to run: `invoke` does one inference to its very end (the outputs can be read when it returns).

    `ops_delegated` counts the operators that an accelerating delegate took, of `ops_total` in the file.
    """

    invoke: Callable[[], None]
    ops_total: int
    ops_delegated: int
    partitions: int


class Runtime(ABC, Generic[P]):
    """A place where artifacts run. `open` is called in a fresh process that holds nothing else."""

    name: ClassVar[str]
    help: ClassVar[str]
    params: ClassVar[type[Params]] = Params
    accelerated: ClassVar[bool] = True

    @abstractmethod
    def open(self, path: Path, params: P) -> Session:
        """Load, allocate and fill the inputs; raises WorkbenchError when the artifact cannot run here."""

    def available(self) -> str | None:
        """Return what is missing here and how to get it, or None."""
        return None

    def environment(self, params: P) -> dict[str, str]:
        """Return variables that a process needs before it starts."""
        return {}
