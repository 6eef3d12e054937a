"""Keras 3's files, `.keras` and `.h5`, and its model objects."""

from __future__ import annotations

from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.files import kind_of
from workbench.sources import trust
from workbench.sources.base import ConvertedSource
from workbench.sources.keras_file import read_keras_file

# Of a model object that was exported where its classes are.
PACKED = ".savedmodel.zip"


class Keras3(ConvertedSource):
    """A model saved by Keras 3, rebuilt in tf_keras; what cannot be rebuilt becomes a SavedModel."""

    name = "keras3"
    help = "a model saved by Keras 3, rebuilt in tf_keras for all techniques, or exported for post-training schemes"
    takes = ".keras or .h5 (Keras 3)"
    gives = "keras"
    gives_instead = "savedmodel"
    endings = (".h5", ".hdf5", ".keras")
    tools = ("tensorflow", "tf-keras", "keras")

    def matches(self, path: Path) -> bool:
        """Whether the file says that Keras 3 wrote it; tf_keras's files have the same endings."""
        if path.suffix not in self.endings or kind_of(path) != "file":
            return False
        try:
            return read_keras_file(path).keras3
        except WorkbenchError:
            return False

    def check(self, path: Path, allow_code: bool) -> None:
        """Raise WorkbenchError for a damaged file, one of tf_keras, and one with code (Lambda layers, classes of others) unless `allow_code`."""
        if path.name.endswith(PACKED):
            return
        found = read_keras_file(path)
        if not found.keras3:
            raise WorkbenchError(
                f"{str(path)!r} was saved by Keras {found.version or '2 or older'}, not by Keras 3. Leave out `keras3:`."
            )
        if not allow_code:
            trust.refuse(repr(str(path)), found.fault)

    def open(self, path: Path, folder: Path, allow_code: bool) -> Path:
        """Write the model as tf_keras has it, or a SavedModel with the reason beside it."""
        from workbench.sources.keras3 import export, load

        if path.name.endswith(PACKED):
            return export.unpack(path, folder)
        return load.open_model(load.load_keras3(path, allow_code), folder)
