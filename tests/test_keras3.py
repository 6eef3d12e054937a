"""Models of Keras 3: what is rebuilt gives the same outputs, what cannot be is named and exported, and nothing in a file is run."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-untyped,unused-ignore]
import numpy as np
import pytest
from keras3_models import KINDS, application, kind, layers, over

import workbench
from workbench.errors import StageFailed, WorkbenchError
from workbench.sources import load
from workbench.sources.identify import identify
from workbench.sources.keras3 import check
from workbench.sources.keras3.export import reason_in
from workbench.sources.keras3.load import open_model, rebuilt
from workbench.sources.opening import open_source
from workbench.values.source import Signature

Array = np.ndarray[Any, Any]


def opened(model: Any, folder: Path) -> Path:
    """What a model, or a file, becomes."""
    for name in ("kept", "opened"):
        (folder / name).mkdir()
    return open_source(identify(model, folder / "kept"), folder / "opened")


def flat(model: Any, inputs: list[Array]) -> list[Array]:
    """A Keras 3 model's outputs for flat inputs."""
    graph = getattr(model, "_functional", model)
    packed = keras.tree.pack_sequence_as(graph.input, inputs)
    return [np.asarray(v) for v in keras.tree.flatten(model(packed, training=False))]


def some(model: Any) -> list[Array]:
    """Two samples for each input: small whole numbers, which any kind takes."""
    generator = np.random.default_rng(9)
    return [generator.integers(0, 6, (2, *(d or 16 for d in t.shape[1:]))).astype(str(t.dtype)) for t in model.inputs]


