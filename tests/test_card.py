"""What a card and a comparison say of trials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trials import broken, make_devices, make_many, make_record, make_study, make_trial, measured

import workbench
from workbench.cli.app import run
from workbench.dashboard.state import DashboardState
from workbench.names import split
from workbench.recipes.grammar import parse_recipe
from workbench.values.trial import Ratio, Trial
from workbench.values.warning import warning
from workbench.views.card import Card, CardFigure, code_of, compare, trial_card
from workbench.views.deltas import delta_text, verdict
from workbench.views.metric import Metric
from workbench.views.metrics import find_metric


def card(recipe: str, trials: list[Trial]) -> Card:
    return trial_card(next(t for t in trials if t.recipe == recipe), trials, make_record())


def figures(of: Card) -> dict[str, CardFigure]:
    return {f.label: f for f in of.figures}


def test_a_card_holds_a_trial_s_figures_against_the_baseline() -> None:
    found = figures(card("int8", make_study()))
    size = found["File size"]
    assert (size.text, size.baseline, size.delta, size.better) == ("128 kB", "440 kB", "0.29x", "better")
    accuracy = found["Accuracy"]
    assert (accuracy.text, accuracy.delta, accuracy.better) == ("98.66 %", "−0.45 points", "worse")
    latency = found["Latency on xnnpack"]
    assert latency.better == "better"
    low, high = latency.interval.split(" to ")
    assert float(low) < float(latency.text.removesuffix(" ms")) < float(high)
    assert found["Accuracy drop from baseline"].text == "0.45 points"
    assert found["Accuracy drop from baseline"].delta == "", "it is a difference already"
    assert found["Unique weights in a kernel"].better == "", "neither way is better"


def test_the_baseline_s_card_is_held_against_nothing() -> None:
    of = card("float32", make_study())
    assert of.baseline
    assert {(f.baseline, f.delta, f.better) for f in of.figures} == {("", "", "")}


def test_estimates_are_marked_and_have_no_interval() -> None:
    of = card("int8", make_study())
    estimate = figures(of)["Latency on ethos-u55-128 (estimated)"]
    assert estimate.interval == ""
    assert "Latency on ethos-u55-128" not in figures(of)
    assert [r.runtime for r in of.runtimes][-1] == "ethos-u55-128 (estimated)"
    assert "to" not in of.runtimes[-1].latency
    assert "to" in of.runtimes[0].latency


def test_runtimes_tell_what_was_taken_left_and_why_nothing_ran() -> None:
    runs = {r.runtime: r for r in card("int8", make_devices()).runtimes}
    assert (runs["xnnpack"].taken, runs["xnnpack"].left) == ("5/7 in 2 partitions", "SOFTMAX, MEAN")
    assert runs["gpu (software device)"].note == "SwiftShader"
    (skipped,) = [r for r in card("dynamic", make_devices()).runtimes if r.state == "skipped" and "micro" in r.runtime]
    assert (skipped.latency, skipped.note) == ("", "hybrid models are not supported")


def test_the_last_good_measurement_counts() -> None:
    again = make_trial(
        "int8", measurements=[measured("xnnpack", 5.0), measured("xnnpack", 0.2), broken("xnnpack", "no")]
    )
    (run,) = trial_card(again, [again], make_record()).runtimes
    assert run.state == "ok"
    assert run.latency.startswith("0.200 ms")


def test_a_failed_trial_has_a_card_with_its_reason() -> None:
    of = card("prune:0.8+cluster:16+int16x8", make_study())
    assert (of.state, of.figures, of.path, of.code) == ("failed", (), None, {})
    assert "segmentation fault" in (of.error or "")


def test_a_card_carries_census_warnings_and_code_as_json() -> None:
    data: dict[str, Any] = json.loads(json.dumps(card("int16x8", make_study()).to_json(), allow_nan=False))
    assert data["weights"] == [{"type": "int8", "text": "123 kB"}]
    assert data["operators"][0] == {"name": "CONV_2D", "count": 5}
    assert data["warnings"][0]["kind"] == "reference-kernels"
    assert data["warnings"][0]["advice"] == warning("reference-kernels", "").advice
    assert data["code"]["cli"] == "workbench export digits-sweep int16x8 --out exported"


def test_code_can_be_pasted_whatever_the_recipe() -> None:
    recipe = "int8[granularity=channel]"
    trial = make_trial("int8").model_copy(update={"recipe": recipe, "steps": parse_recipe(recipe).steps})
    code = code_of(trial, "my study")
    assert code["cli"] == "workbench export 'my study' 'int8[granularity=channel]' --out exported"
    compile(code["python"], "pasted", "exec")


@pytest.mark.slow
def test_code_to_copy_runs_as_it_stands_elsewhere(
    small_keras_model: Any, tmp_path: Path, warm_engine: workbench.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line in a folder of its own, where there is no store."""
    x = np.random.default_rng(0).random((8, 8, 8, 1), np.float32)
    store, grid = tmp_path / "a store", {"quantize": ["float32"], "measure": {"skip": True}}
    study = workbench.sweep(small_keras_model, {"x_test": x}, grid, study="my study", store=store, engine=warm_engine)
    state = DashboardState(study)
    state.selected = [study.trials[0].id]
    code = state.selection()["card"]["code"]
    for kind, line in code.items():
        (tmp_path / kind).mkdir()
        monkeypatch.chdir(tmp_path / kind)
        if kind == "python":
            exec(line, {})
        else:
            assert run(split(line.replace("%wb ", "workbench "))[1:]) == 0
        made = study.trials[0].artifact
        assert made is not None
        assert (tmp_path / kind / "exported" / "model.tflite").read_bytes() == Path(made.path).read_bytes()
    assert list(code) == ["magic", "cli", "python"]


