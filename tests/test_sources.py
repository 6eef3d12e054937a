"""Model sources: told apart, described, frozen; and folding layers without changing what a model gives."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import shake_norms

import workbench
from workbench import registry
from workbench.data.load import bundled
from workbench.errors import StageFailed, WorkbenchError
from workbench.evaluate.run import run_all
from workbench.files import file_sha256, tree_sha256
from workbench.flatbuffer.census import read_census
from workbench.flatbuffer.signature import Names
from workbench.recipes.grammar import parse_step
from workbench.sources import freeze, load
from workbench.sources.glance import glance
from workbench.sources.identify import BUNDLED, identify
from workbench.techniques import converter_engine
from workbench.techniques.base import FinishJob, KerasTechnique, TrainJob
from workbench.techniques.fold import fold_batch_norms, fuse_relus
from workbench.values.settings import Train
from workbench.values.source import ModelInfo, Signature, TensorInfo

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def keras_file(small_keras_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sources") / "small.keras"
    small_keras_model.save(path)
    return path


@pytest.fixture(scope="module")
def saved_model(small_keras_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As tf_keras itself exports it."""
    path = tmp_path_factory.mktemp("sources") / "small_saved"
    small_keras_model.save(path, save_format="tf")
    return path


SMALL = Signature(
    inputs=(TensorInfo(name="image", shape=(None, 8, 8, 1), dtype="float32"),),
    outputs=(TensorInfo(name="probabilities", shape=(None, 6), dtype="float32"),),
)

# ---- what a path is


