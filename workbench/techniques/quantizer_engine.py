"""Engine `quantizer`: litert-quantizer makes every post-training scheme from the float flatbuffer."""

from __future__ import annotations

import contextlib
import math
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from workbench.compat.litert_quantizer import ranges
from workbench.errors import StageFailed
from workbench.evaluate.interpreter import why
from workbench.flatbuffer.census import read_census
from workbench.flatbuffer.numbers import is_float
from workbench.flatbuffer.opening import read_file
from workbench.flatbuffer.reader import read_model
from workbench.flatbuffer.signature import Names, sign_as

Sample = dict[str, np.ndarray[Any, Any]]
_BITS: dict[str, Literal[8, 16]] = {"int8": 8, "int8-float-io": 8, "int16x8": 16}
# Depthwise kernels lose too much with one scale, and clustering leaves them alone: they stay per channel.
# Among calibration's tensors a name that none has: the shapes of the inputs where the file leaves them open.
SIZES = ""
_SHARED_SCALE = ("CONV_2D", "FULLY_CONNECTED", "CONV_2D_TRANSPOSE")
# What has a form in blocks of its weights' rows, so many values in each.
_IN_BLOCKS = ("FULLY_CONNECTED", "EMBEDDING_LOOKUP")
BLOCK = 32


def calibrates(scheme: str) -> bool:
    """Whether a scheme needs activation ranges."""
    return scheme in _BITS


def calibrate(float_model: Path, samples: Iterable[Sample], threads: int) -> dict[str, Any]:
    """Return activation ranges by tensor name, JSON-shaped: `{tensor: {statistic: {shape, values}}}`.

    `samples` yields one-sample inputs `(1, *shape)` by signature input name. What the profiler-based mode records, the
    smallest and largest value of each tensor, does not depend on the scheme: one pass serves every activation width.
    """
    refuse_quantized(float_model)
    model, named = _callable(float_model, list(samples))
    quantizer = _quantizer(float_model, "int8", "channel")
    try:
        found = ranges(quantizer, model, {_signature_key(float_model): named}, threads)
    except (ValueError, RuntimeError) as error:
        raise StageFailed(f"calibration failed: {why(float_model, error)}") from error
    return {name: {k: _plain(v) for k, v in stats.items()} for name, stats in found.items()}


def _callable(float_model: Path, samples: list[Sample]) -> tuple[bytearray, list[Sample]]:
    """Return a model whose inputs can be named in a call, and its samples.

    LiteRT runs a signature by keyword, where a method of Python has taken `self`; any other text will do.
    """
    if not samples or "self" not in samples[0]:
        return _content(float_model), samples
    free = next(n for n in map("input_{}".format, range(len(samples[0]) + 1)) if n not in samples[0])
    renamed = [{free if n == "self" else n: v for n, v in sample.items()} for sample in samples]
    return bytearray(Names(inputs={"self": free}).publish(float_model.read_bytes())), renamed


def quantize(
    float_model: Path, scheme: str, granularity: Literal["channel", "tensor"], calibration: dict[str, Any] | None
) -> bytes:
    """Return the quantized flatbuffer; raises StageFailed with the engine's reason when it refuses."""
    refuse_quantized(float_model)
    known = None
    if calibration is not None:
        tensors = {name: stats for name, stats in calibration.items() if name != SIZES}
        known = {name: {k: _array(v) for k, v in stats.items()} for name, stats in tensors.items()}
    try:
        with _started(float_model, (calibration or {}).get(SIZES)) as model:
            quantizer = _quantizer(model, scheme, granularity)
        result = quantizer.quantize(known, enable_progress_bar=False, enable_progress_report=False)
    except (ValueError, RuntimeError, KeyError) as error:
        raise StageFailed(f"litert-quantizer refused scheme {scheme!r}: {why(float_model, error)}") from error
    return sign_as(bytes(result.quantized_model), float_model.read_bytes())


@contextlib.contextmanager
def _started(model: Path, sizes: dict[str, list[int]] | None) -> Iterator[Path]:
    """Yield a file that can be allocated as it is, as the engine does: where sizes are open it begins with those that were calibrated."""
    if not sizes:
        yield model
        return
    from workbench.evaluate.sized import write_sized

    with tempfile.TemporaryDirectory(prefix="wb-sized-") as folder:
        made = Path(folder) / "sized.tflite"
        write_sized(model, {name: tuple(shape) for name, shape in sizes.items()}, made, stays_open=True)
        yield made


