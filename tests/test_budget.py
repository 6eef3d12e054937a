"""The budget of timing binds, three invocations of each excepted, and a figure that it cut short says so."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import to_tflite
from timed import MS, Fake, noisy, steady
from trials import make_trial

import workbench
from workbench.engine.measuring import cut_shorter
from workbench.engine.warn import after_measuring
from workbench.measure import interleave, stats
from workbench.measure.environment import machine
from workbench.measure.interleave import LEAST_BLOCKS, LEAST_SAMPLES, ONE_PROCESS, Variant, plan, run_rounds
from workbench.measure.session import Measured, MeasureOptions, Subject, measure
from workbench.recipes.grammar import parse_runtime
from workbench.values.settings import Measure
from workbench.values.trial import Latency, Measurement


def spent(machine: Fake, variants: list[Variant]) -> float:
    """Seconds of timing: all but the first opening of each."""
    return machine.clock.now - machine.open_s * len(variants)


@pytest.mark.parametrize(
    ("took_ms", "open_s", "count", "budget", "expected", "processes"),
    [
        # The slow model of the issue: what it took of about fifty invocations whatever the budget.
        (1000, 0.01, 1, 0.6, 3, 1),
        (1000, 0.01, 1, 0.0, 3, 1),
        (1000, 0.01, 1, 3.0, 3, 1),
        (1000, 0.01, 1, 4.5, 3, 3),
        (1000, 0.01, 1, 6.5, 5, 5),
        (250, 0.01, 1, 0.6, 3, 1),
        (100, 0.01, 1, 0.6, 4, 4),
        (100, 0.01, 4, 2.4, 4, 4),
        (100, 0.01, 1, 1.2, 10, 5),
        (20_000, 1.0, 1, 5.0, 3, 1),
        (20_000, 1.0, 3, 5.0, 3, 1),
        (1, 0.01, 1, 0.0, 3, 1),
        (1, 3.0, 1, 0.6, None, 1),
        (1, 3.0, 1, 7.0, None, 3),
    ],
)  # fmt: skip
def test_so_many_invocations_fit(
    took_ms: int, open_s: float, count: int, budget: float, expected: int | None, processes: int
) -> None:
    machine = Fake({str(i): steady(took_ms * MS) for i in range(count)}, open_s=open_s)
    variants = machine.variants()
    block = run_rounds(variants, 1e-9, budget, clock=machine.clock)
    for variant in variants:
        if expected is not None:
            assert variant.samples == expected
        found = stats.latency(variant.rounds, block)
        assert (found.samples, found.processes) == (variant.samples, processes)
        assert variant.samples == LEAST_SAMPLES or spent(machine, variants) <= budget


@given(
    st.lists(st.integers(1_000, 3_000_000_000), min_size=1, max_size=4),
    st.floats(0.001, 5.0),
    st.floats(0.0, 40.0),
    st.integers(10, 200),
)
def test_no_budget_is_outlasted_but_for_three_invocations(
    costs: list[int], open_s: float, budget: float, samples: int
) -> None:
    machine = Fake({str(i): steady(cost) for i, cost in enumerate(costs)}, open_s=open_s)
    variants = machine.variants()
    run_rounds(variants, 1e-9, budget, samples, clock=machine.clock)
    assert all(v.samples >= LEAST_SAMPLES for v in variants)
    calibrating = sum(c * (3 if c < 20 * MS else 1) for c in costs) / 1e9
    least = calibrating + LEAST_SAMPLES * sum(v.took_s + v.warm_ns / 1e9 for v in variants)
    # A few invocations of a model that takes a microsecond are within what a turn is rounded to.
    assert spent(machine, variants) <= max(budget, least) * 1.01 + 1e-3


@given(st.lists(st.integers(1_000, 300_000_000), min_size=1, max_size=4), st.floats(0.001, 0.5))
def test_with_enough_time_all_that_was_asked_for_is_done(costs: list[int], open_s: float) -> None:
    machine = Fake({str(i): steady(cost) for i, cost in enumerate(costs)}, open_s=open_s)
    variants = machine.variants()
    block = run_rounds(variants, 0.02, 1e6, 50, clock=machine.clock)
    for variant in variants:
        assert variant.narrow
        found = stats.latency(variant.rounds, block)
        assert found.samples >= 50
        assert (found.processes or 0) >= LEAST_BLOCKS


def test_more_time_never_gives_less() -> None:
    counts = []
    for budget in range(0, 60, 2):
        machine = Fake({"slow": steady(500 * MS)}, open_s=0.05)
        (variant,) = variants = machine.variants()
        run_rounds(variants, 1e-9, float(budget), clock=machine.clock)
        counts.append(variant.samples)
    assert counts[0] == LEAST_SAMPLES
    # A process more costs an invocation or two of those that it shares the time with.
    assert all(later >= earlier - 2 for earlier, later in itertools.pairwise(counts))
    assert counts[-1] > 80


def test_a_machine_that_slows_down_does_not_outlast_it_by_more_than_a_round() -> None:
    machine = Fake({"a": lambda number: (100 if number < 8 else 400) * MS})
    (variant,) = variants = machine.variants()
    run_rounds(variants, 1e-9, 5.0, clock=machine.clock)
    assert variant.samples > LEAST_SAMPLES
    assert spent(machine, variants) <= 5.0 + variant.turn_s


def test_one_process_is_planned_where_opening_takes_it_all() -> None:
    variant = Variant("a", lambda: pytest.fail("opened"), open_s=10.0, took_s=0.001)
    variant.host = type("Held", (), {"close": lambda self: None})()
    assert plan([variant], 50, 1.0) == ONE_PROCESS
    assert plan([variant], 50, 100.0) >= 1


def test_one_process_is_never_narrow() -> None:
    machine = Fake({"a": steady(MS)}, open_s=100.0)
    (variant,) = variants = machine.variants()
    assert run_rounds(variants, 0.5, 1.0, clock=machine.clock) == ONE_PROCESS
    assert len(variant.rounds) > 2 * interleave.MIN_BLOCKS
    assert not variant.narrow
    assert machine.opened == machine.closed == {"a": 1}


# ---- figures


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_of_few_processes_the_range_is_told(count: int) -> None:
    rounds = {i: [(10 + 3 * i) * MS] for i in range(count)}
    found = stats.latency(rounds)
    assert (found.low, found.high, found.processes) == (10.0, 10.0 + 3 * (count - 1), count)
    one = stats.ratio(rounds, {i: [10 * MS] for i in rounds})
    assert one is not None
    assert [one.low, one.high] == pytest.approx([1.0, 1 + 0.3 * (count - 1)])


def test_of_one_process_the_range_of_rounds_is_told_however_many() -> None:
    rounds = {i: [(100 + i) * MS, (100 + i) * MS] for i in range(50)}
    found = stats.latency(rounds, ONE_PROCESS)
    assert (found.low, found.high, found.processes, found.samples) == (100.0, 149.0, 1, 100)
    assert stats.latency(rounds, 1).high < 149.0


def latency(samples: int, processes: int | None, budget: float | None) -> Latency:
    return Latency(median=2.0, low=1.0, high=3.0, p90=3.0, samples=samples, processes=processes, budget_s=budget)


@pytest.mark.parametrize(
    ("samples", "processes", "budget", "expected"),
    [
        (4, 1, 0.6, "the budget of 0.6 s allowed 4 invocations in 1 process; 1 to 3 ms is from the smallest to the largest, no 95 % interval"),
        (3, 3, 5.0, "the budget of 5 s allowed 3 invocations in 3 processes; 1 to 3 ms is from the smallest to the largest, no 95 % interval"),
        (1, 1, 0.0, "the budget of 0 s allowed 1 invocation in 1 process; 1 to 3 ms is from the smallest to the largest, no 95 % interval"),
        (10, 5, 0.25, "the budget of 0.25 s allowed 10 invocations in 5 processes"),
        (100, 10, None, None),
        (100, None, None, None),
        (0, None, None, None),
    ],
)  # fmt: skip
def test_what_a_budget_cut_short_says_so(samples: int, processes: int | None, budget: float | None, expected: str | None) -> None:  # fmt: skip
    found = latency(samples, processes, budget)
    assert found.cut_short == expected
    warned = after_measuring(Measurement(runtime="xnnpack", latency_ms=found), narrow=True, is_baseline=True)
    assert [w.seen for w in warned] == ([f"on xnnpack: {expected}"] if expected else [])
    assert all(w.kind == "noisy-measurement" for w in warned)


def test_a_latency_of_before_is_read() -> None:
    old = {"median": 1.0, "low": 1.0, "high": 1.0, "p90": 1.0, "samples": 9}
    assert Latency.model_validate(old).cut_short is None


def test_a_noisy_figure_with_all_its_samples_is_told_as_before() -> None:
    made = Measurement(runtime="xnnpack", latency_ms=latency(100, 10, None))
    (warned,) = after_measuring(made, narrow=False, is_baseline=True)
    assert warned.seen == "on xnnpack: the interval is 1 to 3 ms (half-width 50.0%)"


# ---- in a sweep


@pytest.mark.parametrize(
    ("cut_s", "budget", "count", "again"),
    [
        (None, None, 1, False), (None, 1e6, 1, False), (1.0, None, 1, False), (1.0, None, 50, False), (0.5, None, 50, True),
        (0.6, 0.6, 1, False), (0.6, 0.7, 1, True), (0.6, 0.5, 1, False), (0.0, 0.0, 3, False), (0.0, 0.1, 3, True),
        (0.2, 0.6, 3, False), (0.2, 0.6, 2, True), (0.2, 0.6, 4, False),
    ],
)  # fmt: skip
def test_what_a_smaller_budget_cut_short_is_measured_again(
    cut_s: float | None, budget: float | None, count: int, again: bool
) -> None:
    spec = parse_runtime("xnnpack")
    made = Measurement(runtime=spec.name, options=spec.options, machine=machine().id, latency_ms=latency(3, 1, cut_s))
    trial = make_trial("int8", measurements=[made])
    assert cut_shorter(trial, spec, Measure(budget=budget), count) is again
    assert not cut_shorter(trial, parse_runtime("builtin"), Measure(budget=budget), count)


@pytest.mark.slow
def test_a_sweep_with_more_time_replaces_what_was_cut_short(small_h5: Path, tmp_path: Path) -> None:
    def swept(budget: float) -> tuple[Latency, list[str]]:
        draw = np.random.default_rng(0)
        data = {f"{k}_{split}": v for split in ("train", "test") for k, v in
                (("x", draw.random((40, 8, 8, 1), dtype=np.float32)), ("y", np.arange(40) % 6))}  # fmt: skip
        grid = {"quantize": ["float32"], "measure": {"budget": budget, "half_width": 0.9}}
        study = workbench.sweep(small_h5, data, grid, study="s", store=tmp_path / "store", jobs=1)
        (trial,) = study.trials
        found = trial.measurements[0].latency_ms
        assert found is not None
        return found, [w.seen for w in trial.warnings if w.kind == "noisy-measurement"]

    first, said = swept(0.0)
    assert (first.samples, first.budget_s) == (3, 0.0)
    assert said == [f"on xnnpack: {first.cut_short}"]
    longer, said = swept(600.0)
    assert (longer.samples >= 50, longer.budget_s, said) == (True, None, [])
    assert swept(0.0) == (longer, [])


# ---- a real slow model


@pytest.fixture(scope="module")
def slow_tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution that takes the reference kernels a good part of a second."""
    import tf_keras

    layers = tf_keras.layers
    image = layers.Input((64, 64, 48), batch_size=1, name="image")
    x: Any = layers.Conv2D(96, 3, padding="same")(image)
    x = layers.GlobalAveragePooling2D()(x)
    return to_tflite(tf_keras.Model(image, x), tmp_path_factory.mktemp("slow") / "slow.tflite")


