"""A machine of fakes with a clock of its own, for tests of what is timed when."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.measure.interleave import Variant

MS = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Fake:
    """A machine of fakes: every turn is logged and moves the clock; `costs` says what an invocation takes."""

    costs: dict[str, Callable[[int], int]]
    open_s: float = 0.001
    clock: Clock = field(default_factory=Clock)
    turns: list[str] = field(default_factory=list)
    opened: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    on_turn: Callable[[str, int], None] = lambda name, number: None
    on_open: Callable[[str, int], None] = lambda name, number: None

    def variants(self, baseline: str | None = None) -> list[Variant]:
        return [Variant(n, self.opener(n), baseline=baseline if n != baseline else None) for n in self.costs]

    def opener(self, name: str) -> Callable[[], FakeHost]:
        def open_host() -> FakeHost:
            self.clock.now += self.open_s
            self.on_open(name, self.opened[name])
            self.opened[name] += 1
            return FakeHost(self, name)

        return open_host

    def rounds(self) -> list[list[str]]:
        """The names of each round in order; two calibrating turns of each variant, which is fast, come first."""
        found: list[list[str]] = []
        seen: set[str] = set()
        for name in self.turns[2 * len(self.costs) :]:
            if not found or name in seen:
                found.append([])
                seen = set()
            found[-1].append(name)
            seen.add(name)
        return found


@dataclass
class FakeHost:
    machine: Fake
    name: str

    def time(self, count: int, warm_ns: int, seconds: float) -> list[int]:
        number = self.machine.turns.count(self.name)
        self.machine.turns.append(self.name)
        self.machine.on_turn(self.name, number)
        samples = [self.machine.costs[self.name](number)] * count
        self.machine.clock.now += (sum(samples) + warm_ns) / 1e9
        return samples

    def close(self) -> None:
        self.machine.closed[self.name] += 1


def steady(ns: int) -> Callable[[int], int]:
    return lambda number: ns


def noisy(ns: int) -> Callable[[int], int]:
    draw = random.Random(0)
    return lambda number: int(ns * draw.uniform(0.5, 1.5))