@pytest.mark.parametrize(
    ("fixture", "kind"),
    [("small_h5", "keras"), ("keras_file", "keras"), ("saved_model", "savedmodel"), ("small_tflite", "tflite")],
)
def test_paths_are_told_apart(fixture: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    path: Path = request.getfixturevalue(fixture)
    info = identify(path, tmp_path)
    assert (info.kind, info.name, info.path, info.allow_code) == (kind, path.stem, str(path), False)
    assert info.sha256 == (tree_sha256(path) if path.is_dir() else file_sha256(path))
    assert identify(str(path), tmp_path) == info
    assert list(tmp_path.iterdir()) == []
    copy = tmp_path / f"copy{path.suffix}"
    (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
    assert identify(copy, tmp_path).sha256 == info.sha256
    signature = glance(info) or load.read_signature(info)
    assert signature.inputs == SMALL.inputs
    assert signature.outputs == SMALL.outputs


@pytest.mark.parametrize("fixture", ["small_h5", "keras_file"])
def test_parameters_are_counted(
    fixture: str, small_keras_model: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    info = identify(request.getfixturevalue(fixture), tmp_path)
    assert load.read_signature(info).parameters == small_keras_model.count_params()
    seen = glance(info)
    assert seen is not None
    assert seen.parameters == small_keras_model.count_params()


def test_an_hdf5_file_may_have_either_suffix(small_h5: Path, tmp_path: Path) -> None:
    for name in ("m.hdf5", "m.h5"):
        shutil.copy(small_h5, tmp_path / name)
        assert identify(tmp_path / name, tmp_path).kind == "keras"


def write(data: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(data)


def half_of_h5(path: Path) -> None:
    import tf_keras

    tf_keras.Sequential([tf_keras.layers.Input((3,)), tf_keras.layers.Dense(2)]).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def weights_only(path: Path) -> None:
    import tf_keras

    tf_keras.Sequential([tf_keras.layers.Input((3,)), tf_keras.layers.Dense(2)]).save_weights(path)


def zip_of(**files: bytes) -> Callable[[Path], Any]:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name.replace("_json", ".json"), data)

    return make


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("model.h5", write(b""), ["is not a readable HDF5 or .keras file (0 bytes)"]),
        ("model.h5", write(b"hello"), ["is not a readable HDF5 or .keras file (5 bytes)"]),
        ("model.h5", half_of_h5, ["is not a readable HDF5", "truncated file"]),
        ("model.h5", weights_only, ["holds weights only", "model.save('model.h5')"]),
        ("model.keras", write(b"hello"), ["is not a readable HDF5 or .keras file"]),
        ("model.keras", zip_of(hello=b"hello"), ["is a damaged .keras file", "metadata.json"]),
        ("model.keras", zip_of(metadata_json=b"{", config_json=b"{}"), ["is a damaged .keras file"]),
        ("model.pt", write(b"x"), ["ends in '.pt'", "Allowed: a tf_keras or Keras 3 model object, .keras or .h5"]),
        ("model", write(b"x"), ["ends in ''"]),
        ("folder", Path.mkdir, ["holds no saved_model.pb", "no SavedModel"]),
    ],
)  # fmt: skip
def test_files_that_are_no_source(name: str, make: Callable[[Path], Any], said: list[str], tmp_path: Path) -> None:
    make(tmp_path / name)
    with pytest.raises(WorkbenchError) as caught:
        identify(tmp_path / name, tmp_path)
    assert all(part in str(caught.value) for part in [*said, name]), str(caught.value)


def test_a_missing_file_names_its_neighbours(small_h5: Path, tmp_path: Path) -> None:
    with pytest.raises(
        WorkbenchError, match=r"'.*/smal\.h5' does not exist\. Models in that folder: small\.h5\. Allowed"
    ):
        identify(small_h5.with_name("smal.h5"), tmp_path)
    with pytest.raises(WorkbenchError, match=r"does not exist\. Allowed"):
        identify(tmp_path / "nowhere" / "m.h5", tmp_path)
    with pytest.raises(
        WorkbenchError, match=r"There is no source 'kera' that could read 'm\.h5'\. Did you mean 'keras' or 'keras3'\?"
    ):
        identify("kera:m.h5", tmp_path)


@pytest.mark.parametrize("model", [None, 3, {"a": 1}, np.zeros(3)])
def test_things_that_are_no_model(model: Any, tmp_path: Path) -> None:
    with pytest.raises(
        WorkbenchError, match=r"a model cannot be made of .*Allowed: a tf_keras or Keras 3 model object"
    ):
        identify(model, tmp_path)


# ---- Python code in a model


def sprung(x: Any) -> Any:
    raise AssertionError("the code of the file was run")


@pytest.fixture(scope="module", params=["model.h5", "model.keras"])
def lambda_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tf_keras

    path = tmp_path_factory.mktemp("lambda") / str(request.param)
    layer = tf_keras.layers.Lambda(lambda x: x * 2, name="twice")
    tf_keras.Sequential([tf_keras.layers.Input((3,), name="x"), layer], name="coded").save(path)
    return path


def test_a_lambda_layer_is_refused_unless_allowed(lambda_file: Path, tmp_path: Path) -> None:
    with pytest.raises(
        WorkbenchError, match=r"has a Lambda layer, which is Python code .*--allow-code .*allow_code=True"
    ):
        identify(lambda_file, tmp_path)
    with pytest.raises(WorkbenchError, match="Lambda layer"):
        workbench.load_model(lambda_file)
    info = identify(lambda_file, tmp_path, allow_code=True)
    assert info.allow_code
    assert load.read_signature(info).outputs[0].shape == (None, 3)
    model = workbench.load_model(lambda_file, allow_code=True)
    np.testing.assert_array_equal(model(np.ones((1, 3), np.float32)), np.full((1, 3), 2))


def test_looking_at_a_file_does_not_run_its_code(tmp_path: Path) -> None:
    """The graph is made with the code, so only a file made otherwise can hold code that must not run."""
    import tf_keras

    layer = tf_keras.layers.Lambda(lambda x: x * 2)
    model = tf_keras.Sequential([tf_keras.layers.Input((3,)), layer])
    layer.function = sprung
    model.save(tmp_path / "model.h5")
    with pytest.raises(WorkbenchError, match="Lambda layer"):
        identify(tmp_path / "model.h5", tmp_path)
    info = identify(tmp_path / "model.h5", tmp_path, allow_code=True)
    assert glance(info) is not None
    with pytest.raises((AssertionError, WorkbenchError)):
        load.read_signature(info)


# ---- model objects


def dense_model(seed: int = 0, name: str = "dense_model") -> Any:
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
    return tf_keras.Sequential([tf_keras.layers.Input((3,), name="x"), tf_keras.layers.Dense(2, name="y")], name=name)


def test_an_object_is_kept_by_its_content(tmp_path: Path) -> None:
    model = dense_model()
    info = identify(model, tmp_path)
    path = Path(info.path)
    assert (info.kind, info.name, path.parent) == ("keras", "dense_model", tmp_path)
    assert path.name == f"{info.sha256}.h5"
    before = path.stat().st_mtime_ns
    assert identify(dense_model(), tmp_path) == info
    assert path.stat().st_mtime_ns == before
    other = identify(dense_model(seed=1), tmp_path)
    assert other.sha256 != info.sha256
    assert len(list(tmp_path.glob("*.h5"))) == 2
    x = np.random.default_rng(0).random((4, 3), dtype=np.float32)
    np.testing.assert_array_equal(load.load_keras(path)(x), model(x))
    assert load.read_signature(info).inputs == (TensorInfo(name="x", shape=(None, 3), dtype="float32"),)


def test_a_trained_object_is_kept_without_its_optimizer(tmp_path: Path) -> None:
    import h5py

    model = dense_model()
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    with h5py.File(identify(model, tmp_path).path) as file:
        assert sorted(file) == ["model_weights"]


def test_objects_that_cannot_be_kept(tmp_path: Path) -> None:
    import tf_keras

    class Own(tf_keras.Model):  # type: ignore[misc,unused-ignore]  # tf_keras is untyped
        def __init__(self) -> None:
            super().__init__(name="own")
            self.inner = tf_keras.layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.inner(x)

    called = Own()
    called(np.zeros((1, 3), np.float32))
    coded = tf_keras.Sequential([tf_keras.layers.Input((3,)), tf_keras.layers.Lambda(lambda x: x)], name="coded")
    cases = [
        (Own(), "model 'own' has no fixed input, or is a subclass"),
        (called, "model.export(folder)"),
        (tf_keras.Sequential([tf_keras.layers.Dense(2)], name="open"), "model 'open' has no fixed input"),
        (tf_keras.layers.Dense(2, name="only"), "a model cannot be made of tf_keras Dense 'only'"),
        (coded, "model 'coded' has a Lambda layer"),
    ]
    for model, said in cases:
        with pytest.raises(WorkbenchError) as caught:
            identify(model, tmp_path)
        assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert identify(coded, tmp_path, allow_code=True).allow_code


# ---- what a model takes and gives


def build_sequential_by_call() -> Any:
    import tf_keras

    model = tf_keras.Sequential([tf_keras.layers.Dense(4), tf_keras.layers.Dense(2)], name="called")
    model.build((None, 3))
    return model


def build_int_input() -> Any:
    import tf_keras

    ids = tf_keras.layers.Input((5,), dtype="int32", name="ids")
    x = tf_keras.layers.Embedding(10, 3)(ids)
    return tf_keras.Model(ids, tf_keras.layers.Dense(2, name="scores")(tf_keras.layers.Flatten()(x)), name="words")


def build_free_size() -> Any:
    import tf_keras

    image = tf_keras.layers.Input((None, None, 3), name="image")
    x = tf_keras.layers.GlobalAveragePooling2D()(tf_keras.layers.Conv2D(2, 3)(image))
    return tf_keras.Model(image, x, name="free")


@pytest.mark.parametrize("build", [dense_model, build_sequential_by_call, build_int_input, build_free_size, None])
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_glance_sees_what_loading_tells(
    build: Callable[[], Any] | None, suffix: str, two_input_model: Any, tmp_path: Path
) -> None:
    model = two_input_model if build is None else build()
    model.save(tmp_path / f"model{suffix}")
    info = identify(tmp_path / f"model{suffix}", tmp_path)
    seen, loaded = glance(info), load.read_signature(info)
    assert seen is not None
    assert seen.inputs == loaded.inputs
    assert [t.name for t in seen.outputs] == [t.name for t in loaded.outputs]
    assert all(s.shape in ((), t.shape) for s, t in zip(seen.outputs, loaded.outputs, strict=True))
    assert seen.parameters == loaded.parameters
    assert [t.name for t in loaded.inputs] == list(model.input_names)
    assert [t.name for t in loaded.outputs] == list(model.output_names)


def test_a_float_file_tells_its_names_and_shapes(two_input_tflite: Path, tmp_path: Path) -> None:
    seen = glance(identify(two_input_tflite, tmp_path))
    assert seen is not None
    assert {t.name: t.shape for t in seen.inputs} == {"zeta": (None, 4), "alpha": (None, 2, 2)}
    assert {t.name: t.shape for t in seen.outputs} == {"second": (None, 3), "first": (None, 2)}


def test_a_float_file_may_take_whole_numbers(tmp_path: Path) -> None:
    (tmp_path / "words.tflite").write_bytes(freeze.keras_inference(build_int_input()).flatbuffer())
    seen = glance(identify(tmp_path / "words.tflite", tmp_path))
    assert seen is not None
    assert seen.inputs == (TensorInfo(name="ids", shape=(None, 5), dtype="int32"),)


def test_a_quantized_file_tells_what_it_takes(small_int8_tflite: Path, tmp_path: Path) -> None:
    seen = glance(identify(small_int8_tflite, tmp_path))
    assert seen is not None
    assert seen.inputs == (TensorInfo(name="image", shape=(None, 8, 8, 1), dtype="int8"),)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"no model at all")
    with pytest.raises(WorkbenchError, match=r"bad\.tflite \(15 bytes\) cannot be read"):
        glance(identify(tmp_path / "bad.tflite", tmp_path))


