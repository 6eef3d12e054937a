"""What a dataset reader is: something that a name, a file or a folder becomes arrays by.

A third party subclasses `DatasetReader`, gives it `name`, `help` and two methods, and declares an entry point `workbench.datasets`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from workbench.data.dataset import Dataset
from workbench.data.pieces import Pieces
from workbench.files import file_sha256, kind_of, tree_sha256
from workbench.values.params import Params

P = TypeVar("P", bound=Params)
# A model's input with the batch first, None where a dimension is open.
InputShape = tuple[int | None, ...]


class NoOptions(Params):
    """For a reader that takes no options."""


class DatasetReader(ABC, Generic[P]):
    """A form in which data comes; `params` are what stands behind the question mark, as `table.csv?label=class`.

    `takes` is how messages name what it takes, `options` what they call its parameters. `endings` begin with a dot. `fits_shape`: samples are shaped to the model's
    input, so that the model is looked at first.
    """

    name: str
    help: str
    takes: str
    options: ClassVar[str] = "dataset"
    params: ClassVar[type[Params]] = NoOptions
    endings: ClassVar[tuple[str, ...]] = ()
    fits_shape: ClassVar[bool] = False

    def matches(self, text: str) -> bool:
        """Whether it takes what a user names (without options), told quickly: from its name and first bytes at most."""
        # What is no regular file either is left to be opened, which says so.
        return Path(text).suffix in self.endings and kind_of(Path(text)) not in ("nothing", "folder")

    @abstractmethod
    def read(self, text: str, params: P, input_shape: InputShape | None) -> Dataset | Pieces:
        """Return what a user names as a dataset, a path as a rule; `input_shape` is None where no model is known.

        What may be more than memory holds is returned as `Pieces`, which are read one after the other. Raises WorkbenchError for what cannot be read. `workbench.data.dataset.from_arrays` checks arrays.
        """

    def sha256(self, text: str) -> str:
        """Return the hash (hex) of all that is read, by which a batch knows that it is unchanged; raises WorkbenchError where nothing is there."""
        path = Path(text)
        return tree_sha256(path) if kind_of(path) == "folder" else file_sha256(path)

    def further(self, params: P) -> tuple[Path, ...]:
        """Return further files that the options name, whose content counts too."""
        return ()

    def available(self) -> str | None:
        """Return what is missing here and how to get it, or None."""
        return None
