"""One file on many runtimes: rows, texts and the chart, how outputs are compared, and the warnings that follow."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trials import broken, measured

from workbench.engine.warn import after_measuring
from workbench.errors import StageFailed, WorkbenchError
from workbench.measure.looks import compare
from workbench.recipes.grammar import parse_runtime, runtime_text, split_list
from workbench.values.trial import Agreement, Latency, Measurement
from workbench.views.comparison import Bar, comparison_bars, draw_comparison
from workbench.views.runtimes import agreement_text, coverage_text, measurement_rows, memory_bytes, place_text


def changed(measurement: Measurement, **figures: Any) -> Measurement:
    return measurement.model_copy(update=figures)


GOOD = changed(measured("xnnpack", 0.5, {"threads": 1}), device="a processor", reference=Agreement(samples=16))
PARTLY = changed(
    measured("openvino", 2.0, {"device": "CPU", "mode": "latency"}),
    ops_total=9,
    ops_delegated=7,
    partitions=2,
    left=("FLOOR", "RFFT2D"),
    reference=Agreement(samples=16, agreement=0.9375, sqnr_db=31.26, cosine=0.99, max_error=0.1),
)
HOST_CLOCK = changed(
    measured("micro", 5.0, {"arena": 0}), clock="host", ops_delegated=7, partitions=0, memory={"arena": 5000, "arena head": 4000}
)  # fmt: skip
SOFTWARE = changed(
    measured("gpu", 40.0, {"precision": "default", "driver": "auto"}), software=True, device="a renderer <in software>"
)
ESTIMATED = changed(
    measured("ethos-u55-128", 1.0, {}, "estimated"),
    latency_ms=Latency(median=1.0, low=1.0, high=1.0, p90=1.0, samples=0),
    ratio=None,
    peak_bytes=None,
    memory={"SRAM": 20480, "off-chip flash": 4096},
)
FAILED = broken("gpu", "no Vulkan <driver>")
SKIPPED = Measurement(runtime="micro", state="skipped", error="TensorFlow Lite Micro does not take CONV_2D: Hybrid")
TIMELESS = Measurement(runtime="npu", kind="estimated", ops_total=9, ops_delegated=9, partitions=1)
ALL = [GOOD, PARTLY, HOST_CLOCK, SOFTWARE, ESTIMATED, FAILED, SKIPPED, TIMELESS]

# ---- texts and rows


def test_a_place_says_what_its_time_is() -> None:
    assert place_text(GOOD) == "xnnpack"
    assert place_text(HOST_CLOCK) == "micro (host time)"
    assert place_text(SOFTWARE) == "gpu (software device)"
    assert place_text(ESTIMATED) == "ethos-u55-128 (estimated)"
    assert place_text(changed(GOOD, options={"threads": 4})) == "xnnpack[threads=4]"
    assert place_text(changed(HOST_CLOCK, software=True)) == "micro (host time, software device)"


@pytest.mark.parametrize(
    ("taken", "total", "partitions", "left", "expected"),
    [
        (7, 7, 1, (), "7/7 in 1 partition"),
        (0, 7, 0, (), "0/7"),
        (5, 7, 2, ("FLOOR", "GATHER"), "5/7 in 2 partitions; left: FLOOR, GATHER"),
        (None, 7, None, (), None),
        (None, None, None, (), None),
    ],
)
def test_coverage(
    taken: int | None, total: int | None, partitions: int | None, left: tuple[str, ...], expected: str | None
) -> None:
    made = changed(GOOD, ops_delegated=taken, ops_total=total, partitions=partitions, left=left)
    assert coverage_text(made) == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (None, None),
        (Agreement(samples=4), "equal"),
        (Agreement(samples=4, agreement=1.0), "equal, 100% same top"),
        (Agreement(samples=4, sqnr_db=31.26), "31.3 dB"),
        (Agreement(samples=4, sqnr_db=31.26, agreement=0.75), "31.3 dB, 75% same top"),
    ],
)
def test_agreement(reference: Agreement | None, expected: str | None) -> None:
    assert agreement_text(changed(GOOD, reference=reference)) == expected


def test_memory_is_the_devices_where_it_is_known() -> None:
    assert memory_bytes(GOOD) == GOOD.peak_bytes
    assert memory_bytes(HOST_CLOCK) == 5000
    assert memory_bytes(ESTIMATED) == 20480
    assert memory_bytes(FAILED) is None


def test_rows_hold_figures_or_the_reason_for_none() -> None:
    rows = measurement_rows(ALL, plain=True)
    assert [r["state"] for r in rows] == [m.state for m in ALL]
    assert len({tuple(r) for r in rows}) == 1
    good, partly, host_clock, software, estimated, failed, skipped, timeless = rows
    assert (good["median ms"], good["low ms"], good["high ms"]) == (0.5, 0.485, 0.52)
    assert (good["samples"], good["against reference"], good["note"]) == (400, "equal", "a processor")
    assert partly["operators taken"] == "7/9 in 2 partitions; left: FLOOR, RFFT2D"
    assert partly["against reference"] == "31.3 dB, 94% same top"
    assert host_clock["memory"] == 5000
    assert software["note"] == "a renderer <in software>"
    assert (estimated["samples"], estimated["ratio"], estimated["memory"]) == (0, None, 20480)
    assert failed["note"] == "no Vulkan <driver>"
    assert skipped["note"].endswith("Hybrid")
    for row in (failed, skipped):
        assert {row[k] for k in ("median ms", "low ms", "high ms", "ratio", "memory", "operators taken")} == {None}
    assert (timeless["median ms"], timeless["operators taken"]) == (None, "9/9 in 1 partition")
    shown = measurement_rows([HOST_CLOCK, FAILED])
    assert isinstance(shown[0]["memory"], str)
    assert shown[0]["memory"][0] == "5"
    assert shown[1]["memory"] is None


# ---- the chart


def test_bars_keep_their_order_and_say_what_they_are() -> None:
    bars = comparison_bars(ALL)
    assert [b.place for b in bars] == [place_text(m) for m in ALL]
    assert [b.ms for b in bars] == [0.5, 2.0, 5.0, 40.0, 1.0, None, None, None]
    assert [b.device_time for b in bars[:5]] == [True, True, False, False, False]
    assert [bars[1].low, bars[1].high] == pytest.approx([1.94, 2.08])
    assert bars[1].lines == ("7/9 in 2 partitions; left: FLOOR, RFFT2D", "31.3 dB, 94% same top")
    assert bars[5].lines == ("failed: no Vulkan <driver>",)
    assert bars[6].lines[0].startswith("skipped: TensorFlow Lite Micro")
    assert bars[7].lines[0].startswith("no time")
    assert comparison_bars([]) == []


def drawn(bars: list[Bar]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(draw_comparison(bars, "model <x>.tflite").to_json())
    return found


def test_the_chart_holds_every_runtime_and_only_devices_times_in_the_devices_colour() -> None:
    figure = drawn(comparison_bars(ALL))
    device, other = figure["data"]
    assert device["y"] == ["xnnpack", "openvino"]
    assert [y.split(" ")[0] for y in other["y"]] == ["micro", "gpu", "ethos-u55-128"]
    assert device["marker"]["color"] != other["marker"]["color"]
    assert (device["marker"]["pattern"]["shape"], other["marker"]["pattern"]["shape"]) == ("", "/")
    assert [round(w, 6) for w in device["error_x"]["arrayminus"]] == [0.015, 0.06]
    assert [round(w, 6) for w in device["error_x"]["array"]] == [0.02, 0.08]
    layout = figure["layout"]
    assert len(layout["yaxis"]["categoryarray"]) == len(ALL)
    assert next(note["text"] for note in layout["annotations"]) == "failed: no Vulkan &lt;driver&gt;"
    texts = [note["text"] for note in layout["annotations"]]
    assert len(texts) == len(ALL)
    assert sum(text.endswith(" ms") for text in texts) == 5
    assert layout["title"]["text"] == "model &lt;x&gt;.tflite"


@pytest.mark.parametrize(
    ("times", "axis"),
    [([1.0, 19.9], "linear"), ([1.0, 20.1], "log"), ([3.0], "linear"), ([], "linear"), ([0.002, 1.0, 50.0], "log")],
)
def test_the_axis_is_logarithmic_where_times_are_far_apart(times: list[float], axis: str) -> None:
    bars = comparison_bars([*(measured("xnnpack", t, {"threads": i + 1}) for i, t in enumerate(times)), FAILED])
    figure = drawn(bars)
    assert figure["layout"]["xaxis"]["type"] == axis
    assert sum(len(trace["x"]) for trace in figure["data"]) == len(times)


# ---- outputs against the reference

Array = np.ndarray[Any, Any]


def probabilities() -> dict[str, Array]:
    draw = np.random.default_rng(0)
    return {"classes": draw.random((10, 4)).astype(np.float32), "boxes": draw.random((10, 2, 3)).astype(np.float32)}


def test_equal_outputs_have_no_noise() -> None:
    found = compare(probabilities(), probabilities())
    assert (found.samples, found.agreement, found.sqnr_db, found.max_error) == (10, 1.0, None, 0.0)
    assert found.cosine == pytest.approx(1.0)


def test_a_flipped_class_lowers_agreement() -> None:
    reference, outputs = probabilities(), probabilities()
    best = int(outputs["classes"][3].argmax())
    outputs["classes"][3, (best + 1) % 4] = outputs["classes"][3, best] + 0.5
    found = compare(outputs, reference)
    assert found.agreement == pytest.approx(0.9)
    expected = np.abs(outputs["classes"] - reference["classes"]).max()
    assert found.max_error == pytest.approx(float(expected))
    noise = ((outputs["classes"] - reference["classes"]).astype(np.float64) ** 2).sum()
    signal = (reference["classes"].astype(np.float64) ** 2).sum()
    assert found.sqnr_db == pytest.approx(10 * np.log10(signal / noise))
    assert found.cosine is not None
    assert found.cosine < 1


def test_the_worst_output_is_told() -> None:
    reference, outputs = probabilities(), probabilities()
    outputs["classes"] += 1e-6
    outputs["boxes"] = outputs["boxes"] * 2
    found = compare(outputs, reference)
    assert found.sqnr_db == pytest.approx(0.0, abs=1e-6)
    assert found.max_error == pytest.approx(float(reference["boxes"].max()))


def test_only_samples_of_both_are_compared() -> None:
    reference, outputs = probabilities(), probabilities()
    outputs = {n: v[:3] for n, v in outputs.items()}
    reference["classes"][5:] = 0
    assert (compare(outputs, reference).samples, compare(outputs, reference).max_error) == (3, 0.0)
    assert compare(reference, outputs).samples == 3


@pytest.mark.parametrize("names", [("classes",), ("classes", "other"), ("classes", "boxes", "more")])
def test_other_outputs_are_a_failure(names: tuple[str, ...]) -> None:
    outputs = {n: np.zeros((10, 4), np.float32) for n in names}
    with pytest.raises(StageFailed, match="the runtime gives outputs classes"):
        compare(outputs, probabilities())


# ---- warnings


def warned(measurement: Measurement) -> dict[str, str]:
    return {w.kind: w.seen for w in after_measuring(measurement, narrow=True, is_baseline=True)}


def test_partial_delegation_names_what_was_left() -> None:
    seen = warned(PARTLY)["partial-delegation"]
    assert "2 of 9 operators were left: FLOOR, RFFT2D" in seen
    assert seen.startswith("on openvino:")
    assert "not named" in warned(changed(PARTLY, left=()))["partial-delegation"]
    whole = changed(PARTLY, ops_delegated=9, left=())
    assert "partial-delegation" not in warned(whole)
    # Nothing is to be taken from LiteRT's own kernels there.
    assert "partial-delegation" not in warned(changed(HOST_CLOCK, ops_delegated=3))
    assert "partial-delegation" not in warned(changed(GOOD, runtime="builtin", ops_delegated=3))


@pytest.mark.parametrize(
    ("sqnr_db", "agreement", "expected"),
    [
        (19.9, 1.0, True),
        (-3.0, None, True),
        (20.0, 1.0, False),
        (40.0, 1.0, False),
        (40.0, 0.94, True),
        (None, 1.0, False),
        (None, None, False),
    ],
)
def test_outputs_that_differ_by_more_than_rounding(
    sqnr_db: float | None, agreement: float | None, expected: bool
) -> None:
    reference = Agreement(samples=16, sqnr_db=sqnr_db, agreement=agreement, max_error=0.25)
    found = warned(changed(PARTLY, reference=reference))
    assert ("delegate-differs" in found) is expected
    if expected:
        seen = found["delegate-differs"]
        assert f"{sqnr_db:.1f} dB" in seen
        assert "16 samples" in seen
        assert "0.25" in seen


def test_a_processor_in_place_of_a_gpu_is_told() -> None:
    assert warned(SOFTWARE)["software-device"] == "on gpu: it ran on a renderer <in software>"
    assert "software-device" not in warned(changed(SOFTWARE, software=False))


def test_what_did_not_run_has_no_warnings() -> None:
    for made in (FAILED, SKIPPED):
        assert warned(changed(made, software=True)) == {}


# ---- the text of a runtime


def test_a_delegates_text_holds_its_path_and_options() -> None:
    text = "delegate:/a+b/lib.so?x=1&y=2[threads=2]"
    spec = parse_runtime(text)
    assert (spec.name, spec.options) == ("delegate", {"library": "/a+b/lib.so?x=1&y=2", "threads": 2})
    assert runtime_text(spec.name, spec.options) == text
    assert runtime_text("delegate", {"library": "/a/b.so", "threads": 1}) == "delegate:/a/b.so"


PATHS = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters="[],"), min_size=1, max_size=40
).map(lambda t: "/" + t)  # fmt: skip


@given(PATHS, st.integers(1, 8))
def test_any_path_comes_back(path: str, threads: int) -> None:
    text = f"delegate:{path}[threads={threads}]"
    spec = parse_runtime(text)
    assert spec.options == {"library": path, "threads": threads}
    assert parse_runtime(runtime_text(spec.name, spec.options)) == spec
    assert split_list(f"xnnpack,{text},builtin") == ["xnnpack", text, "builtin"]


@pytest.mark.parametrize("text", ["xnnpack:3", "gpu:fp32", "delegate:/a.so[library=/b.so]", "micro:1"])
def test_a_value_that_is_not_taken_is_refused(text: str) -> None:
    with pytest.raises(WorkbenchError, match="options go into brackets"):
        parse_runtime(text)
