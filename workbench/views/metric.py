"""A metric: one figure by which a trial can be charted, compared and sorted, and the place that a runtime's figures belong to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from workbench.values.figure import Better, Unit
from workbench.values.trial import Measurement, Trial
from workbench.views.units import UNIT_TEXT

Kind = Literal["measured", "estimated"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Metric:
    """One figure of a trial: its name, what it is, which way is better, and how to read it.

    `value(trial, baseline)` is None where the trial has no such figure. `interval(trial)` gives the 95 %
    interval (low, high) of a measured one. Shares and points are fractions: 0.01 = 1 %. `note` says what a
    time is that no device of that name took: host time, or a software device.

    A figure of a runtime has `runtime`, the `family` that it shares with the same figure of other runtimes
    (`latency`, `estimated_ratio`, ...), and tells it of one measurement too: `of_run` and `run_interval`.
    """

    name: str
    title: str
    unit: Unit
    better: Better
    value: Callable[[Trial, Trial | None], float | None]
    log_default: bool = False
    interval: Callable[[Trial], Interval | None] = lambda trial: None
    estimated: bool = False
    note: str = ""
    runtime: str = ""
    family: str = ""
    of_run: Callable[[Measurement], float | None] | None = None
    run_interval: Callable[[Measurement], Interval | None] = lambda m: None

    @property
    def kind(self) -> Kind:
        """Whether it was measured or estimated."""
        return "estimated" if self.estimated else "measured"

    @property
    def label(self) -> str:
        """The title with its unit, for an axis or a list to choose from."""
        return self._with_notes(UNIT_TEXT[self.unit])

    @property
    def marked_title(self) -> str:
        """The title without its unit, still marked where the figure is an estimate, host time or a software device's."""
        return self._with_notes()

    def _with_notes(self, unit: str = "") -> str:
        notes = [note for note in (unit, "estimated" if self.estimated else "", self.note) if note]
        return f"{self.title} ({', '.join(notes)})" if notes else self.title


class Place(NamedTuple):
    """A runtime as figures are told apart by it; `text` names it with `note`: estimated, host time, software device."""

    runtime: str
    kind: Kind
    text: str

    @property
    def note(self) -> str:
        """What must be known before a time is read, or nothing."""
        return self.text.removeprefix(self.runtime).strip(" ()")


def baseline_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the float baseline among the trials, or None."""
    return next((t for t in trials if t.baseline), None)
