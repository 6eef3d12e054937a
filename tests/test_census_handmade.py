"""The census of files made by hand: types, encodings and wirings that converters seldom write."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from workbench.errors import WorkbenchError
from workbench.flatbuffer import read_census
from workbench.flatbuffer.numbers import Sparsity, densify
from workbench.values.trial import TensorCensus


def _schema() -> Any:
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def _pack(model: Any) -> bytes:
    builder = _schema().flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(name: str, type_: str, shape: tuple[int, ...], buffer: int = 0, **quantization: Any) -> Any:
    schema = _schema()
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape, tensor.buffer = name, getattr(schema.TensorType, type_), list(shape), buffer
    if quantization:
        tensor.quantization = schema.QuantizationParametersT()
        for key, value in quantization.items():
            setattr(tensor.quantization, key, value)
    return tensor


def _operator(code: int, inputs: list[int], outputs: list[int]) -> Any:
    operator = _schema().OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, outputs
    return operator


def _model(codes: list[str], buffers: list[Any], tensors: list[Any], operators: list[Any]) -> Any:
    schema = _schema()
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.operatorCodes, model.buffers = 3, [], []
    for name in codes:
        code = schema.OperatorCodeT()
        number = getattr(schema.BuiltinOperator, name, schema.BuiltinOperator.CUSTOM)
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        code.customCode = None if hasattr(schema.BuiltinOperator, name) else name
        model.operatorCodes.append(code)
    for data in (None, *buffers):
        buffer = schema.BufferT()
        buffer.data = None if data is None else np.frombuffer(np.asarray(data).tobytes(), np.uint8)
        model.buffers.append(buffer)
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, operators, [0], [len(tensors) - 1]
    model.subgraphs = [graph]
    return model


def _one_weight(operator: str, weight: Any, data: Any, position: int = 1) -> Any:
    """Return a model of one operator `operator(x, weight)`."""
    inputs = [0, 1] if position == 1 else [1, 0]
    return _model(
        [operator],
        [data],
        [_tensor("x", "FLOAT32", (1, 2)), weight, _tensor("y", "FLOAT32", (1, 2))],
        [_operator(0, inputs, [2])],
    )


def _only(model: Any) -> TensorCensus:
    (tensor,) = read_census(_pack(model)).tensors
    return tensor


@pytest.mark.parametrize(
    ("type_", "stored", "shape", "zeros", "unique"),
    [
        ("INT4", [0x0F, 0x70, 0xF2], (1, 5), 2 / 5, 4),  # -1 0 0 7 2, last nibble unused
        ("INT2", [0b11_01_00_10, 0b10_10_10_01], (5, 1), 1 / 5, 4),  # -2 0 1 -1 1
        ("UINT4", [0x0F, 0xFF], (2, 2), 1 / 4, 2),
        ("BFLOAT16", [0, 0, 0, 0x80, 0x80, 0x3F], (3, 1), 2 / 3, 2),  # 0, -0, 1
        ("FLOAT8_E5M2", [0x80, 0x00, 0x3C, 0x3C], (4, 1), 1 / 2, 2),
    ],
)
def test_small_types(type_: str, stored: list[int], shape: tuple[int, ...], zeros: float, unique: int) -> None:
    """Types that numpy does not have are unpacked, low bits first, without the padding of the last byte."""
    tensor = _only(_one_weight("FULLY_CONNECTED", _tensor("w", type_, shape, 1), np.array(stored, np.uint8)))
    assert (tensor.type, tensor.sparsity, tensor.unique) == (type_.lower(), zeros, unique)
    assert tensor.bytes == len(stored)


def test_zero_points_are_zero() -> None:
    """What equals its zero point counts as zero, per tensor and per channel."""
    values = np.array([[7, 7, 1], [7, 9, 9]], np.uint8)
    assert (
        _only(_one_weight("CONV_2D", _tensor("w", "UINT8", (2, 3), 1, scale=[0.1], zeroPoint=[7]), values)).sparsity
        == 3 / 6
    )
    per_channel = _tensor("w", "UINT8", (2, 3), 1, scale=[0.1, 0.2], zeroPoint=[7, 9], quantizedDimension=0)
    tensor = _only(_one_weight("CONV_2D", per_channel, values))
    assert (tensor.sparsity, tensor.channels_quantized, tensor.unique, tensor.unique_per_channel) == (4 / 6, True, 3, 2)


def test_what_counts_as_weight() -> None:
    """Shapes and indices stay out, biases count by bytes, a shared buffer once, and a kernel use wins over another."""
    table = np.array([[1, 2], [3, 3]], np.int8)
    tensors = [
        _tensor("x", "INT32", (1,)),
        _tensor("table", "INT8", (2, 2), 1, scale=[1.0]),
        _tensor("table_again", "INT8", (2, 2), 1, scale=[1.0]),
        _tensor("bias", "INT32", (2,), 2, scale=[1.0]),
        _tensor("shape", "INT32", (2,), 3),
        _tensor("gathered", "INT8", (1, 2), 0, scale=[1.0]),
        _tensor("y", "INT8", (1, 2), 0, scale=[1.0]),
    ]
    operators = [_operator(0, [1, 0], [5]), _operator(1, [5, 2, 3], [6])]
    census = read_census(
        _pack(
            _model(
                ["GATHER", "FULLY_CONNECTED"], [table, np.ones(2, np.int32), np.ones(2, np.int32)], tensors, operators
            )
        )
    )
    assert census.weights == {"int8": 4, "int32": 8}
    (tensor,) = census.tensors
    assert (tensor.name, tensor.operator, tensor.kernel, tensor.unique) == ("table_again", "FULLY_CONNECTED", True, 3)
    assert census.operators == {"FULLY_CONNECTED": 1, "GATHER": 1}
    assert (census.inputs, census.outputs) == (("x:int32[1]",), ("y:int8[1,2]",))


def test_a_gathered_table_is_no_kernel() -> None:
    """Embedding tables are weights, and stay out of the kernels' figures."""
    census = read_census(
        _pack(_one_weight("GATHER", _tensor("w", "FLOAT32", (2, 2), 1), np.zeros(4, np.float32), position=0))
    )
    assert (census.tensors[0].operator, census.tensors[0].kernel) == ("GATHER", False)
    assert (census.sparsity, census.unique_weights) == (0.0, 0)