def test_a_slow_model_is_invoked_three_times_where_the_budget_allows_no_more(slow_tflite: Path) -> None:
    found: list[Measured] = []
    settings = Measure(budget=0.0)
    measure([Subject("it", slow_tflite)], [parse_runtime("reference")], MeasureOptions(settings), found.append)
    (only,) = found
    made = only.measurement.latency_ms
    assert made is not None
    assert only.samples_ns is not None
    assert (made.samples, len(only.samples_ns), made.processes, made.budget_s) == (3, 3, 1, 0.0)
    assert [made.low, made.high] == pytest.approx([only.samples_ns.min() / MS, only.samples_ns.max() / MS])
    assert not only.narrow


@pytest.mark.slow
def test_bench_says_what_the_budget_allowed(slow_tflite: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "workbench",
        "bench",
        str(slow_tflite),
        "--runtime",
        "reference",
        "--budget",
        "0.1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    told = " ".join(done.stdout.split())
    assert "reference: the budget of 0.1 s allowed 3 invocations in 1 process;" in told
    assert "no 95 % interval" in told
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=True, timeout=600)
    (made,) = json.loads(done.stdout)
    assert (made["latency_ms"]["samples"], made["latency_ms"]["budget_s"], made["latency_ms"]["processes"]) == (
        3,
        0.1,
        1,
    )


def test_a_noisy_fake_is_judged_by_processes_not_by_samples() -> None:
    machine = Fake({"a": noisy(200 * MS)})
    (variant,) = variants = machine.variants()
    block = run_rounds(variants, 0.9, 1.2, clock=machine.clock)
    assert stats.latency(variant.rounds, block).processes == LEAST_BLOCKS - 1
    assert not variant.narrow
