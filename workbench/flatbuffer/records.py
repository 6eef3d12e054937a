"""What a `.tflite` flatbuffer holds, as plain records."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.flatbuffer.numbers import Array, Sparsity


@dataclass(frozen=True)
class StoredTensor:
    """One tensor; `data` is its stored bytes, None for activations and for data kept in another file."""

    name: str
    type: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    buffer: int
    data: Array | None
    scales: int
    zero_points: Array
    axis: int
    blocks: tuple[int, ...]
    sparsity: Sparsity | None

    @property
    def elements(self) -> int:
        """Return the number of elements of the dense tensor."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """One operator; `inputs` holds -1 for an omitted one, `adjoint` the transposed inputs of a BATCH_MATMUL.

    `custom` is one that LiteRT does not define: its maker's own, or TensorFlow's (`Flex...`).
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    adjoint: tuple[bool, bool]
    custom: bool = False


@dataclass(frozen=True)
class Graph:
    """One subgraph: its tensors, operators and the tensor numbers of its ends."""

    tensors: tuple[StoredTensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class SignatureDef:
    """A named way in: the subgraph it runs and the public names of tensors."""

    key: str
    graph: int
    inputs: dict[int, str]
    outputs: dict[int, str]


@dataclass(frozen=True)
class Model:
    """A whole flatbuffer."""

    graphs: tuple[Graph, ...]
    signatures: tuple[SignatureDef, ...]
