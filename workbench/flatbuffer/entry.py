"""What a model does to an input before anything else: sums and products with constants, such as a `Rescaling` or a `Normalization`."""

from __future__ import annotations

import numpy as np

from workbench.flatbuffer.numbers import Array
from workbench.flatbuffer.records import Graph

# More steps than a user writes one after the other.
_MOST_STEPS = 8
_SIMPLE = ("ADD", "SUB", "MUL", "DIV")


def first_affine(graph: Graph, tensor: int) -> tuple[Array, Array] | None:
    """Return factor and offset, `x * factor + offset`, that a graph applies to a tensor first, as float64; None where it does not.

    Both are shaped to one sample, without the batch axis.
    """
    factor, offset, found = np.ones(()), np.zeros(()), False
    for _ in range(_MOST_STEPS):
        readers = [o for o in graph.operators if tensor in o.inputs]
        if len(readers) != 1 or readers[0].name not in _SIMPLE or len(readers[0].inputs) != 2:
            break
        operator = readers[0]
        left, right = operator.inputs
        constant = _constant(graph, right if left == tensor else left)
        if constant is None or (operator.name == "DIV" and left != tensor):
            break
        if operator.name == "MUL":
            factor, offset = factor * constant, offset * constant
        elif operator.name == "DIV":
            if not constant.all():
                break
            factor, offset = factor / constant, offset / constant
        elif operator.name == "ADD":
            offset = offset + constant
        elif left == tensor:
            offset = offset - constant
        else:
            factor, offset = -factor, constant - offset
        tensor, found = operator.outputs[0], True
    return (factor, offset) if found else None


def _constant(graph: Graph, index: int) -> Array | None:
    """Return a constant's values, shaped to one sample; None for what is no float constant, or one with more than a batch of one."""
    stored = graph.tensors[index] if index >= 0 else None
    if stored is None or stored.type != "float32" or stored.data is None or stored.sparsity is not None:
        return None
    values = np.frombuffer(stored.data.tobytes(), "<f4")
    if values.size != stored.elements or not np.isfinite(values).all():
        return None
    shaped: Array = values.astype(np.float64).reshape(stored.shape)
    return shaped[0] if shaped.ndim > 1 and len(shaped) == 1 else shaped if shaped.ndim <= 1 else None
