"""Data in another scale than the model expects: found by the labels, on real files; nothing is said of data that is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import to_tflite

from workbench.evaluate import scales
from workbench.evaluate.scales import check_scale
from workbench.flatbuffer.entry import first_affine
from workbench.flatbuffer.reader import read_model
from workbench.values.task import TaskSpec
from workbench.values.warning import Warning_

Array = np.ndarray[Any, Any]
CLASSES = {"y": TaskSpec(name="classification")}
VALUES = {"y": TaskSpec(name="regression")}
draw = np.random.default_rng(0)
LABELS = draw.integers(0, 4, 200)


def images(channels: int = 1) -> Array:
    """200 images (6, 6, c) of bytes whose class is the quarter of middling brightness; the next one is brighter, the others are dark."""
    x = draw.integers(0, 60, (200, 6, 6, channels))
    for i, label in enumerate(LABELS):
        for quarter, brightness in ((int(label), 110), ((int(label) + 1) % 4, 195)):
            row, column = divmod(quarter, 2)
            x[i, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3] += brightness
    return x.astype(np.float32)


BYTES = images()


def quarters(begin: Callable[[Any], Any], path: Path) -> Path:
    """A file that names the quarter whose mean is nearest to 0.55, once `begin` has made 0 to 1 of its input.

    The nearest, not the largest: in another scale the answer is another, as it is for what was trained.
    """
    import tf_keras

    layers = tf_keras.layers
    image = layers.Input((6, 6, 1), name="image")
    x = layers.AveragePooling2D(3)(begin(image))
    x = layers.Flatten()(x)
    x = layers.Lambda(lambda v: -abs(v - 0.55), name="near")(x)
    return to_tflite(tf_keras.Model(image, layers.Activation("linear", name="y")(x)), path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import tf_keras

    layers, folder = tf_keras.layers, tmp_path_factory.mktemp("scales")
    return {
        "0..1": quarters(lambda x: x, folder / "a.tflite"),
        "0..255": quarters(layers.Rescaling(1 / 255.0), folder / "b.tflite"),
        "-1..1": quarters(layers.Rescaling(0.5, offset=0.5), folder / "c.tflite"),
        "normalized": quarters(
            lambda x: layers.Rescaling(0.25, 0.5)(layers.Normalization(mean=127.5, variance=63.75**2)(x)),
            folder / "d.tflite",
        ),
    }


def ranged(name: str) -> Array:
    """The images in a range."""
    return {"0..1": BYTES / 255, "-1..1": BYTES / 127.5 - 1, "0..255": BYTES}[name].astype(np.float32)


def found(file: Path, x: Array, y: Array = LABELS, tasks: dict[str, TaskSpec] = CLASSES) -> Warning_ | None:
    return check_scale(file, {"": x}, {"y": y}, tasks)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wants", "has", "named", "formula", "advised"),
    [
        ("0..255", "0..1", "0..255", "`x * 255`", lambda x: x * 255),
        ("0..1", "0..255", "0..1", "`x / 255`", lambda x: x / 255),
        ("0..1", "-1..1", "0..1", "`x / 2 + 0.5`", lambda x: x / 2 + 0.5),
        ("-1..1", "0..255", "-1..1", "`x / 127.5 - 1`", lambda x: x / 127.5 - 1),
        ("0..255", "-1..1", "0..255", "`x * 127.5 + 127.5`", lambda x: x * 127.5 + 127.5),
        ("normalized", "0..1", "0..255", "`x * 255`", lambda x: x * 255),
    ],
)
def test_the_better_scale_is_named_with_both_accuracies(
    files: dict[str, Path], wants: str, has: str, named: str, formula: str, advised: Callable[[Array], Array]
) -> None:
    warned = found(files[wants], ranged(has))
    assert warned is not None
    assert warned.kind == "input-scale"
    assert f"with {named}, on 200 samples" in warned.seen
    assert ", 1 with " in warned.seen  # accuracy in the right one
    assert formula in warned.advice
    assert f"?scale={named}" in warned.advice
    # What the advice says is what the file was made for.
    assert found(files[wants], advised(ranged(has))) is None


@pytest.mark.slow
def test_images_of_small_numbers_are_brought_to_what_is_wanted(files: dict[str, Path]) -> None:
    warned = found(files["0..1"], np.round(BYTES / 255 * 16))
    assert warned is not None
    assert "with 0..1" in warned.seen


def test_what_the_model_normalizes_itself_is_not_normalized_before(tmp_path: Path) -> None:
    import tf_keras

    layers = tf_keras.layers
    x = np.stack([draw.normal(40, 12, 300), draw.normal(3000, 700, 300), draw.normal(0.02, 0.01, 300)], 1)
    mean, deviation = x.mean(0), x.std(0)
    y = ((x - mean) / deviation).argmax(1)
    table = layers.Input((3,), name="row")
    normal = layers.Normalization(mean=mean, variance=deviation**2)(table)
    file = to_tflite(tf_keras.Model(table, layers.Activation("linear", name="y")(normal)), tmp_path / "t.tflite")
    assert found(file, x.astype(np.float32), y) is None
    # Twice: the columns' order of size is now that of their deviations.
    warned = found(file, ((x - mean) / deviation).astype(np.float32), y)
    assert warned is not None
    assert "before the model's own normalization" in warned.seen
    assert "give it the values as they are before that" in warned.advice


@pytest.mark.parametrize("name", ["0..1", "-1..1", "0..255"])
def test_right_data_gives_no_warning(files: dict[str, Path], name: str) -> None:
    assert found(files[name], ranged(name)) is None


@pytest.mark.parametrize("seed", range(5))
def test_labels_drawn_by_chance_give_no_warning(files: dict[str, Path], seed: int) -> None:
    other = np.random.default_rng(seed)
    for name in ("0..1", "0..255"):
        assert found(files[name], ranged("0..1"), other.integers(0, 4, 200)) is None
        # One class far ahead: in another scale the file may say nothing but that one.
        assert found(files[name], ranged("0..1"), (other.random(200) < 0.1).astype(int)) is None


def test_an_untrained_regression_gives_no_warning(tmp_path: Path) -> None:
    import tf_keras

    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(1)
    image = layers.Input((6, 6, 1))
    y = layers.Dense(1, name="y")(layers.Flatten()(image))
    file = to_tflite(tf_keras.Model(image, y), tmp_path / "r.tflite")
    # Large targets: any scale that makes larger outputs comes nearer to them, and knows nothing.
    assert found(file, ranged("0..1"), draw.normal(200, 20, 200), VALUES) is None


def test_a_regression_in_the_wrong_scale_is_found(tmp_path: Path) -> None:
    import tf_keras

    layers = tf_keras.layers
    image = layers.Input((6, 6, 1))
    y = layers.Reshape((1,), name="y")(layers.GlobalAveragePooling2D()(image))
    file = to_tflite(tf_keras.Model(image, y), tmp_path / "r.tflite")
    x = draw.random((200, 6, 6, 1)).astype(np.float32) * draw.random((200, 1, 1, 1)).astype(np.float32)
    targets = 255 * x.mean((1, 2, 3))
    assert found(file, 255 * x, targets, VALUES) is None
    warned = found(file, x, targets, VALUES)
    assert warned is not None
    assert warned.seen.startswith("mae ")
    assert "with 0..255" in warned.seen


def test_numbers_of_words_are_left_alone(tmp_path: Path) -> None:
    import tf_keras

    layers = tf_keras.layers
    words = layers.Input((12,), name="words")
    y = layers.Dense(2, name="y")(layers.GlobalAveragePooling1D()(layers.Embedding(50, 4)(words)))
    file = to_tflite(tf_keras.Model(words, y), tmp_path / "w.tflite")
    x = draw.integers(0, 50, (200, 12)).astype(np.float32)
    assert found(file, x, draw.integers(0, 2, 200)) is None


def test_few_samples_tell_nothing(files: dict[str, Path]) -> None:
    assert found(files["0..255"], ranged("0..1")[:20], LABELS[:20]) is None


def test_steps_at_the_input_are_put_together(files: dict[str, Path]) -> None:
    for name, factor, offset in (("0..255", 1 / 255, 0), ("-1..1", 0.5, 0.5), ("normalized", 1 / 255, 0)):
        graph = read_model(files[name].read_bytes(), name).graphs[0]
        affine = first_affine(graph, graph.inputs[0])
        assert affine is not None
        np.testing.assert_allclose([affine[0].item(), affine[1].item()], [factor, offset], atol=1e-6)
    graph = read_model(files["0..1"].read_bytes(), "a").graphs[0]
    assert first_affine(graph, graph.inputs[0]) is None


@pytest.mark.slow
def test_the_bundled_model_on_its_digits_gives_no_warning_and_on_bytes_does(tmp_path: Path) -> None:
    import tf_keras

    from workbench.data.load import bundled, load_dataset

    model = tf_keras.models.load_model(bundled("digits_cnn.h5"), compile=False)
    file = to_tflite(model, tmp_path / "digits.tflite")
    test = load_dataset("digits").test
    x, y = test.inputs[""], test.targets[""]
    assert found(file, x, y) is None
    warned = found(file, x * 255, y)
    assert warned is not None
    assert "with 0..1" in warned.seen


def test_of_a_slow_model_fewer_samples_are_run(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scales, "TIMES", ((0.0, 256), (float("inf"), 50)))
    warned = found(files["0..255"], ranged("0..1"))
    assert warned is not None
    assert warned.seen.endswith("on 50 samples")
    assert found(files["0..255"], ranged("0..255")) is None
