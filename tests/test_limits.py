"""Limits: every spelling is one value, strict ones hold the ends of intervals, and all who ask of them agree."""

from __future__ import annotations

import random
from typing import Any

import pytest
from trials import make_record, make_study, make_trial, measured

from workbench.engine.proposers.goals import violations
from workbench.errors import WorkbenchError
from workbench.recipes.grid import grid_dict, parse_grid
from workbench.report.findings import findings
from workbench.values.figure import Better, Change, Figure, Unit
from workbench.values.limits import Limits, parse_bounds, read_limits
from workbench.values.trial import Latency, Quality, Trial
from workbench.views.bounds import limits_text
from workbench.views.columns import Columns
from workbench.views.gate import verdict
from workbench.views.holding import Holder, fitting
from workbench.views.pareto import best


def figure(name: str, value: float, loss: Change | None, better: Better = "high", unit: Unit = "share") -> Figure:
    change = None
    if loss:
        change = loss if better == "low" else Change(value=-loss.value, low=-loss.high, high=-loss.low)
    spread = 0.01 * abs(value)
    return Figure(
        name=name,
        title=name,
        value=value,
        low=value - spread,
        high=value + spread,
        unit=unit,
        better=better,
        samples=100,
        change=change,
    )


def judged(recipe: str, *figures: Figure, **changes: Any) -> Trial:
    quality = Quality(samples=100, task="segmentation", figures=figures, agreement=0.97)
    return make_trial(recipe, **changes).model_copy(update={"quality": quality})


def lost(value: float, low: float, high: float) -> Change:
    return Change(value=value, low=low, high=high)


def segmented() -> list[Trial]:
    """A baseline and two variants: int8 may lose more than a point of IoU by chance, float16 loses next to nothing."""
    return [
        judged("float32", figure("iou", 0.8, None), figure("pixels", 0.9, None)),
        judged("float16", figure("iou", 0.799, lost(0.001, -0.001, 0.003)), figure("pixels", 0.9, lost(0, 0, 0))),
        judged("int8", figure("iou", 0.793, lost(0.007, 0.001, 0.013)), figure("pixels", 0.85, lost(0.05, 0.04, 0.06))),
    ]


# ---- spellings


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"accuracy_drop": 0.01}, {"drop": {"accuracy": 0.01}}),
        ({"max_drop": 0.01}, {"drop": 0.01}),
        ({"max_drop": "0.01"}, {"drop": {"primary": 0.01}}),
        ({"max_drop": "iou=0.01,accuracy=0.02"}, {"drop": {"iou": 0.01}, "accuracy_drop": 0.02}),
        ({"max_size": "100KB"}, {"size": 100_000}),
        ({"max_latency_ms": 2, "runtime": None}, {"latency_ms": {"": 2}}),
        ({"max_latency_ms": "xnnpack[threads=2]=2"}, {"latency_ms": {"xnnpack[threads=2]": 2}}),
        ({"min_delegated": 0.9}, {"coverage": 0.9}),
        ({"max_memory": "64KB"}, {"memory": 64_000}),
        ({"max_compressed": "64KiB", "strict": True}, {"compressed": 65_536, "strict": True}),
    ],
)
def test_every_spelling_is_one_value(one: dict[str, Any], other: dict[str, Any]) -> None:
    limits = read_limits(one, "it")
    assert limits == read_limits(other, "it")
    assert read_limits(limits.given(), "it") == limits
    assert Limits.model_validate(limits.to_json()) == limits
    grid = parse_grid({"quantize": ["int8"], "constraints": limits.to_json()})
    assert grid.constraints == limits
    assert parse_grid(grid_dict(grid)) == grid


def test_old_words_stay_in_the_record() -> None:
    asked = {"accuracy_drop": 0.01, "size": 100_000, "latency_ms": 2.0}
    assert grid_dict(parse_grid({"quantize": ["int8"], "constraints": asked}))["constraints"] == asked


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"max_dorp": 1}, "Did you mean 'max_drop'"),
        ({"max_drop": -1}, "max_drop = -1: input should be greater than or equal to 0"),
        ({"accuracy_drop": 1.5}, "accuracy_drop = 1.5"),
        ({"drop": {"iou": True}}, "drop = true"),
        ({"drop": {"iou": "much"}}, "'much' is not a valid float"),
        ({"max_drop": "=1"}, "names no figure"),
        ({"max_drop": "a=1,a=2"}, "twice"),
        ({"min_delegated": 2}, "min_delegated = 2"),
        ({"max_size": 5, "size": 6}, "two spellings"),
        ({"max_drop": 0.1, "drop": 0.2}, "two spellings"),
        ({"latency_ms": {"xnnpack": 0}}, "latency_ms.xnnpack = 0"),
    ],
)
def test_mistakes_are_told_in_the_words_given(given: dict[str, Any], says: str) -> None:
    with pytest.raises(WorkbenchError) as error:
        read_limits(given, "gate")
    assert says in str(error.value)