@pytest.mark.parametrize(("adjoint", "expected"), [(False, 2), (True, 3)])
def test_matmul_channels(adjoint: bool, expected: int) -> None:
    """The channels of a constant right operand are its columns, its rows where it is transposed."""
    model = _one_weight("BATCH_MATMUL", _tensor("w", "FLOAT32", (2, 3), 1), np.arange(6, dtype=np.float32))
    operator = model.subgraphs[0].operators[0]
    operator.builtinOptionsType = _schema().BuiltinOptions.BatchMatMulOptions
    operator.builtinOptions = _schema().BatchMatMulOptionsT()
    operator.builtinOptions.adjY = adjoint
    tensor = _only(model)
    assert (tensor.kernel, tensor.unique_per_channel) == (True, expected)


def test_names_of_custom_and_composite_operators() -> None:
    """A custom operator goes by its code, a composite one by its name."""
    model = _one_weight("MyOperator", _tensor("w", "FLOAT32", (1, 2), 1), np.ones(2, np.float32))
    assert read_census(_pack(model)).operators == {"MyOperator": 1}
    model = _one_weight("STABLEHLO_COMPOSITE", _tensor("w", "FLOAT32", (1, 2), 1), np.ones(2, np.float32))
    operator = model.subgraphs[0].operators[0]
    operator.builtinOptions2Type = _schema().BuiltinOptions2.StableHLOCompositeOptions
    operator.builtinOptions2 = _schema().StableHLOCompositeOptionsT()
    operator.builtinOptions2.name = "odml.rms_norm"
    assert read_census(_pack(model)).operators == {"odml.rms_norm": 1}


def test_blockwise_scales_are_no_weights() -> None:
    """A blockwise tensor is read, and the tensor of its scales is not counted as weights."""
    schema = _schema()
    details = schema.BlockwiseQuantizationT()
    details.scales, details.zeroPoints, details.blockSize = 3, -1, 2
    weight = _tensor(
        "w", "INT4", (2, 4), 1, detailsType=schema.QuantizationDetails.BlockwiseQuantization, details=details
    )
    model = _one_weight("FULLY_CONNECTED", weight, np.array([0x10, 0x32, 0x10, 0x32], np.uint8))
    scales = schema.BufferT()
    scales.data = np.zeros(8, np.uint8)
    model.buffers.append(scales)
    model.subgraphs[0].tensors.append(_tensor("scales", "FLOAT16", (2, 2), 2))
    census = read_census(_pack(model))
    assert census.weights == {"int4": 4}
    assert (census.tensors[0].channels_quantized, census.tensors[0].sparsity, census.tensors[0].unique) == (
        True,
        0.25,
        4,
    )