# ---- side by side


def test_a_comparison_is_against_the_baseline_when_it_is_selected() -> None:
    trials = make_study()
    chosen = [t for t in trials if t.recipe in ("float32", "int8", "int16x8")]
    found = compare(chosen[::-1], trials)
    assert found.recipes[0] == "float32"
    assert set(found.recipes) == {"float32", "int8", "int16x8"}
    rows = {r.label: dict(zip(found.recipes, r.cells, strict=True)) for r in found.rows}
    assert rows["File size"]["float32"].better == ""
    assert rows["File size"]["int8"].better == "better", "less is better"
    assert rows["Accuracy"]["int8"].better == "worse", "more is better"
    assert rows["Latency on xnnpack"]["int16x8"].better == "worse"
    assert rows["Latency on ethos-u55-128 (estimated)"]["int16x8"].text == "–"
    assert rows["Latency on ethos-u55-128 (estimated)"]["int8"].better == "", "there is nothing to hold it against"
    assert "float32 (baseline)" in found.note


def test_without_the_baseline_the_first_selected_is_the_reference() -> None:
    trials = make_study()
    by = {t.recipe: t for t in trials}
    found = compare([by["int16x8"], by["int8"]], trials)
    rows = {r.label: r.cells for r in found.rows}
    assert found.recipes == ("int16x8", "int8")
    assert [c.better for c in rows["Accuracy"]] == ["", "worse"]
    assert [c.better for c in rows["Latency on xnnpack"]] == ["", "better"]
    assert "int16x8" in found.note


def test_many_are_cut_and_the_note_says_so() -> None:
    trials = [t for t in make_many(40) if t.state == "ok"]
    found = compare(trials[5:20], trials)
    assert len(found.ids) == 8
    assert "The first 8 of 15 selected" in found.note


# ---- differences


def test_a_time_within_the_noise_is_the_same() -> None:
    base = make_trial("float32", latency=1.0)
    noisy = measured("xnnpack", 0.98, base=1.0)
    ratio = Ratio(median=0.98, low=0.95, high=1.01, rounds=40)
    trials = [base, make_trial("int8", measurements=[noisy.model_copy(update={"ratio": ratio})])]
    assert figures(card("int8", trials))["Latency on xnnpack"].better == "same"
    sure = Ratio(median=0.98, low=0.97, high=0.99, rounds=40)
    trials[1] = make_trial("int8", measurements=[noisy.model_copy(update={"ratio": sure})])
    assert figures(card("int8", trials))["Latency on xnnpack"].better == "better", "the pairs tell more"
    assert figures(card("int8", trials))["Latency on xnnpack"].delta == "0.98x"


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [("size", 1.0, "better"), ("size", 3.0, "worse"), ("accuracy", 1.0, "worse"), ("accuracy", 3.0, "better"),
     ("size", 2.0, "same"), ("sparsity", 3.0, "")],
)  # fmt: skip
def test_each_metric_has_its_better_way(metric: str, value: float, expected: str) -> None:
    found: Metric = find_metric(metric, [])
    assert verdict(found, value, 2.0) == expected
    assert verdict(found, None, 2.0) == verdict(found, value, None) == ""


def test_overlapping_intervals_are_no_difference() -> None:
    time = find_metric("latency", [])
    assert verdict(time, 1.0, 2.0, (0.9, 1.6), (1.5, 2.5)) == "same"
    assert verdict(time, 1.0, 2.0, (0.9, 1.1), (1.5, 2.5)) == "better"


@pytest.mark.parametrize(
    ("value", "reference", "unit", "expected"),
    [(0.9866, 0.9911, "share", "−0.45 points"), (0.99, 0.98, "share", "+1.00 points"), (0.5, 0.5, "share", "0.00 points"),
     (40.0, 43.25, "db", "−3.2 dB"), (29.0, 100.0, "bytes", "0.29x"), (1.0, 0.0, "ms", ""), (None, 1.0, "ms", ""),
     (float("inf"), 1.0, "db", ""), (0.98999, 0.99, "share", "0.00 points")],
)  # fmt: skip
def test_differences_are_written_for_people(value: float | None, reference: float, unit: Any, expected: str) -> None:
    assert delta_text(value, reference, unit) == expected