def test_saved_models_that_cannot_be_read(tmp_path: Path) -> None:
    import tensorflow as tf

    (tmp_path / "garbage").mkdir()
    (tmp_path / "garbage" / "saved_model.pb").write_bytes(b"garbage")
    tf.saved_model.save(tf.Module(), str(tmp_path / "unsigned"))
    for name, said in (
        ("garbage", "SavedModel 'garbage' cannot be loaded"),
        ("unsigned", "'unsigned' has no signature"),
    ):
        info = identify(tmp_path / name, tmp_path)
        assert glance(info) is None
        with pytest.raises(WorkbenchError, match=said):
            load.read_signature(info)


def test_a_model_with_unknown_layers_cannot_be_loaded(tmp_path: Path) -> None:
    import tf_keras

    class Odd(tf_keras.layers.Layer):  # type: ignore[misc,unused-ignore]  # tf_keras is untyped
        def call(self, x: Any) -> Any:
            return x

    for suffix in (".h5", ".keras"):
        path = tmp_path / f"odd{suffix}"
        tf_keras.Sequential([tf_keras.layers.Input((3,)), Odd()]).save(path)
        with pytest.raises(WorkbenchError, match=r"has an object of class 'Odd', .* \(layer 'odd'\)\. .*--allow-code"):
            identify(path, tmp_path)
        with pytest.raises(WorkbenchError, match=rf"tf_keras cannot load 'odd{suffix}': .*Odd"):
            load.read_signature(identify(path, tmp_path, allow_code=True))


