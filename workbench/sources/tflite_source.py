"""`.tflite` files, read from their bytes alone."""

from __future__ import annotations

from pathlib import Path

from workbench.flatbuffer.opening import read_file
from workbench.flatbuffer.reader import read_model
from workbench.flatbuffer.records import Model, SignatureDef
from workbench.sources.base import NativeSource
from workbench.values.source import Signature, TensorInfo


class TFLite(NativeSource):
    """A flatbuffer; one that is quantized already is measured and compared, not quantized again."""

    name = "tflite"
    help = "a float .tflite, for post-training schemes"
    takes = "a float .tflite"
    gives = "tflite"
    endings = (".tflite",)

    def glance(self, path: Path) -> Signature:
        """Return what the file says, which is all; raises WorkbenchError for a damaged one."""
        model = read_model(read_file(path), path.name)
        first, *others = [_signature(model, named) for named in model.signatures or (None,)]
        return first.model_copy(update={"others": tuple(others)})

    def describe(self, path: Path, allow_code: bool) -> Signature:
        """Return the same: there is nothing that loading could add."""
        return self.glance(path)


def _signature(model: Model, named: SignatureDef | None) -> Signature:
    """Return one signature, or the main graph where there is none."""
    graph = model.graphs[named.graph if named else 0]

    def tensors(indices: tuple[int, ...], names: dict[int, str]) -> tuple[TensorInfo, ...]:
        found = []
        for index in indices:
            tensor = graph.tensors[index]
            shape = tuple(None if d < 0 else d for d in (tensor.signature or tensor.shape))
            found.append(TensorInfo(name=names.get(index, tensor.name), shape=shape, dtype=tensor.type))
        return tuple(found)

    return Signature(
        inputs=tensors(graph.inputs, named.inputs if named else {}),
        outputs=tensors(graph.outputs, named.outputs if named else {}),
        key=named.key if named else "",
    )
