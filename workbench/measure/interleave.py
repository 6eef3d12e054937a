"""Time all variants in interleaved rounds in shuffled order until each interval is narrow enough.

Two processes that hold the same file differ by up to a percent, for as long as they live: their memory lies
elsewhere. A variant is therefore opened anew in a fresh process for every block of rounds, and blocks, not
rounds, are what the intervals are made of.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from workbench.errors import StageFailed, Unfit
from workbench.measure import stats
from workbench.measure.host import WARM_NS
from workbench.measure.watch import Watch

# So many invocations of each are timed whatever the budget.
LEAST_SAMPLES = 3
# So many blocks are planned for where the budget allows it; a narrow interval counts from twice as many.
LEAST_BLOCKS = stats.LEAST
MIN_BLOCKS = 10
CHECK_EVERY = 5
# Invocations of one turn fill about this long: enough to leave the switch between processes behind.
TURN_NS = 4_000_000
MAX_PER_TURN = 50
# Opening may take this many times as long as timing before rounds share a process.
OPEN_SHARE = 4.0
MAX_ROUNDS_PER_BLOCK = 5
# The rounds of one process that is never opened anew.
ONE_PROCESS = 0
# A first invocation may take long; a turn is known by then, and one that takes many times as long hangs.
ANSWER_SECONDS = 120.0
TURN_SECONDS = 30.0
TURN_SHARE = 20.0


class Timeable(Protocol):
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
    open: Callable[[], Timeable]
    baseline: str | None = None
    took_s: float = 0.0
    per_turn: int = 0
    warm_ns: int = WARM_NS
    turn_s: float = 0.0
    open_s: float = 0.0
    rounds: dict[int, list[int]] = field(default_factory=dict)
    error: str | None = None
    unfit: bool = False
    narrow: bool = False
    host: Timeable | None = None
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
            limit = max(TURN_SECONDS, TURN_SHARE * self.planned_s)
            self.rounds[number] = self.host.time(self.per_turn, warm_ns, limit)
            self.fresh = False
        except StageFailed as error:
            self.error = str(error)
        self.turn_s = clock() - begin

    @property
    def planned_s(self) -> float:
        """The seconds that a turn is expected to take."""
        return self.per_turn * self.took_s + self.warm_ns / 1e9

    @property
    def samples(self) -> int:
        """The number of invocations that were timed."""
        return sum(map(len, self.rounds.values()))

    def close(self) -> None:
        """End the process that holds the artifact."""
        if self.host is not None:
            self.host.close()
            self.host = None


def open_all(variants: list[Variant], watch: Watch, clock: Callable[[], float] = time.monotonic) -> None:
    """Hold each artifact in a process, but those that are held already; sets `error` of those that cannot run."""
    closed = [v for v in variants if v.host is None and v.error is None]
    for number, variant in enumerate(closed):
        watch.check()
        watch.on_progress("opening", number, len(closed))
        variant.reopen(clock)


def close_all(variants: list[Variant]) -> None:
    """End the processes that hold artifacts."""
    for variant in variants:
        variant.close()


def run_rounds(
    variants: list[Variant],
    half_width: float,
    budget_s: float,
    samples: int = 50,
    seed: int = 0,
    watch: Watch | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Fill each variant's `rounds` and return the number of rounds that make a block, or ONE_PROCESS.

    A variant stops when its interval is narrow. No round is begun that would outlast the budget, but for the least number
    of invocations. One that serves as baseline goes on as long as one that is compared with it. One that breaks gets an
    `error`; the others go on. Raises Cancelled when asked to stop.
    """
    watch, shuffle = watch or Watch(), random.Random(seed)
    try:
        open_all(variants, watch, clock)
        start = clock()
        for variant in variants:
            watch.check()
            _calibrate(variant)
        block = plan(variants, samples, budget_s - (clock() - start))
        number = 0
        while active := _active(variants):
            anew = block != ONE_PROCESS and number > 0 and number % block == 0
            if _enough(active) and clock() - start + _round_s(active, anew) > budget_s:
                break
            shuffle.shuffle(active)
            for variant in active:
                watch.check()
                if anew:
                    variant.reopen(clock)
                variant.turn(number, clock)
            number += 1
            if block != ONE_PROCESS and number >= MIN_BLOCKS * block and number % (CHECK_EVERY * block) == 0:
                _judge(variants, half_width, block)
            watch.on_progress("timing", sum(v.narrow or v.error is not None for v in variants), len(variants))
        if block != ONE_PROCESS and number >= LEAST_BLOCKS * block:
            _judge(variants, half_width, block)
    finally:
        close_all(variants)
    return block


def plan(variants: list[Variant], samples: int, budget_s: float) -> int:
    """Choose how many invocations make a turn of each, and return how many rounds share a process.

    Where the budget allows it, `samples` invocations in LEAST_BLOCKS processes; else fewer of both; where it does not even
    allow so many processes as invocations have to be, ONE_PROCESS, the one that is there.
    """
    running = [v for v in variants if v.error is None and v.host is not None]
    opening = sum(v.open_s for v in running)
    for blocks in range(LEAST_BLOCKS, LEAST_SAMPLES - 1, -1):
        _ask_for(running, -(-samples // LEAST_BLOCKS))
        # The processes of the first block are there.
        if _shrink(running, (budget_s - (blocks - 1) * opening) / blocks):
            return rounds_per_block(running, budget_s)
    _ask_for(running, 1)
    _shrink(running, budget_s / LEAST_BLOCKS)
    return ONE_PROCESS


def _ask_for(running: list[Variant], least: int) -> None:
    for v in running:
        v.per_turn = max(least, min(MAX_PER_TURN, int(TURN_NS / 1e9 / max(1e-9, v.took_s))))


def _shrink(running: list[Variant], seconds: float) -> bool:
    """Take invocations from turns until a round fits into the seconds, but the last of each; return whether it does."""
    warm = sum(v.warm_ns / 1e9 for v in running)
    wanted = sum(v.per_turn * v.took_s for v in running)
    share = min(1.0, (seconds - warm) / wanted) if wanted > 0 else 1.0
    for v in running:
        v.per_turn = max(1, int(v.per_turn * share))
        v.turn_s = v.planned_s
    return sum(v.turn_s for v in running) <= seconds


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


def _calibrate(variant: Variant) -> None:
    """See how long an invocation takes; slow models need no second warm-up in a turn, nor a second look."""
    if variant.host is None:
        return
    try:
        took = variant.host.time(1, 0, ANSWER_SECONDS)
        if took[0] < 10 * WARM_NS:
            took += variant.host.time(2, 0, ANSWER_SECONDS)
        variant.took_s = min(took) / 1e9
        variant.warm_ns = 0 if min(took) > 5 * WARM_NS else WARM_NS
    except StageFailed as error:
        variant.error = str(error)
    variant.fresh = False


def _enough(active: list[Variant]) -> bool:
    return all(v.samples >= LEAST_SAMPLES for v in active)


def _round_s(active: list[Variant], anew: bool) -> float:
    """Return how long a round is expected to take, by the last one."""
    return sum(v.turn_s + (v.open_s if anew else 0.0) for v in active)


def _active(variants: list[Variant]) -> list[Variant]:
    unfinished = [v for v in variants if v.error is None and not v.narrow]
    needed = {v.baseline for v in unfinished if v.baseline}
    return [v for v in variants if v.error is None and (not v.narrow or v.name in needed)]