def test_loading_a_model_by_the_public_name(
    small_h5: Path, saved_model: Path, small_keras_model: Any, small_images: Array
) -> None:
    model = workbench.load_model(small_h5)
    np.testing.assert_array_equal(model(small_images), small_keras_model(small_images))
    assert workbench.load_model(small_h5) is not model
    with pytest.raises(WorkbenchError, match="is a savedmodel source, which is no Keras model"):
        workbench.load_model(saved_model)


# ---- freezing


def run_saved(folder: Path, inputs: dict[str, Array]) -> dict[str, Array]:
    import tensorflow as tf

    served = load.serving(folder)
    return {k: v.numpy() for k, v in served.call(*[tf.constant(inputs[k]) for k in served.inputs]).items()}


def variables_of(folder: Path) -> int:
    import tensorflow as tf

    names = [n for n, _ in tf.train.list_variables(str(folder / "variables" / "variables"))]
    return sum(n.endswith("VARIABLE_VALUE") and "save_counter" not in n for n in names)


@pytest.mark.slow
def test_a_frozen_model_gives_what_the_model_gives(
    small_keras_model: Any, small_images: Array, saved_model: Path, tmp_path: Path
) -> None:
    expected = small_keras_model(small_images).numpy()
    made = {"frozen": freeze.keras_inference(small_keras_model), "again": freeze.saved_model_inference(saved_model)}
    for name, frozen in made.items():
        frozen.save(tmp_path / name)
    load.save_ordinary(small_keras_model, tmp_path / "ordinary")
    for name, variables in (("frozen", 0), ("again", 0), ("ordinary", 7)):
        (output,) = run_saved(tmp_path / name, {"image": small_images}).values()
        np.testing.assert_allclose(output, expected, atol=1e-6)
        assert variables_of(tmp_path / name) == variables
        path = tmp_path / f"{name}.tflite"
        for content in (load.convert_float(tmp_path / name), *([made[name].flatbuffer()] if name in made else [])):
            path.write_bytes(content)
            outputs, _ = run_all(path, {"": small_images})
            assert list(outputs) == ["probabilities"]
            np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)


