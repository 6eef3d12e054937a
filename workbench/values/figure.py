"""A figure: a named value with its unit, direction and 95 % interval, and how it differs from the float baseline's."""

from __future__ import annotations

from typing import Literal

from workbench.values.base import Count, Value

Unit = Literal["bytes", "ms", "share", "points", "db", "ratio", "number"]
Better = Literal["low", "high"]


class Change(Value):
    """A figure less the baseline's on the same samples, with the 95 % interval of the paired difference, in the figure's unit."""

    value: float
    low: float
    high: float


class Figure(Value):
    """A quality figure of one output: its value and 95 % interval over the samples of a split.

    `output` names the output where it is not the first one that has labels. `unit` says how to read the value: `share` is a fraction (0.01 = 1 %), `number` has the labels' own unit. `change` is None for
    the baseline itself, and where a figure of the baseline is missing.
    """

    name: str
    title: str
    value: float
    low: float
    high: float
    unit: Unit
    better: Better
    samples: Count
    split: str = "test"
    output: str = ""
    change: Change | None = None

    @property
    def key(self) -> str:
        """The name by which it is charted and limited: of the first labelled output alone, of others after the output's name."""
        return f"{self.output}.{self.name}" if self.output else self.name

    @property
    def loss(self) -> Change | None:
        """What was lost against the baseline: above zero where this figure is worse, whichever way is better."""
        if self.change is None or self.better == "low":
            return self.change
        return Change(value=-self.change.value, low=-self.change.high, high=-self.change.low)
