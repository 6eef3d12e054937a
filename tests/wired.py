"""Flatbuffers whose parts are shared: what a small file can ask of a reader that follows every offset.

`Wire` writes tables by hand, so that one table, vector or string can be named from anywhere any number of times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class Wire:
    """One file in the making; the methods return offsets, which may be used again and again."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.builder = schema.flatbuffers.Builder(1 << 16)

    def text(self, value: str) -> int:
        return int(self.builder.CreateString(value))

    def numbers(self, values: Any) -> int:
        return int(self.builder.CreateNumpyVector(np.asarray(values, np.int32)))

    def bytes_(self, values: Any) -> int:
        return int(self.builder.CreateNumpyVector(np.asarray(values, np.uint8)))

    def tables(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def table(self, kind: str, **fields: int) -> int:
        """Return a table of the schema; offsets and plain numbers by field name."""
        getattr(self.schema, f"{kind}Start")(self.builder)
        for name, value in fields.items():
            getattr(self.schema, f"{kind}Add{name}")(self.builder, value)
        return int(getattr(self.schema, f"{kind}End")(self.builder))

    def done(
        self,
        graphs: Sequence[int],
        operators: Sequence[str] = (),
        buffers: Sequence[int] = (),
        **more: int,
    ) -> bytes:
        """Return the file: operator codes by name, an empty buffer before the others, `more` fields of the model."""
        codes = []
        for name in operators:
            number = getattr(self.schema.BuiltinOperator, name)
            codes.append(self.table("OperatorCode", DeprecatedBuiltinCode=min(number, 127), BuiltinCode=number))
        fields = {
            "Version": 3,
            "OperatorCodes": self.tables(codes),
            "Subgraphs": self.tables(graphs),
            "Buffers": self.tables([self.table("Buffer"), *buffers]),
            **more,
        }
        self.builder.Finish(self.table("Model", **fields), b"TFL3")
        return bytes(self.builder.Output())


Making = Callable[[int], bytes]


def many_tensors_in_many_graphs(size: int) -> bytes:
    w = Wire()
    tensor = w.table("Tensor", Shape=w.numbers([1, 2]), Name=w.text("x"))
    graph = w.table("SubGraph", Tensors=w.tables([tensor] * size))
    return w.done([graph] * size)


def many_operators_in_many_graphs(size: int) -> bytes:
    w = Wire()
    tensor = w.table("Tensor", Shape=w.numbers([1]))
    operator = w.table("Operator", Inputs=w.numbers([0]), Outputs=w.numbers([0]))
    graph = w.table("SubGraph", Tensors=w.tables([tensor]), Operators=w.tables([operator] * size))
    return w.done([graph] * size, ["ADD"])


def long_inputs_of_many_operators(size: int) -> bytes:
    w = Wire()
    tensor = w.table("Tensor", Shape=w.numbers([1]))
    operator = w.table("Operator", Inputs=w.numbers([0] * size), Outputs=w.numbers([0] * size))
    graph = w.table("SubGraph", Tensors=w.tables([tensor]), Operators=w.tables([operator] * size))
    return w.done([graph], ["ADD"])


def a_long_name_of_many_tensors(size: int) -> bytes:
    w = Wire()
    tensor = w.table("Tensor", Shape=w.numbers([1]), Name=w.text("n" * 4 * size))
    graph = w.table("SubGraph", Tensors=w.tables([tensor] * size))
    return w.done([graph] * 50)


def a_long_shape_of_many_tensors(size: int) -> bytes:
    w = Wire()
    tensor = w.table("Tensor", Shape=w.numbers([1]), ShapeSignature=w.numbers([2**31 - 1] * size))
    graph = w.table("SubGraph", Tensors=w.tables([tensor] * size))
    return w.done([graph])


def a_shape_of_many_dimensions(size: int) -> bytes:
    w = Wire()
    data = w.table("Buffer", Data=w.bytes_([1, 2, 3, 4]))
    tensor = w.table("Tensor", Shape=w.numbers([2**31 - 1] * 64 * size), Buffer=1)
    return w.done([w.table("SubGraph", Tensors=w.tables([tensor]))], buffers=[data])


def many_signatures_of_many_ends(size: int) -> bytes:
    w = Wire()
    tensor = w.table("Tensor", Shape=w.numbers([1] * 60), Name=w.text("x" * 100))
    ends = w.numbers([0] * size)
    graph = w.table("SubGraph", Tensors=w.tables([tensor]), Inputs=ends, Outputs=ends)
    signature = w.table("SignatureDef", SignatureKey=w.text("serve"))
    return w.done([graph], SignatureDefs=w.tables([signature] * size))


def many_signatures_of_many_names(size: int) -> bytes:
    w = Wire()
    tensor = w.table("Tensor", Shape=w.numbers([1]))
    graph = w.table("SubGraph", Tensors=w.tables([tensor]))
    name = w.table("TensorMap", Name=w.text("x"))
    signature = w.table("SignatureDef", Inputs=w.tables([name] * size), Outputs=w.tables([name] * size))
    return w.done([graph], SignatureDefs=w.tables([signature] * size))


def long_metadata_many_times(size: int) -> bytes:
    w = Wire()
    tensor = w.table("Tensor", Shape=w.numbers([1]))
    graph = w.table("SubGraph", Tensors=w.tables([tensor]))
    entry = w.table("Metadata", Name=w.text("m" * 64 * size))
    return w.done([graph], Metadata=w.tables([entry] * 16 * size))


def long_codes_many_times(size: int) -> bytes:
    w = Wire()
    graph = w.table("SubGraph", Tensors=w.tables([w.table("Tensor", Shape=w.numbers([1]))]))
    code = w.table("OperatorCode", DeprecatedBuiltinCode=32, BuiltinCode=32, CustomCode=w.text("c" * 64 * size))
    return w.done([graph], OperatorCodes=w.tables([code] * 16 * size))


def many_composites_of_a_long_name(size: int) -> bytes:
    w = Wire()
    tensor = w.table("Tensor", Shape=w.numbers([1]))
    options = w.table("StableHLOCompositeOptions", Name=w.text("c" * 64 * size))
    kind = w.schema.BuiltinOptions2.StableHLOCompositeOptions
    operator = w.table("Operator", BuiltinOptions2Type=kind, BuiltinOptions2=options)
    graph = w.table("SubGraph", Tensors=w.tables([tensor]), Operators=w.tables([operator] * size))
    return w.done([graph] * 50, ["STABLEHLO_COMPOSITE"])


def long_indices_of_many_sparse_tensors(size: int) -> bytes:
    w = Wire()
    data = w.table("Buffer", Data=w.bytes_([1]))
    kind = w.schema.SparseIndexVector.Uint8Vector
    values = w.table("Uint8Vector", Values=w.bytes_(np.zeros(400 * size)))
    level = w.table(
        "DimensionMetadata",
        Format=w.schema.DimensionType.SPARSE_CSR,
        ArraySegments=values,
        ArraySegmentsType=kind,
        ArrayIndices=values,
        ArrayIndicesType=kind,
    )
    sparsity = w.table("SparsityParameters", TraversalOrder=w.numbers([0]), DimMetadata=w.tables([level] * size))
    tensor = w.table("Tensor", Shape=w.numbers([4]), Type=w.schema.TensorType.INT8, Buffer=1, Sparsity=sparsity)
    return w.done([w.table("SubGraph", Tensors=w.tables([tensor] * size))], buffers=[data])


def overlapping_data_of_many_buffers(size: int) -> bytes:
    """Buffers behind the flatbuffer that each begin a byte later: every one is new."""
    w = Wire()
    length = 1000 * size
    type_, count = w.schema.TensorType.UINT8, 2 * size
    shape = w.numbers([1, length])
    tensors = [w.table("Tensor", Shape=shape, Type=type_, Buffer=i + 1) for i in range(count)]
    buffers = [w.table("Buffer", Offset=1000 + i, Size=length) for i in range(count)]
    return w.done([w.table("SubGraph", Tensors=w.tables(tensors))], buffers=buffers) + bytes(length)


def many_tensors_of_one_constant(size: int) -> bytes:
    """Real files share constants: this one is to be read, and its data looked at once."""
    w = Wire()
    data = w.table("Buffer", Data=w.bytes_(np.arange(1000 * size) % 256))
    shape, type_ = w.numbers([10, 100 * size]), w.schema.TensorType.UINT8
    tensors = [w.table("Tensor", Shape=shape, Type=type_, Buffer=1) for _ in range(2 * size)]
    return w.done([w.table("SubGraph", Tensors=w.tables(tensors))], buffers=[data])


def many_buffers_of_one_piece(size: int) -> bytes:
    """Writers of large files give equal constants the same place: this one is to be read, and its data looked at once."""
    w = Wire()
    type_, shape = w.schema.TensorType.UINT8, w.numbers([10, 100 * size])
    tensors = [w.table("Tensor", Shape=shape, Type=type_, Buffer=i + 1) for i in range(2 * size)]
    buffers = [w.table("Buffer", Offset=2000, Size=1000 * size) for _ in range(2 * size)]
    return w.done([w.table("SubGraph", Tensors=w.tables(tensors))], buffers=buffers) + bytes(1000 * size)


def constants_behind_a_long_chain(size: int) -> bytes:
    """Every constant goes into the same chain of conversions, which leads to a kernel."""
    w = Wire()
    count, chain, type_ = 4 * size, 4 * size, w.schema.TensorType.UINT8
    buffers = [w.table("Buffer", Data=w.bytes_([1, i % 256])) for i in range(count)]
    shape = w.numbers([1, 2])
    tensors = [w.table("Tensor", Shape=shape, Type=type_, Buffer=i + 1) for i in range(count)]
    tensors += [w.table("Tensor", Shape=shape) for _ in range(chain)]
    operators = [w.table("Operator", Inputs=w.numbers([i]), Outputs=w.numbers([count])) for i in range(count)]
    operators += [
        w.table("Operator", Inputs=w.numbers([count + i]), Outputs=w.numbers([count + i + 1])) for i in range(chain - 1)
    ]
    graph = w.table("SubGraph", Tensors=w.tables(tensors), Operators=w.tables(operators))
    return w.done([graph], ["QUANTIZE"], buffers)


def a_conversion_of_many_inputs_and_outputs(size: int) -> bytes:
    w = Wire()
    data = w.table("Buffer", Data=w.bytes_([1, 2]))
    shape = w.numbers([1, 2])
    tensors = [w.table("Tensor", Shape=shape, Type=w.schema.TensorType.UINT8, Buffer=1)]
    tensors += [w.table("Tensor", Shape=shape)] * 2
    operator = w.table("Operator", Inputs=w.numbers([0] * 40 * size), Outputs=w.numbers([1, 2] * 20 * size))
    graph = w.table("SubGraph", Tensors=w.tables(tensors), Operators=w.tables([operator]))
    return w.done([graph], ["QUANTIZE"], [data])


def many_sparse_tensors_that_are_large_when_dense(size: int) -> bytes:
    w = Wire()
    stored, rows = 100, 10
    buffers = [w.table("Buffer", Data=w.bytes_(np.full(stored, 1 + i % 200))) for i in range(size)]
    kind = w.schema.SparseIndexVector.Uint8Vector
    vectors = [
        w.table("Uint8Vector", Values=w.bytes_(v))
        for v in (np.arange(rows + 1) * (stored // rows), np.arange(stored) % 10)
    ]
    levels = [
        w.table("DimensionMetadata", Format=w.schema.DimensionType.DENSE, DenseSize=rows),
        w.table(
            "DimensionMetadata",
            Format=w.schema.DimensionType.SPARSE_CSR,
            ArraySegments=vectors[0],
            ArraySegmentsType=kind,
            ArrayIndices=vectors[1],
            ArrayIndicesType=kind,
        ),
    ]
    sparsity = w.table("SparsityParameters", TraversalOrder=w.numbers([0, 1]), DimMetadata=w.tables(levels))
    shape, type_ = w.numbers([rows, stored * 100]), w.schema.TensorType.UINT8
    tensors = [w.table("Tensor", Shape=shape, Type=type_, Buffer=i + 1, Sparsity=sparsity) for i in range(size)]
    return w.done([w.table("SubGraph", Tensors=w.tables(tensors))], buffers=buffers)


def a_tall_and_narrow_constant(size: int) -> bytes:
    """A row of one byte must not ask for a flag for each of the 256 values that it could have."""
    w = Wire()
    data = w.table("Buffer", Data=w.bytes_(np.arange(10_000 * size) % 7))
    tensor = w.table("Tensor", Shape=w.numbers([10_000 * size, 1]), Type=w.schema.TensorType.UINT8, Buffer=1)
    return w.done([w.table("SubGraph", Tensors=w.tables([tensor]))], buffers=[data])


REFUSED: tuple[Making, ...] = (
    a_shape_of_many_dimensions,
    many_tensors_in_many_graphs,
    many_operators_in_many_graphs,
    long_inputs_of_many_operators,
    a_long_name_of_many_tensors,
    a_long_shape_of_many_tensors,
    many_signatures_of_many_ends,
    many_signatures_of_many_names,
    long_metadata_many_times,
    long_codes_many_times,
    many_composites_of_a_long_name,
    long_indices_of_many_sparse_tensors,
    overlapping_data_of_many_buffers,
    constants_behind_a_long_chain,
    a_conversion_of_many_inputs_and_outputs,
)
READ: tuple[Making, ...] = (
    many_tensors_of_one_constant,
    many_buffers_of_one_piece,
    many_sparse_tensors_that_are_large_when_dense,
    a_tall_and_narrow_constant,
)