# ---- what is rebuilt


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_each_kind_gives_the_same_outputs(name: str, tmp_path: Path) -> None:
    model = kind(name)
    inputs = some(model)
    expected = flat(model, inputs)  # before half precision becomes float32
    made = open_model(model, tmp_path)
    assert made.is_file(), reason_in(made)
    twin = load.load_keras(made, beside=True)
    got = [np.asarray(v) for v in check.outputs_of(twin, inputs)]
    tolerance = 5e-3 if name == "half precision" else 1e-5
    for wanted, found in zip(expected, got, strict=True):
        np.testing.assert_allclose(
            found, wanted, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(wanted).max()))
        )
    assert sum(np.prod(w.shape) for w in twin.weights) >= sum(
        np.prod(w.shape)
        for w in model.weights
        if "seed" not in w.path and "normalization" not in w.path and "vector_u" not in w.path
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["several", "gru", "nested"])
def test_a_file_of_keras_3_is_the_same_model(name: str, tmp_path: Path) -> None:
    model = kind(name)
    # Keras 3 does not read operations from its own .h5 files.
    for ending in ("keras", "h5") if name == "gru" else ("keras",):
        (tmp_path / ending).mkdir()
        model.save(tmp_path / f"model.{ending}")
        info = identify(tmp_path / f"model.{ending}", tmp_path)
        assert (info.kind, info.source) == ("keras", "keras3")
        twin = load.load_keras(opened(tmp_path / f"model.{ending}", tmp_path / ending), beside=True)
        for wanted, found in zip(flat(model, some(model)), check.outputs_of(twin, some(model)), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
        assert len(twin.inputs) == len(model.inputs)


def test_inputs_and_outputs_have_the_names_that_data_has(tmp_path: Path) -> None:
    twin = load.load_keras(opened(kind("several"), tmp_path), beside=True)
    assert (twin.input_names, twin.output_names) == (["image", "table"], ["kind", "size"])
    (tmp_path / "nested").mkdir()
    nested = load.load_keras(opened(kind("nested"), tmp_path / "nested"), beside=True)
    assert (nested.input_names, nested.output_names) == (["left", "right"], ["same"])
    # Its submodels are layers of the one graph, frozen as they were.
    assert [lay.trainable for lay in nested.layers if type(lay).__name__ == "Conv2D"].count(False) == 1
    assert not any(hasattr(lay, "layers") for lay in nested.layers)


def test_an_object_is_kept_by_its_content(tmp_path: Path) -> None:
    info = identify(kind("several"), tmp_path)
    path = Path(info.path)
    assert (info.kind, info.source, info.name, path.name) == ("keras", "keras3", "several", f"{info.sha256}.keras")
    written = path.stat().st_mtime_ns
    assert identify(kind("several"), tmp_path) == info
    assert path.stat().st_mtime_ns == written
    other = kind("several")
    other.get_layer("shared").set_weights([w + 1 for w in other.get_layer("shared").get_weights()])
    assert identify(other, tmp_path).sha256 != info.sha256


def test_a_model_that_computes_otherwise_is_not_taken(tmp_path: Path) -> None:
    wanted = [np.array([[1.0, 2.0], [0.0, 100.0]])]
    check.difference(["y"], wanted, [wanted[0] * (1 + 5e-5)])
    for wrong in (wanted[0] + [[0.001, 0], [0, 0]], wanted[0] * np.nan, wanted[0][:, :1]):
        with pytest.raises(StageFailed, match="output 'y'"):
            check.difference(["y"], wanted, [wrong])


# ---- what is not


class Own(keras.Model):  # type: ignore[misc,unused-ignore]  # Keras is untyped
    def __init__(self) -> None:
        super().__init__(name="own")
        self.inner = layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.inner(x)


class Doubling(layers.Layer):  # type: ignore[misc,unused-ignore]  # Keras is untyped
    def call(self, x: Any) -> Any:
        return x * 2


def called() -> Any:
    model = Own()
    model(np.zeros((1, 4), np.float32))
    return model


LEFT = {
    "recurrent activation": (over((6, 4), lambda x: layers.LSTM(3, recurrent_activation="hard_sigmoid", name="cell")(x)), "LSTM 'cell': tf_keras has no recurrent_activation 'hard_sigmoid'"),
    "layer": (over((6, 4), lambda x: layers.GroupQueryAttention(4, 4, 2, name="grouped")(x, x)), "'grouped': tf_keras has no such layer"),
    "option": (over((6, 4), lambda x: layers.MultiHeadAttention(2, 4, use_gate=True, name="gated")(x, x)), "'gated': tf_keras has no option use_gate"),
    "operation": (over((6, 4), lambda x: keras.ops.einsum("abc,abc->ac", x, x)), "operation Einsum 'einsum"),
    "subclass": (called, "it is a subclass"),
    "lambda": (over((4,), lambda x: layers.Lambda(lambda v: v * 2, name="twice")(x)), "a Lambda layer"),
    "own layer": (over((4,), lambda x: Doubling(name="doubling")(x)), "'Doubling'"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_what_cannot_be_rebuilt_is_named_and_exported(name: str, tmp_path: Path) -> None:
    import tensorflow as tf

    make, said = LEFT[name]
    model = make()
    made = opened(model, tmp_path)
    assert made.is_dir()
    assert said in reason_in(made)
    shape = (4,) if name == "subclass" else model.inputs[0].shape[1:]
    x = np.random.default_rng(2).random((1, *shape), np.float32)
    served = load.serving(made)
    given = tf.constant(x)
    np.testing.assert_allclose(
        next(iter(served.call(given).values())), np.asarray(model(x, training=False)), rtol=1e-5, atol=1e-6
    )
    info = identify(model, tmp_path)
    assert isinstance(load.read_signature(info, made), Signature)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: keras.Sequential([layers.Dense(2)], name="open"), "model 'open' has no fixed input"),
        (Own, "model 'own' has no fixed input"),
        (lambda: layers.Dense(2, name="only"), "a model cannot be made of Keras 3 Dense 'only'"),
    ],
)
def test_objects_that_are_no_model_are_told(make: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=said):
        identify(make(), tmp_path)
    assert list(tmp_path.iterdir()) == []


# ---- nothing in a file is run


