"""Public names are data: whatever an input or output is called, it is called so in every file that is made of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from workbench.data.dataset import Dataset, Split
from workbench.data.materialize import materialize, open_split
from workbench.errors import StageFailed, WorkbenchError
from workbench.evaluate.arrays import load_arrays, save_arrays
from workbench.evaluate.interpreter import describe_ends
from workbench.evaluate.run import run_all
from workbench.flatbuffer.census import read_census
from workbench.flatbuffer.mend import mend
from workbench.flatbuffer.reader import read_model
from workbench.flatbuffer.signature import Names
from workbench.sources import freeze, load
from workbench.sources.glance import glance
from workbench.sources.identify import identify
from workbench.techniques import converter_engine, quantizer_engine
from workbench.techniques.base import FinishJob
from workbench.techniques.fold import fold_batch_norms, fuse_relus
from workbench.values.source import ModelInfo

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
SCOPE = st.from_regex(r"[A-Za-z0-9.][A-Za-z0-9_./-]{0,15}", fullmatch=True)


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


def plain(path: Path, taken: dict[str, Array]) -> dict[str, Array]:
    """Run a file by its signature with LiteRT alone, one sample at a time, and return real values."""
    from ai_edge_litert.interpreter import Interpreter

    if "self" in taken:
        # Its runner takes arguments by keyword, of which a method has this one already.
        path = path.with_suffix(".callable.tflite")
        path.write_bytes(
            Names(inputs={"self": "other self"}).publish(path.with_suffix("").with_suffix(".tflite").read_bytes())
        )
        taken = {"other self" if n == "self" else n: v for n, v in taken.items()}
    interpreter = Interpreter(model_path=str(path))
    assert list(interpreter.get_signature_list()) == ["serving_default"]
    runner = interpreter.get_signature_runner("serving_default")
    takes, gives = runner.get_input_details(), runner.get_output_details()
    assert set(takes) == set(taken)

    def stored(value: Array, detail: dict[str, Any]) -> Array:
        scale, zero = detail["quantization"]
        taken: Array = np.clip(np.round(value / scale) + zero, -128, 127) if scale else value
        return taken.astype(detail["dtype"])

    def real(value: Array, detail: dict[str, Any]) -> Array:
        scale, zero = detail["quantization"]
        return (value.astype(np.float32) - zero) * scale if scale else value

    ran = [
        runner(**{n: stored(v[i : i + 1], takes[n]) for n, v in taken.items()})
        for i in range(len(next(iter(taken.values()))))
    ]
    return {n: np.concatenate([real(one[n], detail) for one in ran]) for n, detail in gives.items()}


def check(path: Path, model: Any, inputs: tuple[str, str], outputs: tuple[str, str], near: float) -> None:
    taken = samples(inputs)
    expected = dict(zip(outputs, model(list(taken.values())), strict=True))
    for found in (plain(path, taken), run_all(path, taken)[0]):
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


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_inputs_of_any_name(name: str, tmp_path: Path) -> None:
    inputs, outputs = (name, "other"), ("first", "second")
    both_engines(
        adder(inputs, outputs),
        inputs,
        outputs,
        tmp_path,
        schemes=name in ("my input", "lambda", "x.y", "self", "inputs:0"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", SCOPES, ids=ascii)
def test_outputs_of_any_name(name: str, tmp_path: Path) -> None:
    inputs, outputs = ("one", "other"), (name, "middle")
    both_engines(adder(inputs, outputs), inputs, outputs, tmp_path, schemes=name in ("class", "output/1"))


@pytest.mark.slow
@settings(max_examples=6, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inputs=st.tuples(LETTERS, LETTERS), outputs=st.tuples(SCOPE, SCOPE))
def test_names_that_nobody_thought_of(inputs: tuple[str, str], outputs: tuple[str, str], tmp_path: Path) -> None:
    assume(len({*inputs, *outputs, "both"}) == 5)
    both_engines(adder(inputs, outputs), inputs, outputs, tmp_path, schemes=False)


@pytest.mark.parametrize(
    "pair",
    [("a b", "a_b"), ("a.b", "a_b"), ("x", "X"), ("1st", "arg_1st"), ("a/b", "a_b"), ("é", "è"), ("input_1", "input_0"), ("a:0", "a:1"), ("😀", "😁"), ("-", "_")],
    ids=ascii,
)  # fmt: skip
def test_names_that_tensorflow_would_make_one(pair: tuple[str, str], tmp_path: Path) -> None:
    outputs = ("out/x", "out.x")
    both_engines(adder(pair, outputs), pair, outputs, tmp_path, schemes=False)


def test_many_ends_keep_their_order(tmp_path: Path) -> None:
    """Eleven, so that `input_10` would sort before `input_2`."""
    import tf_keras

    layers = tf_keras.layers
    names = [f"{i} in" for i in range(11, 0, -1)]
    ends = [layers.Input((2 + k,), name=n) for k, n in enumerate(names)]
    model = tf_keras.Model(ends, [layers.Dense(1, name=f"out/{k}")(end) for k, end in enumerate(ends)])
    path = tmp_path / "many.tflite"
    inference = freeze.keras_inference(model)
    path.write_bytes(inference.flatbuffer())
    assert [n for n, _ in describe_ends(path).inputs] == names
    assert [n for n, _ in describe_ends(path).outputs] == [f"out/{k}" for k in range(11)]
    inference.check(lambda sample: run_all(path, sample)[0], 1e-3, 1e-4)


def test_structures_of_ends(tmp_path: Path) -> None:
    """Dicts of inputs and outputs, one layer with several outputs, an output that is an input."""
    import tf_keras

    layers = tf_keras.layers
    one, two = layers.Input((4,), name="b b"), layers.Input((4,), name="a:a")
    hidden = layers.Dense(2, name="hidden")(layers.Subtract(name="minus")([one, two]))
    built = {
        "dict": tf_keras.Model({"b b": one, "a:a": two}, {"zz": hidden, "a x": layers.ReLU(name="re/lu")(hidden)}),
        "twice": tf_keras.Model([one, two], [hidden, hidden]),
        "through": tf_keras.Model([one, two], [hidden, two]),
    }
    for name, model in built.items():
        file = tmp_path / f"{name}.h5"
        model.save(file, include_optimizer=False)
        seen = glance(identify(file, tmp_path))
        if seen is not None:
            assert [t.name for t in seen.outputs] == model.output_names
        inference, path = freeze.keras_inference(load.load_keras(file)), tmp_path / f"{name}.tflite"
        path.write_bytes(inference.flatbuffer())
        assert sorted(n for n, _ in describe_ends(path).outputs) == sorted(model.output_names)
        inference.check(lambda sample, path=path: run_all(path, sample)[0], 1e-3, 1e-4)  # type: ignore[misc]  # mypy wants no default


@pytest.mark.parametrize("name", ["a\0b", "\0", "\ud800", "x\udcff"], ids=ascii)
def test_a_name_that_no_file_can_hold_is_told(name: str) -> None:
    model = adder((name, "other"), ("first", "second"))
    with pytest.raises(StageFailed, match=r"input name .* cannot stand in a \.tflite file.*Rename it"):
        freeze.keras_inference(model)


# ---- SavedModels


def saved(folder: Path, key: str, name: str, output: str) -> Path:
    """A SavedModel of tf.Module whose signature, input and output have odd names."""
    import tensorflow as tf

    module = tf.Module()
    module.v = tf.Variable(2.0)
    spec = [tf.TensorSpec((None, 3), tf.float32, name=name), tf.TensorSpec((None, 3), tf.float32, name="A")]
    module.f = tf.function(lambda x, y: {output: x * module.v - y, "B": x + 1.0}, input_signature=spec)
    tf.saved_model.save(module, str(folder), signatures={key: module.f})
    return folder


def saved_by_tf1(folder: Path, key: str, name: str, output: str) -> Path:
    """The same as TensorFlow 1 saved models, which took any text for a name."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, (None, 3), name="x"), v1.placeholder(tf.float32, (None, 3), name="y")
        ends = {output: x * v1.Variable(2.0) - y, "B": x + 1.0}
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.build_tensor_info
        signature = v1.saved_model.build_signature_def(
            {name: info(x), "A": info(y)}, {n: info(t) for n, t in ends.items()}, "tensorflow/serving/predict"
        )
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], {key: signature})
        builder.save()
    return folder