def test_bounds_from_text() -> None:
    assert parse_bounds("0.01") == {"": 0.01}
    assert parse_bounds("xnnpack[threads=2,a=b]=1,reference=2") == {"xnnpack[threads=2,a=b]": 1, "reference": 2}


def test_a_runtime_that_there_is_not_is_told_before_a_sweep_and_no_hindrance_afterwards() -> None:
    for given in ({"runtime": "xnpack", "latency_ms": 1}, {"latency_ms": {"xnpack": 1}}):
        with pytest.raises(WorkbenchError, match="Did you mean 'xnnpack'"):
            parse_grid({"quantize": ["int8"], "constraints": given})
        limits = read_limits(given, "constraints")
        assert best(make_study(), limits) is None
        record = make_record(grid={"constraints": given})
        assert any(f.text == "none does" for f in findings(record, make_study()))
        with pytest.raises(WorkbenchError, match="Did you mean 'xnnpack'"):
            Holder(Columns(make_study()), limits).refuse_unknown()


# ---- what is held


def test_a_drop_is_of_the_primary_figure_or_of_the_one_named() -> None:
    trials = segmented()
    assert best(trials, Limits(drop={"": 0.01})) is trials[2]
    assert best(trials, Limits(drop={"pixels": 0.01})) is trials[1]
    found = verdict(trials, read_limits({"max_drop": {"pixels": 0.01}}, "gate"), trials[2])
    (check,) = found.checks
    assert (check.name, check.state) == ("max_drop[pixels]", "fail")
    assert check.found == pytest.approx(0.05)
    assert "pixels 85.00 % after 90.00 % of the float baseline" in check.text


def test_a_loss_is_in_the_direction_that_is_worse() -> None:
    error = {"better": "low", "unit": "number"}
    trials = [
        judged("float32", figure("rmse", 2.0, None, **error)),  # type: ignore[arg-type]
        judged("int8", figure("rmse", 2.3, lost(0.3, 0.2, 0.4), **error)),  # type: ignore[arg-type]
        judged("int4-dynamic", figure("rmse", 1.5, lost(-0.5, -0.6, -0.4), **error)),  # type: ignore[arg-type]
    ]
    assert [trials[i].recipe for i in fitting(Columns(trials), Limits(drop={"": 0.2}))] == ["float32", "int4-dynamic"]
    # A drop in the labels' own unit may be any number.
    assert len(fitting(Columns(trials), Limits(drop={"rmse": 5.0}))) == 3
    assert [trials[i].recipe for i in fitting(Columns(trials), Limits(figures={"rmse": 1.9}))] == ["int4-dynamic"]


def test_strict_holds_the_upper_end_of_what_is_lost() -> None:
    trials = segmented()
    loose, strict = (Limits(drop={"": 0.01}, strict=s) for s in (False, True))
    assert fitting(Columns(trials), loose) == [0, 1, 2]
    assert fitting(Columns(trials), strict) == [0, 1]
    assert fitting(Columns(trials), strict.model_copy(update={"drop": {"": 0.013}})) == [0, 1, 2]
    check = verdict(trials, strict, trials[2]).checks[0]
    assert (check.state, check.found, check.value) == ("fail", 0.013, "0.70 points")
    assert "the upper end of the 95 % interval counts: 1.30 points, more than 1.00 points" in check.text


def test_strict_holds_the_upper_end_of_a_time_and_takes_no_estimate() -> None:
    trials = [
        make_trial("float32", measurements=[measured("xnnpack", 1.0)]),
        make_trial("int8", measurements=[measured("xnnpack", 0.99), measured("ethos-u55-128", 0.5, kind="estimated")]),
    ]
    assert len(fitting(Columns(trials), read_limits({"latency_ms": 1.0}, "it"))) == 2
    # The interval ends at 1.04 times the median.
    assert fitting(Columns(trials), read_limits({"latency_ms": 1.0, "strict": True}, "it")) == []
    assert fitting(Columns(trials), read_limits({"latency_ms": 1.03, "strict": True}, "it")) == [1]
    estimate = read_limits({"latency_ms": {"ethos-u55-128": 9}, "strict": True}, "it")
    (check,) = verdict(trials, estimate, trials[1]).checks
    assert check.state == "missing"
    assert "no 95 % interval" in check.text


