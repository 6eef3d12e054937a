"""Bounded reading of a `.tflite` flatbuffer into plain records; every offset is checked, nothing native runs."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np

from workbench.errors import WorkbenchError
from workbench.flatbuffer.numbers import BITS, Array, Sparsity

IDENTIFIER = b"TFL3"
_FOREIGN = {
    b"PK": "a zip archive, perhaps a `.keras` file",
    b"\x89HDF": "an HDF5 file, perhaps a Keras `.h5` model",
    b"\x1f\x8b": "a gzip archive",
}
_SMALLEST_VTABLE = 4


@dataclass(frozen=True)
class Tensor:
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
    """One operator; `inputs` holds -1 for an omitted one, `adjoint` the transposed inputs of a BATCH_MATMUL."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    adjoint: tuple[bool, bool]


@dataclass(frozen=True)
class Graph:
    """One subgraph: its tensors, operators and the tensor numbers of its ends."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """A named way in: the subgraph it runs and the public names of tensors."""

    key: str
    graph: int
    inputs: dict[int, str]
    outputs: dict[int, str]


@dataclass(frozen=True)
class Model:
    """A whole flatbuffer."""

    graphs: tuple[Graph, ...]
    signatures: tuple[Signature, ...]


class _Damaged(Exception):
    """The reason why a flatbuffer cannot be read."""


class _Bounded(bytes):
    """Bytes that refuse a slice past their end, so that a cut string is noticed."""

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        if isinstance(key, slice) and key.stop is not None and key.stop > len(self):
            raise IndexError(key.stop)
        return super().__getitem__(key)


def read_model(data: bytes, name: str) -> Model:
    """Return the flatbuffer's records; raises WorkbenchError naming `name`, the size, the damage and what to do."""
    try:
        _identify(data)
        return _Reader(_Bounded(data)).model()
    except _Damaged as damage:
        reason = str(damage)
    except (struct.error, IndexError, ValueError, TypeError, OverflowError):
        # What numpy, struct and the flatbuffers runtime raise for an offset that leaves the data.
        reason = "it is damaged or was cut short (an offset points outside the file)"
    raise WorkbenchError(
        f"{name} ({len(data):,} bytes) cannot be read as a TensorFlow Lite model: {reason}. Convert the model again, or copy the file again."
    )


def _identify(data: bytes) -> None:
    if not data:
        raise _Damaged("it is empty")
    if data[4:8] == IDENTIFIER:
        return
    for magic, what in _FOREIGN.items():
        if data.startswith(magic):
            raise _Damaged(f"it is {what}")
    raise _Damaged(f"the identifier TFL3 is missing at byte 4 (found {data[4:8]!r})")


