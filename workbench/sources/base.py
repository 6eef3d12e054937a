"""What a model source is: a file or folder that a sweep can start from.

The stages start from one of three kinds: a Keras file, a SavedModel folder, a float `.tflite`. A third party subclasses
`ConvertedSource` to make one of them of anything else, and declares an entry point `workbench.sources`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from workbench.files import file_sha256, kind_of, tree_sha256
from workbench.values.source import Signature, SourceKind


class Source(ABC):
    """A form in which models come; where it is no more than this, the file is one of the three kinds as it is.

    `gives` is the kind that stages start from. `endings` begin with a dot. `takes` is how messages name what it takes. `tools` names
    the installed packages whose versions may change what comes of a file: another version makes other trials. TensorFlow has to be among
    them where it is used.
    """

    name: str
    help: str
    takes: str
    gives: ClassVar[SourceKind]
    endings: ClassVar[tuple[str, ...]] = ()
    tools: ClassVar[tuple[str, ...]] = ()

    def matches(self, path: Path) -> bool:
        """Whether it takes the file or folder that lies there, told quickly: from its name and its first bytes at most."""
        return path.suffix in self.endings and kind_of(path) == "file"

    def check(self, path: Path, allow_code: bool) -> None:
        """Raise WorkbenchError for what cannot be used, or holds code that `allow_code` does not let run; nothing in it is run."""
        return

    def glance(self, path: Path) -> Signature | None:
        """Return what the file says of the model's inputs and outputs, or None where only loading it can tell.

        An output's shape is empty where the file does not say it. Raises WorkbenchError for a damaged file.
        """
        return None

    def sha256(self, path: Path) -> str:
        """Return the hash (hex) of all that makes up the model."""
        return tree_sha256(path) if path.is_dir() else file_sha256(path)

    def available(self) -> str | None:
        """Return what is missing here and how to get it, or None."""
        return None


class NativeSource(Source):
    """One of the three kinds itself; its name is the kind's."""

    @abstractmethod
    def describe(self, path: Path, allow_code: bool) -> Signature:
        """Load the model and return its inputs and outputs; runs in workers. Raises WorkbenchError when it cannot be read."""


class ConvertedSource(Source):
    """A file or folder of which one of the three kinds is made, once, by a stage of its own.

    `version` goes up when the same file gives another result. `gives_instead` is another kind that it may make of a file of which
    it cannot make what it `gives`; techniques that need the first are then refused, trial by trial.
    """

    version: ClassVar[int] = 1
    gives_instead: ClassVar[SourceKind | None] = None

    @abstractmethod
    def open(self, path: Path, folder: Path, allow_code: bool) -> Path:
        """Write what it `gives` into an empty folder and return its path; runs in a worker.

        What is written is checked as such a file of a user's is, so what in it is code is refused unless `allow_code`. Raises StageFailed
        for what cannot be converted.
        """
