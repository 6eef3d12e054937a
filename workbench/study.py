"""`Study`: a sweep's trials, read from the store at each call, and what can be asked of them; `handle.py` has one that runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import unknown
from workbench.recipes.grammar import measured_text
from workbench.store.reader import Reader, runtime_key
from workbench.store.tagging import Written, read_written
from workbench.values.profile import Profile
from workbench.values.study import StudyRecord
from workbench.values.trial import OpProfile, Trial

if TYPE_CHECKING:
    import pandas

    from workbench.dashboard.widget import Dashboard
    from workbench.lineage.trace import ShownLineage
    from workbench.views.columns import Columns
    from workbench.views.picks import Pick


class Study:
    """A named sweep on one model and one dataset; what it shows is what the store holds at that moment."""

    def __init__(self, store: Reader, name: str) -> None:
        self.store = store
        self._name = name

    @property
    def name(self) -> str:
        """The study's name."""
        return self._name

    @property
    def record(self) -> StudyRecord:
        """Model, dataset, grid, environment and command."""
        return self.store.study(self.name)

    @property
    def tags(self) -> tuple[str, ...]:
        """What `workbench store tag` put on it, in the order of the alphabet."""
        return self._written().tags

    @property
    def note(self) -> str:
        """What `workbench store note` wrote on it, "" where nothing is."""
        return self._written().note

    @property
    def profiles(self) -> list[Profile]:
        """Where the time of each run went, oldest first."""
        return self.store.profiles(self.name)

    def op_profiles(self) -> dict[tuple[str, str], OpProfile]:
        """Return the time of operators by trial id and runtime text, where `measure: {profile: true}` was asked for."""
        stored = self.store.op_profiles(self.name)
        found: dict[tuple[str, str], OpProfile] = {}
        if not stored:
            return found
        for trial in self.trials:
            for m in trial.measurements:
                profile = stored.get((trial.id, runtime_key(m.runtime, m.options), m.machine))
                if profile is not None:
                    found[trial.id, measured_text(m)] = profile
        return found

    @property
    def trials(self) -> list[Trial]:
        """All trials with their measurements."""
        return self.store.trials(self.name)

    def columns(self) -> Columns:
        """Return all trials with their metrics as columns, for whoever asks several things of the same moment."""
        from workbench.views.columns import Columns

        return Columns(self.trials)

    def notes(self) -> tuple[str, ...]:
        """Return what was left out of what was asked for last, since it cannot be read, and what to do about it."""
        return self.store.notes()

    @property
    def running(self) -> bool:
        """Whether a sweep of this process works on the study; one that is only read knows of none."""
        return False

    @property
    def error(self) -> str | None:
        """What ended a sweep of this process before its time, in words; one that is only read knows of none."""
        return None

    def dashboard(self) -> Dashboard:
        """Return the live trade-off dashboard, to be shown in a notebook."""
        from workbench.dashboard.widget import Dashboard

        return Dashboard(self)

    def trial(self, trial_id: str) -> Trial:
        """Return a trial by id, the beginning of an id, or recipe text; raises WorkbenchError with the nearest."""
        trials = self.trials
        for trial in trials:
            if trial_id in (trial.id, trial.recipe):
                return trial
        found = [t for t in trials if len(trial_id) >= 4 and t.id.startswith(trial_id)]
        if len(found) == 1:
            return found[0]
        raise unknown(
            "trial", trial_id, [t.recipe for t in trials], f"Ids work too; `workbench show {self.name}` lists them."
        )

    def lineage(self, trial: str | Trial) -> ShownLineage:
        """Return every execution and file that a trial comes from; drawn in a notebook."""
        from workbench.lineage.trace import trace

        chosen = trial if isinstance(trial, Trial) else self.trial(trial)
        return trace(self.store, self.record, chosen)

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat row per trial, with the same keys in each."""
        from workbench.views.table import rows

        return rows(self.trials)

    def to_frame(self) -> pandas.DataFrame:
        """Return the rows as a pandas DataFrame; raises MissingExtra when pandas is not installed."""
        try:
            import pandas
        except ImportError:
            from workbench.errors import MissingExtra

            raise MissingExtra(
                "to_frame() needs pandas: pip install pandas. Study.rows() gives the same as a list of dicts."
            ) from None
        return pandas.DataFrame(self.rows())

    def pareto(self, x: str = "size", y: str | None = None) -> list[Trial]:
        """Return the trials that no other beats in both metrics, in the order of `x`; `y` is the primary figure unless another is named."""
        from workbench.views.tradeoff import front_trials

        return front_trials(self.trials, x, y)

    def best(
        self,
        max_size: int | str | None = None,
        max_drop: float | Mapping[str, float] | str | None = None,
        max_latency_ms: float | Mapping[str, float] | None = None,
        runtime: str | None = None,
        **limits: Any,
    ) -> Trial | None:
        """Return the smallest trial that keeps the limits, or None.

        `max_size` is bytes or "100KB"; `max_drop` the largest loss of the primary figure (0.01 = 1 point), or by figure: `{"iou": 0.01}`;
        `max_latency_ms` is on `runtime`, the first measured where none is named. Further limits are `max_compressed`, `max_memory`,
        `min_delegated`, `figures` (`{"agreement": 0.99}`) and `strict=True`, which holds the ends of 95 % intervals.
        Raises WorkbenchError for what is not known.
        """
        from workbench.views.pareto import best, limits_asked

        given = {"max_size": max_size, "max_drop": max_drop, "max_latency_ms": max_latency_ms, "runtime": runtime}
        columns = self.columns()
        return best(columns, limits_asked(columns, {**given, **limits}), runtime)

    def picks(self, **limits: Any) -> list[Pick]:
        """Return the smallest, the fastest, the most accurate and the balanced trial that keep limits, as `best` takes them.

        Each has its `trial`, `why` it is that one, what it costs against the baseline (`cost`) and the trial's `warnings`. Fewer where
        there is nothing to tell by: no time, no quality, a front of size and quality that has no knee.
        """
        from workbench.views.pareto import limits_asked
        from workbench.views.picks import picks

        columns = self.columns()
        return picks(columns, limits_asked(columns, limits))

    def report(
        self,
        path: str | Path,
        pdf: bool = False,
        code: bool = False,
        gate: Mapping[str, Any] | None = None,
    ) -> Path:
        """Run the notebook `sweep_report` on the study, write its page, which opens offline, and return the page's path.

        The executed notebook stays beside it as `.ipynb`; with `pdf` a `.pdf` does too (Chromium prints it). `code` shows the cells' code in the page.
        `gate` holds limits to ship by, such as `{"max_size": "100KB"}`. Raises WorkbenchError where a part of the notebook fails, after what came of it was written.
        """
        from workbench.report.study import write_report

        return write_report(self.name, self.store, Path(path), pdf, code, gate)

    def export(self, trial: str | Trial, path: str | Path, target: str = "python") -> Path:
        """Write a trial's `.tflite`, labels, card and what it takes to run it on a target, such as `"c[align=32]"`, into a folder, and return that.

        `workbench doctor` lists the targets. An earlier export there is replaced file by file. Raises WorkbenchError for an unknown target or
        option, and for a trial that did not run or does not fit the target.
        """
        from workbench.recipes.target import parse_target
        from workbench.targets.export import export_trial

        spec = parse_target(target)
        chosen = trial if isinstance(trial, Trial) else self.trial(trial)
        # Its own, not that of the study's last sweep.
        made = self.store.made_in(self.name, chosen)
        record = self.record.model_copy(update={"environment": made}) if made else self.record
        return export_trial(record, chosen, Path(path), spec)

    def _written(self) -> Written:
        return read_written(self.store).get(self.name, Written())

    def __repr__(self) -> str:
        states = [t.state for t in self.trials]
        return f"<Study {self.name!r}: {len(states)} trials, {states.count('ok')} ok, {states.count('failed')} failed>"


def open_study(name: str, store: str | Path | Reader | None = None) -> Study:
    """Return a stored study, which may lie where nothing can be written; raises WorkbenchError with the nearest names when there is none."""
    opened = store if isinstance(store, Reader) else Reader(store)
    return Study(opened, opened.study(name).name)