TF2 = ("1st", "input/1", "x.y", "inputs__0", "kwargs", "x-1.2/3")
TF1 = ("my input", "self", "inputs:0", "日本 😀", "a\nb", "x" * 300)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "name"),
    [*((saved, n) for n in TF2), *((saved_by_tf1, n) for n in TF1)],
    ids=lambda v: v.__name__ if callable(v) else ascii(v),
)
def test_saved_models_of_any_names(write: Any, name: str, tmp_path: Path) -> None:
    output = f"{name} out/1"
    folder = write(tmp_path / "source", "my key: 1", name, output)
    described = load.read_signature(ModelInfo(name="m", kind="savedmodel", path=str(folder), sha256=""))
    assert {t.name for t in described.inputs} == {name, "A"}
    assert {t.name for t in described.outputs} == {output, "B"}
    draw = np.random.default_rng(0)
    taken = {name: draw.random((5, 3), dtype=np.float32), "A": draw.random((5, 3), dtype=np.float32)}
    inference = freeze.saved_model_inference(folder)
    inference.save(tmp_path / "frozen")
    path = tmp_path / "made.tflite"
    for content in (inference.flatbuffer(), load.convert_float(tmp_path / "frozen"), load.convert_float(folder)):
        path.write_bytes(content)
        found, _ = run_all(path, taken)
        np.testing.assert_allclose(found[output], 2 * taken[name] - taken["A"], atol=1e-5)
        np.testing.assert_allclose(found["B"], taken[name] + 1, atol=1e-5)


