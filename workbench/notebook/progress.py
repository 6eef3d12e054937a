"""A sweep's progress in a notebook: bar, stage, ETA, failures, a Cancel button; its trials when it has ended."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from workbench.commands.result import Block
from workbench.commands.tables import trials_table
from workbench.compat.ipykernel import hear_beside_cells
from workbench.dashboard.standing import Standing
from workbench.engine.events import STAYS, Event
from workbench.errors import Cancelled, WorkbenchError
from workbench.handle import RunningSweep
from workbench.notebook.html import blocks_html, blocks_text
from workbench.study import Study
from workbench.views.units import duration

# A bar that moves ten times a second reads no better than one that moves three times.
QUIET_SECONDS = 0.3


class Gauge:
    """A bar with stage, ETA, failures and a Cancel button; `ended` is called once, when the sweep has ended."""

    def __init__(self, study: RunningSweep, ended: Callable[[], None]) -> None:
        import ipywidgets as widgets

        self.study, self._ended = study, ended
        self._shown = 0.0
        self._lock = threading.Lock()
        self._over = False
        self._leave: Callable[[], None] = lambda: None
        self.bar = widgets.IntProgress(0, 0, 1, layout={"width": "16em"})
        self.text = widgets.HTML("starting", layout={"margin": "0 0 0 1em"})
        self.cancel = widgets.Button(
            description="Cancel", icon="stop", tooltip="stop the sweep; finished trials stay", layout={"width": "auto"}
        )
        self.cancel.add_class("workbench-cancel")
        self.cancel.on_click(self._stop)
        hear_beside_cells(self.cancel)
        self.said = widgets.HTML()
        self._lines: list[str] = []
        self.widget = widgets.HBox(
            [self.bar, self.cancel, self.text, self.said], layout={"align_items": "center", "flex_flow": "row wrap"}
        )
        self.widget.add_class("workbench-progress")

    def follow(self) -> None:
        """Begin to listen; a sweep that has ended meanwhile is noticed too."""
        self._leave = self.study.subscribe(self._heard)
        if not self.study.running:
            self._finish()

    def _stop(self, _button: Any) -> None:
        self.study.cancel()
        self.cancel.disabled = True
        self.text.value = "stopping; finished trials stay"

    def _heard(self, event: Event) -> None:
        if event.phase == "done":
            self._finish()
            return
        if event.kind in STAYS:
            self._lines.append(f"<div>{html.escape(event.label)}</div>")
            self.said.value = "".join(self._lines)
            return
        if self.cancel.disabled or time.monotonic() - self._shown < QUIET_SECONDS:
            return
        self._shown = time.monotonic()
        if event.kind not in ("trial", "stage-started", "waiting"):
            self.bar.max, self.bar.value = max(event.total, 1), event.done
        if event.kind != "trial":
            self.text.value = event_text(event)

    def _finish(self) -> None:
        with self._lock:
            if self._over:
                return
            self._over = True
        self._leave()
        self.widget.layout.display = "none"
        self._ended()


class NotebookProgress:
    """What `%wb sweep` shows: a gauge that lives while the sweep does, and an output that stays in the saved notebook."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._output = Standing()

    def show(self) -> None:
        """Put both out; the gauge only while a sweep of this process works on the study."""
        from IPython.display import display

        study, gauge = self.study, None
        if isinstance(study, RunningSweep) and study.running:
            gauge = Gauge(study, lambda: self._output.update(self._bundle()))
        if gauge is not None:
            display(gauge.widget)
        self._output.show(self._bundle())
        if gauge is not None:
            gauge.follow()

    def _bundle(self) -> dict[str, str]:
        blocks = list(study_blocks(self.study))
        return {"text/html": blocks_html(blocks), "text/plain": blocks_text(blocks)}


def study_blocks(study: Study) -> Iterable[Block]:
    """Return what there is to say of a study: that a sweep works on it, or its trials."""
    if study.running:
        yield "The sweep runs in the background: .wait() .cancel() .result() .dashboard(); `%wb dashboard` shows its chart."
        return
    if study.error:
        yield f"Stopped: {study.error}"
    try:
        trials = study.trials
    except (WorkbenchError, Cancelled):  # it ended before it began; the reason stands above
        return
    yield trials_table(study.name, trials)
    states = [t.state for t in trials]
    counts = ", ".join(
        f"{states.count(s)} {s}" for s in ("ok", "failed", "skipped", "running", "pending") if s in states
    )
    yield f"{len(trials)} trials: {counts or 'none'}. Store {study.store.location}"
    yield from (f"failed {t.recipe}: {t.error}" for t in trials if t.state == "failed")
    yield from (f"data: {note}" for note in study.record.dataset.notes)


def event_text(event: Event) -> str:
    """Return what a sweep does at the moment, for people."""
    parts = [f"<b>{event.phase}</b>"]
    if event.total:
        parts.append(f"{event.done} of {event.total}")
    if event.failed:
        parts.append(f"{event.failed} failed")
    if event.eta_s is not None:
        parts.append(f"about {duration(event.eta_s)} left")
    return ", ".join(parts) + f"<br>{html.escape(event.label)}"
