"""Metrics, chart and table of trials."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from trials import FLOAT_MS, broken, make_devices, make_many, make_study, make_trial, measured

from workbench.cli.output import print_table
from workbench.commands.tables import trial_row, trials_table
from workbench.errors import WorkbenchError
from workbench.values.figure import Unit
from workbench.values.recipe import SCHEMES
from workbench.values.warning import WarningKind, warning
from workbench.views import marks, units
from workbench.views.drawing import draw
from workbench.views.figure import stair
from workbench.views.metrics import find_metric, metrics_for, places_of, runtimes_of
from workbench.views.table import columns, rows
from workbench.views.tradeoff import front_trials, tradeoff_info

# ---- metrics


def test_metrics_are_listed_size_first_then_quality_then_each_runtime() -> None:
    names = list(metrics_for(make_study()))
    assert names[:4] == ["size", "compressed", "accuracy", "accuracy_drop"]
    assert (
        names.index("sparsity")
        < names.index("latency")
        < names.index("latency@xnnpack")
        < names.index("latency@reference")
    )
    assert "rmse" not in names


def test_estimates_are_metrics_of_their_own_and_marked() -> None:
    trials = [
        make_trial("float32"),
        make_trial("int8", measurements=[measured("xnnpack", 0.2), measured("ethos-u55-128", 1.8, kind="estimated")]),
    ]
    metrics = metrics_for(trials)
    assert "latency@ethos-u55-128" not in metrics
    estimate = metrics["estimated_latency@ethos-u55-128"]
    assert "estimated" in estimate.label
    assert estimate.value(trials[1], trials[0]) == 1.8
    assert metrics["latency"].value(trials[1], trials[0]) == 0.2


def test_one_runtime_measured_and_estimated_is_never_mixed() -> None:
    both = make_trial("int8", measurements=[measured("npu", 3.0), measured("npu", 1.0, kind="estimated")])
    metrics = metrics_for([both])
    assert metrics["latency@npu"].value(both, None) == 3.0
    assert metrics["estimated_latency@npu"].value(both, None) == 1.0


def test_estimates_alone_give_no_plain_latency() -> None:
    trials = [make_trial("int8", measurements=[measured("npu", 1.0, kind="estimated")])]
    assert "latency" not in metrics_for(trials)
    assert find_metric("latency", trials).value(trials[0], None) is None


def test_options_make_another_runtime() -> None:
    trial = make_trial(
        "int8", measurements=[measured("xnnpack", 0.2, {"threads": 1}), measured("xnnpack", 0.1, {"threads": 2})]
    )
    metrics = metrics_for([trial])
    assert runtimes_of([trial]) == ["xnnpack", "xnnpack[threads=2]"]
    assert metrics["latency@xnnpack[threads=2]"].value(trial, None) == 0.1
    assert metrics["latency"].value(trial, None) == 0.2


def test_regression_has_errors_and_no_accuracy() -> None:
    metrics = metrics_for([make_trial("float32", task="regression")])
    assert {"mae", "rmse"} < set(metrics)
    assert "accuracy" not in metrics
    assert metrics["rmse"].better == "low"


def test_a_runtime_named_with_its_device_has_figures() -> None:
    trial = make_trial("int8", measurements=[measured("openvino", 0.2, {"device": "GPU"})])
    (runtime,) = runtimes_of([trial])
    assert metrics_for([trial])[f"latency@{runtime}"].value(trial, None) == 0.2


def test_times_that_are_no_device_s_are_labelled() -> None:
    metrics = metrics_for(make_devices())
    assert metrics["latency@xnnpack"].label == "Latency on xnnpack (ms)"
    assert metrics["latency@micro"].label == "Latency on micro (ms, host time)"
    assert metrics["latency@micro"].marked_title == "Latency on micro (host time)"
    assert metrics["latency@gpu"].label == "Latency on gpu (ms, software device)"
    assert metrics["ratio@gpu"].label == "Latency ratio on gpu (x baseline, software device)"
    assert metrics["estimated_latency@ethos-u55-128"].label == "Latency on ethos-u55-128 (ms, estimated)"
    host = [make_trial("int8", measurements=[measured("micro", 3.0, clock="host")])]
    assert find_metric("latency", host).label == "Latency on micro (ms, host time)"


def test_times_of_a_device_and_of_its_stand_in_are_two_places_and_one_warned_metric() -> None:
    trials = [
        make_trial("float32", measurements=[measured("gpu", 0.5)]),
        make_trial("int8", measurements=[measured("gpu", 7.0, software=True)]),
        make_trial("dynamic", measurements=[broken("gpu", "no adapter")]),
    ]
    assert [p.text for p in places_of(trials)] == ["gpu", "gpu (software device)"]
    assert metrics_for(trials)["latency@gpu"].label == "Latency on gpu (ms, partly software device)"


def test_memory_of_a_device_is_a_metric_beside_the_peak() -> None:
    trials = make_devices()
    metrics = metrics_for(trials)
    arena, sram = metrics["memory@micro"], metrics["estimated_memory@ethos-u55-128"]
    assert (arena.label, sram.label) == ("Arena on micro (bytes)", "SRAM on ethos-u55-128 (bytes, estimated)")
    assert [arena.value(t, None) for t in trials] == [105_528, None, 31_952, 31_952]
    assert sram.value(trials[2], None) == 34_128
    assert "peak@micro" in metrics
    assert "memory@xnnpack" not in metrics, "a process's peak is no arena"


def test_failed_measurements_are_no_runtime() -> None:
    assert runtimes_of([make_trial("int8", measurements=[broken("gpu", "no adapter")])]) == []


def test_unknown_metric_names_the_nearest_and_the_allowed() -> None:
    with pytest.raises(WorkbenchError, match=r"unknown metric 'acuracy'\. Did you mean 'accuracy'.*Allowed: .*size"):
        find_metric("acuracy", make_study())


def test_metrics_of_nothing_are_there_for_a_chart_that_fills() -> None:
    assert list(metrics_for([]))[:3] == ["size", "compressed", "accuracy"]
    assert find_metric("latency", []).label == "Latency (ms)"


def test_drop_needs_a_baseline() -> None:
    drop = find_metric("accuracy_drop", [])
    assert drop.value(make_trial("int8", accuracy=0.98), None) is None
    assert drop.value(make_trial("int8", accuracy=0.98), make_trial("float32", accuracy=0.99)) == pytest.approx(0.01)


# ---- the chart


def test_chart_shows_every_ok_trial_and_no_other() -> None:
    trials = make_study()
    info = tradeoff_info(trials)
    assert [p.id for p in info.points] == [t.id for t in trials if t.state == "ok"]
    assert [p.recipe for p in info.points if p.is_baseline] == ["float32"]
    assert {p.techniques for p in info.points} == {"none", "prune", "cluster", "prune+cluster"}
    assert (info.x.label, info.y.label) == ("File size (bytes)", "Accuracy (%)")
    assert [info.points[i].x for i in info.front] == sorted(p.x for p in info.points if p.on_front and p.x is not None)
    assert [t.id for t in front_trials(trials)] == [info.points[i].id for i in info.front]


def test_chart_says_what_it_cannot_draw() -> None:
    trials = [make_trial("float32"), make_trial("int8", measurements=()), make_trial("dynamic", measurements=())]
    assert tradeoff_info(trials, "latency", "accuracy").note == "Not drawn: 2 of 3 variants (no figure for these axes)"
    assert tradeoff_info(trials, "size", "sqnr_db").note == "Not drawn: float32 (no figure for these axes)"
    assert tradeoff_info(trials).note == ""


def test_an_infinite_figure_counts_for_the_front_but_is_not_drawn() -> None:
    exact = make_trial("float16")
    assert exact.quality is not None
    exact = exact.model_copy(update={"quality": exact.quality.model_copy(update={"sqnr_db": math.inf})})
    larger = make_trial("prune:0.5+float16", size=10_000_000)
    info = tradeoff_info([exact, larger], "size", "sqnr_db")
    assert info.front == (0,)
    assert info.note == "Not drawn: float16 (infinite value)"
    assert "Infinity" not in draw(info).to_json()


def test_latency_has_whiskers_and_a_logarithmic_axis_only_where_it_fits() -> None:
    info = tradeoff_info(
        [make_trial("float32", latency=1.0), make_trial("int16x8", latency=12.0)], "latency@xnnpack", "size"
    )
    assert info.x_log
    assert not info.y_log
    assert info.points[0].x_interval == (0.97, 1.04)
    bars = [t.error_x for t in draw(info).data if t.meta["role"] == "points"]
    assert [b.visible for b in bars] == [True, True]
    assert bars[0].array[0] == pytest.approx(0.04)
    near = tradeoff_info(
        [make_trial("float32", latency=1.0), make_trial("int8", latency=0.5)], "latency@xnnpack", "size"
    )
    assert not near.x_log


def test_each_scheme_and_group_looks_different() -> None:
    assert set(marks.COLOURS) == set(SCHEMES)
    assert len(set(marks.COLOURS.values())) == len(SCHEMES)
    assert len(set(marks.SYMBOLS.values()) | set(marks.OTHER_SYMBOLS)) == len(marks.SYMBOLS) + len(marks.OTHER_SYMBOLS)


def test_figure_holds_each_point_once_and_the_front_in_order() -> None:
    info = tradeoff_info(make_many(200), "size", "accuracy")
    figure = draw(info)
    ids = [i for trace in figure.data if trace.meta["role"] == "points" for i in trace.meta["ids"]]
    assert sorted(ids) == sorted(p.id for p in info.points)
    (front,) = [t for t in figure.data if t.meta["role"] == "front"]
    assert list(front.x) == [info.points[i].x for i in info.front]
    assert front.line.shape == "hv"
    assert figure.layout.height >= 420
    assert figure.layout.xaxis.title.text == "File size (bytes)"
    legend = [t.name for t in figure.data if t.meta["role"] == "legend"]
    assert len(legend) == len(set(legend))


def test_stair_keeps_the_limit_from_the_better_side() -> None:
    assert stair(find_metric("size", [])) == "hv"
    assert stair(find_metric("accuracy", [])) == "vh"


def test_empty_chart_says_so() -> None:
    figure = draw(tradeoff_info([]))
    assert "No variant has run yet" in [a.text for a in figure.layout.annotations]


def test_hover_text_is_escaped() -> None:
    trial = make_trial("int8").model_copy(update={"recipe": "<b>int8</b>"})
    (points,) = [t for t in draw(tradeoff_info([trial])).data if t.meta["role"] == "points"]
    assert "&lt;b&gt;int8" in points.customdata[0][1]


def test_views_do_not_load_plotly_before_a_chart_is_drawn() -> None:
    check = "import sys, workbench.views.tradeoff, workbench.views.table, workbench.report, workbench.targets.export; sys.exit('plotly' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
    assert (
        subprocess.run(
            [sys.executable, "-c", check.replace("import sys,", "import sys, plotly,")], check=False
        ).returncode
        == 1
    )


# ---- the table


def test_rows_share_one_column_set() -> None:
    trials = make_study()
    found = rows(trials)
    assert {tuple(r) for r in found} == {tuple(columns(trials))}
    assert found[0]["recipe"] == "float32"
    assert found[0]["baseline"] is True
    assert found[3]["latency_ms@xnnpack"] is not None
    assert found[3]["estimated_latency_ms@ethos-u55-128"] is not None
    assert "latency_ms@ethos-u55-128" not in found[3]
    assert rows([]) == []
    assert columns([])[:3] == ["id", "recipe", "state"]


def test_rows_tell_failures_and_warnings() -> None:
    found = {r["recipe"]: r for r in rows(make_study())}
    assert "segmentation fault" in found["prune:0.8+cluster:16+int16x8"]["error"]
    assert found["prune:0.8+cluster:16+int16x8"]["size_bytes"] is None
    assert found["float16"]["error"] == "reference: operator DEQUANTIZE of type FLOAT16 is not taken by this runtime"
    assert found["int16x8"]["warnings"] == "reference-kernels; slower-than-baseline"
    assert found["int8"]["error"] is None


def test_rows_give_figures_in_base_units() -> None:
    (row,) = rows([make_trial("float32", size=1234, accuracy=0.5)])
    assert (row["size_bytes"], row["accuracy"], row["accuracy_drop"]) == (1234, 0.5, 0.0)
    assert row["latency_ms@xnnpack"] == FLOAT_MS
    assert row["latency_low_ms@xnnpack"] < row["latency_ms@xnnpack"] < row["latency_high_ms@xnnpack"]


def test_rows_tell_state_clock_and_memory_of_each_runtime() -> None:
    found = {r["recipe"]: r for r in rows(make_devices())}
    assert (found["int8"]["state@micro"], found["int8"]["clock@micro"]) == ("ok", "host")
    assert (found["int8"]["software@gpu"], found["int8"]["software@xnnpack"]) == (True, False)
    assert found["dynamic"]["state@micro"] == "skipped"
    assert found["dynamic"]["clock@micro"] is None
    assert found["int8"]["memory_bytes@micro"] == 31_952
    assert found["int8"]["memory_bytes@xnnpack"] is None
    assert found["float32"]["estimated_state@ethos-u55-128"] == "skipped"


def test_table_on_the_command_line_marks_times_and_states() -> None:
    trials = make_devices()
    found = {t.recipe: trial_row(t, places_of(trials), "classification") for t in trials}
    assert found["int16x8"]["gpu ms (software device)"] == "failed"
    assert found["dynamic"]["micro ms (host time)"] == "skipped"
    assert found["int8"]["ethos-u55-128 ms (estimated)"].startswith("0.3 ")
    assert found["int8"]["xnnpack ms"].endswith(" 0.28x")
    mixed = [
        make_trial("float32", measurements=[measured("gpu", 0.5)]),
        make_trial("int8", measurements=[measured("gpu", 7.0, software=True)]),
    ]
    row = trial_row(mixed[1], places_of(mixed), "none")
    assert row["gpu ms"] == "-"
    assert row["gpu ms (software device)"].startswith("7 ±")


def test_many_kinds_of_warnings_are_counted() -> None:
    kinds: tuple[WarningKind, ...] = (
        "partial-delegation",
        "slower-than-baseline",
        "slower-than-baseline",
        "not-quantized",
        "sparsity-lost",
    )
    for count, text in (
        (0, ""),
        (3, "partial-delegation, slower-than-baseline"),
        (4, "partial-delegation +2"),
        (5, "partial-delegation +3"),
    ):
        trial = make_trial("int8", warnings=[warning(kind, "seen") for kind in kinds[:count]])
        assert trial_row(trial, [], "none")["warnings"] == text


def test_table_on_the_command_line_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(*trials_table("digits", make_devices()))
    printed = capsys.readouterr().out
    assert "Study digits" in printed
    assert "float32 (baseline)" in " ".join(printed.split())


# ---- figures in words


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (512, "bytes", "512 B"),
        (128_400, "bytes", "128 kB"),
        (999_600, "bytes", "1.00 MB"),
        (0, "bytes", "0 B"),
        (0.98876, "share", "98.88 %"),
        (-0.00001, "points", "0.00"),
        (0.2123, "ms", "0.212 ms"),
        (1234.5, "ms", "1,234 ms"),
        (0.2899, "ratio", "0.29x"),
        (0.0431, "ratio", "0.043x"),
        (math.inf, "db", "∞"),
        (None, "db", "–"),
    ],
)
def test_figures_are_written_for_people(value: float | None, unit: Unit, expected: str) -> None:
    assert units.text(value, unit) == expected


def test_an_axis_on_which_all_figures_are_one_keeps_to_them() -> None:
    trials = [make_trial("float32", accuracy=0.99), make_trial("int8", accuracy=0.99)]
    layout = draw(tradeoff_info(trials, "size", "accuracy")).layout
    low, high = layout.yaxis.range
    assert 0.8 < low < 0.99 < high < 1.1
    assert layout.xaxis.range is None
    (low, high) = draw(tradeoff_info(trials, "size", "accuracy_drop")).layout.yaxis.range
    assert low == -0.01
    assert high == 0.01
