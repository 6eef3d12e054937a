"""Time all variants in interleaved rounds in shuffled order until each interval is narrow enough.

Two processes that hold the same file differ by up to a percent, for as long as they live: their memory lies
elsewhere. A variant is therefore opened anew in a fresh process for every block of rounds, and blocks, not
rounds, are what the intervals are made of.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from workbench.errors import StageFailed, Unfit
from workbench.measure import stats
from workbench.measure.host import WARM_NS

# A spent budget ends timing after so many blocks; a narrow interval counts from twice as many.
LEAST_BLOCKS = 5
MIN_BLOCKS = 10
CHECK_EVERY = 5
# Invocations of one turn fill about this long: enough to leave the switch between processes behind.
TURN_NS = 4_000_000
MAX_PER_TURN = 50
# Opening may take this many times as long as timing before rounds share a process.
OPEN_SHARE = 4.0
MAX_ROUNDS_PER_BLOCK = 5
ANSWER_SECONDS = 120.0


class Timed(Protocol):
    """What can be timed: a host, or a fake in the tests."""

    def time(self, count: int, warm_ns: int, seconds: float) -> list[int]:
        """Return the nanoseconds of `count` invocations after `warm_ns` of unrecorded ones."""
        ...

    def close(self) -> None:
        """Let the process end."""
        ...


@dataclass
class Variant:
    """One artifact on one runtime: how to open it, its raw samples by round (nanoseconds), why it stopped if it broke or is `unfit` for the runtime."""

    name: str
    open: Callable[[], Timed]
    baseline: str | None = None
    per_turn: int = 0
    warm_ns: int = WARM_NS
    turn_s: float = 0.0
    open_s: float = 0.0
    rounds: dict[int, list[int]] = field(default_factory=dict)
    error: str | None = None
    unfit: bool = False
    narrow: bool = False
    host: Timed | None = None
    fresh: bool = False

    def reopen(self, clock: Callable[[], float]) -> None:
        """Hold the artifact in a fresh process; sets `error` when it cannot run."""
        self.close()
        begin = clock()
        try:
            self.host, self.fresh = self.open(), True
        except (StageFailed, Unfit) as error:
            self.error, self.unfit = str(error), isinstance(error, Unfit)
        self.open_s = clock() - begin

    def turn(self, number: int, clock: Callable[[], float]) -> None:
        """Time one turn; sets `error` when the process died or hung."""
        if self.host is None:
            return
        begin = clock()
        try:
            # One that was opened a moment ago has just run: its weights are in the caches still.
            warm_ns = 0 if self.fresh else self.warm_ns
            self.rounds[number] = self.host.time(self.per_turn, warm_ns, ANSWER_SECONDS)
            self.fresh = False
        except StageFailed as error:
            self.error = str(error)
        self.turn_s = clock() - begin

    def close(self) -> None:
        """End the process that holds the artifact."""
        if self.host is not None:
            self.host.close()
            self.host = None


def run_rounds(
    variants: list[Variant],
    half_width: float,
    budget_s: float,
    samples: int = 50,
    seed: int = 0,
    cancel: threading.Event | None = None,
    on_progress: Callable[[str, int, int], None] = lambda label, done, total: None,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Fill each variant's `rounds` and return the number of rounds that make a block.

    A variant stops when its interval is narrow, all stop when the budget is spent. One that serves as baseline
    goes on as long as one that is compared with it. One that breaks gets an `error`; the others go on.
    """
    shuffle = random.Random(seed)
    start = clock()
    try:
        for number, variant in enumerate(variants):
            if cancel and cancel.is_set():
                break
            on_progress("opening", number, len(variants))
            variant.reopen(clock)
            _calibrate(variant, -(-samples // LEAST_BLOCKS), clock)
            variant.fresh = False
        block = rounds_per_block(variants, budget_s)
        number = 0
        while (active := _active(variants)) and not (cancel and cancel.is_set()):
            spent = clock() - start
            if spent > budget_s and number >= LEAST_BLOCKS * block:
                break
            shuffle.shuffle(active)
            for variant in active:
                if cancel and cancel.is_set():
                    break
                if number and number % block == 0:
                    variant.reopen(clock)
                variant.turn(number, clock)
            number += 1
            if number >= MIN_BLOCKS * block and number % (CHECK_EVERY * block) == 0:
                _judge(variants, half_width, block)
            on_progress("timing", sum(v.narrow or v.error is not None for v in variants), len(variants))
        _judge(variants, half_width, block)
    finally:
        for variant in variants:
            variant.close()
    return block


def rounds_per_block(variants: list[Variant], budget_s: float = math.inf) -> int:
    """Return how many rounds share a process: one, or more where opening takes much longer than timing.

    Never so many that the smallest number of blocks would outlast the budget.
    """
    running = [v for v in variants if v.error is None and v.turn_s > 0]
    opening, turns = sum(v.open_s for v in running), sum(v.turn_s for v in running)
    share = max((v.open_s / v.turn_s / OPEN_SHARE for v in running), default=1.0)
    block = min(MAX_ROUNDS_PER_BLOCK, max(1, math.ceil(share)))
    while block > 1 and LEAST_BLOCKS * (opening + block * turns) > budget_s:
        block -= 1
    return block


def _judge(variants: list[Variant], half_width: float, block: int) -> None:
    for variant in variants:
        if variant.error is None and variant.rounds and not variant.narrow:
            variant.narrow = stats.half_width(variant.rounds, block) <= half_width


def _calibrate(variant: Variant, least: int, clock: Callable[[], float]) -> None:
    """Choose how many invocations make a turn; slow models need no second warm-up in it."""
    if variant.host is None:
        return
    try:
        took = min(variant.host.time(2, 0, ANSWER_SECONDS))
        variant.per_turn = max(least, min(MAX_PER_TURN, TURN_NS // max(1, took)))
        variant.warm_ns = 0 if took > 5 * WARM_NS else WARM_NS
        variant.turn_s = (variant.per_turn * took + variant.warm_ns) / 1e9
    except StageFailed as error:
        variant.error = str(error)


def _active(variants: list[Variant]) -> list[Variant]:
    unfinished = [v for v in variants if v.error is None and not v.narrow]
    needed = {v.baseline for v in unfinished if v.baseline}
    return [v for v in variants if v.error is None and (not v.narrow or v.name in needed)]
