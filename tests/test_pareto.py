"""The Pareto front against comparing every pair, and the choice of the variant to ship."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trials import make_study, make_trial

from workbench.errors import WorkbenchError
from workbench.values.figure import Better
from workbench.values.limits import Limits, read_limits
from workbench.views.pareto import best, pareto_front

# ---- Pareto front


def brute_force(points: list[tuple[float | None, float | None]], better: tuple[Better, Better]) -> set[int]:
    """Return the front by comparing every pair."""
    signs = [1 if b == "low" else -1 for b in better]
    costs = {
        i: (signs[0] * x, signs[1] * y)
        for i, (x, y) in enumerate(points)
        if x is not None and y is not None and not math.isnan(x + y)
    }

    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
        return a != b and a[0] <= b[0] and a[1] <= b[1]

    return {i for i, c in costs.items() if not any(beats(o, c) for o in costs.values())}


# Few different values, so that ties and duplicates come up.
coordinates = st.one_of(
    st.none(), st.just(math.nan), st.just(math.inf), st.integers(-3, 3).map(float), st.floats(-1e9, 1e9)
)


@given(
    st.lists(st.tuples(coordinates, coordinates), max_size=40),
    st.tuples(st.sampled_from(["low", "high"]), st.sampled_from(["low", "high"])),
)
def test_front_is_what_comparing_all_pairs_gives(
    points: list[tuple[float | None, float | None]], better: tuple[Better, Better]
) -> None:
    front = pareto_front(points, better)
    assert set(front) == brute_force(points, better)
    xs = [x for i in front if (x := points[i][0]) is not None]
    assert xs == sorted(xs)


def test_front_keeps_equal_points_and_drops_missing_ones() -> None:
    points = [(1.0, 5.0), (2.0, 9.0), (1.0, 5.0), (None, 99.0), (0.5, math.nan), (3.0, 9.0)]
    assert pareto_front(points, ("low", "high")) == [0, 2, 1]
    assert pareto_front([], ("low", "low")) == []


def test_front_of_many_points_is_quick() -> None:
    points = [(float(i), float(i)) for i in range(100_000)]
    assert len(pareto_front(points, ("low", "high"))) == len(points)


# ---- the one to ship


def limits(**given: Any) -> Limits:
    return read_limits(given, "constraints")


def test_best_is_the_smallest_that_keeps_all_constraints() -> None:
    trials = make_study()
    chosen = best(trials, limits(accuracy_drop=0.01))
    assert chosen is not None
    assert chosen.recipe == "int8"
    smallest = best(trials, Limits())
    assert smallest is not None
    assert smallest.recipe.endswith("int4-block32")
    assert best(trials, limits(size=1000)) is None
    fast = best(trials, limits(latency_ms=0.3))
    assert fast is not None
    assert fast.recipe.endswith("int8")


def test_best_takes_a_drop_of_exactly_the_limit() -> None:
    trials = [make_trial("float32", accuracy=0.9911), make_trial("int8", accuracy=0.9811)]
    assert 0.9911 - 0.9811 > 0.01
    assert best(trials, limits(accuracy_drop=0.01)) is trials[1]


def test_best_breaks_ties_by_accuracy_then_latency() -> None:
    worse = make_trial("dynamic", size=100_000, accuracy=0.9, latency=0.1)
    slow = make_trial("int8", size=100_000, accuracy=0.95, latency=2.0)
    quick = make_trial("prune:0.5+int8", size=100_000, accuracy=0.95, latency=1.0)
    assert best([worse, slow, quick], Limits()) is quick


def test_best_refuses_what_is_not_known() -> None:
    trials = [
        make_trial("float32", measurements=()),
        make_trial("int8", task="none", measurements=()),
        make_trial("dynamic", state="failed", error="x"),
    ]
    assert best(trials, limits(latency_ms=100)) is None
    chosen = best(trials, limits(accuracy_drop=1))
    assert chosen is trials[0]


def test_best_on_a_named_runtime() -> None:
    trials = make_study()
    assert best(trials, limits(latency_ms=1e-3), runtime="reference") is None
    on_npu = best(trials, limits(latency_ms=10), runtime="ethos-u55-128")
    assert on_npu is not None
    assert on_npu.recipe.endswith("int8")
    with pytest.raises(WorkbenchError, match=r"unknown measured runtime 'gpu'.*xnnpack"):
        best(trials, Limits(), runtime="gpu")
