"""A progress bar with ETA on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from workbench.engine.events import STAYS, Event
from workbench.views.units import duration

QUIET_SECONDS = 10.0


class TerminalProgress:
    """A listener of sweep events that draws on stderr."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.failed = 0
        self._last = 0.0

    def __enter__(self) -> TerminalProgress:
        if self.live:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.fields[phase]:<8}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[eta]}", markup=False),
                TextColumn("{task.description}", markup=False),
            )
            self.bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self.bar.start()
            self.task = self.bar.add_task("", total=None, phase="prepare", eta="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.bar.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        self.failed = max(self.failed, event.failed)
        if event.kind == "trial":
            return
        if event.kind in STAYS:
            if self.live:
                self.bar.console.print(f"workbench: {event.label}", markup=False)
            else:
                print(f"workbench: {event.label}", file=sys.stderr, flush=True)
            return
        eta = "" if event.eta_s is None else f"about {duration(event.eta_s)} left"
        if self.live:
            if event.kind in ("stage-started", "waiting"):
                self.bar.update(self.task, description=event.label)
            else:
                failures = f" ({self.failed} failed)" if self.failed else ""
                self.bar.update(
                    self.task,
                    description=event.label + failures,
                    completed=event.done,
                    total=event.total or None,
                    phase=event.phase,
                    eta=eta,
                )
            return
        now = time.monotonic()
        if event.kind in ("phase", "stage-failed", "waiting") or (
            event.kind != "stage-started" and now - self._last > QUIET_SECONDS
        ):
            self._last = now
            count = f" {event.done}/{event.total}" if event.total else ""
            mark = "FAILED " if event.kind == "stage-failed" else ""
            print(f"[{event.phase}]{count} {mark}{event.label}{'; ' + eta if eta else ''}", file=sys.stderr, flush=True)
