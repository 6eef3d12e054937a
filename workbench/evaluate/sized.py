"""A copy of a file whose open sizes are filled in, so that every runtime runs it at them; runs native code, so in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workbench.errors import StageFailed
from workbench.evaluate.interpreter import native, signature_names


def write_sized(path: Path, inputs: Mapping[str, tuple[int, ...]], target: Path, stays_open: bool = False) -> None:
    """Write a file whose inputs have these shapes, and its other tensors what follows from them.

    Where it `stays_open` they are only the sizes that it begins with, and it can be run at others still.
    Raises StageFailed where LiteRT cannot run the model at them.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
    from ai_edge_litert.tools import flatbuffer_utils

    try:
        made = Interpreter(
            model_path=native(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        )
        names, _ = signature_names(made)
        for name, detail in zip(names, made.get_input_details(), strict=True):
            made.resize_tensor_input(detail["index"], inputs[name])
        made.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        shown = ", ".join(f"{n} {'x'.join(map(str, s))}" for n, s in inputs.items())
        raise StageFailed(f"{path.name} cannot be run at the data's size ({shown}): {error}") from error
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(path.read_bytes()))
    graph = model.subgraphs[0]
    for detail in made.get_tensor_details():
        # The interpreter lists its own temporary tensors behind the file's.
        if detail["index"] < len(graph.tensors):
            tensor = graph.tensors[detail["index"]]
            tensor.shape = [int(d) for d in detail["shape"]]
            tensor.shapeSignature = tensor.shapeSignature if stays_open else None
    target.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