def test_strict_takes_no_range_of_two_processes_for_an_interval() -> None:
    few = Latency(median=1.0, low=0.9, high=1.1, p90=1.1, samples=20, processes=2, budget_s=1.0)
    trial = make_trial("float32", measurements=[measured("xnnpack", 1.0, latency_ms=few)])
    limits = read_limits({"latency_ms": 5, "strict": True}, "it")
    assert verdict([trial], limits, trial).checks[0].state == "missing"
    many = few.model_copy(update={"processes": 5})
    trial = make_trial("float32", measurements=[measured("xnnpack", 1.0, latency_ms=many)])
    assert verdict([trial], limits, trial).passed


def test_a_loss_without_an_interval_is_not_kept_strictly_but_by_the_baseline() -> None:
    trials = [make_trial("float32"), make_trial("float16")]
    assert fitting(Columns(trials), Limits(drop={"": 0.5})) == [0, 1]
    assert fitting(Columns(trials), Limits(drop={"": 0.5}, strict=True)) == [0]


def test_memory_compressed_coverage_and_figures() -> None:
    trials = [
        make_trial("float32", measurements=[measured("micro", 1, memory={"arena": 64_000})]),
        make_trial("int8", measurements=[measured("micro", 1, memory={"arena": 32_000}, ops_delegated=7)]),
    ]
    for given in (
        {"memory": 40_000},
        {"compressed": 200_000},
        {"coverage": {"micro": 0.5}},
        {"latency_ms": {"micro": 1.5}, "memory": {"micro": "40KB"}},
        {"figures": {"agreement": 0.9}, "size": 200_000},
    ):
        assert fitting(Columns(trials), read_limits(given, "it")) == [1], given
    found = verdict(trials, read_limits({"max_memory": {"micro": 40_000}}, "gate"), trials[0])
    assert found.checks[0].text == "arena 64.0 kB on micro, more than 40.0 kB"
    assert found.checks[0].name == "max_memory@micro"


def test_what_no_task_gives_is_told_where_it_was_typed_and_missing_where_it_was_stored() -> None:
    columns = Columns(segmented())
    for limits, says in (
        (Limits(drop={"iuo": 0.1}), "unknown figure 'iuo'. Did you mean 'iou'"),
        (Limits(figures={"iuo": 0.1}), "unknown figure 'iuo'. Did you mean 'iou'"),
        (Limits(drop={"": 2.0}), "is a share"),
    ):
        assert fitting(columns, limits) == []
        with pytest.raises(WorkbenchError) as error:
            Holder(columns, limits).refuse_unknown()
        assert says in str(error.value)
    Holder(columns, Limits(drop={"iou": 0.1})).refuse_unknown()


@pytest.mark.parametrize("seed", range(20))
def test_gate_best_and_search_hold_alike(seed: int) -> None:
    draw = random.Random(seed)
    trials = [*make_study()] if seed % 2 else segmented()
    limits = read_limits(
        {
            "size": draw.choice([None, draw.randrange(90_000, 450_000)]),
            "compressed": draw.choice([None, draw.randrange(20_000, 450_000)]),
            "drop": draw.choice([0.0, 0.001, 0.01, 0.03]),
            "strict": draw.random() < 0.5,
        },
        "it",
    )
    fit = {trials[i].id for i in fitting(Columns(trials), limits)}
    for trial in trials:
        if trial.state == "ok":
            assert verdict(trials, limits, trial).passed == (trial.id in fit)
            if seed % 2 == 0 or not limits.strict:
                assert all(v <= 0 for v in violations(trial, trials[0], limits).values()) == (trial.id in fit)
    found, judge = best(trials, limits), verdict(trials, limits)
    assert (found is not None) == judge.passed == bool(fit)
    assert found is None or judge.trial == found


def test_limits_in_words() -> None:
    limits = read_limits({"drop": {"iou": 0.01}, "size": "100KB", "latency_ms": {"reference": 2}, "strict": True}, "it")
    assert limits_text(limits) == (
        "at most 100 kB, iou drop at most 1 point, at most 2 ms on reference, held by the end of the 95 % interval"
    )
    assert limits_text(Limits()) == ""