def test_names_survive_freezing(two_input_model: Any, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    inputs = {"zeta": draw.random((5, 4), dtype=np.float32), "alpha": draw.random((5, 2, 2), dtype=np.float32)}
    second, first = (t.numpy() for t in two_input_model([inputs["zeta"], inputs["alpha"]]))
    for folder, names in (("frozen", ("second", "first")), ("renamed", ("a", "b"))):
        frozen = freeze.keras_inference(two_input_model, None if folder == "frozen" else list(names))
        frozen.save(tmp_path / folder)
        saved, direct = tmp_path / f"{folder}.tflite", tmp_path / f"{folder}-direct.tflite"
        saved.write_bytes(load.convert_float(tmp_path / folder))
        direct.write_bytes(frozen.flatbuffer())
        ran = [run_all(path, inputs)[0] for path in (saved, direct)]
        for outputs in (run_saved(tmp_path / folder, inputs), *ran):
            assert set(outputs) == set(names)
            np.testing.assert_allclose(outputs[names[0]], second, atol=1e-5)
            np.testing.assert_allclose(outputs[names[1]], first, atol=1e-5)
        info = ModelInfo(name=folder, kind="savedmodel", path=str(tmp_path / folder), sha256="")
        assert {t.name: t.shape for t in load.read_signature(info).inputs} == {"zeta": (None, 4), "alpha": (None, 2, 2)}


def test_a_frozen_function_that_differs_is_noticed() -> None:
    import tensorflow as tf

    specs = {"input_0": tf.TensorSpec((None, 2), tf.float32, name="input_0")}
    original = tf.function(lambda input_0: {"output_0": input_0 + 1.0}).get_concrete_function(**specs)

    inference = freeze.Inference(original, specs, original, Names.of(["x"], ["y"]))
    inference.check(lambda sample: {"y": sample["x"] + 1.0}, 1e-3, 1e-4)
    with pytest.raises(StageFailed, match=r"output 'y' of the frozen model differs from the model's by up to 0\.01"):
        inference.check(lambda sample: {"y": sample["x"] + 1.01}, 1e-3, 1e-4)


# ---- folding batch normalization and ReLU


def conv_net(layers: Any, image: Any) -> Any:
    x = layers.Conv2D(4, 3, padding="same", use_bias=False)(image)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(4, 3, padding="same")(x)
    return layers.BatchNormalization()(x)


def branches(layers: Any, image: Any) -> Any:
    x = layers.ReLU(max_value=6.0)(conv_net(layers, image))
    left = layers.BatchNormalization(scale=False)(layers.Conv2D(4, 1)(x))
    right = layers.BatchNormalization(center=False)(layers.Conv2D(4, 1, use_bias=False)(x))
    return layers.GlobalAveragePooling2D()(layers.Add()([left, right, x]))


def depthwise(layers: Any, image: Any) -> Any:
    x = layers.BatchNormalization()(layers.Conv2D(3, 3, strides=2)(image))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, padding="same")(x))
    x = layers.ReLU(max_value=6.0)(x)
    x = layers.BatchNormalization(epsilon=0.1)(layers.DepthwiseConv2D(3, padding="same")(x))
    return layers.Flatten()(layers.ReLU()(x))


