"""`calibration-sweep`: each trial's file has the ranges of the samples that its size and seed draw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from workbench.cli.app import run
from workbench.errors import WorkbenchError
from workbench.study import open_study


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 train and 40 test images (8, 8, 1) of a long tail, so that each draw has another largest value."""
    draw = np.random.default_rng(0)
    x = draw.exponential(1, (100, 8, 8, 1)).astype(np.float32)
    y = draw.integers(0, 6, 100)
    path = tmp_path_factory.mktemp("data") / "d.npz"
    np.savez(path, x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    return path


@pytest.mark.slow
def test_sizes_and_seeds_are_trials_of_one_study(
    small_h5: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", str(tmp_path / "store")]
    words = ["calibration-sweep", str(small_h5), "--data", str(data), "--sizes", "5,20,500", "--seeds", "0,1"]
    assert run([*words, "--jobs", "1", "--study", "s", *store, "--format", "json"]) == 0
    said = capsys.readouterr()
    rows: list[dict[str, Any]] = json.loads(said.out)
    assert [(r["recipe"], r["samples"], r["seed"]) for r in rows] == [
        ("float32", None, None),
        ("int8", 5, 0),
        ("int8", 5, 1),
        ("int8", 20, 0),
        ("int8", 20, 1),
        ("int8", 60, 0),
    ]
    assert "there are 60 samples to draw from" in said.err
    assert {r["ranges"] for r in rows[1:]} == {"min-max"}
    trials = [t for t in open_study("s", tmp_path / "store").trials if not t.baseline]
    assert len(trials) == 5
    x = np.load(data)["x_train"]
    scales = set()
    for trial in trials:
        assert trial.settings is not None
        assert trial.settings.calibration is not None
        assert trial.artifact is not None
        scale, _ = Interpreter(model_path=trial.artifact.path).get_input_details()[0]["quantization"]
        count = trial.settings.calibration.samples
        chosen = np.random.default_rng(trial.settings.seed).choice(60, count, replace=False)
        assert scale == pytest.approx(x[chosen].max() / 255, rel=1e-5)
        scales.add(scale)
    assert len(scales) >= 4  # the largest value may be in two draws
    # As a table: sizes with the mean and spread of their draws, and what method there is.
    assert run([*words, "--jobs", "1", "--study", "s", *store]) == 0
    told = capsys.readouterr().out
    assert "By size, over seeds" in told
    assert "the quantizers here have no other method for activations" in told


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--sizes", "0"], "--sizes '0' is not understood. Allowed: whole numbers from 1"),
        (["--seeds", "a"], "--seeds 'a' is not understood"),
        (["--sizes", ","], "--sizes"),
    ],
)
def test_words_that_are_no_numbers(small_h5: Path, data: Path, more: list[str], said: str) -> None:
    with pytest.raises(WorkbenchError, match=said):
        run(["calibration-sweep", str(small_h5), "--data", str(data), *more])
