"""What the dashboard shows and how it answers, without a browser and without a widget."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from trials import broken, make_devices, make_many, make_record, make_study, make_trial, measured

from workbench.dashboard.limits import MOST_STOPS, NO_LIMIT, stops_for
from workbench.dashboard.source import TrialSource
from workbench.dashboard.state import DashboardState, eta_text
from workbench.dashboard.table import PAGE
from workbench.engine.events import Event
from workbench.errors import WorkbenchError
from workbench.values.limits import read_limits
from workbench.values.study import StudyRecord
from workbench.values.trial import Trial
from workbench.views.columns import Columns
from workbench.views.metrics import metrics_for, outcome_of, places_of
from workbench.views.pareto import best
from workbench.views.tradeoff import across

Shown = dict[str, Any]


class Made:
    """A source made of trials, as a study gives them."""

    def __init__(self, trials: Sequence[Trial] = (), running: bool = False, error: str | None = None, **record: Any):
        self.name = "digits-sweep"
        self.record: StudyRecord = make_record(**record)
        self.trials = list(trials)
        self.running = running
        self.error = error

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        return lambda: None

    def cancel(self) -> None:
        self.running = False

    def export(self, trial: str | Trial, path: str | Path) -> Path:
        return Path(path)


def dashboard(trials: Sequence[Trial] = (), **more: Any) -> DashboardState:
    source: TrialSource = Made(trials, **more)
    return DashboardState(source)


def shown(state: DashboardState) -> dict[str, Shown]:
    """Everything that can be shown, through JSON, which knows neither NaN nor infinity."""
    names = ("header", "figure", "limits", "selection", "table", "parallel", "failures", "environment")
    return {name: json.loads(json.dumps(getattr(state, name)(), allow_nan=False)) for name in names}


def points(figure: Shown) -> list[Shown]:
    return [t for t in figure["figure"]["data"] if t["meta"]["role"] == "points"]


def role(figure: Shown, name: str) -> list[Shown]:
    return [t for t in figure["figure"]["data"] if t["meta"]["role"] == name]


def slider(limits: Shown, name: str) -> Shown:
    (found,) = [s for s in limits["limits"] if s["name"] == name]
    return dict(found)


# ---- states of a study


def test_an_empty_study_shows_that_nothing_is_there() -> None:
    found = shown(dashboard())
    assert found["header"]["state"] == "empty"
    assert "No variant has run yet" in [a["text"] for a in found["figure"]["figure"]["layout"]["annotations"]]
    assert found["figure"]["choices"]["x"], "axes can be chosen before the first figure"
    assert (found["limits"]["limits"], found["limits"]["best"], found["limits"]["words"]) == (
        [],
        None,
        "No variant has run yet.",
    )
    assert found["selection"] == {"kind": "none"}
    assert (found["table"]["rows"], found["table"]["total"], found["table"]["pages"]) == ([], 0, 1)
    assert found["parallel"]["figure"] is None
    assert found["parallel"]["note"]
    assert found["failures"] == {"groups": []}
    assert found["environment"]["model"]["name"] == "digits_cnn"


def test_a_running_study_shows_its_progress_and_fills() -> None:
    source = Made([make_trial("float32"), make_trial("int8", state="pending")], running=True)
    state = DashboardState(source)
    state.event(Event("stage-done", "build", "prune:0.5", done=3, total=12, failed=1, eta_s=95.0))
    header = state.header()
    assert (header["state"], header["phase"], header["label"]) == ("running", "build", "prune:0.5")
    assert (header["done"], header["total"], header["failed"], header["eta"]) == (3, 12, 1, "about 2 min left")
    assert header["can_cancel"]
    assert header["counts"] == {"ok": 1, "failed": 0, "skipped": 0, "running": 0, "pending": 1}
    assert not state.refresh(), "nothing has changed"
    before = state.figure()
    source.trials = [make_trial("float32"), make_trial("int8")]
    assert state.refresh()
    assert len(points(state.figure())) == len(points(before)) + 1
    source.running = False
    assert state.refresh()
    after = state.header()
    assert (after["state"], after["done"], after["total"], after["eta"], after["can_cancel"]) == (
        "done",
        2,
        2,
        "",
        False,
    )


def test_a_measurement_that_changed_is_a_change() -> None:
    source = Made([make_trial("float32", latency=1.0)])
    state = DashboardState(source)
    source.trials = [make_trial("float32", latency=1.1)]
    assert state.refresh()
    assert slider(state.limits(), "latency_ms")["stops"][0] == 1.1


@pytest.mark.parametrize(
    ("trials", "error", "expected"),
    [
        ([make_trial("float32", state="failed", error="out of memory")], None, "failed"),
        ([make_trial("float32"), make_trial("int8", state="failed", error="no")], None, "done"),
        ([make_trial("float32")], "store is full", "failed"),
        ([], "the model cannot be read", "failed"),
        ([make_trial("float32"), make_trial("int8", state="pending")], None, "stopped"),
        ([make_trial("float32"), make_trial("int8", state="running")], None, "stopped"),
        ([make_trial("float32")], "cancelled", "stopped"),
    ],
)
def test_how_a_study_ended(trials: list[Trial], error: str | None, expected: str) -> None:
    header = dashboard(trials, error=error).header()
    assert (header["state"], header["error"]) == (expected, error)


def test_a_failed_study_has_its_reasons_and_no_point() -> None:
    found = shown(dashboard([make_trial(r, state="failed", error="signal 11") for r in ("float32", "int8")]))
    assert points(found["figure"]) == []
    (group,) = found["failures"]["groups"]
    assert (group["recipes"], group["count"], group["reason"]) == (["float32", "int8"], 2, "signal 11")
    assert len(found["table"]["rows"]) == 2
    assert found["limits"]["words"] == "No variant has run yet."


def test_time_left_is_said_as_people_do() -> None:
    said = [eta_text(s) for s in (None, math.nan, math.inf, -1.0, 2.0, 31.0, 95.0, 4000.0)]
    assert said == ["", "", "", "", "about 5 s left", "about 30 s left", "about 2 min left", "about 1 h 7 min left"]


# ---- the chart


def test_the_chart_holds_every_good_trial_once() -> None:
    trials = make_study()
    figure = dashboard(trials).figure()
    ids = [i for t in points(figure) for i in t["meta"]["ids"]]
    assert sorted(ids) == sorted(t.id for t in trials if t.state == "ok")
    assert figure["choices"]["x"] == "size"
    assert figure["choices"]["y"] == "accuracy"
    assert {t["name"] for t in points(figure)} == {"float32", "float16", "dynamic", "int8", "int16x8", "int4-block32"}
    assert role(figure, "baseline")[0]["meta"]["ids"] == [trials[0].id]


def test_other_axes_bring_other_figures_and_their_whiskers() -> None:
    state = dashboard(make_study())
    state.choose(x="latency@xnnpack", y="compressed")
    figure = state.figure()
    float32 = next(t for t in points(figure) if t["name"] == "float32")
    assert float32["x"][0] == 0.742
    assert float32["error_x"]["visible"]
    assert figure["figure"]["layout"]["xaxis"]["title"]["text"] == "Latency on xnnpack (ms)"
    assert figure["choices"]["x_log"], "it spans more than a factor of ten"
    state.choose(x_log=False)
    assert state.figure()["figure"]["layout"]["xaxis"]["type"] == "linear"
    state.choose(x="size")
    state.choose(x="latency@xnnpack")
    assert state.figure()["choices"]["x_log"], "another metric takes the axis that serves it"


def test_unknown_names_are_told_with_the_nearest_and_change_nothing() -> None:
    state = dashboard(make_study())
    state.choose(x="compressed")
    with pytest.raises(WorkbenchError, match=r"unknown metric 'acuracy'\. Did you mean 'accuracy'"):
        state.choose(y="acuracy", colour="techniques")
    with pytest.raises(WorkbenchError, match="unknown colour 'recipe'"):
        state.choose(x="size", colour="recipe")
    with pytest.raises(WorkbenchError, match="unknown symbol 'shape'"):
        state.choose(symbol="shape")
    choices = state.figure()["choices"]
    assert (choices["x"], choices["y"], choices["colour"]) == ("compressed", "accuracy", "scheme")


def test_zero_has_no_place_on_a_logarithmic_axis() -> None:
    state = dashboard(make_study())
    assert state.figure()["choices"]["x_log_possible"], "a size is above zero"
    state.choose(y="accuracy_drop", y_log=True)
    figure = state.figure()
    assert not figure["choices"]["y_log_possible"], "the baseline lost nothing"
    assert not figure["choices"]["y_log"]
    assert figure["figure"]["layout"]["yaxis"]["type"] == "linear"
    state.choose(x_log=True)
    assert state.figure()["figure"]["layout"]["xaxis"]["type"] == "log"
    state.choose(x="accuracy_drop", x_log=True)
    assert state.figure()["figure"]["layout"]["xaxis"]["type"] == "linear"


def test_figures_that_are_missing_are_told_and_not_drawn() -> None:
    trials = [make_trial("float32"), make_trial("int8", measurements=())]
    state = dashboard(trials)
    state.choose(x="latency@xnnpack")
    figure = state.figure()
    (note,) = [a["text"] for a in figure["figure"]["layout"]["annotations"] if a["name"] == "note"]
    assert note == "Not drawn: int8 (no figure for these axes)"
    assert [t["x"] for t in points(figure) if t["name"] == "int8"] == [[None]]
    endless = trials[1].quality
    assert endless is not None
    trials[1] = trials[1].model_copy(update={"quality": endless.model_copy(update={"sqnr_db": math.inf})})
    state = dashboard(trials)
    state.choose(y="sqnr_db")
    json.dumps(state.figure(), allow_nan=False)


def test_colours_and_symbols_change_places() -> None:
    state = dashboard(make_study())
    state.choose(colour="techniques", symbol="scheme")
    figure = state.figure()
    assert {t["name"] for t in points(figure)} == {"none", "prune", "cluster", "prune+cluster"}
    symbols = {s.removesuffix("-open") for t in points(figure) for s in t["marker"]["symbol"]}
    assert len(symbols) == 6, "one for each scheme"
    assert figure["figure"]["layout"]["legend"]["title"]["text"] == "Techniques"
    legend = [t["name"] for t in role(figure, "legend") if t.get("legend") == "legend2"]
    assert legend == ["float32", "float16", "dynamic", "int8", "int16x8", "int4-block32"]


def test_a_symbol_by_runtime_has_a_point_for_each_runtime() -> None:
    trials = make_study()
    state = dashboard(trials)
    assert "runtime" not in [s["name"] for s in state.figure()["choices"]["symbols"]]
    with pytest.raises(WorkbenchError, match="needs an axis"):
        state.choose(symbol="runtime")
    state.choose(x="latency@reference", symbol="runtime")
    figure = state.figure()
    assert figure["choices"]["x"] == "latency"
    assert figure["figure"]["layout"]["xaxis"]["title"]["text"] == "Latency (ms)"
    ids = [i for t in points(figure) for i in t["meta"]["ids"]]
    on_both = trials[3].id
    assert ids.count(on_both) == 2
    not_on_reference = trials[1].id
    assert ids.count(not_on_reference) == 1
    shapes = {s for t in points(figure) for s in t["marker"]["symbol"]}
    assert len(shapes) == 2
    legend = [t["name"] for t in role(figure, "legend") if t.get("legend") == "legend2"]
    assert legend == ["xnnpack", "reference"], "the estimate is not among what was measured"
    state.choose(x="size")
    assert state.figure()["choices"]["symbol"] == "techniques", "no axis is of a runtime any more"


def test_the_front_over_all_runtimes_is_that_of_the_points_drawn() -> None:
    trials = [
        make_trial("float32", measurements=[measured("a", 2.0), measured("b", 1.0)], accuracy=0.99),
        make_trial("int8", measurements=[measured("a", 0.5), measured("b", 3.0)], accuracy=0.98),
    ]
    state = dashboard(trials)
    state.choose(x="latency@a", symbol="runtime")
    (front,) = role(state.figure(), "front")
    assert list(zip(front["x"], front["y"], strict=True)) == [(0.5, 0.98), (1.0, 0.99)]
    # The limit of time is still that of the first runtime.
    state.limit({"latency_ms": 1.5, "size": None, "accuracy_drop": None})
    assert state.limits()["out"] == [trials[0].id]
    assert state.columns.values(state.columns.metrics["latency"]) == [2.0, 0.5]


def test_estimates_never_share_an_axis_with_what_was_measured() -> None:
    trials = make_devices()
    state = dashboard(trials)
    state.choose(x="latency@xnnpack", symbol="runtime")
    legend = [t["name"] for t in role(state.figure(), "legend") if t.get("legend") == "legend2"]
    assert "xnnpack" in legend
    assert not [name for name in legend if "ethos" in name]
    assert [name for name in legend if name.startswith("micro")] == ["micro (host time)"]
    assert (
        state.figure()["figure"]["layout"]["xaxis"]["title"]["text"]
        == "Latency (ms, partly software device, host time)"
    )
    state.choose(x="estimated_latency@ethos-u55-128")
    figure = state.figure()
    assert figure["choices"]["symbol"] == "techniques", "one estimate is not several"
    assert figure["figure"]["layout"]["xaxis"]["title"]["text"] == "Latency on ethos-u55-128 (ms, estimated)"
    labels = {m["name"]: m["label"] for m in figure["choices"]["metrics"]}
    assert all("estimated" in label for name, label in labels.items() if name.startswith("estimated_"))
    assert "latency@ethos-u55-128" not in labels
    for parts in state.table()["columns"]:
        if "ethos" in parts["label"]:
            assert "estimated" in parts["label"]


def test_one_runtime_measured_and_estimated_is_no_pair_of_runtimes() -> None:
    # Two of them, so that they could be told apart by symbol if they were one family.
    both = [measured(n, 3.0) for n in ("npu", "dsp")] + [measured(n, 1.0, kind="estimated") for n in ("npu", "dsp")]
    state = dashboard([make_trial("float32", measurements=both), make_trial("int8", measurements=both)])
    state.choose(x="latency@npu", y="estimated_latency@npu")
    assert "runtime" not in [s["name"] for s in state.figure()["choices"]["symbols"]]


def test_regression_begins_with_its_own_error() -> None:
    found = dashboard([make_trial(r, task="regression") for r in ("float32", "int8")])
    assert found.figure()["choices"]["y"] == "rmse"
    assert "accuracy_drop" not in [s["name"] for s in found.limits()["limits"]]


# ---- limits


def test_limits_begin_with_the_grid_s_and_name_the_best() -> None:
    trials = make_study()
    state = dashboard(trials)
    limits = state.limits()
    assert slider(limits, "size")["stops"][slider(limits, "size")["value"]] == 150_000
    assert slider(limits, "accuracy_drop")["stops"][slider(limits, "accuracy_drop")["value"]] == 0.01
    assert slider(limits, "latency_ms")["texts"][slider(limits, "latency_ms")["value"]] == NO_LIMIT
    right = best(trials, read_limits({"accuracy_drop": 0.01, "size": 150_000}, "constraints"))
    assert right is not None
    assert limits["best"]["id"] == right.id
    assert limits["words"].startswith(f"Smallest of {limits['fit']} that fit: {right.recipe}, 128 kB, accuracy 98.")
    assert limits["fit"] + len(limits["out"]) == limits["of"] == 33


def test_a_limit_changes_the_best() -> None:
    state = dashboard(make_study())
    before = state.limits()["best"]["recipe"]
    state.limit({"accuracy_drop": 0.001})
    after = state.limits()
    assert after["best"]["recipe"] != before
    state.limit({"size": 1000})
    assert (state.limits()["best"], state.limits()["words"]) == (None, "No variant fits; loosen a limit.")
    state.limit({"size": None, "accuracy_drop": None})
    free = state.limits()
    assert (free["fit"], free["out"]) == (33, [])
    assert free["words"].startswith("Smallest of all 33: ")


def test_the_limit_of_time_is_that_of_the_runtime_chosen() -> None:
    state = dashboard(make_study(), grid={})
    assert (state.limits()["runtime"], state.limits()["runtimes"]) == (
        "xnnpack",
        ["xnnpack", "reference", "ethos-u55-128"],
    )
    state.limit({"latency_ms": 0.3})
    on_xnnpack = state.limits()
    assert {i["label"] for i in on_xnnpack["limits"]} >= {"Latency on xnnpack (ms)"}
    assert 0 < on_xnnpack["fit"] < on_xnnpack["of"]
    state.limit({}, runtime="reference")
    assert state.limits()["best"] is None, "nothing is that fast there"
    state.limit({"latency_ms": 2.5}, runtime="ethos-u55-128")
    on_estimate = state.limits()
    assert slider(on_estimate, "latency_ms")["label"] == "Latency on ethos-u55-128 (ms, estimated)"
    assert "(estimated)" in on_estimate["words"]
    assert on_estimate["fit"] == 6, "what has no figure does not keep a limit on it"
    with pytest.raises(WorkbenchError, match="unknown measured runtime 'gpu'"):
        state.limit({}, runtime="gpu")


def test_wrong_limits_are_told() -> None:
    state = dashboard(make_study())
    with pytest.raises(WorkbenchError, match=r"unknown limit 'latency'\. Did you mean 'latency_ms'"):
        state.limit({"latency": 1.0})
    with pytest.raises(WorkbenchError, match="accuracy_drop = 2"):
        state.limit({"accuracy_drop": 2.0})


def keeps(trial: Trial, baseline: Trial, asked: dict[str, Any]) -> bool:
    """Whether a trial keeps limits, from its own fields."""
    assert trial.size
    assert trial.quality
    assert baseline.quality
    times = [m.latency_ms.median for m in trial.measurements if m.runtime == "xnnpack" and m.latency_ms]
    lost = (baseline.quality.accuracy or 0.0) - (trial.quality.accuracy or 0.0)
    held = ((asked["size"], trial.size.file), (asked["accuracy_drop"], lost), (asked["latency_ms"], times[-1]))
    return all(limit is None or value <= limit + 1e-9 for limit, value in held)


@pytest.mark.parametrize("seed", range(20))
def test_limits_hold_as_the_library_holds_them(seed: int) -> None:
    draw = random.Random(seed)
    trials = make_study()
    asked: dict[str, Any] = {
        "size": draw.choice([None, draw.randrange(90_000, 450_000)]),
        "accuracy_drop": draw.choice([None, round(draw.uniform(0, 0.03), 4)]),
        "latency_ms": draw.choice([None, round(draw.uniform(0.1, 2.0), 3)]),
    }
    state = dashboard(trials, grid={})
    state.limit(asked)
    limits = state.limits()
    found = best(trials, read_limits(asked, "constraints"))
    assert (limits["best"]["id"] if limits["best"] else None) == (found.id if found else None)
    assert set(limits["out"]) == {t.id for t in trials if t.state == "ok" and not keeps(t, trials[0], asked)}
    for part in limits["limits"]:
        assert len(part["stops"]) == len(part["texts"]) <= MOST_STOPS
        assert part["stops"] == sorted(set(part["stops"]))
        limit = asked[part["name"]]
        if limit is None:
            assert part["value"] == len(part["stops"]) - 1
        else:
            assert part["stops"][part["value"]] == limit


def test_each_stop_means_what_its_text_says() -> None:
    assert stops_for([128_431, 128_433, 440_000], "bytes") == (129_000, 440_000, 484_000)
    assert stops_for([-0.001, 0.00451, 0.02], "points") == (0.0, 0.0046, 0.02, 0.022)
    assert stops_for([0.2123], "ms", 0.5) == (0.213, 0.5, 0.55)
    many = stops_for([1000.0 + 10 * i for i in range(5000)], "bytes", 12_345.0)
    assert len(many) <= MOST_STOPS
    assert 12_345.0 in many
    assert many[-2] >= 50_990


def test_what_is_out_is_shaded_on_the_axis_that_shows_it() -> None:
    trials = make_study()
    quality = trials[0].quality
    assert quality is not None
    assert quality.accuracy is not None
    state = dashboard(trials)
    shade = {s["axis"]: s for s in state.limits()["shade"]}
    assert shade["x"] == {"axis": "x", "beyond": 150_000, "side": "above"}
    assert shade["y"]["side"] == "below"
    assert shade["y"]["beyond"] == pytest.approx(quality.accuracy - 0.01)
    state.choose(x="latency@reference", y="accuracy_drop")
    state.limit({"latency_ms": 6.0})
    assert [s["axis"] for s in state.limits()["shade"]] == ["y"], "the limit is on xnnpack"
    state.limit({}, runtime="reference")
    assert state.limits()["shade"][0] == {"axis": "x", "beyond": 6.0, "side": "above"}


def test_a_limit_that_nothing_has_a_figure_for_is_said_not_to_be_held() -> None:
    asked = {"size": 150_000, "latency_ms": {"gpu": 2.0}, "figures": {"iou": 0.5}}
    state = dashboard(make_study(), grid={"constraints": asked})
    alone = dashboard(make_study(), grid={"constraints": {"size": 150_000}})
    assert state.limits()["fit"] == alone.limits()["fit"]
    said = " Not held, since no variant has such a figure: at most 2 ms on gpu, iou no worse than 0.5."
    assert state.limits()["words"] == alone.limits()["words"] + said
    state.limit({"latency_ms@gpu": None, "iou": None})
    assert "Not held" not in state.limits()["words"]
    waiting = [make_trial(), make_trial("int8", state="pending")]
    assert (
        "Not held"
        not in dashboard(
            [t.model_copy(update={"state": "pending"}) for t in waiting], grid={"constraints": asked}
        ).limits()["words"]
    )


def test_a_grid_with_constraints_of_another_version_is_no_hindrance() -> None:
    state = dashboard(make_study(), grid={"constraints": {"energy": 3}})
    assert state.limits()["fit"] == 33


# ---- selection


def test_selecting_one_shows_its_card_and_several_side_by_side() -> None:
    trials = make_study()
    by = {t.recipe: t for t in trials}
    state = dashboard(trials)
    state.select([by["int8"].id])
    assert state.selection()["kind"] == "card"
    assert state.selection()["card"]["recipe"] == "int8"
    state.select([by["int8"].id, by["float32"].id, by["int8"].id])
    found = state.selection()
    assert (found["kind"], found["recipes"]) == ("comparison", ["float32", "int8"])
    rows = {r["label"]: r["cells"][1]["better"] for r in found["rows"]}
    assert (rows["File size"], rows["Accuracy"]) == ("better", "worse")
    state.select([])
    assert state.selection() == {"kind": "none"}
    with pytest.raises(WorkbenchError, match="has no trial 'nothing'"):
        state.select(["nothing"])


def test_what_is_selected_and_gone_is_no_longer_selected() -> None:
    source = Made(make_study())
    state = DashboardState(source)
    state.select([source.trials[1].id])
    source.trials = source.trials[:1]
    assert state.refresh()
    assert state.selection() == {"kind": "none"}


# ---- the table


def test_the_table_is_sorted_over_all_with_the_unknown_last() -> None:
    state = dashboard(make_study())
    state.arrange(sort="size_bytes")
    up = state.table()
    key = [c["key"] for c in up["columns"]].index("size_bytes")
    texts = [r["cells"][key]["text"] for r in up["rows"]]
    assert texts[0] == "92.2 kB"
    assert texts[-3:] == ["–"] * 3
    state.arrange(descending=True)
    down = [r["cells"][key]["text"] for r in state.table()["rows"]]
    assert down[0] == "441 kB"
    assert down[-3:] == ["–"] * 3
    assert up["rows"][0]["cells"][0]["text"].endswith("int4-block32")
    state.arrange(sort="recipe", descending=False)
    recipes = [r["cells"][0]["text"] for r in state.table()["rows"]]
    assert recipes == sorted(recipes)
    with pytest.raises(WorkbenchError, match="unknown column 'sizes'"):
        state.arrange(sort="sizes")


def test_words_of_the_filter_all_have_to_be_there() -> None:
    state = dashboard(make_study())
    state.arrange(filter="INT8 prune:0.8")
    assert {r["cells"][0]["text"] for r in state.table()["rows"]} == {"prune:0.8+int8", "prune:0.8+cluster:16+int8"}
    state.arrange(filter="slower-than")
    assert state.table()["matched"] == 5
    state.arrange(filter="", state="failed")
    found = state.table()
    assert (found["matched"], found["total"]) == (3, 36)
    assert {r["state"] for r in found["rows"]} == {"failed"}
    state.arrange(filter="no such thing", state="")
    assert state.table()["rows"] == []


def test_pages_hold_each_trial_once() -> None:
    state = dashboard(make_many(130))
    seen = []
    for page in range(3):
        state.arrange(page=page)
        seen += [r["id"] for r in state.table()["rows"]]
    assert seen == [t.id for t in state.columns.trials]
    state.arrange(page=99)
    assert state.table()["page"] == 2
    state.arrange(filter="int8")
    assert state.table()["page"] == 0, "another choice begins on the first page"


def test_a_runtime_that_did_not_run_a_trial_says_why_in_the_table() -> None:
    found = dashboard(make_study()).table()
    key = [c["key"] for c in found["columns"]].index("latency_ms@reference")
    cell = next(r for r in found["rows"] if r["cells"][0]["text"] == "float16")["cells"][key]
    assert (cell["text"], "DEQUANTIZE" in cell["reason"]) == ("failed", True)


def test_a_runtime_and_its_stand_in_are_columns_of_their_own() -> None:
    trials = [
        make_trial("float32", measurements=[measured("gpu", 0.5)]),
        make_trial("int8", measurements=[measured("gpu", 7.0, software=True)]),
        make_trial("dynamic", measurements=[broken("gpu", "no adapter")]),
    ]
    state = dashboard(trials)
    state.arrange(sort="latency_ms@gpu (software device)")
    found = state.table()
    keys = [c["key"] for c in found["columns"]]
    assert len(keys) == len(set(keys))
    assert found["rows"][0]["cells"][0]["text"] == "int8"
    assert next(c["label"] for c in found["columns"] if c["key"] == found["sort"]) == "Latency (software device) on gpu"


# ---- the other tabs


def test_parallel_coordinates_have_an_axis_for_each_main_metric() -> None:
    found = dashboard(make_study()).parallel()
    (trace,) = found["figure"]["data"]
    labels = [d["label"] for d in trace["dimensions"]]
    assert labels[0] == "File size (bytes)"
    assert "Latency on xnnpack (ms)" in labels
    assert (
        {len(d["values"]) for d in trace["dimensions"]} == {len(trace["line"]["color"])} == {len(trace["meta"]["ids"])}
    )
    assert found["note"] == "Not drawn: 6 of 33 variants, which lack a figure of these axes."
    latency = trace["dimensions"][labels.index("Latency on xnnpack (ms)")]
    assert latency["ticktext"][0].endswith(" ms")
    assert 10 ** latency["range"][0] == pytest.approx(0.2, abs=0.05), "its values are logarithms"


def test_failures_of_runtimes_stand_beside_those_of_variants() -> None:
    groups = dashboard(make_study()).failures()["groups"]
    assert [g["what"] for g in groups].count("variant failed") == 3
    (on_reference,) = [g for g in groups if g["what"] == "on reference"]
    assert on_reference["count"] == 6


def test_the_environment_tells_where_and_how() -> None:
    found = dashboard(make_study()).environment()
    assert ["versions / tensorflow", "2.21.0"] in found["facts"]
    assert found["command"].startswith("workbench sweep")
    assert "constraints: {accuracy_drop: 0.01, size: 150KB}" in found["grid"]
    assert found["dataset"]["classes"] == 10


# ---- columns


def test_columns_hold_what_the_metrics_tell_one_by_one() -> None:
    trials = [*make_study(), *make_devices()]
    columns = Columns(trials)
    assert list(columns.metrics) == list(metrics_for(trials))
    for metric in columns.metrics.values():
        assert columns.values(metric) == [metric.value(t, columns.baseline) for t in trials], metric.name
        assert columns.intervals(metric) == [metric.interval(t) for t in trials], metric.name
    for place in places_of(trials):
        found = columns.outcomes(place)
        assert [found.get(i) for i in range(len(trials))] == [outcome_of(t, place) for t in trials], place.text


def test_a_metric_across_runtimes_is_not_taken_for_the_one_of_its_name() -> None:
    columns = Columns([make_trial("float32", measurements=[measured("a", 2.0), measured("b", 1.0)])])
    everywhere = across(columns, columns.metrics["latency@b"])
    assert everywhere.name == "latency"
    assert columns.values(everywhere) == [1.0]
    assert columns.values(columns.metrics["latency"]) == [2.0]


# ---- ten thousand trials


@pytest.fixture(scope="module")
def many() -> DashboardState:
    return dashboard(make_many(10_000))


@pytest.mark.slow
def test_ten_thousand_trials_are_all_there_in_light_messages(many: DashboardState) -> None:
    found = shown(many)
    figure = found["figure"]
    assert figure["crowded"]
    assert {t["type"] for t in points(figure)} == {"scattergl"}
    assert sum(len(t["x"]) for t in points(figure)) == sum(t.state == "ok" for t in many.columns.trials) == 10_000
    assert not any("error_x" in t for t in points(figure))
    hover = points(figure)[0]["customdata"][0][1]
    assert hover.count("<br>") <= 3
    assert len(json.dumps(figure)) < 3_000_000
    assert all(len(s["stops"]) <= MOST_STOPS for s in found["limits"]["limits"])
    assert (len(found["table"]["rows"]), found["table"]["pages"], found["table"]["total"]) == (PAGE, 200, 10_000)
    assert len(json.dumps(found["table"])) < 200_000
    assert found["header"]["trials"] == 10_000


def test_ten_thousand_trials_answer_a_limit(many: DashboardState) -> None:
    many.limit({"size": 100_000, "accuracy_drop": None})
    found = many.limits()
    assert 0 < found["fit"] < found["of"]
    assert found["best"]["id"] not in found["out"]


# ---- what it needs


def test_the_state_needs_neither_plotly_nor_a_widget_library() -> None:
    code = (
        "import sys\nfrom trials import make_record, make_study\nfrom test_dashboard_state import Made, DashboardState\n"
        "s = DashboardState(Made(make_study()))\n"
        "for f in (s.header, s.figure, s.limits, s.table, s.parallel, s.failures, s.environment): f()\n"
        "s.select([t.id for t in make_study()[:3]]); s.selection()\n"
        "print(*{m.partition('.')[0] for m in sys.modules} & {'plotly', 'matplotlib', 'traitlets', 'ipywidgets', 'tensorflow'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    assert done.stdout.split() == []
