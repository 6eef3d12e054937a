"""Where the time of a sweep went: every stage that ran, and what was found finished."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from workbench.values.base import Value


class StageTime(Value):
    """One stage that ran; seconds since the sweep began: ready (its inputs were there), started, ended; busy in the worker."""

    kind: str
    label: str
    worker: str
    ready_s: float
    started_s: float
    ended_s: float
    busy_s: float
    ok: bool = True

    @property
    def waited_s(self) -> float:
        """Seconds for which it was ready and no worker was free."""
        return self.started_s - self.ready_s


class Profile(Value):
    """One run of a sweep: wall seconds by phase, stages that ran, and how many were found finished, by kind."""

    started: str
    workers: int
    prepare_s: float = 0.0
    build_s: float = 0.0
    measure_s: float = 0.0
    stages: tuple[StageTime, ...] = ()
    reused: dict[str, int] = {}

    @property
    def busy_s(self) -> float:
        """Seconds of work in all stages."""
        return sum(s.busy_s for s in self.stages)

    @property
    def utilisation(self) -> float | None:
        """Busy time over workers times wall time, from the first stage's start to the last one's end; None where none ran."""
        if not self.stages:
            return None
        wall = max(s.ended_s for s in self.stages) - min(s.started_s for s in self.stages)
        return self.busy_s / (self.workers * wall) if wall > 0 else None

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per kind of stage: how often it ran, was found, its seconds, and what it waited for."""
        by_kind: dict[str, list[StageTime]] = defaultdict(list)
        for stage in self.stages:
            by_kind[stage.kind].append(stage)
        return [
            {
                "stage": kind,
                "ran": len(by_kind[kind]),
                "found": self.reused.get(kind, 0),
                "distinct": len({s.label for s in by_kind[kind]}),
                "busy s": round(sum(s.busy_s for s in by_kind[kind]), 2),
                "longest s": round(max((s.busy_s for s in by_kind[kind]), default=0.0), 2),
                "waited for a worker s": round(sum(s.waited_s for s in by_kind[kind]), 2),
                "hand-over s": round(sum(s.ended_s - s.started_s - s.busy_s for s in by_kind[kind]), 2),
            }
            for kind in dict.fromkeys([*by_kind, *self.reused])
        ]

    def repeated(self) -> dict[str, int]:
        """Return the labels of stages that ran more than once, which sharing should make impossible."""
        return {label: n for label, n in Counter(s.label for s in self.stages).items() if n > 1}
