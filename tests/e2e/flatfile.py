"""Read and run `.tflite` files with LiteRT and NumPy alone: what Workbench says of a file is held against this."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def kernels(path: Path) -> list[Array]:
    """Return the stored values of every kernel of a convolution or dense layer, depthwise ones left out."""
    from ai_edge_litert import schema_py_generated as schema

    types = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.INT8: np.int8}
    operators = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED)
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    found = []
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        for i in range(graph.OperatorsLength()):
            operator = graph.Operators(i)
            code = model.OperatorCodes(operator.OpcodeIndex())
            if max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) in operators:
                tensor = graph.Tensors(operator.Inputs(1))
                data = model.Buffers(tensor.Buffer()).DataAsNumpy()
                found.append(data.view(types[tensor.Type()]).reshape(tensor.ShapeAsNumpy()))
    assert found
    return found


def zeros(path: Path) -> float:
    """Return the share of zeros in all kernels; the file's zero point of an int8 kernel is 0."""
    found = kernels(path)
    return sum(int((k == 0).sum()) for k in found) / sum(k.size for k in found)


def most_distinct(path: Path) -> int:
    """Return the largest number of distinct values in one kernel."""
    return max(len(np.unique(k)) for k in kernels(path))


def gzip_size(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), compresslevel=9, mtime=0))


def scores(path: Path, x: Array) -> Array:
    """Return the first output for every sample, one at a time, as the file stores it."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    (given,), taken = interpreter.get_input_details(), interpreter.get_output_details()[0]
    results = []
    for sample in x:
        interpreter.reset_all_variables()
        batch = sample[np.newaxis]
        if np.issubdtype(given["dtype"], np.integer):
            scale, zero = given["quantization"]
            limits = np.iinfo(given["dtype"])
            batch = np.clip(np.round(batch / np.float32(scale)) + zero, limits.min, limits.max)
        interpreter.set_tensor(given["index"], batch.astype(given["dtype"]))
        interpreter.invoke()
        results.append(interpreter.get_tensor(taken["index"])[0])
    return np.stack(results)


def labels(path: Path, x: Array) -> Array:
    """Return the class with the highest score for every sample."""
    return np.asarray(scores(path, x).argmax(axis=1))