def test_buffers_behind_the_flatbuffer() -> None:
    """Data kept behind the flatbuffer is read, its end is checked, and data kept in another file is left out."""
    model = _one_weight("FULLY_CONNECTED", _tensor("w", "FLOAT32", (2, 2), 1), None)
    model.buffers[1].offset, model.buffers[1].size = 2, 16
    start = len(_pack(model))
    model.buffers[1].offset = start
    data = _pack(model) + np.array([0, 0, 0, 5], np.float32).tobytes()
    assert (read_census(data).sparsity, read_census(data).weights) == (0.75, {"float32": 16})
    with pytest.raises(WorkbenchError, match="buffer 1 ends at byte"):
        read_census(data[:-1])
    model.subgraphs[0].tensors[1].externalBuffer = 1
    assert read_census(_pack(model) + bytes(16)).weights == {}


def test_block_sparse_encoding() -> None:
    """A block-sparse tensor is decoded: rows of 1 x 2 blocks, of which only some are stored."""
    levels = (2, (np.array([0, 1, 3]), np.array([1, 0, 2])), 2)
    dense = densify(np.array([1, 2, 3, 4, 5, 6]), Sparsity((0, 1, 2), (1,), levels), (2, 6))
    assert dense is not None
    assert dense.reshape(2, 6).tolist() == [[0, 0, 1, 2, 0, 0], [3, 4, 0, 0, 5, 6]]


@pytest.mark.parametrize(("stored", "zeros", "unique"), [([1, 2, 2, 0], 13, 3), ([1, 2, 2, 3], 12, 4)])
def test_sparse_encoding_that_does_not_add_up(stored: list[int], zeros: int, unique: int) -> None:
    """Stored values are counted as they are where the sparse encoding cannot be followed; the rest is zeros."""
    schema = _schema()
    model = _one_weight("FULLY_CONNECTED", _tensor("w", "FLOAT32", (4, 4), 1), np.array(stored, np.float32))
    sparsity = schema.SparsityParametersT()
    sparsity.traversalOrder, sparsity.dimMetadata = [0, 1], [schema.DimensionMetadataT()]
    model.subgraphs[0].tensors[1].sparsity = sparsity
    tensor = _only(model)
    assert (tensor.sparsity, tensor.unique, tensor.bytes) == (zeros / 16, unique, 16)


def test_a_cut_name_is_noticed() -> None:
    """A file that ends inside a string is cut, even though every number is there."""
    data = _pack(_one_weight("MyOperator", _tensor("w", "FLOAT32", (1, 2), 1), np.ones(2, np.float32)))
    name = data.rindex(b"MyOperator")
    assert name > len(data) - 20
    with pytest.raises(WorkbenchError, match="cut short"):
        read_census(data[: name + 5])


def test_wrong_buffer_length() -> None:
    """A constant whose buffer does not fit its shape and type is refused by name."""
    with pytest.raises(WorkbenchError, match=r"'w', float32\[2, 3\], needs 24 bytes and its buffer holds 16"):
        read_census(_pack(_one_weight("FULLY_CONNECTED", _tensor("w", "FLOAT32", (2, 3), 1), np.ones(4, np.float32))))


def test_reading_needs_no_tensorflow() -> None:
    """A fresh process reads a file without importing TensorFlow."""
    data = _pack(_one_weight("FULLY_CONNECTED", _tensor("w", "FLOAT32", (2, 2), 1), np.ones(4, np.float32)))
    code = "import sys; from workbench.flatbuffer import read_census; read_census(sys.stdin.buffer.read()); sys.exit('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_ends_of_signatures() -> None:
    """Inputs and outputs go by the signature's names, with its key in front where there are several."""
    schema = _schema()
    model = _one_weight("FULLY_CONNECTED", _tensor("w", "FLOAT32", (1, 2), 1), np.ones(2, np.float32))
    model.subgraphs[0].tensors[0].shapeSignature = [-1, 2]
    model.signatureDefs = []
    for key, renamed in (("encode", "image"), ("decode", "latent")):
        signature, name = schema.SignatureDefT(), schema.TensorMapT()
        name.name, name.tensorIndex = renamed, 0
        signature.signatureKey, signature.inputs, signature.outputs, signature.subgraphIndex = key, [name], [], 0
        model.signatureDefs.append(signature)
        if key == "encode":
            assert read_census(_pack(model)).inputs == ("image:float32[?,2]",)
    census = read_census(_pack(model))
    assert census.inputs == ("encode/image:float32[?,2]", "decode/latent:float32[?,2]")
    assert census.outputs == ("encode/y:float32[1,2]", "decode/y:float32[1,2]")
