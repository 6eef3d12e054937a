"""Bounded reading of a `.tflite` flatbuffer into plain records; every offset is checked, nothing native runs."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, SupportsIndex

import numpy as np

from workbench.compat.flatbuffers import table_of
from workbench.errors import WorkbenchError
from workbench.flatbuffer.budget import Budget, Spent
from workbench.flatbuffer.numbers import BITS, Array, Sparsity
from workbench.flatbuffer.records import Graph, Model, Operator, SignatureDef, StoredTensor

IDENTIFIER = b"TFL3"
ENDLESS = "it is damaged (its tables point to one another, so that there is no end of reading them)"
_FOREIGN = {
    b"PK": "a zip archive, perhaps a `.keras` file",
    b"\x89HDF": "an HDF5 file, perhaps a Keras `.h5` model",
    b"\x1f\x8b": "a gzip archive",
}
_SMALLEST_VTABLE = 4
_FIRST_FIELD = 4
# Bytes that the smallest table takes in a file, with the offset that points to it; those that cost more to read say so.
_TABLE, _LARGE_TABLE = 8, 32
_NUMBER = 4
# What is read of the largest files: tables that take more than this would not fit a machine's memory as records.
_MOST_STRUCTURE = 1 << 25
# As many as numpy can handle; LiteRT's kernels take eight at most.
_MOST_DIMENSIONS = 64
_SHOWN_NAME = 80


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
    except Spent:
        reason = ENDLESS
    except (struct.error, IndexError, ValueError, TypeError, OverflowError):
        # What numpy, struct and the flatbuffers runtime raise for an offset that leaves the data.
        reason = "it is damaged or was cut short (an offset points outside the file)"
    raise refusal(name, len(data), reason)


def refusal(name: str, size: int, reason: str) -> WorkbenchError:
    """Return the error for a file that is no whole model."""
    return WorkbenchError(
        f"{name} ({size:,} bytes) cannot be read as a TensorFlow Lite model: {reason}. Convert the model again, or copy the file again."
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
        # Where nothing is shared each table, string and number is read once; the data of constants is not copied.
        self.structure, self.constants = Budget(min(len(data), _MOST_STRUCTURE)), Budget(len(data))
        self.ranges: dict[tuple[int, int], Array] = {}
        self.type_names = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
        self.operator_names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
        self.vector_names = {v: k for k, v in vars(schema.SparseIndexVector).items() if isinstance(v, int)}

    def model(self) -> Model:
        root = self.schema.Model.GetRootAs(self.data, 0)
        _table(root)
        codes = [self.code(c) for c in self.tables(root.OperatorCodesLength(), root.OperatorCodes)]
        self.buffers = [self.buffer(i, b) for i, b in enumerate(self.tables(root.BuffersLength(), root.Buffers))]
        graphs = tuple(self.graph(g, codes) for g in self.tables(root.SubgraphsLength(), root.Subgraphs, _LARGE_TABLE))
        if not graphs:
            raise _Damaged("it holds no subgraph")
        signatures = tuple(
            self.signature(s, graphs) for s in self.tables(root.SignatureDefsLength(), root.SignatureDefs)
        )
        self.text(root.Description())
        for entry in self.tables(root.MetadataLength(), root.Metadata):
            self.text(entry.Name())
        return Model(graphs, signatures)

    def code(self, code: Any) -> tuple[str, bool]:
        """Return an operator's name, and whether it is a custom one."""
        # Numbers above 127 do not fit the older field; the larger of the two is meant.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name: str = self.operator_names.get(number, f"BUILTIN_{number}")
        custom = name == "CUSTOM"
        return (self.text(code.CustomCode()) or name) if custom else name, custom

    def buffer(self, number: int, buffer: Any) -> Array | None:
        if not buffer.DataIsNone():
            table = table_of(buffer)
            return self.range(table.Vector(table.Offset(_FIRST_FIELD)), buffer.DataLength())
        start, size = buffer.Offset(), buffer.Size()
        # Models above 2 GB keep buffers behind the flatbuffer; 0 and 1 mark "not there" and "to be filled".
        if start <= 1 or size <= 1:
            return None
        if start + size > len(self.data):
            raise _Damaged(f"it is damaged or was cut short (buffer {number} ends at byte {start + size:,})")
        return self.range(start, size)

    def range(self, start: int, size: int) -> Array | None:
        """Return a piece of the file, the same array for the same piece: writers share the data of equal constants."""
        if size and (start, size) not in self.ranges:
            self.constants.spend(size)
            self.ranges[start, size] = np.frombuffer(self.data, np.uint8, size, start)
        return self.ranges.get((start, size))

    def graph(self, graph: Any, codes: list[tuple[str, bool]]) -> Graph:
        tensors = tuple(self.tensor(t) for t in self.tables(graph.TensorsLength(), graph.Tensors, _LARGE_TABLE))
        operators = tuple(
            self.operator(o, codes, len(tensors))
            for o in self.tables(graph.OperatorsLength(), graph.Operators, _LARGE_TABLE)
        )
        ends = (self.indices(v, len(tensors)) for v in (graph.InputsAsNumpy(), graph.OutputsAsNumpy()))
        return Graph(tensors, operators, *ends)

    def tensor(self, tensor: Any) -> StoredTensor:
        name, number, shape = self.text(tensor.Name()), tensor.Type(), self.ints(tensor.ShapeAsNumpy())
        if len(shape) > _MOST_DIMENSIONS:
            raise _Damaged(f"tensor {_brief(name)} has {len(shape):,} dimensions")
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
        return StoredTensor(
            name,
            type_,
            shape,
            self.ints(tensor.ShapeSignatureAsNumpy()) or shape,
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
        levels = tuple(self.level(d) for d in self.tables(encoded.DimMetadataLength(), encoded.DimMetadata))
        return Sparsity(self.ints(encoded.TraversalOrderAsNumpy()), self.ints(encoded.BlockMapAsNumpy()), levels)

    def level(self, dimension: Any) -> int | tuple[Array, Array]:
        if dimension.Format() == self.schema.DimensionType.DENSE:
            return int(dimension.DenseSize())
        return (
            self.index_vector(dimension.ArraySegmentsType(), dimension.ArraySegments()),
            self.index_vector(dimension.ArrayIndicesType(), dimension.ArrayIndices()),
        )

    def index_vector(self, kind: int, table: Any) -> Array:
        if kind == self.schema.SparseIndexVector.NONE or kind not in self.vector_names or table is None:
            return np.zeros(0, np.int64)
        vector = _union(table, getattr(self.schema, self.vector_names[kind])())
        values = vector.ValuesAsNumpy() if vector.ValuesLength() else np.zeros(0, np.int64)
        self.constants.spend(values.nbytes)
        return np.asarray(values, dtype=np.int64)

    def operator(self, operator: Any, codes: list[tuple[str, bool]], tensors: int) -> Operator:
        name, custom = codes[operator.OpcodeIndex()]
        inputs, outputs = (
            self.indices(operator.InputsAsNumpy(), tensors),
            self.indices(operator.OutputsAsNumpy(), tensors),
        )
        adjoint = (False, False)
        if name == "BATCH_MATMUL" and operator.BuiltinOptionsType() == self.schema.BuiltinOptions.BatchMatMulOptions:
            options = _union(operator.BuiltinOptions(), self.schema.BatchMatMulOptions())
            adjoint = (options.AdjX(), options.AdjY())
        if (
            name == "STABLEHLO_COMPOSITE"
            and operator.BuiltinOptions2Type() == self.schema.BuiltinOptions2.StableHLOCompositeOptions
        ):
            name = self.text(_union(operator.BuiltinOptions2(), self.schema.StableHLOCompositeOptions()).Name()) or name
        return Operator(name, inputs, outputs, adjoint, custom)

    def signature(self, signature: Any, graphs: tuple[Graph, ...]) -> SignatureDef:
        graph = graphs[signature.SubgraphIndex()]
        inputs, outputs = (
            self.names(signature.InputsLength(), signature.Inputs),
            self.names(signature.OutputsLength(), signature.Outputs),
        )
        self.indices(np.array([*inputs, *outputs], np.int64), len(graph.tensors))
        # Who shows a signature lists the ends of its graph, with names and shapes.
        for index in (i for i in (*graph.inputs, *graph.outputs) if i >= 0):
            end = graph.tensors[index]
            self.structure.spend(len(end.name) + _NUMBER * (1 + len(end.signature)))
        return SignatureDef(self.text(signature.SignatureKey()), signature.SubgraphIndex(), inputs, outputs)

    def tables(self, length: int, get: Callable[[int], Any], least: int = _TABLE) -> list[Any]:
        """Return the tables of a vector, each of which takes at least so many bytes of a file."""
        self.structure.spend(length * least)
        found = []
        for i in range(length):
            item = get(i)
            _table(item)
            found.append(item)
        return found

    def names(self, length: int, get: Callable[[int], Any]) -> dict[int, str]:
        return {t.TensorIndex(): self.text(t.Name()) for t in self.tables(length, get)}

    def ints(self, vector: Any) -> tuple[int, ...]:
        # The generated accessors return 0 for a vector that is not there.
        if isinstance(vector, int):
            return ()
        self.structure.spend(_NUMBER * len(vector))
        return tuple(vector.tolist())

    def indices(self, vector: Any, count: int) -> tuple[int, ...]:
        numbers = self.ints(vector)
        if numbers and not (min(numbers) >= -1 and max(numbers) < count):
            raise _Damaged("it is damaged (an operator or signature names a tensor that is not there)")
        return numbers

    def text(self, raw: bytes | None) -> str:
        if raw is None:
            return ""
        self.structure.spend(len(raw))
        return raw.decode("utf-8", "replace")


def _check_fit(name: str, type_: str, shape: tuple[int, ...], bits: int, size: int, *, sparse: bool) -> None:
    if any(d < 0 for d in shape):
        raise _Damaged(f"constant tensor {_brief(name)} has the shape {list(shape)}")
    dense = -(-math.prod(shape) * bits // 8)
    if size > dense or (size < dense and not sparse):
        raise _Damaged(
            f"constant tensor {_brief(name)}, {type_}{list(shape)}, needs {dense:,} bytes and its buffer holds {size:,}"
        )


def _table(item: Any) -> None:
    # A run of zero bytes would otherwise read as any number of tables without fields.
    table = table_of(item)
    data, position = table.Bytes, table.Pos
    fields = position - struct.unpack_from("<i", data, position)[0]
    if fields < 0 or struct.unpack_from("<H", data, fields)[0] < _SMALLEST_VTABLE:
        raise _Damaged("it is damaged (a table has no field list)")


def _union(table: Any, kind: Any) -> Any:
    if table is None:
        raise _Damaged("it is damaged (an option is named but not there)")
    kind.Init(table.Bytes, table.Pos)
    _table(kind)
    return kind


def _brief(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_NAME else name[:_SHOWN_NAME] + "...")