def refuse_quantized(model: Path) -> None:
    """Raise StageFailed for a file that is quantized already: more of its weights are integers than floats, or it has no weights but scales."""
    content = read_file(model)
    records = read_model(content, model.name)
    scaled = [t for g in records.graphs for t in g.tensors if t.scales]
    if not scaled:
        return
    elements: Counter[bool] = Counter()
    for tensor in read_census(content).tensors:
        elements[is_float(tensor.type)] += math.prod(tensor.shape)
    if elements[True] > elements[False]:
        # Partly quantized: what is float is left to quantize, and the census tells what came of it.
        return
    types = ", ".join(sorted({t.type for t in scaled}))
    raise StageFailed(
        f"the source is quantized already ({len(scaled)} of its tensors have scales: {types}) and is not quantized again, which would put one rounding on "
        "another. Measure and compare it as it is (`float32` here, `workbench bench`, `compare`), or start from its float model"
    )


def _content(model: Path) -> bytearray:
    """Return a file's bytes: given a path, the engine maps the file and never closes it (litert-quantizer 0.11)."""
    return bytearray(model.read_bytes())


def _quantizer(float_model: Path, scheme: str, granularity: Literal["channel", "tensor"]) -> Any:
    from litert_quantizer import qtyping, quantizer
    from litert_quantizer.algorithm_manager import AlgorithmName

    made = quantizer.Quantizer(_content(float_model))
    every = qtyping.TFLOperationName.ALL_SUPPORTED
    grain = qtyping.QuantGranularity
    chosen = grain.TENSORWISE if granularity == "tensor" else grain.CHANNELWISE

    def rules(add: Any, *bits: int, block: Any = None) -> None:
        if block is not None:
            add(".*", every, *bits, block)
            return
        add(".*", every, *bits, grain.CHANNELWISE)
        if chosen is grain.TENSORWISE:
            # Transposed convolutions have no 4-bit kernels, and naming them is an error.
            for name in _SHARED_SCALE if bits[-1] == 8 else _SHARED_SCALE[:2]:
                add(".*", qtyping.TFLOperationName(name), *bits, chosen)

    if scheme == "float16":
        weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=weights, compute_precision=qtyping.ComputePrecision.FLOAT, explicit_dequantize=True
        )
        made.update_quantization_recipe(".*", every, config, AlgorithmName.FLOAT_CASTING)
    elif scheme == "dynamic":
        rules(made.add_dynamic_config, 8)
    elif scheme == "int4-dynamic":
        rules(made.add_dynamic_config, 4)
    elif scheme == "int4-block32":
        rules(made.add_dynamic_config, 4, block=grain.BLOCKWISE_32)
        for name, scope in _of_no_blocks(float_model):
            made.add_dynamic_config(scope, qtyping.TFLOperationName(name), 4, grain.CHANNELWISE)
    elif scheme == "weight-only-int8":
        rules(made.add_weight_only_config, 8)
    elif scheme == "int4-weight-only":
        rules(made.add_weight_only_config, 4)
    elif scheme in _BITS:
        rules(made.add_static_config, _BITS[scheme], 8)
        if scheme == "int8-float-io":
            for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
                made.update_quantization_recipe(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
    else:
        raise StageFailed(f"engine `quantizer` does not know scheme {scheme!r}")
    return made


def _of_no_blocks(float_model: Path) -> list[tuple[str, str]]:
    """Return the operators whose rows of weights are no whole number of blocks, each with the pattern of its scope: they get a scale a row."""
    found = []
    for graph in read_model(read_file(float_model), float_model.name).graphs:
        for operator in (o for o in graph.operators if o.name in _IN_BLOCKS and len(o.inputs) > 1):
            shape = graph.tensors[operator.inputs[1]].shape
            if shape and shape[-1] % BLOCK:
                # A scope is the names of an operator's outputs, a semicolon after each.
                ends = "".join(f"{graph.tensors[i].name};" for i in operator.outputs)
                found.append((operator.name, f"^{re.escape(ends)}$"))
    return found


def _signature_key(model: Path) -> str:
    from ai_edge_litert.interpreter import Interpreter

    keys = list(Interpreter(model_path=os.fsencode(model)).get_signature_list())
    if not keys:
        raise StageFailed(
            "calibration needs a signature in the float .tflite, and this file has none. Convert it again with a recent TensorFlow, or start from the Keras model."
        )
    return str(keys[0])


def _plain(value: Any) -> dict[str, Any]:
    array = np.asarray(value)
    return {"shape": list(array.shape), "dtype": str(array.dtype), "values": array.ravel().tolist()}


def _array(value: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.array(value["values"], dtype=value["dtype"]).reshape(value["shape"])
