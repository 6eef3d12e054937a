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


@pytest.mark.parametrize(
    "shape", [(8, 300, 16), (8, 900, 1), (8, 6, 6, 12)], ids=["boxes", "anchors", "a map of boxes"]
)
def test_numbers_that_are_no_classes_flip_their_largest_without_a_collapse(shape: tuple[int, ...]) -> None:
    """The regressors of a detector: which of sixteen coordinates is the largest means nothing, and rounding changes it in half of the places."""
    place = DRAW.normal(size=(1, *shape[1:-1], 1))
    values = place + 0.3 * DRAW.normal(size=(shape[0], 1, *shape[2:])) + 0.01 * DRAW.normal(size=shape)
    noisy = values + 0.06 * DRAW.normal(size=shape)
    flips = values.reshape(-1, shape[-1]).argmax(axis=1) != noisy.reshape(-1, shape[-1]).argmax(axis=1)
    assert shape[-1] == 1 or flips.mean() > 0.2
    assert collapsed({"boxes": noisy}, {"boxes": values}, set()) == []
    assert collapsed({"boxes": values[::-1]}, {"boxes": values}, set()) != []


def test_a_class_that_was_clear_and_is_another_is_told_though_the_noise_is_small() -> None:
    """Of 40 classes two change their places in half of the samples: 9 dB of the spread, and half of the answers wrong."""
    values = np.tile(np.eye(40)[np.arange(20)], (10, 1)) + 0.01 * DRAW.random((200, 40))
    wrong = np.where(np.arange(200)[:, None] % 2, values, np.roll(values, 1, axis=1))
    assert collapsed({"kind": 0.6 * values + 0.4 * wrong}, {"kind": values}, set()) == []
    (found,) = collapsed({"kind": 0.45 * values + 0.55 * wrong}, {"kind": values}, set())
    assert "50% the same top class where that is clear" in found.seen


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