# ---- layers


def layered(names: tuple[str, ...]) -> Any:
    """A model whose convolution, normalization, activation and dense layers have these names."""
    import tf_keras

    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(4)
    image = layers.Input((6, 6, 1), name="my image")
    x = layers.Conv2D(3, 3, use_bias=False, name=names[0])(image)
    x = layers.BatchNormalization(name=names[1])(x)
    x = layers.ReLU(name=names[2])(x)
    return tf_keras.Model(image, layers.Dense(2, name=names[3])(layers.Flatten(name="flat")(x)), name="layered model")


LAYERS = (
    ("a", "a/a", "a/a/a", "a/"), ("..", ".", "...", "..../x"), ("conv/1", "conv/1/bn", "conv/1/relu", "conv"), ("class", "def", "self", "lambda"),
    ("1", "2", "3", "4"), ("x>y", "x>z", "y>x", "z"), ("a//b", "a/b", "a///b", "ab"), ("my-conv", "my.conv", "my_conv", "My_conv"),
    ("file", "args", "name", "kernel"), ("relu", "linear", "softmax", "channels_last"), ("L" * 250, "M" * 250, "N" * 250, "O" * 250),
)  # fmt: skip


@pytest.mark.parametrize("names", LAYERS, ids=ascii)
def test_layers_of_any_names(names: tuple[str, ...], tmp_path: Path) -> None:
    """Saved and loaded, folded and fused they compute the same; the model's own name, which is no scope, does not hinder."""
    model = layered(names)
    images = np.random.default_rng(0).random((4, 6, 6, 1), dtype=np.float32)
    expected = model(images).numpy()
    again = load.load_keras(load.save_keras(model, tmp_path))
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    folded = fuse_relus(fold_batch_norms(again))
    assert len(folded.layers) == len(model.layers) - 2
    path = tmp_path / "layers.tflite"
    for made in (again, folded):
        np.testing.assert_allclose(made(images), expected, atol=1e-5)
        path.write_bytes(freeze.keras_inference(made).flatbuffer())
        outputs, _ = run_all(path, {"my image": images})
        np.testing.assert_allclose(outputs[names[3]], expected, atol=1e-5)


