"""A sweep in which everything has a name that nobody would call by: inputs, layers, outputs, classes, study, model file, store."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import succeed

import workbench
from workbench.evaluate.interpreter import describe_ends
from workbench.evaluate.run import run_all
from workbench.study import Study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Array = np.ndarray[Any, Any]
INPUTS = ("my input: [0]", "class")
OUTPUT = "self/probs"
CLASSES = ("a\nb", "[bold]x[/bold] <b>$1$</b>", "\u202ertl 😀 '\"%s{0}")
STUDY = "-st/../<b>[red]$x$ {1+1}\n'\" % 😀\u202e"
FILE = b"-m 'o\"d?#\n\xff [x].keras"
RECIPES = (
    "float32", "int8", "float32[engine=converter]", "int8[engine=converter]", "prune:0.5+int8", "cluster:4+int8", "qat+int8",
)  # fmt: skip


def build() -> Any:
    """A model of two inputs whose layers cannot be written into one HDF5 file (`conv` and `conv/conv`)."""
    import tf_keras

    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(0)
    image, more = layers.Input((8, 8, 1), name=INPUTS[0]), layers.Input((3,), name=INPUTS[1])
    x = layers.Conv2D(4, 3, use_bias=False, name="conv")(image)
    x = layers.ReLU(name="file")(layers.BatchNormalization(name="conv/conv")(x))
    x = layers.Concatenate(name="..")([layers.Flatten(name="x>y")(x), more])
    return tf_keras.Model(
        [image, more], layers.Dense(3, activation="softmax", name=OUTPUT)(x), name="my model [x] <b>$é$"
    )


def arrays(count: int) -> dict[str, Array]:
    draw = np.random.default_rng(count)
    return {INPUTS[0]: draw.random((count, 8, 8, 1), dtype=np.float32), INPUTS[1]: draw.random((count, 3)).astype("f4")}


@pytest.fixture(scope="module")
def swept(warm_engine: workbench.Engine, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("odd")
    path = Path(os.fsdecode(os.path.join(os.fsencode(folder), FILE)))
    build().save(folder / "plain.keras")
    (folder / "plain.keras").rename(path)
    draw = np.random.default_rng(0)
    data = {"x_train": arrays(64), "y_train": draw.integers(0, 3, 64), "x_test": arrays(40), "y_test": draw.integers(0, 3, 40), "class_names": CLASSES}  # fmt: skip
    grid = {"recipes": list(RECIPES), "train": {"epochs": 1}, "measure": {"budget": 1}}
    return workbench.sweep(path, data, grid, study=STUDY, store=folder / "st ore", engine=warm_engine)


def run(study: Study, *words: str) -> str:
    """Run a verb about the study as a process; the name stands behind `--`."""
    return succeed(Path.cwd(), *words, "--store", study.store.root, "--", STUDY)


def test_every_recipe_gives_a_file_with_the_public_names(swept: Study) -> None:
    expected = build()(list(arrays(40).values())).numpy()
    assert {t.recipe: t.error for t in swept.trials} == dict.fromkeys(RECIPES)
    for trial in swept.trials:
        assert trial.artifact is not None
        path = Path(trial.artifact.path)
        ends = describe_ends(path)
        assert {n for n, _ in ends.inputs} == set(INPUTS), trial.recipe
        assert [n for n, _ in ends.outputs] == [OUTPUT], trial.recipe
        assert trial.conversion == "frozen", trial.recipe
        assert [m.state for m in trial.measurements] == ["ok"]
        if "+" not in trial.recipe:
            found, _ = run_all(path, arrays(40))
            np.testing.assert_allclose(found[OUTPUT], expected, atol=0.05)


def test_the_verbs_find_and_show_it(swept: Study) -> None:
    shown = json.loads(run(swept, "show", "--format", "json"))
    assert shown["study"] == STUDY
    assert shown["dataset"]["class_names"] == list(CLASSES)
    assert {t["recipe"] for t in shown["trials"]} == set(RECIPES)
    assert shown["signature"]["outputs"][0]["name"] == OUTPUT
    rows = list(csv.DictReader(io.StringIO(run(swept, "show", "--format", "csv"))))
    assert [r["recipe"] for r in rows] == [t["recipe"] for t in shown["trials"]]
    assert "[red]" in run(swept, "show")
    assert json.loads(run(swept, "best", "--max-drop", "1", "--format", "json"))


def test_the_report_shows_names_as_text(swept: Study, tmp_path: Path) -> None:
    page = swept.report(tmp_path / "page.html")
    text = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;[red]$x$ {1+1}" in text
    assert "<b>[red]" not in text


def test_the_export_predicts_with_the_right_classes(swept: Study, tmp_path: Path) -> None:
    trial = swept.trial("int8")
    folder = swept.export(trial, tmp_path / "bundle")
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["labels"] == list(CLASSES)
    assert (folder / "labels.txt").read_text(encoding="utf-8").split("\n") == ["a b", *CLASSES[1:], ""]
    assert {e["name"] for e in card["inputs"]} == set(INPUTS)
    inputs = arrays(5)
    assert trial.artifact is not None
    classes = run_all(Path(trial.artifact.path), inputs)[0][OUTPUT].argmax(axis=1)
    placed = {f"input_{i}": inputs[e["name"]] for i, e in enumerate(card["inputs"])}
    for name, given in (("named", inputs), ("placed", placed)):
        np.savez(tmp_path / f"{name}.npz", **given)  # type: ignore[arg-type]  # names of arrays, not options
        line = [sys.executable, "-I", str(folder / "predict.py"), str(tmp_path / f"{name}.npz"), "--json"]
        done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=600)
        said = json.loads(done.stdout)
        assert [s["top"][0]["class"] for s in said] == classes.tolist()
        assert [s["top"][0]["label"] for s in said] == [["a b", *CLASSES[1:]][c] for c in classes]
        assert list(said[0]["outputs"]) == [OUTPUT]


def test_the_same_again_is_found(swept: Study, warm_engine: workbench.Engine) -> None:
    """The study's name and model's file are the same to a second run, which does nothing."""
    before = {t.id: t.artifact for t in swept.trials}
    again = workbench.sweep(
        swept.record.model.path, {"x": arrays(40), "y": np.zeros(40, int)}, {"recipes": ["float32"], "measure": {"skip": True}}, store=swept.store.root, engine=warm_engine
    )  # fmt: skip
    assert again.record.name != STUDY
    assert again.record.model == swept.record.model
    assert before == {t.id: t.artifact for t in swept.trials}
