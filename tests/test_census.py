"""The census says what is really in a file: checked against known weights and against the interpreter."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import WorkbenchError
from workbench.flatbuffer import check_census, read_census, read_sizes
from workbench.values.trial import Census

CONV_VALUES = np.array([-1.0, 0.0, 0.5, 1.0, 0.0, -0.0], np.float32)
DENSE_VALUES = np.array([1.0, 0.0, 0.0, -0.25], np.float32)


def _filled(shape: tuple[int, ...], values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.resize(values, int(np.prod(shape))).reshape(shape)


@pytest.fixture(scope="session")
def files() -> dict[str, bytes]:
    """Return one small model in every scheme; zeros, distinct values and channel maxima (1.0) are set by hand."""
    tf = pytest.importorskip("tensorflow")
    keras = pytest.importorskip("tf_keras")
    layers = keras.layers
    ends = layers.Input((8, 8, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(ends)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    model = keras.Model(ends, layers.Dense(5, name="dense")(layers.Flatten()(x)))
    bias = np.linspace(0.1, 1, 9, dtype=np.float32)
    # The last axis is the output channel: filling along the others gives each channel all the values.
    conv = np.moveaxis(_filled((4, 3, 3, 2), CONV_VALUES), 0, -1)
    dense = _filled((5, 256), DENSE_VALUES).T
    model.get_layer("conv").set_weights([conv, bias[:4]])
    model.get_layer("depthwise").set_weights([np.linspace(-1, 1, 36, dtype=np.float32).reshape(3, 3, 4, 1), bias[:4]])
    model.get_layer("dense").set_weights([dense, bias[:5]])

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 2], tf.float32, name="image")])  # type: ignore[untyped-decorator]
    def run(image: Any) -> Any:
        return {"scores": model(image, training=False)}

    samples = [np.random.default_rng(i).random((1, 8, 8, 2), np.float32) for i in range(8)]
    lite = tf.lite

    def convert(configure: Callable[[Any], None]) -> bytes:
        converter = lite.TFLiteConverter.from_concrete_functions([run.get_concrete_function()], model)
        configure(converter)
        return bytes(converter.convert())

    def dynamic(c: Any) -> None:
        c.optimizations = [lite.Optimize.DEFAULT]

    def float16(c: Any) -> None:
        dynamic(c)
        c.target_spec.supported_types = [tf.float16]

    def int8(c: Any) -> None:
        dynamic(c)
        c.representative_dataset = lambda: ([s] for s in samples)
        c.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS_INT8]
        c.inference_input_type = c.inference_output_type = tf.int8

    def int16x8(c: Any) -> None:
        int8(c)
        c.target_spec.supported_ops = [lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
        c.inference_input_type = c.inference_output_type = tf.int16

    def sparse(c: Any) -> None:
        c.optimizations = [lite.Optimize.EXPERIMENTAL_SPARSITY]

    made = {f.__name__: convert(f) for f in (dynamic, float16, int8, int16x8, sparse)} | {
        "float32": convert(lambda c: None)
    }
    return made | {"int4": _int4(made["float32"])}


def _int4(model: bytes) -> bytes:
    quantizer = pytest.importorskip("litert_quantizer.quantizer")
    from litert_quantizer import qtyping

    job = quantizer.Quantizer(model)
    job.add_weight_only_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, 4)
    return bytes(job.quantize(None, enable_progress_bar=False, enable_progress_report=False).quantized_model)


def _dense_tensors(model: bytes) -> dict[str, np.ndarray[Any, Any]]:
    """Return every tensor as the interpreter reads it, the decoded one where it was stored block-sparse."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    reader = Interpreter(
        model_content=model,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    reader.allocate_tensors()
    reader.invoke()
    found = {d["name"]: reader.get_tensor(d["index"]) for d in reader.get_tensor_details()}
    for operator in reader._get_ops_details():
        if operator["op_name"] == "DENSIFY":
            found[reader._get_tensor_details(operator["inputs"][0], 0)["name"]] = reader.get_tensor(
                operator["outputs"][0]
            )
    return found