def dense(layers: Any, image: Any) -> Any:
    x = layers.Flatten()(image)
    for units in (5, 4):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(units)(x)))
    return layers.Dense(3)(x)


def grouped(layers: Any, image: Any) -> Any:
    x = layers.Conv2D(4, 1)(image)
    x = layers.BatchNormalization(axis=-1)(layers.Conv2D(8, 3, groups=2, dilation_rate=2, padding="same")(x))
    return layers.Conv2D(2, 1)(x)


def functional(body: Callable[[Any, Any], Any]) -> Any:
    import tf_keras

    tf_keras.utils.set_random_seed(3)
    image = tf_keras.layers.Input((8, 8, 2), name="image")
    model = tf_keras.Model(image, body(tf_keras.layers, image), name=body.__name__)
    shake_norms(model)
    return model


def sequential() -> Any:
    import tf_keras

    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(3)
    model = tf_keras.Sequential(
        [
            layers.Input((8, 8, 2)),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(5),
            layers.BatchNormalization(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    shake_norms(model)
    return model


def count(model: Any, kind: str) -> int:
    return sum(type(layer).__name__ == kind for layer in model.layers)


IMAGES = np.random.default_rng(4).random((16, 8, 8, 2), dtype=np.float32) * 4 - 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "norms", "relus"),
    [
        (lambda: functional(conv_net), 1, 0),  # the last batch normalization names the output
        (lambda: functional(branches), 0, 0),
        (lambda: functional(depthwise), 0, 0),
        (lambda: functional(dense), 0, 0),
        (lambda: functional(grouped), 0, 0),
        (sequential, 0, 0),
    ],
    ids=["conv", "branches", "depthwise", "dense", "grouped", "sequential"],
)
def test_folding_keeps_what_a_model_gives(build: Callable[[], Any], norms: int, relus: int, tmp_path: Path) -> None:
    model = build()
    expected, weights = model(IMAGES).numpy(), [w.copy() for w in model.get_weights()]
    folded = fold_batch_norms(model)
    fused = fuse_relus(folded)
    for made in (folded, fused):
        np.testing.assert_allclose(made(IMAGES), expected, atol=1e-4)
        assert count(made, "BatchNormalization") == norms
        assert made.input_names == model.input_names
        assert made.output_names == model.output_names
        assert made.name == model.name
    assert count(folded, "ReLU") == count(model, "ReLU")
    assert count(fused, "ReLU") == relus
    assert len(fused.layers) < len(model.layers)
    # The model that was given is as it was.
    np.testing.assert_array_equal(model(IMAGES), expected)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))
    # The result is a whole model: it trains and comes back from a file.
    fused.save(tmp_path / "folded.h5")
    np.testing.assert_allclose(load.load_keras(tmp_path / "folded.h5")(IMAGES), expected, atol=1e-4)
    fused.compile("sgd", "mse")
    fused.fit(IMAGES, np.zeros_like(expected), verbose=0)
    assert not np.allclose(fused(IMAGES), expected, atol=1e-4)