def test_folding_renames_layers_only() -> None:
    """What a call is given beside tensors is no name of a layer, though it be the same text."""
    import tf_keras

    class Said(tf_keras.layers.Layer):  # type: ignore[misc]  # tf_keras is untyped
        def call(self, x: Any, word: str = "") -> Any:
            return x if word == "norm" else x * 0

    layers = tf_keras.layers
    image = layers.Input((3,), name="image")
    x = layers.BatchNormalization(name="norm")(layers.Dense(3, name="dense")(image))
    model = tf_keras.Model(image, Said(name="said")(x, word="norm"))
    with tf_keras.utils.custom_object_scope({"Said": Said}):
        folded = fold_batch_norms(model)
    sample = np.random.default_rng(0).random((2, 3), dtype=np.float32)
    assert len(folded.layers) == len(model.layers) - 1
    np.testing.assert_allclose(folded(sample), model(sample), atol=1e-5)
    assert np.abs(model(sample)).max() > 0


# ---- what is kept of names


@given(arrays=st.dictionaries(st.text(), st.lists(st.floats(width=32, allow_nan=False)), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arrays_of_any_names(arrays: dict[str, list[float]], tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    save_arrays(path, {n: np.array(v, np.float32) for n, v in arrays.items()})
    found = load_arrays(path)
    assert {n: v.tolist() for n, v in found.items()} == arrays
    assert list(found) == list(arrays)


@pytest.mark.parametrize(
    "name",
    ["file", "args", "allow_pickle", "a/b", "../../x", "x.npy", "", "\0", "names", "array_0", "self", "\udcff"],
    ids=ascii,
)
def test_arrays_whose_names_broke_archives(name: str, tmp_path: Path) -> None:
    save_arrays(tmp_path / "a.npz", {name: np.arange(3), "x": np.ones(2)})
    found = load_arrays(tmp_path / "a.npz")
    assert found[name].tolist() == [0, 1, 2]
    assert found["x"].tolist() == [1, 1]


@given(names=st.dictionaries(st.text(min_size=1, max_size=300), st.just(None), min_size=1, max_size=4))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_datasets_with_inputs_of_any_names(names: dict[str, None], tmp_path: Path) -> None:
    x = {n: np.full((2, 1), i, np.float32) for i, n in enumerate(names)}
    info = materialize(Dataset("d", Split(x), Split(x)), tmp_path)
    assert set(info.inputs) == set(names)
    for split in ("train", "test", "calibration"):
        found = open_split(tmp_path / info.sha256, split).inputs
        assert {n: v.tolist() for n, v in found.items()} == {n: v.tolist() for n, v in x.items()}


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xfe",
        b"a\xc3",
        b"\x80",
        b"ok\xf5",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xfe",
        b"x\xe2\x28\xa1",
        b"\xf8\x88",
        b"\xbf\xbf",
    ],
)
def test_tensors_whose_names_are_no_text(raw: bytes, two_input_tflite: Path, tmp_path: Path) -> None:
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(two_input_tflite))
    model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].name = raw
    model.signatureDefs[0].outputs[0].name = raw
    odd = tmp_path / "odd.tflite"
    flatbuffer_utils.write_model(model, str(odd))
    assert read_census(odd).operators == read_census(two_input_tflite).operators
    with pytest.raises(WorkbenchError, match="a name in it is not UTF-8"):
        describe_ends(odd)
    mended = mend(odd.read_bytes(), read_model(odd.read_bytes(), "odd")).content
    assert mended != odd.read_bytes()
    assert mend(mended, read_model(mended, "odd")).content == mended
    odd.write_bytes(mended)
    draw = np.random.default_rng(0)
    taken = {"zeta": draw.random((3, 4), dtype=np.float32), "alpha": draw.random((3, 2, 2), dtype=np.float32)}
    before, after = run_all(two_input_tflite, taken)[0], run_all(odd, taken)[0]
    assert len(set(before) & set(after)) == 1
    for one, other in zip(before.values(), after.values(), strict=True):
        np.testing.assert_array_equal(one, other)