# Kernel 72, depthwise kernel 36, dense 1,280; biases 4 + 4 + 5, the equal two stored once unless their scales differ.
SCHEMES = {
    "float32": {"float32": 4 * (72 + 36 + 1280 + 9)},
    "float16": {"float16": 2 * (72 + 36 + 1280 + 9)},
    # TensorFlow's converter leaves tensors below 1,024 elements float.
    "dynamic": {"float32": 4 * (72 + 36 + 9), "int8": 1280},
    "int8": {"int32": 4 * 13, "int8": 72 + 36 + 1280},
    "int16x8": {"int64": 8 * 9, "int8": 72 + 36 + 1280},
    # litert-quantizer has no 4-bit depthwise kernel.
    "int4": {"float32": 4 * (36 + 9), "int4": (72 + 1280) // 2},
    "sparse": {"float32": 4 * (72 // 2 + 36 + 1280 // 2 + 9)},
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_real_file_is_what_the_interpreter_reads(files: dict[str, bytes], scheme: str) -> None:
    """Types and bytes as expected; zeros, distinct values and shapes as read through the interpreter."""
    census = read_census(files[scheme])
    dense = _dense_tensors(files[scheme])
    assert census.weights == SCHEMES[scheme]
    assert {t.operator: t.kernel for t in census.tensors} == {
        "CONV_2D": True,
        "DEPTHWISE_CONV_2D": False,
        "FULLY_CONNECTED": True,
    }
    for tensor in census.tensors:
        values = dense[tensor.name] + 0
        axis = 3 if tensor.operator == "DEPTHWISE_CONV_2D" else 0
        channels = np.moveaxis(values, axis, 0)
        assert tensor.shape == values.shape
        assert tensor.sparsity == float((values == 0).mean())
        assert tensor.unique == np.unique(values).size
        assert tensor.unique_per_channel == max(np.unique(c).size for c in channels)
    assert census.sparsity == 0.5
    assert {t.operator: t.unique for t in census.tensors if t.kernel} == {"CONV_2D": 4, "FULLY_CONNECTED": 3}
    assert census.unique_weights == 4
    assert all(census.operators[o] == 1 for o in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"))
    end = {"int8": "int8", "int16x8": "int16"}.get(scheme, "float32")
    assert census.inputs == (f"image:{end}[?,8,8,2]",)
    assert census.outputs == (f"scores:{end}[?,5]",)


def test_sizes(files: dict[str, bytes], tmp_path: Path) -> None:
    """Sizes are the file's bytes and its compressed bytes, the same every time."""
    path = tmp_path / "model.tflite"
    path.write_bytes(files["float32"])
    size = read_sizes(path)
    assert size.file == len(files["float32"])
    assert size == read_sizes(path)
    assert size.gzip == len(gzip.compress(files["float32"], 9, mtime=0)) < size.file


def test_a_real_file_against_its_recipe(files: dict[str, bytes]) -> None:
    """The small model keeps its zeros and values in int8, and is told from what it is not."""
    census = read_census(files["int8"])
    assert check_census(census, scheme="int8", sparsity_target=0.5, clusters=4) == ()
    assert [w.kind for w in check_census(census, scheme="int8", sparsity_target=0.8, clusters=3)] == [
        "sparsity-lost",
        "clusters-lost",
    ]
    assert [w.kind for w in check_census(read_census(files["float32"]), scheme="int8")] == ["mostly-float-int8"]
    assert [w.kind for w in check_census(census, scheme="float16")] == ["not-quantized"]


# Bad input.


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"hello, this is no model at all", "identifier TFL3"),
        (b"PK\x03\x04 a zip file of some kind", "zip archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
        (bytes(4) + b"TFL3" + bytes(100), "damaged"),
        (b"\xff\xff\xff\xffTFL3", "damaged"),
    ],
)
def test_no_model_at_all(data: bytes, said: str, tmp_path: Path) -> None:
    """The message names the file, its size, what is wrong and what to do."""
    path = tmp_path / "strange.tflite"
    path.write_bytes(data)
    with pytest.raises(WorkbenchError, match=said) as error:
        read_census(path)
    for part in (str(path), f"{len(data)} bytes", "Convert the model again"):
        assert part in str(error.value)


def test_missing_path(tmp_path: Path) -> None:
    """A path that is not there, or a folder, is said to be so."""
    for read in (read_census, read_sizes):
        with pytest.raises(WorkbenchError, match="does not exist"):
            read(tmp_path / "none.tflite")
        with pytest.raises(WorkbenchError, match="is a folder"):
            read(tmp_path)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_cut_is_recognised(files: dict[str, bytes], scheme: str) -> None:
    """No part of a file passes for a whole one, not even when only the last byte is missing."""
    data = files[scheme]
    for length in (*range(0, len(data), 13), len(data) // 2, *range(len(data) - 8, len(data))):
        with pytest.raises(WorkbenchError):
            read_census(data[:length])


@settings(max_examples=300, deadline=None)
@given(
    scheme=st.sampled_from(sorted(SCHEMES)),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=30),
)
def test_damage_is_an_error_or_a_census(files: dict[str, bytes], scheme: str, flips: list[tuple[float, int]]) -> None:
    """Whatever bytes change, the answer is a census or a message."""
    damaged = bytearray(files[scheme])
    for place, value in flips:
        damaged[int(place * len(damaged))] = value
    try:
        census = read_census(bytes(damaged))
    except WorkbenchError:
        return
    assert isinstance(census, Census)
    assert 0 <= census.sparsity <= 1