def test_folding_is_exact_arithmetic() -> None:
    """Kernel times gamma / sqrt(variance + epsilon), by hand for one channel."""
    model = functional(dense)
    first, norm = model.layers[2], model.layers[3]
    kernel, bias = (w[..., 1] for w in first.get_weights())
    gamma, beta, mean, variance = (w[1] for w in norm.get_weights())
    factor = gamma / np.sqrt(variance + norm.epsilon)
    folded = fold_batch_norms(model).get_layer(first.name)
    np.testing.assert_allclose(folded.get_weights()[0][..., 1], kernel * factor, rtol=1e-6)
    np.testing.assert_allclose(folded.get_weights()[1][1], (bias - mean) * factor + beta, rtol=1e-5)


def used_twice(layers: Any, image: Any) -> Any:
    x = layers.Conv2D(4, 3, padding="same")(image)
    return layers.Flatten()(layers.Add()([layers.BatchNormalization()(x), x]))


def called_twice(layers: Any, image: Any) -> Any:
    conv = layers.Conv2D(4, 3, padding="same")
    one = layers.ReLU()(layers.BatchNormalization()(conv(image)))
    two = layers.ReLU()(layers.BatchNormalization()(conv(layers.ReLU()(image))))
    return layers.Flatten()(layers.Add()([one, two]))


def norm_called_twice(layers: Any, image: Any) -> Any:
    norm, relu = layers.BatchNormalization(), layers.ReLU()
    return layers.Flatten()(
        layers.Add()([relu(norm(layers.Conv2D(4, 3)(image))), relu(norm(layers.Conv2D(4, 3)(image)))])
    )


def activated(layers: Any, image: Any) -> Any:
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(image))
    return layers.Flatten()(layers.ReLU()(x))


def other_axis(layers: Any, image: Any) -> Any:
    return layers.Flatten()(layers.BatchNormalization(axis=1)(layers.Conv2D(4, 3)(image)))


def not_linear_before(layers: Any, image: Any) -> Any:
    x = layers.ReLU()(layers.BatchNormalization()(layers.MaxPooling2D()(image)))
    return layers.Flatten()(layers.ReLU()(layers.UpSampling2D()(x)))


def odd_relus(layers: Any, image: Any) -> Any:
    x = layers.ReLU(max_value=4.0)(layers.Conv2D(4, 3)(image))
    x = layers.ReLU(negative_slope=0.1)(layers.Conv2D(4, 1)(x))
    x = layers.ReLU(threshold=0.5)(layers.Conv2D(4, 1)(x))
    return layers.Flatten()(layers.LeakyReLU()(layers.Conv2D(4, 1)(x)))


@pytest.mark.parametrize(
    "body",
    [used_twice, called_twice, norm_called_twice, activated, other_axis, not_linear_before, odd_relus],
    ids=lambda b: b.__name__,
)
def test_pairs_that_are_not_clear_stay(body: Callable[[Any, Any], Any]) -> None:
    model = functional(body)
    made = fuse_relus(fold_batch_norms(model))
    assert [type(layer).__name__ for layer in made.layers] == [type(layer).__name__ for layer in model.layers]
    np.testing.assert_allclose(made(IMAGES), model(IMAGES), atol=1e-5)


def test_a_layer_whose_result_is_given_out_stays() -> None:
    import tf_keras

    layers = tf_keras.layers
    image = layers.Input((8, 8, 2), name="image")
    features = layers.Conv2D(4, 3, name="features")(image)
    scores = layers.Dense(3, name="scores")(layers.Flatten()(layers.ReLU()(layers.BatchNormalization()(features))))
    model = tf_keras.Model(image, [features, scores])
    made = fuse_relus(fold_batch_norms(model))
    assert len(made.layers) == len(model.layers)
    assert made.output_names == ["features", "scores"]


