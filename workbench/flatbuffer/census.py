"""The census of a `.tflite` file: its operators, its weights by type, and what is in each of them."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.flatbuffer.budget import Budget, Spent
from workbench.flatbuffer.custom import custom_operators
from workbench.flatbuffer.numbers import BITS, Array, count_distinct, count_zeros, densify, is_float, unpack
from workbench.flatbuffer.opening import read_file
from workbench.flatbuffer.reader import ENDLESS, read_model, refusal
from workbench.flatbuffer.records import Graph, Model, Operator, StoredTensor
from workbench.values.trial import Census, Size, TensorCensus

_SMALL_INTEGERS = ("int8", "uint8", "int16", "int4", "uint4", "int2")
_BIASES = ("int32", "int64")
# The inputs that hold the kernel: those that pruning and clustering cover.
_KERNELS = {
    "CONV_2D": (1,),
    "FULLY_CONNECTED": (1,),
    "TRANSPOSE_CONV": (1,),
    "CONV_3D": (1,),
    "CONV_3D_TRANSPOSE": (1,),
    "BATCH_MATMUL": (0, 1),
    # Of four gates: what takes the input, and what takes the state.
    "UNIDIRECTIONAL_SEQUENCE_LSTM": range(1, 9),
    "LSTM": range(1, 9),
    "UNIDIRECTIONAL_SEQUENCE_RNN": (1, 2),
    "RNN": (1, 2),
}
_CHANNEL_AXIS = {"DEPTHWISE_CONV_2D": 3, "CONV_3D": 4, "CONV_3D_TRANSPOSE": 3}
_PASS_ON = ("DEQUANTIZE", "DENSIFY", "QUANTIZE", "CAST")
# Elements of dense tensors for each byte of a file whose tensors are sparse: float weights of which one in 256 is kept.
_DENSE_PER_BYTE = 64
_DENSE_ALWAYS = 1 << 20


@dataclass(frozen=True)
class _Use:
    """Who reads a constant: the operator behind any conversion, the input number, and whether it is the kernel."""

    operator: str
    position: int
    adjoint: tuple[bool, bool]

    @property
    def kernel(self) -> bool:
        return self.position in _KERNELS.get(self.operator, ())

    @property
    def rank(self) -> int:
        return 2 if self.kernel else 1 if self.operator == "DEPTHWISE_CONV_2D" and self.position == 1 else 0


_UNUSED = _Use("", -1, (False, False))


def read_census(data: bytes | Path) -> Census:
    """Return what a flatbuffer holds, read from its bytes or its path.

    Constants that several tensors share are counted once, those kept outside the file not at all.
    `operator` of a tensor is "" where nothing reads it. Raises WorkbenchError for anything that is not a whole
    TensorFlow Lite model.
    """
    content, name = (data, "the flatbuffer") if isinstance(data, bytes) else (read_file(data), str(data))
    model = read_model(content, name)
    try:
        constants = _constants(model, Budget(len(content)))
    except Spent:
        raise refusal(name, len(content), ENDLESS) from None
    dense = Budget(len(content), _DENSE_PER_BYTE, _DENSE_ALWAYS)
    weights: Counter[str] = Counter()
    tensors: list[TensorCensus] = []
    zeros = elements = 0
    for tensor, use in constants:
        assert tensor.data is not None
        weights[tensor.type] += tensor.data.size
        if len(tensor.shape) < 2 and not use.kernel:
            continue
        found, zero_count = _inspect(tensor, use, dense)
        tensors.append(found)
        if found.kernel:
            zeros, elements = zeros + zero_count, elements + tensor.elements
    return Census(
        weights=dict(sorted(weights.items())),
        operators=dict(sorted(Counter(o.name for g in model.graphs for o in g.operators).items())),
        sparsity=zeros / elements if elements else 0.0,
        unique_weights=max((t.unique for t in tensors if t.kernel), default=0),
        inputs=tuple(_ends(model, "inputs")),
        outputs=tuple(_ends(model, "outputs")),
        tensors=tuple(tensors),
        custom=custom_operators(model),
    )


def read_sizes(path: Path) -> Size:
    """Return the bytes of a file as it is and compressed (gzip, level 9, no time stamp)."""
    data = read_file(path)
    return Size(file=len(data), gzip=len(gzip.compress(data, compresslevel=9, mtime=0)))


def _constants(model: Model, steps: Budget) -> list[tuple[StoredTensor, _Use]]:
    """Return every constant that is a weight once, with its most telling use, in file order; raises Spent."""
    found: dict[int, tuple[StoredTensor, _Use]] = {}
    for graph in model.graphs:
        readers = _readers(graph)
        block_scales = {i for t in graph.tensors for i in t.blocks}
        for index, tensor in enumerate(graph.tensors):
            if tensor.data is None or index in block_scales or not _is_weight(tensor):
                continue
            use = max(_uses(graph, readers, index, steps), key=lambda u: u.rank, default=_UNUSED)
            # Equal pieces of the file are one array, whichever of its buffers name them.
            known = found.get(id(tensor.data))
            if known is None or use.rank > known[1].rank:
                found[id(tensor.data)] = (tensor, use)
    return list(found.values())


def _is_weight(tensor: StoredTensor) -> bool:
    if tensor.type not in BITS:
        return False
    # An int32 constant without a scale is a shape, an axis or an index, not a bias.
    return is_float(tensor.type) or tensor.type in _SMALL_INTEGERS or (tensor.type in _BIASES and tensor.scales > 0)


def _readers(graph: Graph) -> dict[int, list[tuple[Operator, int]]]:
    readers: dict[int, list[tuple[Operator, int]]] = {}
    for operator in graph.operators:
        for position, index in enumerate(operator.inputs):
            readers.setdefault(index, []).append((operator, position))
    return readers


def _uses(graph: Graph, readers: dict[int, list[tuple[Operator, int]]], index: int, steps: Budget) -> Iterator[_Use]:
    pending, seen = [index], {index}
    while pending:
        for operator, position in readers.get(pending.pop(), ()):
            steps.spend(1 + len(operator.outputs))
            behind = [o for o in operator.outputs if o in readers] if operator.name in _PASS_ON else []
            if not behind:
                yield _Use(operator.name, position, operator.adjoint)
            pending += [o for o in behind if o not in seen]
            seen.update(behind)


def _inspect(tensor: StoredTensor, use: _Use, room: Budget) -> tuple[TensorCensus, int]:
    assert tensor.data is not None
    axis = _channel_axis(tensor, use)
    stored = unpack(tensor.data, tensor.type, tensor.elements)
    dense: Array | None = stored
    if tensor.sparsity is not None:
        # Where a file's sparse tensors are too large to be filled in, what is stored is counted as below.
        dense = densify(stored, tensor.sparsity, tensor.shape) if room.allows(tensor.elements) else None
    if dense is not None and dense.size == tensor.elements:
        values = dense.reshape(tensor.shape or (1,))
        zeros = count_zeros(values, _zero_points(tensor), tensor.axis)
        unique, per_channel = count_distinct(values, axis)
    else:
        # An encoding this reader does not know: what is not stored is zero, and channels cannot be told apart.
        implicit = tensor.elements - stored.size
        zeros = implicit + count_zeros(stored, np.zeros(0, np.int64), 0)
        unique = per_channel = count_distinct(stored, 0)[0] + int(implicit > 0 and zeros == implicit)
    return TensorCensus(
        name=tensor.name,
        operator=use.operator,
        type=tensor.type,
        shape=tensor.shape,
        bytes=tensor.data.size,
        sparsity=zeros / tensor.elements if tensor.elements else 0.0,
        unique=unique,
        unique_per_channel=per_channel,
        channels_quantized=tensor.scales > 1 or bool(tensor.blocks),
        kernel=use.kernel,
    ), zeros


def _channel_axis(tensor: StoredTensor, use: _Use) -> int:
    rank = len(tensor.shape)
    if tensor.scales > 1 and 0 <= tensor.axis < rank and tensor.shape[tensor.axis] == tensor.scales:
        return tensor.axis
    if use.operator == "BATCH_MATMUL" and rank > 1:
        # Output channels: columns of the right operand, rows of the left, the other way round where transposed.
        last = (use.position == 1) != use.adjoint[min(use.position, 1)]
        return rank - 1 if last else rank - 2
    axis = _CHANNEL_AXIS.get(use.operator, 0)
    return axis if axis < rank else 0


def _zero_points(tensor: StoredTensor) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    points = tensor.zero_points
    if is_float(tensor.type) or tensor.blocks:
        return points[:0]
    fits = 0 <= tensor.axis < len(tensor.shape) and points.size == tensor.shape[tensor.axis]
    return points if fits else points[:1]


def _ends(model: Model, which: str) -> Iterator[str]:
    """Yield `name:type[shape]` of the inputs or outputs of every signature, or of the first subgraph."""
    if not model.signatures:
        graph = model.graphs[0]
        yield from (_end(graph.tensors[i], "") for i in getattr(graph, which) if i >= 0)
        return
    for signature in model.signatures:
        graph, names = model.graphs[signature.graph], getattr(signature, which)
        prefix = f"{signature.key}/" if len(model.signatures) > 1 else ""
        for index in (i for i in getattr(graph, which) if i >= 0):
            yield prefix + _end(graph.tensors[index], names.get(index, ""))


def _end(tensor: StoredTensor, name: str) -> str:
    shape = ",".join("?" if d < 0 else str(d) for d in tensor.signature)
    return f"{name or tensor.name}:{tensor.type}[{shape}]"
