"""SavedModel folders."""

from __future__ import annotations

from pathlib import Path

from workbench.files import kind_of
from workbench.sources.base import NativeSource
from workbench.values.source import Signature


class SavedModel(NativeSource):
    """What `tf.saved_model.save` and `model.export` write; only TensorFlow can read it, so it is checked in workers."""

    name = "savedmodel"
    help = "a SavedModel folder, for post-training schemes"
    takes = "a SavedModel folder"
    gives = "savedmodel"
    tools = ("tensorflow", "tf-keras")

    def matches(self, path: Path) -> bool:
        """Whether the folder holds a `saved_model.pb`."""
        return kind_of(path) == "folder" and kind_of(path / "saved_model.pb") != "nothing"

    def describe(self, path: Path, allow_code: bool) -> Signature:
        """Return what its signatures say, the serving one first."""
        from workbench.sources.load import signatures, tensor_info

        first, *others = [
            Signature(
                inputs=tuple(tensor_info(n, s) for n, s in served.inputs.items()),
                outputs=tuple(tensor_info(n, s) for n, s in served.outputs.items()),
                key=key,
            )
            for key, served in signatures(path, allow_code).items()
        ]
        return first.model_copy(update={"others": tuple(others)})
