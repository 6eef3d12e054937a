"""Time all variants in interleaved rounds in shuffled order until each interval is narrow enough."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from workbench.errors import StageFailed
from workbench.measure import stats
from workbench.measure.host import WARM_NS

MIN_ROUNDS = 10
CHECK_EVERY = 5
# Invocations of one turn fill about this long: enough to leave the switch between processes behind.
TURN_NS = 4_000_000
MAX_PER_TURN = 50
ANSWER_SECONDS = 120.0


class Timed(Protocol):
    """What can be timed: a host, or a fake in the tests."""

    def time(self, count: int, warm_ns: int, seconds: float) -> list[int]:
        """Return the nanoseconds of `count` invocations after `warm_ns` of unrecorded ones."""
        ...


@dataclass
class Variant:
    """One artifact on one runtime: its raw samples by round (nanoseconds), and why it stopped if it broke."""

    name: str
    host: Timed
    baseline: str | None = None
    per_turn: int = 0
    warm_ns: int = WARM_NS
    rounds: dict[int, list[int]] = field(default_factory=dict)
    error: str | None = None
    narrow: bool = False


def run_rounds(
    variants: list[Variant],
    half_width: float,
    budget_s: float,
    seed: int = 0,
    cancel: threading.Event | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Fill each variant's `rounds`; a variant stops when its interval is narrow, all stop when the budget is spent.

    A variant that serves as baseline goes on as long as one that is compared with it. One that breaks gets an
    `error`; the others go on.
    """
    shuffle = random.Random(seed)
    start = clock()
    for variant in variants:
        _calibrate(variant)
    number = 0
    while (active := _active(variants)) and not (cancel and cancel.is_set()):
        if number >= MIN_ROUNDS and clock() - start > budget_s:
            break
        shuffle.shuffle(active)
        for variant in active:
            if cancel and cancel.is_set():
                return
            try:
                variant.rounds[number] = variant.host.time(variant.per_turn, variant.warm_ns, ANSWER_SECONDS)
            except StageFailed as error:
                variant.error = str(error)
            if number >= 2 and clock() - start > 2 * budget_s:
                # So slow that even the smallest number of rounds does not fit: what was timed counts.
                return
        number += 1
        if number >= MIN_ROUNDS and number % CHECK_EVERY == 0:
            for variant in variants:
                if variant.error is None and not variant.narrow:
                    variant.narrow = stats.half_width(list(variant.rounds.values())) <= half_width
        on_progress(sum(v.narrow or v.error is not None for v in variants), len(variants))


def _calibrate(variant: Variant) -> None:
    """Choose how many invocations make a turn; slow models need no second warm-up in it."""
    try:
        took = min(variant.host.time(2, 0, ANSWER_SECONDS))
    except StageFailed as error:
        variant.error = str(error)
        return
    variant.per_turn = max(1, min(MAX_PER_TURN, TURN_NS // max(1, took)))
    variant.warm_ns = 0 if took > 5 * WARM_NS else WARM_NS


def _active(variants: list[Variant]) -> list[Variant]:
    open_ = [v for v in variants if v.error is None and not v.narrow]
    needed = {v.baseline for v in open_ if v.baseline}
    return [v for v in variants if v.error is None and (not v.narrow or v.name in needed)]
