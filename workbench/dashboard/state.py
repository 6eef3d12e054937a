"""What a dashboard shows and how it answers, as plain data; neither a widget nor Plotly is needed for it.

Every method that shows something returns JSON-shaped data. Figures are worked out once for the trials as
they are (`Columns`), so that an answer to a slider does not walk through ten thousand of them again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.dashboard.axes import Axes
from workbench.dashboard.limits import Sliders
from workbench.dashboard.panels import environment, failed, missing_trial, parallel
from workbench.dashboard.source import TrialSource
from workbench.dashboard.table import TableState
from workbench.engine.events import Event
from workbench.values.bulk import uncollected
from workbench.values.study import StudyRecord
from workbench.values.trial import State, Trial
from workbench.views.card import compare, trial_card
from workbench.views.columns import Columns
from workbench.views.tradeoff import TradeoffInfo

STATES: tuple[State, ...] = ("ok", "failed", "skipped", "running", "pending")


class DashboardState:
    """A study's dashboard: what is known, what was chosen, and what follows from both."""

    def __init__(self, source: TrialSource) -> None:
        self.source = source
        self.progress: Event | None = None
        self.columns = Columns([])
        self.axes = Axes()
        self.arranged = TableState()
        self.selected: list[str] = []
        self._seen: Any = None
        self._marks: list[tuple[Any, ...]] | None = None
        self._info: TradeoffInfo | None = None
        self.refresh()
        self.limited = Sliders(self.record.grid.get("constraints"))
        # Where the study can be found again; what is no stored study has none.
        self._store: str = getattr(getattr(source, "store", None), "location", "")

    def refresh(self) -> bool:
        """Read the trials and the record again; returns whether anything that is shown is another than before."""
        trials, record = self.source.trials, self.source.record
        seen = (record, self.source.running, self.source.error)
        # The first reading has nothing to be compared with, so its marks are made by the second.
        marks = [_mark(t) for t in trials] if self._seen else None
        if seen == self._seen and marks == (self._marks or [_mark(t) for t in self.columns.trials]):
            return False
        self._seen, self._marks = seen, marks
        self.record: StudyRecord = record
        self.columns = Columns(trials)
        self.places = {t.id: i for i, t in enumerate(trials)}
        self.selected = [i for i in self.selected if i in self.places]
        self._info = None
        return True

    def event(self, event: Event) -> None:
        """Remember how far the sweep is; may be called from its thread."""
        self.progress = event

    @property
    def info(self) -> TradeoffInfo:
        """What the chart shows now."""
        if self._info is None:
            self._info = self.axes.info(self.columns)
        return self._info

    def header(self) -> dict[str, Any]:
        """Return the study's name, state and progress; `eta` is text, empty where it is not known."""
        trials, running = self.columns.trials, self.source.running
        counted = Counter(t.state for t in trials)
        counts: dict[str, int] = {state: counted[state] for state in STATES}
        over = counts["ok"] + counts["failed"] + counts["skipped"]
        progress = self.progress if running else None
        return {
            "study": self.source.name,
            "model": self.record.model.name,
            "dataset": self.record.dataset.name,
            "state": self._state(counts, running),
            "phase": progress.phase if progress else "",
            "label": progress.label if progress else "",
            "done": progress.done if progress else over,
            "total": progress.total if progress else len(trials),
            "failed": progress.failed if progress else counts["failed"],
            "eta": eta_text(progress.eta_s) if progress else "",
            "trials": len(trials),
            "counts": counts,
            "can_cancel": running,
            "error": self.source.error,
        }

    def figure(self) -> dict[str, Any]:
        """Return the trade-off chart as Plotly's data and layout, and what can be chosen for it."""
        from workbench.views.figure import figure_of

        with uncollected():
            return {
                "figure": figure_of(self.info),
                "crowded": self.info.crowded,
                "choices": self.axes.choices(self.columns, self.info),
            }

    def limits(self) -> dict[str, Any]:
        """Return the sliders, which trials break a limit, the best that does not, and what to shade of the chart."""
        return self.limited.to_json(self.columns, self.info.x, self.info.y)

    def selection(self) -> dict[str, Any]:
        """Return nothing, one trial's card, or several trials side by side."""
        if not self.selected:
            return {"kind": "none"}
        chosen = [self.trial(i) for i in self.selected]
        if len(chosen) == 1:
            return {"kind": "card", "card": trial_card(chosen[0], self.columns, self.record, self._store).to_json()}
        return {"kind": "comparison", **compare(chosen, self.columns).to_json()}

    def table(self) -> dict[str, Any]:
        """Return one page of the table of trials."""
        return self.arranged.to_json(self.columns)

    def parallel(self) -> dict[str, Any]:
        """Return the chart of parallel coordinates, or None for it with the reason in `note`."""
        return parallel(self.columns)

    def failures(self) -> dict[str, Any]:
        """Return what did not work, grouped by reason."""
        return failed(self.columns)

    def environment(self) -> dict[str, Any]:
        """Return where and how the study was run."""
        return environment(self.record)

    def choose(
        self,
        x: str | None = None,
        y: str | None = None,
        x_log: bool | None = None,
        y_log: bool | None = None,
        colour: str | None = None,
        symbol: str | None = None,
    ) -> None:
        """Change what is given of the chart; raises WorkbenchError for an unknown name and leaves all as it was."""
        self.axes.choose(self.columns, x, y, x_log, y_log, colour, symbol)
        self._info = None

    def limit(self, limits: Mapping[str, float | None], runtime: str | None = None) -> None:
        """Set limits (None: no limit) and the runtime whose time is limited (None: as it was).

        `size` is in bytes, `accuracy_drop` (any figure's loss) a fraction, `latency_ms` in milliseconds. Raises WorkbenchError for unknown ones.
        """
        self.limited.change(limits, runtime, self.columns)

    def select(self, ids: Sequence[str]) -> None:
        """Select trials by id, none with an empty list; raises WorkbenchError for an id that the study does not have."""
        for trial in ids:
            if trial not in self.places:
                raise missing_trial(trial, self.source.name)
        self.selected = list(dict.fromkeys(ids))

    def arrange(
        self,
        sort: str | None = None,
        descending: bool | None = None,
        filter: str | None = None,
        state: str | None = None,
        page: int | None = None,
    ) -> None:
        """Change what is given of the table's order, choice and page; raises WorkbenchError for unknown names."""
        self.arranged.arrange(self.columns, sort, descending, filter, state, page)

    def trial(self, trial_id: str) -> Trial:
        """Return a trial by id; raises WorkbenchError where the study has none of that id."""
        if trial_id not in self.places:
            raise missing_trial(trial_id, self.source.name)
        return self.columns.trials[self.places[trial_id]]

    def _state(self, counts: Mapping[str, int], running: bool) -> str:
        error, state = self.source.error, state_of(counts)
        if running:
            return "running"
        if error and error != "cancelled":
            return "failed"
        return "stopped" if error and state != "failed" else state


