"""Studies, trials, measurements and finished stages as they are read; reading makes and changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from workbench.errors import WorkbenchError, unknown
from workbench.store.artifacts import FOLDER, Artifacts
from workbench.store.database import ReadDatabase
from workbench.store.marks import mark_differences, mark_machines
from workbench.store.place import StorePlace, find_place
from workbench.store.rows import Unreadable, files_of, read_stage, read_value, stays_inside
from workbench.store.tables import EXECUTIONS, MACHINES, MEASUREMENTS, OP_PROFILES, PROFILES, STUDIES, TRIALS
from workbench.values.base import Value, canonical_json
from workbench.values.bulk import fill, uncollected
from workbench.values.graph import Execution, Machine
from workbench.values.profile import Profile
from workbench.values.study import StudyRecord
from workbench.values.trial import Measurement, OpProfile, Trial

if TYPE_CHECKING:
    import numpy as np

V = TypeVar("V", bound=Value)
CHUNK = 500
MOST_NOTES = 5
MEND = "It was changed by hand, or written by another version"


class Reader:
    """A store at a folder, or at the SQLAlchemy URL of an SQLite, PostgreSQL, MySQL or MariaDB database with its files in `WORKBENCH_ARTIFACTS` (default `.workbench`).

    Rows that cannot be read are left out; `notes` says which. A store that is not there is an empty one.
    """

    def __init__(self, location: str | Path | None = None) -> None:
        self._set(find_place(location))
        self.database = ReadDatabase(self.place)
        # What cannot be read is an error now, not at the first question.
        self.exists = self.database.exists

    def _set(self, place: StorePlace) -> None:
        self.place = place
        self.root, self.location = place.root, place.location
        self.artifacts = Artifacts(self.root / FOLDER)
        self.data, self.models, self.logs = self.root / "data", self.root / "models", self.root / "logs"
        self._left_out: dict[str, list[str]] = {}

    def notes(self) -> tuple[str, ...]:
        """Return what was left out of what was asked for last, and how the database was read where that is unusual."""
        found = list(self.database.notes)
        for left_out in self._left_out.values():
            found += left_out[:MOST_NOTES]
            if len(left_out) > MOST_NOTES:
                found.append(f"{len(left_out) - MOST_NOTES} more like this; `workbench store check` lists all")
        return tuple(found)

    def left_out(self) -> list[str]:
        """Return all that was left out of what was asked for last, in words."""
        return [text for texts in self._left_out.values() for text in texts]

    def stage(self, key: str) -> dict[str, Any] | None:
        """Return a finished stage's result when what it made is still there, else None."""
        return self.stages([key]).get(key)

    def stages(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the results of those stages that are finished and whose files are still there; their content is not looked at."""
        return {
            key: result
            for key, result in self._results(keys).items()
            if all(self.artifacts.path(a["sha256"], a["kind"]).exists() for a in files_of(result))
        }

    def studies(self) -> list[StudyRecord]:
        """Return all studies, oldest first."""
        columns = (STUDIES.c.name, sa.cast(STUDIES.c.record, sa.Text))
        (found,) = self.database.rows(sa.select(*columns).order_by(STUDIES.c.started))
        records = []
        with self._leaving_out("studies") as left_out:
            for name, text in found:
                try:
                    records.append(_record(name, text))
                except Unreadable as error:
                    left_out.append(f"study {name!r} cannot be read and is left out: {error}. {MEND}.")
        return records

    def study_names(self) -> set[str]:
        """Return the names of all studies, of those too that cannot be read."""
        return {name for (name,) in self.database.rows(sa.select(STUDIES.c.name))[0]}

    def study(self, name: str) -> StudyRecord:
        """Return a study; raises WorkbenchError with the nearest names when there is none, or with what is wrong with it."""
        query = sa.select(sa.cast(STUDIES.c.record, sa.Text)).where(STUDIES.c.name == name)
        (found,) = self.database.rows(query)
        if not found:
            where = (
                f"The store is {self.location!r}" if self.database.exists else f"There is no store at {self.location!r}"
            )
            raise unknown("study", name, (s.name for s in self.studies()), f"{where}; --store names another.")
        try:
            return _record(name, found[0][0])
        except Unreadable as error:
            raise WorkbenchError(
                f"study {name!r} cannot be read: {error}. {MEND}; restore it from a copy, use the version that wrote it, or sweep under another --study."
            ) from None

    def trials(self, study: str) -> list[Trial]:
        """Return a study's trials with their measurements, in the order in which they were asked for."""
        # As text, which pydantic reads at once; by way of dictionaries it takes several times as long.
        columns = (TRIALS.c.id, sa.cast(TRIALS.c.trial, sa.Text))
        texts = sa.select(*columns).where(TRIALS.c.study == study).order_by(TRIALS.c.position)
        runs = (
            sa.select(
                MEASUREMENTS.c.trial,
                MEASUREMENTS.c.runtime,
                MEASUREMENTS.c.machine,
                MEASUREMENTS.c.at,
                sa.cast(MEASUREMENTS.c.measurement, sa.Text),
            )
        ).where(MEASUREMENTS.c.study == study)
        measured: dict[str, list[Measurement]] = {}
        trials: list[Trial] = []
        with uncollected(), self._leaving_out(f"trials of {study}") as left_out:
            found, told = self.database.rows(texts, runs)
            # Sorted here: the database would carry every text along.
            for trial_id, runtime, _, _, text in sorted(told, key=_at):
                try:
                    measured.setdefault(trial_id, []).append(read_value(Measurement, text))
                except Unreadable as error:
                    left_out.append(
                        f"the measurement of trial {trial_id!r} of study {study!r} on {runtime} cannot be read and is left out: {error}. {MEND}; the same sweep again measures it."
                    )
            for trial_id, text in found:
                try:
                    trials.append(_trial(trial_id, text))
                except Unreadable as error:
                    left_out.append(
                        f"trial {trial_id!r} of study {study!r} cannot be read and is left out: {error}. {MEND}; the same sweep again makes it."
                    )
            for trial in trials:
                self._complete(trial, tuple(measured.get(trial.id, ())))
            self._tell_apart(study, trials)
        return trials

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of trials by state for each study."""
        query = sa.select(TRIALS.c.study, TRIALS.c.state, sa.func.count()).group_by(TRIALS.c.study, TRIALS.c.state)
        found: dict[str, dict[str, int]] = {}
        for study, state, number in self.database.rows(query)[0]:
            found.setdefault(study, {})[state] = number
        return found

    def trial_keys(self, study: str) -> dict[str, str]:
        """Return for each trial the hash of all that went into it."""
        (found,) = self.database.rows(sa.select(TRIALS.c.id, TRIALS.c.key).where(TRIALS.c.study == study))
        return {row.id: row.key for row in found}

    def measurement_keys(self, study: str, machine: str) -> dict[tuple[str, str], str]:
        """Return for each (trial, runtime) the hash of what was measured on a machine, by its id, where it can be read."""
        text = sa.cast(MEASUREMENTS.c.measurement, sa.Text)
        columns = (MEASUREMENTS.c.trial, MEASUREMENTS.c.runtime, MEASUREMENTS.c.key, text)
        found: dict[tuple[str, str], str] = {}
        where = (MEASUREMENTS.c.study == study) & (MEASUREMENTS.c.machine == machine)
        for trial, runtime, key, measurement in self.database.rows(sa.select(*columns).where(where))[0]:
            try:
                read_value(Measurement, measurement)
            except Unreadable:
                continue  # it is measured again
            found[trial, runtime] = key
        return found

    def samples_ns(self, study: str, trial: str, runtime: str, machine: str | None = None) -> np.ndarray[Any, Any]:
        """Return the raw samples of a measurement in nanoseconds; `runtime` as `runtime_key` names it, `machine` by its id, else the last one."""
        import numpy as np

        where = (MEASUREMENTS.c.study == study) & (MEASUREMENTS.c.trial == trial) & (MEASUREMENTS.c.runtime == runtime)
        if machine is not None:
            where &= MEASUREMENTS.c.machine == machine
        query = sa.select(MEASUREMENTS.c.samples_ns).where(where).order_by(MEASUREMENTS.c.at.desc())
        (found,) = self.database.rows(query)
        raw = found[0][0] if found else b""
        if not isinstance(raw, bytes) or len(raw) % 8:
            raw = b""
        return np.frombuffer(raw, dtype="<i8")

    def op_profiles(self, study: str) -> dict[tuple[str, str, str], OpProfile]:
        """Return the time of operators by (trial, runtime, machine); `runtime` as `runtime_key` names it, `machine` by its id."""
        text = sa.cast(OP_PROFILES.c.profile, sa.Text)
        columns = (OP_PROFILES.c.trial, OP_PROFILES.c.runtime, OP_PROFILES.c.machine, text)
        (rows,) = self.database.rows(sa.select(*columns).where(OP_PROFILES.c.study == study))
        found = {}
        with self._leaving_out(f"operators of {study}") as left_out:
            for trial, runtime, machine, text in rows:
                try:
                    found[trial, runtime, machine] = read_value(OpProfile, text)
                except Unreadable as error:
                    left_out.append(
                        f"the time of operators of trial {trial!r} of study {study!r} on {runtime} cannot be read and is left out: {error}. {MEND}."
                    )
        return found

    def profiles(self, study: str) -> list[Profile]:
        """Return the profiles of a study's runs, oldest first."""
        columns = (PROFILES.c.started, sa.cast(PROFILES.c.profile, sa.Text))
        (rows,) = self.database.rows(sa.select(*columns).where(PROFILES.c.study == study).order_by(PROFILES.c.started))
        found = []
        with self._leaving_out(f"profiles of {study}") as left_out:
            for started, text in rows:
                try:
                    found.append(read_value(Profile, text))
                except Unreadable as error:
                    left_out.append(
                        f"the profile of {started} of study {study!r} cannot be read and is left out: {error}. {MEND}."
                    )
        return found

    def close(self) -> None:
        """Release the database."""
        self.database.close()

    def _results(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the results of finished stages; one of a wrong shape counts as none."""
        read = ((key, read_stage(result)) for key, result in self._texts(EXECUTIONS.c.result, keys))
        return {key: result for key, result in read if result is not None}

    def machines(self) -> dict[str, Machine]:
        """Return what is known of machines, by id; one whose row cannot be read is left out."""
        (rows,) = self.database.rows(sa.select(MACHINES.c.id, sa.cast(MACHINES.c.machine, sa.Text)))
        found: dict[str, Machine] = {}
        for id_, text in rows:
            with contextlib.suppress(Unreadable):
                found[id_] = read_value(Machine, text)
        return found

    def executions(self, keys: Iterable[str]) -> dict[str, Execution]:
        """Return what was done, by key; what cannot be read or is not there is left out."""
        found: dict[str, Execution] = {}
        for key, told in self._texts(EXECUTIONS.c.execution, keys):
            with contextlib.suppress(Unreadable):
                found[key] = read_value(Execution, told)
        return found

    def made_in(self, study: str, trial: Trial) -> dict[str, Any] | None:
        """Return the machine that wrote a trial's file, when, and the versions of all tools that it went through; None where that was not recorded."""
        end = self.trial_keys(study).get(trial.id, "")
        ended = self.executions([end]).get(end)
        key = ended.inputs.get("file", "") if ended else ""
        made = self.executions([key]).get(key)
        if made is None or not made.machine:
            return None
        where = self.machines().get(made.machine)
        return {
            **(where.to_json() if where else {}),
            "machine": made.machine,
            "versions": {**made.tools, **(trial.settings.tools if trial.settings else {})},
            "started": made.started,
        }

    def _texts(self, column: sa.Column[Any], keys: Iterable[str]) -> list[Any]:
        """Return key and text of a column of executions, for those of some keys that are there."""
        wanted = list(keys)
        query = sa.select(EXECUTIONS.c.key, sa.cast(column, sa.Text))
        queries = [
            query.where(EXECUTIONS.c.key.in_(wanted[start : start + CHUNK])) for start in range(0, len(wanted), CHUNK)
        ]
        return [row for rows in self.database.rows(*queries) for row in rows]

    def _tell_apart(self, study: str, trials: list[Trial]) -> None:
        """Say of each trial in what its settings differ from the study's, and of measurements, where there are several machines, whose they are."""
        record = None
        with contextlib.suppress(WorkbenchError):
            record = self.study(study)
        mark_machines(trials, self.machines, str(record.environment.get("machine", "")) if record else "")
        if record is not None:
            mark_differences(trials, record)

    def _complete(self, trial: Trial, measurements: tuple[Measurement, ...]) -> None:
        """Give a trial just read its measurements, and its artifact the path in this store, which may have been moved."""
        fill(trial, measurements=measurements)
        if trial.artifact:
            fill(trial.artifact, path=self.artifacts.location(trial.artifact.sha256, trial.artifact.kind))

    def _leaving_out(self, what: str) -> _LeavingOut:
        return _LeavingOut(self._left_out, what)


class _LeavingOut:
    """Gathers what is left out of one question, in place of what was left out of the same one before."""

    def __init__(self, all_: dict[str, list[str]], what: str) -> None:
        self.all, self.what = all_, what
        self.found: list[str] = []

    def __enter__(self) -> list[str]:
        return self.found

    def __exit__(self, *_: object) -> None:
        self.all[self.what] = self.found


def runtime_key(name: str, options: dict[str, Any]) -> str:
    """Return the one text that a runtime with its options has in the store."""
    return f"{name}{canonical_json(options)}"


def _record(name: str, text: Any) -> StudyRecord:
    record = read_value(StudyRecord, text)
    if record.name != name:
        raise Unreadable(f"its record is that of {record.name!r}")
    return record


def _trial(trial_id: str, text: Any) -> Trial:
    trial = read_value(Trial, text)
    if trial.id != trial_id:
        raise Unreadable(f"its row is that of {trial.id!r}")
    if trial.artifact is not None and not stays_inside(trial.artifact):
        raise Unreadable("artifact: its name is no SHA-256")
    return trial


def _at(row: Any) -> float:
    return row.at if isinstance(row.at, (int, float)) else 0.0
