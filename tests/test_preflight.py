"""`preflight`: what it says of layers and techniques is what a sweep then warns of, and what is left in the file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench
from workbench.engine.events import Event
from workbench.values.trial import Trial

pytestmark = pytest.mark.slow
RNG = np.random.default_rng(3)
IMAGES, SERIES = RNG.random((48, 8, 8, 1)).astype("f4"), RNG.random((48, 6, 8)).astype("f4")
LABELS = np.arange(48) % 4


def images(keras: Any) -> Any:
    layers = keras.layers
    inner = keras.Sequential([layers.Input((8, 8, 4)), layers.Conv2D(4, 3), layers.ReLU()], name="inner")
    given = layers.Input((8, 8, 1), name="image")
    x = layers.Rescaling(2.0, name="scale")(given)
    x = layers.SeparableConv2D(6, 3, name="apart")(inner(layers.Conv2D(4, 3, padding="same", name="stem")(x)))
    x = layers.Flatten(name="flat")(layers.Conv2DTranspose(3, 3, name="up")(x))
    return keras.Model(given, layers.Dense(4, name="head")(x), name="images")


def series(keras: Any) -> Any:
    layers = keras.layers
    given = layers.Input((6, 8), name="series")
    norm = layers.Normalization(name="norm")
    norm.adapt(SERIES)
    x = layers.LSTM(6, return_sequences=True, name="lstm")(norm(given))
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    return keras.Model(given, layers.Dense(4, name="head")(layers.Flatten(name="flat")(x)), name="series")


def tf_keras_images() -> Any:
    import tf_keras

    return images(tf_keras)


def tf_keras_series() -> Any:
    import tf_keras

    return series(tf_keras)


def keras3_images() -> Any:
    import keras  # type: ignore[import-untyped,unused-ignore]

    return images(keras)


DEPTHWISE, NONE = "a depthwise kernel", "TFMOT has no 8-bit scheme for "
# By layer: prunable and clusterable (the same here), quantizable, each with the beginning of its reason.
EXPECTED = {
    "images": {
        "scale": ("", f"no {NONE}Rescaling"),
        "stem": ("yes", "yes"),
        "inner/conv2d": ("yes", "yes"),
        "inner/re_lu": ("", "yes folded into the layer before it"),
        "apart": (f"part {DEPTHWISE}", "yes"),
        "up": ("yes", "yes"),
        "flat": ("", "yes"),
        "head": ("yes", "yes"),
    },
    "series": {
        "norm": ("", f"no {NONE}Normalization"),
        "lstm": ("yes", f"no {NONE}LSTM"),
        "attention": ("yes", f"no {NONE}MultiHeadAttention"),
        "flat": ("", "yes"),
        "head": ("yes", "yes"),
    },
}


def weights(trial: Trial) -> list[Any]:
    """Return the constants of two axes or more of a trial's file, as the plain interpreter has them."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    assert trial.artifact is not None
    found = Interpreter(
        trial.artifact.path,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    shown = []
    for detail in found.get_tensor_details():
        try:
            value = found.get_tensor(detail["index"])
        except ValueError:
            continue
        if value.ndim > 1 and value.size > 8:
            shown.append(value)
    return shown


def untouched(recipe: str, values: list[Any]) -> int:
    """Return how many weights of a file are as if the recipe's step had not been."""
    if recipe.startswith("prune"):
        left = [v for v in values if np.mean(v == 0) < 0.3]
    elif recipe.startswith("cluster"):
        left = [v for v in values if len(np.unique(v)) > 4]
    else:
        left = [v for v in values if v.dtype == np.float32]
    return sum(v.size for v in left)


def normal(name: str) -> str:
    """Return a layer's name without what Keras counts up."""
    return re.sub(r"_\d+$", "", name)


@pytest.mark.parametrize(
    ("make", "recipes"),
    [
        (tf_keras_images, ["prune:0.5+float32", "cluster:4+float32", "qat+int8"]),
        (tf_keras_series, ["prune:0.5+float32", "qat+int8"]),
        (keras3_images, ["cluster:4+float32"]),
    ],
)
def test_what_is_said_before_is_what_a_sweep_warns_of_and_leaves_in_the_file(
    make: Any, recipes: list[str], warm_engine: workbench.Engine, tmp_path: Path
) -> None:
    model = make()
    x = IMAGES if len(model.inputs[0].shape) == 4 else SERIES
    grid = {"recipes": ["float32", *recipes], "train": {"epochs": 1, "batch_size": 24}, "measure": {"skip": True}}
    said = workbench.preflight(model, grid, tmp_path, engine=warm_engine)
    table = {normal(layer.layer): layer for layer in said.layers}
    # A model of Keras 3 is rebuilt as one graph.
    inner = "" if make is keras3_images else "inner/"
    expected_rows = {name.replace("inner/", inner): row for name, row in EXPECTED[model.name].items()}
    assert set(table) == set(expected_rows)
    for name, (kernels, integers) in expected_rows.items():
        row = table[name]
        for can, expected in ((row.prunable, kernels), (row.clusterable, kernels), (row.quantizable, integers)):
            assert f"{can.state} {can.why}".strip().startswith(expected), name
    assert said.weights == model.count_params()

    told: list[Event] = []
    data = {"x_train": x, "y_train": LABELS, "x_test": x, "y_test": LABELS}
    study = workbench.sweep(model, data, grid, store=tmp_path, engine=warm_engine, listener=told.append)
    assert [t.error for t in study.trials] == [None] * (1 + len(recipes))
    about_layers = [e for e in told if e.kind == "told" and not e.label.startswith(("task of", "calibration-"))]
    before = [e.label for e in about_layers]
    kernel_sizes = sum(v.size for v in weights(study.trials[0]))
    for trial in study.trials:
        warned = [w.seen for w in trial.warnings if w.kind == "layers-left"]
        step = next((s for s in said.steps if trial.recipe.startswith(s.asked[0])), None)
        if step is None or not step.left:
            assert not warned
            continue
        (seen,) = warned
        assert seen in before
        assert f"{step.share:.1%}".replace("%", " %") in seen
        assert all(item.layer in seen and item.why in seen for item in step.left)
        values = weights(trial)
        left = untouched(trial.recipe, values)
        if step.technique == "qat":
            # Biases and the like are among the weights of a layer that stays float.
            assert 0.8 * sum(item.weights for item in step.left) <= left <= sum(item.weights for item in step.left)
        else:
            assert left == sum(item.weights for item in step.left)
        assert sum(v.size for v in values) == kernel_sizes
    assert len(before) == sum(bool(s.left) for s in said.steps)
    assert told.index(about_layers[0]) < told.index(
        next(e for e in told if e.kind == "stage-started" and e.label.startswith("train"))
    )


def test_several_values_of_a_grid_are_told_together_and_patterns_apart(
    warm_engine: workbench.Engine, tmp_path: Path
) -> None:
    """Kernels of four axes take no blocks, and blocks of a model without others fail before training and in it."""
    grid = {
        "prune": ["none", 0.5, 0.8, "2:4", "0.5[block=1x4]"],
        "cluster": ["none", 4],
        "quantize": ["float32", "int8"],
    }
    model = tf_keras_images()
    found = workbench.preflight(model, grid, tmp_path, engine=warm_engine)
    by_text = {text: step for step in found.steps for text in step.asked}
    assert set(by_text) >= {
        "prune:0.5",
        "prune:0.8",
        "prune:2:4",
        "prune:0.5[block=1x4]",
        "cluster:4",
        "prune:0.8+cluster:4",
    }
    assert by_text["prune:0.5"] is by_text["prune:0.8"]
    kernels = {item.layer for item in by_text["prune:0.5[block=1x4]"].left}
    assert kernels >= {"stem", "up", "apart"}
    assert "head" not in kernels
    assert {item.layer for item in by_text["prune:2:4"].left} == {"apart"}
    dense = workbench.preflight(
        small_convolution(), {"recipes": ["prune:0.5[block=1x4]+float32"]}, tmp_path, engine=warm_engine
    )
    (step,) = dense.steps
    assert "finds no kernel" in (step.error or "")


def small_convolution() -> Any:
    import tf_keras

    layers = tf_keras.layers
    given = layers.Input((8, 8, 1))
    return tf_keras.Model(given, layers.GlobalMaxPooling2D()(layers.Conv2D(4, 3)(given)), name="small_convolution")


def test_a_source_without_layers_says_that_only_post_training_schemes_work(
    small_tflite: Path, small_keras_model: Any, tmp_path: Path
) -> None:
    """Told without a worker: neither file is loaded."""
    folder = tmp_path / "saved"
    small_keras_model.export(folder)
    for source, kind in ((small_tflite, "tflite"), (folder, "savedmodel")):
        found = workbench.preflight(source, {"prune": [0.5], "qat": True}, tmp_path / "store")
        assert (found.kind, found.layers) == (kind, ())
        assert {s.technique for s in found.steps} == {"prune", "qat"}
        assert all(f"a {kind} source takes post-training schemes only" in (s.error or "") for s in found.steps)
        assert "only post-training schemes" in found.notes[0]


def test_the_verb_prints_a_table_its_data_and_its_rows(
    small_h5: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.cli import app

    monkeypatch.chdir(tmp_path)
    line = ["preflight", str(small_h5), "--prune", "none,0.5", "--qat"]
    assert app.run(line) == 0
    table = capsys.readouterr().out
    assert "What asked techniques leave untouched" in table
    assert "not quantizable" not in table
    assert re.search(r"stem_norm +.*BatchNormalization", table)
    assert "cluster" not in table.partition("leave untouched")[2]
    assert app.run(["preflight", str(small_h5)]) == 0
    assert re.search(r"cluster +cluster:16 +0.0 % +nothing", capsys.readouterr().out)
    # The store knows it now, and no worker is started.
    monkeypatch.setattr("workbench.engine.engine.Engine.pool", None)
    assert app.run([*line, "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {s["technique"] for s in data["steps"]} == {"prune", "qat"}
    assert [s["share"] for s in data["steps"]] == [0.0] * len(data["steps"])
    assert app.run([*line, "--format", "csv"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith("layer,kind,weights,bytes,prunable,prunable_why")
    assert len(rows) == 1 + len(data["layers"])
    assert app.run(["preflight", str(small_h5), "--prune", "none,0.8", "--qat"]) == 0


def test_a_sweep_that_trains_nothing_does_not_look(
    small_h5: Path, warm_engine: workbench.Engine, tmp_path: Path, small_images: Any
) -> None:
    labels = np.arange(len(small_images)) % 6
    data = {"x_train": small_images, "y_train": labels, "x_test": small_images, "y_test": labels}
    told: list[Event] = []
    grid: dict[str, Any] = {"quantize": ["float32", "dynamic"], "measure": {"skip": True}}
    workbench.sweep(small_h5, data, grid, store=tmp_path, engine=warm_engine, listener=told.append)
    assert not [e for e in told if "look at the layers" in e.label]
    grid = {**grid, "prune": ["none", 0.5], "train": {"epochs": 1}}
    workbench.sweep(small_h5, data, grid, store=tmp_path, engine=warm_engine, listener=told.append)
    assert [e.label for e in told if e.kind == "stage-started" and "look at the layers" in e.label]
    del told[:]
    grid = {**grid, "prune": ["none", 0.8]}
    workbench.sweep(small_h5, data, grid, store=tmp_path, engine=warm_engine, listener=told.append)
    assert not [e for e in told if e.kind == "stage-started" and "look at the layers" in e.label]