def test_a_layer_that_is_also_called_for_an_output_stays() -> None:
    import tf_keras

    layers = tf_keras.layers
    image = layers.Input((8, 8, 2), name="image")
    conv = layers.Conv2D(2, 3, padding="same", name="conv")
    features = conv(layers.MaxPooling2D(1)(image))
    scores = layers.Flatten(name="scores")(layers.ReLU()(layers.BatchNormalization()(conv(image))))
    model = tf_keras.Model(image, [features, scores])
    shake_norms(model)
    made = fuse_relus(fold_batch_norms(model))
    assert len(made.layers) == len(model.layers)
    for one, other in zip(made(IMAGES), model(IMAGES), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_models_that_only_code_knows_stay() -> None:
    import tf_keras

    class Own(tf_keras.Model):  # type: ignore[misc,unused-ignore]  # tf_keras is untyped
        def __init__(self) -> None:
            super().__init__()
            self.inner = tf_keras.layers.Dense(2)
            self.norm = tf_keras.layers.BatchNormalization()

        def call(self, x: Any) -> Any:
            return self.norm(self.inner(x))

    model = Own()
    model(np.zeros((1, 3), np.float32))
    assert fold_batch_norms(model) is model
    assert fuse_relus(model) is model


@pytest.mark.slow
@pytest.mark.parametrize("before", [(), ("prune:0.5",), ("cluster:4",)], ids=str)
def test_fused_layers_are_taken_by_quantization_aware_training(before: tuple[str, ...], tmp_path: Path) -> None:
    """Both ReLUs end up inside of 8-bit convolutions, and the file gives what the simulation gives."""
    model = functional(depthwise)
    assert {
        None if r.max_value is None else float(r.max_value) for r in model.layers if type(r).__name__ == "ReLU"
    } == {None, 6.0}
    technique = registry.techniques.get("qat")
    assert isinstance(technique, KerasTechnique)

    def fit(wrapped: Any, callbacks: list[Any]) -> None:
        wrapped.compile("sgd", "mse")
        wrapped.fit(IMAGES, expected, verbose=0)

    expected = model(IMAGES).numpy()
    steps = tuple(parse_step(s) for s in before)
    aware = technique.apply(model, technique.params(), TrainJob(IMAGES, expected, Train(), steps, fit, 1))
    freeze.keras_inference(aware, ["out"]).save(tmp_path / "aware")
    notes: list[str] = []
    job = FinishJob(steps, None, tmp_path / "aware", None, list, lambda: None, notes.append)
    made = converter_engine.convert("int8", job, aware=True)
    (tmp_path / "aware.tflite").write_bytes(Names.read(tmp_path / "aware").publish(made))
    census = read_census(tmp_path / "aware.tflite")
    assert census.operators == {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 2, "RESHAPE": 1}
    assert set(census.weights) == {"int8", "int32"}
    assert notes == []
    outputs, _ = run_all(tmp_path / "aware.tflite", {"": IMAGES})
    simulated = aware(IMAGES, training=False).numpy()
    assert simulated.std() > 0.05
    # Three steps of the output's 255.
    np.testing.assert_allclose(outputs["out"], simulated, atol=3 * np.ptp(simulated) / 255)


@pytest.mark.parametrize("text", ["", " ", "keras:", "tflite:  "])
def test_a_model_without_a_path_is_not_the_current_folder(text: str, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="names no file"):
        identify(text, tmp_path)


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_model_may_be_named_with_its_source(name: str, tmp_path: Path) -> None:
    found = identify(name, tmp_path)
    assert (found.name, found.kind, found.sha256) == (name, "keras", file_sha256(bundled(f"{name}.h5")))
    assert identify(f"keras:{name}", tmp_path).sha256 == found.sha256