def state_of(counts: Mapping[str, int]) -> str:
    """Return the state of a study that no sweep works on, by how many of its trials are in each state."""
    if not any(counts.values()):
        return "empty"
    if counts.get("failed") and not counts.get("ok"):
        return "failed"
    return "stopped" if counts.get("pending") or counts.get("running") else "done"


def eta_text(seconds: float | None) -> str:
    """Return the time that is left as people say it, or nothing where it is not known."""
    if seconds is None or not 0 <= seconds < float("inf"):
        return ""
    if seconds < 60:
        return f"about {max(5, 5 * round(seconds / 5))} s left"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {minutes} min left"
    hours, rest = divmod(minutes, 60)
    return f"about {hours} h{f' {rest} min' if rest else ''} left"


def _mark(trial: Trial) -> tuple[Any, ...]:
    """Return what changes when a trial is worked on; far cheaper to compare than the whole trial."""
    artifact, quality = trial.artifact, trial.quality
    return (
        trial.id,
        trial.state,
        trial.error,
        len(trial.warnings),
        artifact.sha256 if artifact else None,
        quality.primary.value if quality and quality.primary else None,
        tuple(
            (m.runtime, m.machine, m.state, m.latency_ms.median if m.latency_ms else None) for m in trial.measurements
        ),
    )
