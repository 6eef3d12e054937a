"""What a running sweep tells: a stream of events for a progress bar, a notebook, a log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

EventKind = Literal[
    "phase", "stage-started", "stage-done", "stage-failed", "trial", "measured", "waiting", "damaged", "told"
]


# What stays to be read: what was damaged, and what is told of what was asked for.
STAYS = ("damaged", "told")


@dataclass(frozen=True)
class Event:
    """One step of a sweep; counts are of the current phase, `eta_s` is seconds left or None where unknown."""

    kind: EventKind
    phase: Literal["prepare", "build", "measure", "done"]
    label: str
    done: int = 0
    total: int = 0
    failed: int = 0
    eta_s: float | None = None


Listener = Callable[[Event], None]


def silent(_event: Event) -> None:
    """A listener that does nothing."""