class _Reader:
    def __init__(self, data: _Bounded) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.data = data
        self.type_names = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
        self.operator_names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}

    def model(self) -> Model:
        root = self.schema.Model.GetRootAs(self.data, 0)
        _table(root)
        codes = [self.code(c) for c in _tables(root.OperatorCodesLength(), root.OperatorCodes)]
        self.buffers = [self.buffer(i, b) for i, b in enumerate(_tables(root.BuffersLength(), root.Buffers))]
        graphs = tuple(self.graph(g, codes) for g in _tables(root.SubgraphsLength(), root.Subgraphs))
        if not graphs:
            raise _Damaged("it holds no subgraph")
        signatures = tuple(self.signature(s, graphs) for s in _tables(root.SignatureDefsLength(), root.SignatureDefs))
        for entry in (root.Description(), *(m.Name() for m in _tables(root.MetadataLength(), root.Metadata))):
            _text(entry)
        return Model(graphs, signatures)

    def code(self, code: Any) -> str:
        # Numbers above 127 do not fit the older field; the larger of the two is meant.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name: str = self.operator_names.get(number, f"BUILTIN_{number}")
        return (_text(code.CustomCode()) or name) if name == "CUSTOM" else name

    def buffer(self, number: int, buffer: Any) -> Array | None:
        if not buffer.DataIsNone():
            inside: Array = buffer.DataAsNumpy()
            return inside if inside.size else None
        start, size = buffer.Offset(), buffer.Size()
        # Models above 2 GB keep buffers behind the flatbuffer; 0 and 1 mark "not there" and "to be filled".
        if start <= 1 or size <= 1:
            return None
        if start + size > len(self.data):
            raise _Damaged(f"it is damaged or was cut short (buffer {number} ends at byte {start + size:,})")
        return np.frombuffer(self.data, np.uint8, size, start)

    def graph(self, graph: Any, codes: list[str]) -> Graph:
        tensors = tuple(self.tensor(t) for t in _tables(graph.TensorsLength(), graph.Tensors))
        operators = tuple(
            self.operator(o, codes, len(tensors)) for o in _tables(graph.OperatorsLength(), graph.Operators)
        )
        ends = (_indices(v, len(tensors)) for v in (graph.InputsAsNumpy(), graph.OutputsAsNumpy()))
        return Graph(tensors, operators, *ends)

    def tensor(self, tensor: Any) -> Tensor:
        name, number, shape = _text(tensor.Name()), tensor.Type(), _ints(tensor.ShapeAsNumpy())
        type_ = self.type_names.get(number, f"type{number}")
        data = None if tensor.ExternalBuffer() else self.buffers[tensor.Buffer()]
        quantization = tensor.Quantization()
        scales, zero_points, axis = 0, np.zeros(0, np.int64), 0
        blocks: tuple[int, ...] = ()
        if quantization is not None:
            _table(quantization)
            scales, axis, blocks = (
                quantization.ScaleLength(),
                quantization.QuantizedDimension(),
                self.blocks(quantization),
            )
            if quantization.ZeroPointLength():
                zero_points = quantization.ZeroPointAsNumpy()
        encoded = tensor.Sparsity()
        sparsity = None if encoded is None else self.sparsity(encoded)
        bits = BITS.get(type_)
        if data is not None and bits is not None:
            _check_fit(name, type_, shape, bits, data.size, sparse=sparsity is not None)
        return Tensor(
            name,
            type_,
            shape,
            _ints(tensor.ShapeSignatureAsNumpy()) or shape,
            tensor.Buffer(),
            data,
            scales,
            zero_points,
            axis,
            blocks,
            sparsity,
        )

    def blocks(self, quantization: Any) -> tuple[int, ...]:
        """Return the tensors that hold the scales and zero points of blocks."""
        if quantization.DetailsType() != self.schema.QuantizationDetails.BlockwiseQuantization:
            return ()
        details = _union(quantization.Details(), self.schema.BlockwiseQuantization())
        return (details.Scales(), details.ZeroPoints())

    def sparsity(self, encoded: Any) -> Sparsity:
        _table(encoded)
        levels = tuple(self.level(d) for d in _tables(encoded.DimMetadataLength(), encoded.DimMetadata))
        return Sparsity(_ints(encoded.TraversalOrderAsNumpy()), _ints(encoded.BlockMapAsNumpy()), levels)

    def level(self, dimension: Any) -> int | tuple[Array, Array]:
        if dimension.Format() == self.schema.DimensionType.DENSE:
            return int(dimension.DenseSize())
        return (
            self.index_vector(dimension.ArraySegmentsType(), dimension.ArraySegments()),
            self.index_vector(dimension.ArrayIndicesType(), dimension.ArrayIndices()),
        )

    def index_vector(self, kind: int, table: Any) -> Array:
        kinds = {v: k for k, v in vars(self.schema.SparseIndexVector).items() if isinstance(v, int)}
        if kind == self.schema.SparseIndexVector.NONE or kind not in kinds or table is None:
            return np.zeros(0, np.int64)
        vector = _union(table, getattr(self.schema, kinds[kind])())
        return np.asarray(vector.ValuesAsNumpy() if vector.ValuesLength() else [], dtype=np.int64)

    def operator(self, operator: Any, codes: list[str], tensors: int) -> Operator:
        name = codes[operator.OpcodeIndex()]
        inputs, outputs = _indices(operator.InputsAsNumpy(), tensors), _indices(operator.OutputsAsNumpy(), tensors)
        adjoint = (False, False)
        if name == "BATCH_MATMUL" and operator.BuiltinOptionsType() == self.schema.BuiltinOptions.BatchMatMulOptions:
            options = _union(operator.BuiltinOptions(), self.schema.BatchMatMulOptions())
            adjoint = (options.AdjX(), options.AdjY())
        if (
            name == "STABLEHLO_COMPOSITE"
            and operator.BuiltinOptions2Type() == self.schema.BuiltinOptions2.StableHLOCompositeOptions
        ):
            name = _text(_union(operator.BuiltinOptions2(), self.schema.StableHLOCompositeOptions()).Name()) or name
        return Operator(name, inputs, outputs, adjoint)

    def signature(self, signature: Any, graphs: tuple[Graph, ...]) -> Signature:
        graph = graphs[signature.SubgraphIndex()]
        inputs, outputs = (
            _names(signature.InputsLength(), signature.Inputs),
            _names(signature.OutputsLength(), signature.Outputs),
        )
        _indices(np.array([*inputs, *outputs], np.int64), len(graph.tensors))
        return Signature(_text(signature.SignatureKey()), signature.SubgraphIndex(), inputs, outputs)


def _check_fit(name: str, type_: str, shape: tuple[int, ...], bits: int, size: int, *, sparse: bool) -> None:
    if any(d < 0 for d in shape):
        raise _Damaged(f"constant tensor {name!r} has the shape {list(shape)}")
    dense = -(-math.prod(shape) * bits // 8)
    if size > dense or (size < dense and not sparse):
        raise _Damaged(
            f"constant tensor {name!r}, {type_}{list(shape)}, needs {dense:,} bytes and its buffer holds {size:,}"
        )


def _tables(length: int, get: Callable[[int], Any]) -> list[Any]:
    found = []
    for i in range(length):
        item = get(i)
        _table(item)
        found.append(item)
    return found


def _table(item: Any) -> None:
    # A run of zero bytes would otherwise read as any number of tables without fields.
    data, position = item._tab.Bytes, item._tab.Pos
    fields = position - struct.unpack_from("<i", data, position)[0]
    if fields < 0 or struct.unpack_from("<H", data, fields)[0] < _SMALLEST_VTABLE:
        raise _Damaged("it is damaged (a table has no field list)")


def _names(length: int, get: Callable[[int], Any]) -> dict[int, str]:
    return {t.TensorIndex(): _text(t.Name()) for t in _tables(length, get)}


def _union(table: Any, kind: Any) -> Any:
    if table is None:
        raise _Damaged("it is damaged (an option is named but not there)")
    kind.Init(table.Bytes, table.Pos)
    _table(kind)
    return kind


def _ints(vector: Any) -> tuple[int, ...]:
    # The generated accessors return 0 for a vector that is not there.
    return () if isinstance(vector, int) else tuple(int(v) for v in vector)


def _indices(vector: Any, count: int) -> tuple[int, ...]:
    numbers = _ints(vector)
    if any(not -1 <= n < count for n in numbers):
        raise _Damaged("it is damaged (an operator or signature names a tensor that is not there)")
    return numbers


def _text(raw: bytes | None) -> str:
    return "" if raw is None else raw.decode("utf-8", "replace")