def rewritten(path: Path, change: Any) -> Path:
    """A `.keras` file with another configuration."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "config.json": json.dumps(config).encode()}.items():
            archive.writestr(name, content)
    return path


def dense_of(config: Any) -> Any:
    return next(e for e in config["config"]["layers"] if e["class_name"] == "Dense")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: dense_of(c).update(module="os", class_name="system"), "an object of class 'system'"),
        (lambda c: dense_of(c).update(module="shutil"), "of module 'shutil', which loading it would import"),
        (lambda c: dense_of(c).update(registered_name="theirs>Dense"), "registered as 'theirs>Dense'"),
        (lambda c: dense_of(c).update(class_name="TFSMLayer"), "an object of class 'TFSMLayer'"),
        (lambda c: dense_of(c)["config"].update(activation="their_function"), "'their_function' as 'activation'"),
        (lambda c: dense_of(c)["config"].update(units={"class_name": "__lambda__", "config": {"value": "x"}}), "a lambda function"),
        (lambda c: c.update(class_name="Sub"), "which is no model of Keras"),
    ],
)  # fmt: skip
def test_a_file_that_names_anything_else_is_refused_unread(change: Any, said: str, tmp_path: Path) -> None:
    over((4,), lambda x: layers.Dense(2)(x))().save(tmp_path / "model.keras")
    identify(tmp_path / "model.keras", tmp_path)
    path = rewritten(tmp_path / "model.keras", change)
    with pytest.raises(WorkbenchError, match=r"model\.keras' has .*--allow-code") as caught:
        identify(path, tmp_path)
    assert said in str(caught.value)


def test_a_lambda_in_a_file_is_refused_and_so_is_the_wrong_source(tmp_path: Path, small_h5: Path) -> None:
    LEFT["lambda"][0]().save(tmp_path / "coded.keras")
    with pytest.raises(WorkbenchError, match="a Lambda layer, which is Python code"):
        identify(tmp_path / "coded.keras", tmp_path)
    with pytest.raises(WorkbenchError, match=r"not by Keras 3\. Leave out `keras3:`"):
        identify(f"keras3:{small_h5}", tmp_path)
    over((4,), lambda x: layers.Dense(2)(x))().save(tmp_path / "model.keras")
    with pytest.raises(WorkbenchError, match=r"was saved by Keras 3\..*Leave out `keras:`"):
        identify(f"keras:{tmp_path / 'model.keras'}", tmp_path)


# ---- all the way


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV3Small", "EfficientNetB0", "ResNet50"])
def test_applications_are_rebuilt(name: str, tmp_path: Path) -> None:
    assert rebuilt(application(name), tmp_path) < 1e-4


@pytest.fixture(scope="module")
def engine() -> Iterator[workbench.Engine]:
    with workbench.Engine(jobs=1) as made:
        yield made


def swept(model: Any, recipes: list[str], store: Path, engine: workbench.Engine) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    x, y = generator.random((32, *model.inputs[0].shape[1:]), np.float32), np.arange(32) % 3
    data = {"x_train": x, "y_train": y, "x_test": x[:8], "y_test": y[:8]}
    grid = {"recipes": recipes, "train": {"epochs": 1}, "measure": {"skip": True}}
    return {t.recipe: t for t in workbench.sweep(model, data, grid, store=store, engine=engine).trials}


@pytest.mark.slow
def test_all_techniques_work_on_a_rebuilt_model(tmp_path: Path, engine: workbench.Engine) -> None:
    x = layers.Input((8, 8, 1), name="image")
    y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x)))
    y = keras.ops.mean(layers.Conv2D(8, 3, activation="hard_swish")(y), axis=(1, 2))
    model = keras.Model(x, layers.Dense(3, activation="softmax", name="kind")(y), name="small")
    recipes = ["int8", "dynamic", "prune:0.5+int8", "cluster:16+int8", "qat+int8"]
    trials = swept(model, recipes, tmp_path, engine)
    assert {r: (t.state, t.error) for r, t in trials.items()} == dict.fromkeys(["float32", *recipes], ("ok", None))


@pytest.mark.slow
def test_trained_techniques_on_an_exported_model_say_which_layer_is_in_the_way(
    tmp_path: Path, engine: workbench.Engine
) -> None:
    x = layers.Input((6, 4), name="x")
    y = layers.GlobalAveragePooling1D()(layers.GroupQueryAttention(4, 4, 2, name="grouped")(x, x))
    model = keras.Model(x, layers.Dense(3, activation="softmax", name="kind")(y))
    trials = swept(model, ["dynamic", "prune:0.5+int8"], tmp_path, engine)
    assert {r: t.state for r, t in trials.items()} == {"float32": "ok", "dynamic": "ok", "prune:0.5+int8": "failed"}
    assert "'grouped': tf_keras has no such layer. Post-training schemes work." in trials["prune:0.5+int8"].error
