"""Picks: who is smallest, fastest, most accurate and balanced, and in what words that is told."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from stored import store_study
from test_limits import figure, judged, lost, segmented
from trials import make_many, make_study, make_trial, measured

from workbench.api import open_study
from workbench.cli.app import run
from workbench.errors import WorkbenchError
from workbench.values.limits import Limits
from workbench.values.trial import Ratio, Trial
from workbench.values.warning import warning
from workbench.views.columns import Columns
from workbench.views.gate import verdict
from workbench.views.metric import Metric
from workbench.views.pareto import best, pareto_front
from workbench.views.picks import Pick, cost_text, knee, loss_text, picks


def by_name(trials: list[Trial], limits: Limits | None = None) -> dict[str, Pick]:
    return {p.name: p for p in picks(Columns(trials), limits or Limits())}


# ---- the knee


def farthest(points: list[tuple[float, float]]) -> float:
    """The largest distance beyond the line between the front's ends, by the formula of a point's distance from a line."""
    front = [points[i] for i in pareto_front(points, ("low", "low"))]
    (x0, y0), (x1, y1) = front[0], front[-1]
    scaled = [((x - x0) / (x1 - x0), (y - y1) / (y0 - y1)) for x, y in front]
    # The line from (0, 1) to (1, 0): x + y - 1 = 0; below it is better.
    return max(-(x + y - 1) / math.hypot(1, 1) for x, y in scaled)


@pytest.mark.parametrize("seed", range(30))
def test_the_knee_lies_farthest_beyond_the_line(seed: int) -> None:
    draw = random.Random(seed)
    points = [(draw.uniform(10, 500), draw.uniform(0, 0.1)) for _ in range(draw.randrange(2, 40))]
    front = pareto_front(points, ("low", "low"))
    found = knee(points, ("low", "low"))
    if len(front) == 1:
        assert found == front[0]
        return
    distance = farthest(points)
    assert (found is None) == (distance <= 1e-9)
    if found is not None:
        alone = farthest([points[found], points[front[0]], points[front[-1]]])
        assert alone == pytest.approx(distance)
    mirrored = knee([(-x, -y) for x, y in points], ("high", "high"))
    assert mirrored == found


def test_a_knee_by_hand_and_fronts_without_one() -> None:
    assert knee([(0, 10), (1, 2), (5, 1), (10, 0)], ("low", "low")) == 1
    assert knee([(0, 0), (1, 8), (5, 9), (10, 10)], ("low", "high")) == 1
    assert knee([(0, 10), (5, 5), (10, 0)], ("low", "low")) is None, "all on the line"
    assert knee([(0, 10), (5, 9), (10, 0)], ("low", "low")) is None, "bent away"
    assert knee([(3, 3)], ("low", "low")) == 0
    assert knee([], ("low", "low")) is None


# ---- who is picked


def test_each_pick_is_the_best_of_its_kind_among_those_that_keep_the_limits() -> None:
    trials = make_study()
    limits = Limits(drop={"": 0.01})
    found = by_name(trials, limits)
    base = trials[0].quality.accuracy  # type: ignore[union-attr]
    fit = [t for t in trials if t.size and t.quality and base - t.quality.accuracy <= 0.01 + 1e-9]  # type: ignore[operator]
    assert found["smallest"].trial == best(trials, limits)
    assert found["fastest"].trial == min(fit, key=lambda t: t.measurements[0].latency_ms.median)  # type: ignore[union-attr]
    assert found["most accurate"].trial.quality.accuracy == max(t.quality.accuracy for t in fit)  # type: ignore[union-attr,type-var]
    assert {p.trial.id for p in found.values()} <= {t.id for t in fit}
    assert next(iter(found)) == "smallest"
    assert all(f"of {len(fit)} that keep loss at most 1 point" in p.why for p in found.values())


def test_there_is_no_pick_of_what_is_not_known() -> None:
    plain = [make_trial(r, task="none", measurements=()) for r in ("float32", "int8")]
    without = [t.model_copy(update={"quality": None}) for t in plain]
    assert list(by_name(without)) == ["smallest"]
    assert by_name([make_trial("float32")], Limits(size=1)) == {}
    assert by_name([make_trial("int8", state="failed", error="x")]) == {}


@pytest.mark.slow
def test_ten_thousand_trials_are_picked_from() -> None:
    found = by_name(make_many(10_000), Limits(drop={"": 0.02}))
    assert set(found) >= {"smallest", "fastest", "most accurate"}


# ---- what it costs


def test_a_slower_one_says_so_and_a_chance_is_called_one() -> None:
    trials = segmented()
    slow = measured("xnnpack", 1.5, base=1.0)
    trials[2] = trials[2].model_copy(update={"measurements": (slow,)})
    size = trials[2].size.file / trials[0].size.file  # type: ignore[union-attr]
    columns = Columns(trials)
    latency = columns.metrics["latency"]
    assert cost_text(columns, trials[2], latency) == (
        f"{size:.2f}x the bytes, 1.50x SLOWER on xnnpack, 0.70 points less iou (95 % 0.10 to 1.30)"
    )
    assert cost_text(columns, trials[1], latency).endswith("0.10 points less iou (95 % −0.10 to 0.30, may be chance)")
    assert cost_text(columns, trials[0], latency) == "the baseline itself"
    assert cost_text(Columns(trials[1:]), trials[1], latency) == "no baseline to compare with"


def test_no_difference_in_time_is_told_where_the_interval_holds_one() -> None:
    even = measured("xnnpack", 1.02, ratio=Ratio(median=1.02, low=0.97, high=1.07, rounds=40))
    trials = [make_trial("float32"), make_trial("int8", measurements=[even])]
    columns = Columns(trials)
    words = cost_text(columns, trials[1], columns.metrics["latency"])
    assert "1.02x the time on xnnpack (95 % 0.97x to 1.07x), no difference shown" in words


@pytest.mark.parametrize(
    ("better", "unit", "loss", "span", "words"),
    [
        ("high", "share", 0.004, (0.0, 0.009), "0.40 points less accuracy (95 % 0.00 to 0.90, may be chance)"),
        ("high", "share", 0.004, (0.001, 0.009), "0.40 points less accuracy (95 % 0.10 to 0.90)"),
        ("high", "share", -0.004, (-0.009, -0.001), "0.40 points more accuracy (95 % 0.10 to 0.90)"),
        ("low", "number", 0.3, (0.2, 0.4), "0.300 more accuracy (95 % 0.200 to 0.400)"),
        ("low", "number", -0.3, None, "0.300 less accuracy"),
        ("high", "share", 0.0, (0.0, 0.0), "the same accuracy"),
        ("high", "share", 0.0, (-0.01, 0.01), "the same accuracy on these samples (95 % −1.00 to 1.00)"),
    ],
)
def test_a_loss_in_words(better: Any, unit: Any, loss: float, span: tuple[float, float] | None, words: str) -> None:
    metric = Metric("accuracy", "Accuracy", unit, better, lambda t, b: None)
    assert loss_text(metric, loss, span) == words


def test_the_words_of_a_task_of_errors() -> None:
    error: dict[str, Any] = {"better": "low", "unit": "number"}
    trials = [
        judged("float32", figure("rmse", 2.0, None, **error)),
        judged("int8", figure("rmse", 2.3, lost(0.3, 0.2, 0.4), **error)),
    ]
    found = by_name(trials)
    assert found["most accurate"].trial is trials[0]
    assert found["smallest"].cost.endswith("0.300 more rmse (95 % 0.200 to 0.400)")


# ---- who tells it


@pytest.fixture
def store(tmp_path: Path) -> Path:
    trials = make_study()
    trials[3] = trials[3].model_copy(update={"warnings": (warning("noisy-measurement", "on xnnpack: it is"),)})
    store_study(tmp_path / "store", "digits-sweep", trials)
    return tmp_path / "store"


def test_best_prints_the_smallest_first_and_its_json_has_the_picks(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["best", "digits-sweep", "--max-drop", "0.01", "--store", str(store)]
    assert run([*words, "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    study = open_study("digits-sweep", store=str(store))
    smallest = study.best(max_drop=0.01)
    assert smallest is not None
    assert found["id"] == smallest.id
    assert [p["pick"] for p in found["picks"]][:3] == ["smallest", "fastest", "most accurate"]
    assert found["picks"][0]["id"] == smallest.id
    assert [p.row() for p in study.picks(max_drop=0.01)] == found["picks"]
    assert {w["kind"] for w in found["picks"][0]["warnings"]} == {w.kind for w in smallest.warnings} != set()
    assert run(words) == 0
    out = capsys.readouterr().out
    assert out.index(smallest.recipe) < out.index("Picks")
    assert "noisy-measurement" in out


def test_a_typed_name_is_checked_against_the_figures_there_are(store: Path) -> None:
    study = open_study("digits-sweep", store=str(store))
    for ask in (study.best, study.picks):
        with pytest.raises(WorkbenchError, match=r"unknown figure 'acuracy'\. Did you mean 'accuracy'"):
            ask(max_drop={"acuracy": 0.01})
        with pytest.raises(WorkbenchError, match=r"unknown best setting 'max_siez'\. Did you mean 'max_size'"):
            ask(max_siez=3)


def test_a_gate_without_a_trial_says_which_and_why(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["gate", "digits-sweep", "--max-drop", "0.01", "--store", str(store)]
    assert run(words) == 0
    assert "chosen:  no trial was named: the smallest of the " in capsys.readouterr().out
    assert run([*words, "--trial", "int8"]) == 0
    assert "chosen" not in capsys.readouterr().out
    assert run([*words, "--max-size", "1KB", "--format", "json"]) == 1
    why = json.loads(capsys.readouterr().out)["why"]
    assert why.startswith(
        "no trial was named, and none of 33 that run keeps every limit: the one that misses fewest (1 of 2)"
    )
    assert verdict(make_study(), Limits(size=10**9), make_trial("int8")).why == ""
    with pytest.raises(WorkbenchError, match="unknown figure 'acuracy'"):
        run(["gate", "digits-sweep", "--max-drop", "acuracy=0.01", "--store", str(store)])


def test_the_command_line_bounds_a_figure_by_its_name_strictly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_study(tmp_path / "store", "masks", segmented())
    where = ["--store", str(tmp_path / "store"), "--format", "json"]
    assert run(["best", "masks", "--max-drop", "iou=0.01", *where]) == 0
    assert json.loads(capsys.readouterr().out)[0]["recipe"] == "int8"
    assert run(["best", "masks", "--max-drop", "iou=0.01", "--strict", *where]) == 0
    assert json.loads(capsys.readouterr().out)[0]["recipe"] == "float16"
    assert run(["gate", "masks", "--trial", "int8", "--max-drop", "iou=0.01,pixels=0.1", "--strict", *where]) == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [(c["name"], c["state"]) for c in checks] == [("max_drop[iou]", "fail"), ("max_drop[pixels]", "pass")]
