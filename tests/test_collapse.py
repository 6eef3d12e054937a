"""A collapse of any output is told by its name, with or without labels."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.evaluate.collapse import collapsed

DRAW = np.random.default_rng(0)
SCORES = DRAW.random((200, 4))
TARGETS = 20000 + 1000 * DRAW.normal(size=(200, 1))
MAP = DRAW.random((50, 4, 4, 3))


@pytest.mark.parametrize("values", [SCORES, TARGETS, MAP], ids=["scores", "large targets", "map"])
def test_a_constant_output_is_told_though_its_values_are_near(values: np.ndarray) -> None:
    fine = {"kind": SCORES[: len(values)], "other": values}
    flat = {**fine, "other": np.broadcast_to(values.mean(axis=0), values.shape)}
    for labelled in (set(), {"kind", "other"}):
        (found,) = collapsed(flat, fine, labelled)
        assert (found.kind, "'other'" in found.seen, "constant" in found.seen) == ("output-collapsed", True, True)
    renamed = {"a": flat["kind"], "b": flat["other"]}
    (found,) = collapsed(renamed, fine, set())
    assert "'b'" in found.seen


@pytest.mark.parametrize("values", [SCORES, TARGETS, MAP], ids=["scores", "large targets", "map"])
def test_another_answer_is_told_where_there_are_no_labels(values: np.ndarray) -> None:
    base, moved = {"head": values}, {"head": values[::-1]}
    (found,) = collapsed(moved, base, set())
    assert "no labels" in found.seen
    assert collapsed(moved, base, {"head"}) == []


@pytest.mark.parametrize("values", [SCORES, TARGETS, MAP], ids=["scores", "large targets", "map"])
def test_rounding_is_no_collapse_and_neither_is_an_output_that_never_varied(values: np.ndarray) -> None:
    noisy = values + 0.02 * values.std() * DRAW.normal(size=values.shape)
    assert collapsed({"head": noisy}, {"head": values}, set()) == []
    constant = {"head": np.ones_like(values)}
    assert collapsed(constant, constant, set()) == []


def test_probabilities_that_hardly_vary_show_nothing_that_could_be_lost() -> None:
    sure = np.concatenate([1 - 1e-3 * SCORES[:, :1], 1e-3 * SCORES[:, :1]], axis=1)
    even = 0.25 + 1e-4 * (SCORES - SCORES.mean(axis=1, keepdims=True))
    maps = np.stack([1 - 1e-3 * MAP[..., 0], 1e-3 * MAP[..., 0]], axis=-1)
    for values in (sure, even, maps):
        rounded = {"kind": np.round(values * 256) / 256}
        assert collapsed(rounded, {"kind": values}, set()) == []
    # Small values that are no probabilities, and probabilities that do vary.
    shares = np.concatenate([SCORES[:, :1], 1 - SCORES[:, :1]], axis=1)
    for values in (1e-3 * SCORES, shares, shares[:, :1] * 1e-3):
        (found,) = collapsed({"kind": np.broadcast_to(values.mean(axis=0), values.shape)}, {"kind": values}, set())
        assert "constant" in found.seen
