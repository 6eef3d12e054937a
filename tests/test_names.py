"""Public names are data: whatever an input or output is called, it is called so in every file that is made of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from workbench.evaluate.interpreter import describe_ends
from workbench.evaluate.run import run_all
from workbench.flatbuffer.signature import Names
from workbench.sources import freeze, load
from workbench.techniques import converter_engine, quantizer_engine
from workbench.techniques.base import FinishJob

Array = np.ndarray[Any, Any]
# What an input may be called, for tf_keras asks nothing of it.
ODD = (
    "class", "my input", "input/1", "lambda", "x.y", "1st", "self", "ünïcode", "inputs:0", "None", "/absolute", "../..", "-x",
    "a\nb", "'\"", "%s {0} {x}", "[bold]", "<b>$x$</b>", "日本 😀", "\u202ertl", "n" * 300, "input_1", "input_0", "args", "kwargs", "name", "file",
)  # fmt: skip
# A layer's name, which an output has too, is the name of a scope in TensorFlow, which takes these only.
SCOPES = (
    "class",
    "output/1",
    "lambda",
    "x.y",
    "1st",
    "self",
    "a//b",
    "x>y",
    "..",
    "Z-",
    "output_1",
    "output_0",
    "file",
    "x/",
)
LETTERS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
SCOPE = st.from_regex(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]{0,15}", fullmatch=True)


def adder(inputs: tuple[str, str], outputs: tuple[str, str]) -> Any:
    """A tf_keras model of two inputs (4,) and (3,) whose outputs (3,) and (2,) tell all four ends apart."""
    import tf_keras

    layers = tf_keras.layers
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(3)
    one, two = layers.Input((4,), name=inputs[0]), layers.Input((3,), name=inputs[1])
    both = layers.Concatenate(name="both")([one, two])
    return tf_keras.Model(
        [one, two], [layers.Dense(3, name=outputs[0])(both), layers.Dense(2, name=outputs[1])(both)], name="adder"
    )


def samples(inputs: tuple[str, str], count: int = 16) -> dict[str, Array]:
    draw = np.random.default_rng(1)
    return {
        inputs[0]: draw.random((count, 4), dtype=np.float32),
        inputs[1]: draw.random((count, 3), dtype=np.float32),
    }


def plain(path: Path, given: dict[str, Array]) -> dict[str, Array]:
    """Run a file by its signature with LiteRT alone, one sample at a time, and return real values."""
    from ai_edge_litert.interpreter import Interpreter

    if "self" in given:
        # Its runner takes arguments by keyword, of which a method has this one already.
        path = path.with_suffix(".callable.tflite")
        path.write_bytes(
            Names(inputs={"self": "other self"}).publish(path.with_suffix("").with_suffix(".tflite").read_bytes())
        )
        given = {"other self" if n == "self" else n: v for n, v in given.items()}
    interpreter = Interpreter(model_path=str(path))
    assert list(interpreter.get_signature_list()) == ["serving_default"]
    runner = interpreter.get_signature_runner("serving_default")
    takes, gives = runner.get_input_details(), runner.get_output_details()
    assert set(takes) == set(given)

    def stored(value: Array, detail: dict[str, Any]) -> Array:
        scale, zero = detail["quantization"]
        taken: Array = np.clip(np.round(value / scale) + zero, -128, 127) if scale else value
        return taken.astype(detail["dtype"])

    def real(value: Array, detail: dict[str, Any]) -> Array:
        scale, zero = detail["quantization"]
        return (value.astype(np.float32) - zero) * scale if scale else value

    ran = [
        runner(**{n: stored(v[i : i + 1], takes[n]) for n, v in given.items()})
        for i in range(len(next(iter(given.values()))))
    ]
    return {n: np.concatenate([real(one[n], detail) for one in ran]) for n, detail in gives.items()}


def check(path: Path, model: Any, inputs: tuple[str, str], outputs: tuple[str, str], near: float) -> None:
    given = samples(inputs)
    expected = dict(zip(outputs, model(list(given.values())), strict=True))
    for found in (plain(path, given), run_all(path, given)[0]):
        assert set(found) == set(outputs)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=near)
    ends = describe_ends(path)
    assert {n for n, _ in ends.inputs} == set(inputs)
    assert {n for n, _ in ends.outputs} == set(outputs)


def both_engines(model: Any, inputs: tuple[str, str], outputs: tuple[str, str], folder: Path, schemes: bool) -> None:
    """Convert by every way there is, and compare what comes out with the model, by public names."""
    inference = freeze.keras_inference(model)
    direct = folder / "direct.tflite"
    direct.write_bytes(inference.flatbuffer())
    check(direct, model, inputs, outputs, 1e-5)
    if not schemes:
        return
    public = [{n: v[i : i + 1] for n, v in samples(inputs).items()} for i in range(16)]
    ranges = quantizer_engine.calibrate(direct, public, 1)
    int8 = folder / "int8.tflite"
    int8.write_bytes(quantizer_engine.quantize(direct, "int8", "channel", ranges))
    check(int8, model, inputs, outputs, 0.05)

    saved, ordinary = folder / "saved", folder / "ordinary"
    inference.save(saved)
    load.save_ordinary(model, ordinary)
    own = {public: mine for mine, public in Names.read(saved).inputs.items()}
    for place in (saved, ordinary):
        converted = folder / "converted.tflite"
        converted.write_bytes(load.convert_float(place))
        check(converted, model, inputs, outputs, 1e-5)
    job = FinishJob(
        (), None, saved, None, lambda: [{own[n]: v for n, v in s.items()} for s in public], lambda: None, print
    )
    converted.write_bytes(Names.read(saved).publish(converter_engine.convert("int8", job, aware=False)))
    check(converted, model, inputs, outputs, 0.05)


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_inputs_of_any_name(name: str, tmp_path: Path) -> None:
    inputs, outputs = (name, "other"), ("first", "second")
    both_engines(adder(inputs, outputs), inputs, outputs, tmp_path, schemes=name in ODD[:9])


@pytest.mark.parametrize("name", SCOPES, ids=ascii)
def test_outputs_of_any_name(name: str, tmp_path: Path) -> None:
    inputs, outputs = ("one", "other"), (name, "middle")
    both_engines(adder(inputs, outputs), inputs, outputs, tmp_path, schemes=name in SCOPES[:3])
