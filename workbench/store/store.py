"""Studies, trials, measurements and finished stages in a database; safe for several processes at once."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from workbench.errors import WorkbenchError, unknown
from workbench.files import make_private, make_within
from workbench.store.artifacts import Artifacts
from workbench.store.tables import (
    LAYOUT,
    LAYOUT_TABLE,
    MEASUREMENTS,
    META,
    OP_PROFILES,
    PROFILES,
    STAGES,
    STUDIES,
    TRIALS,
)
from workbench.values.base import canonical_json
from workbench.values.bulk import fill, uncollected
from workbench.values.profile import Profile
from workbench.values.study import StudyRecord
from workbench.values.trial import Measurement, OpProfile, Trial

DEFAULT_STORE = ".workbench"
# How long a process waits for another one that writes.
LOCK_SECONDS = 60


class Store:
    """A store at a folder, or at any SQLAlchemy URL with its artifacts in `WORKBENCH_ARTIFACTS` (default `.workbench`)."""

    def __init__(self, location: str | Path | None = None) -> None:
        chosen = str(location or os.environ.get("WORKBENCH_STORE") or DEFAULT_STORE)
        is_url = "://" in chosen
        self.root = Path(os.environ.get("WORKBENCH_ARTIFACTS", DEFAULT_STORE) if is_url else chosen).resolve()
        self.location = _without_password(chosen) if is_url else str(self.root)
        self.artifacts = Artifacts(self.root / "artifacts")
        self.data = self.root / "data"
        self.logs = self.root / "logs"
        try:
            make_private(self.root)
            for folder in (self.artifacts.folder, self.logs):
                make_within(folder)
            with tempfile.TemporaryFile(dir=self.root):
                pass
            url = chosen if is_url else f"sqlite:///{self.root / 'store.db'}"
            self.engine = sa.create_engine(
                url, connect_args={"timeout": LOCK_SECONDS} if url.startswith("sqlite") else {}
            )
            if url.startswith("sqlite"):
                sa.event.listen(self.engine, "connect", _configure_sqlite)
            self._create_tables()
            self._check_layout()
        except ImportError as error:
            raise WorkbenchError(
                f"store {_without_password(chosen)!r} needs the Python package {error.name!r}, which is not installed. Install it, or choose another with --store."
            ) from error
        except (OSError, sa.exc.SQLAlchemyError) as error:
            raise WorkbenchError(
                f"store {_without_password(chosen)!r} cannot be opened for writing: {_reason(error)}. Choose another with --store or WORKBENCH_STORE."
            ) from error

    def stage(self, key: str) -> dict[str, Any] | None:
        """Return a finished stage's result when its artifact is still there, else None."""
        return self.stages([key]).get(key)

    def stages(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the results of those stages that are finished and whose artifacts are still there."""
        wanted = list(keys)
        found: dict[str, dict[str, Any]] = {}
        with _Guarded(self, self.engine.connect, "read") as db:
            for start in range(0, len(wanted), 500):
                chunk = wanted[start : start + 500]
                for row in db.execute(sa.select(STAGES.c.key, STAGES.c.result).where(STAGES.c.key.in_(chunk))):
                    artifact = row.result.get("artifact")
                    if artifact is None or self.artifacts.path(artifact["sha256"], artifact["kind"]).exists():
                        found[row.key] = row.result
        return found

    def save_stage(self, key: str, kind: str, seconds: float, result: dict[str, Any]) -> None:
        """Record a finished stage; `seconds` is its busy time."""
        self._replace(STAGES, {"key": key}, {"kind": kind, "seconds": seconds, "result": result})

    def studies(self) -> list[StudyRecord]:
        """Return all studies, oldest first."""
        with _Guarded(self, self.engine.connect, "read") as db:
            rows = db.execute(sa.select(STUDIES.c.record).order_by(STUDIES.c.started)).all()
        return [StudyRecord.model_validate(row.record) for row in rows]

    def study(self, name: str) -> StudyRecord:
        """Return a study; raises WorkbenchError with the nearest names when there is none."""
        with _Guarded(self, self.engine.connect, "read") as db:
            row = db.execute(sa.select(STUDIES.c.record).where(STUDIES.c.name == name)).first()
        if row is None:
            raise unknown(
                "study",
                name,
                (s.name for s in self.studies()),
                f"The store is {self.location!r}; --store names another.",
            )
        return StudyRecord.model_validate(row.record)

    def save_study(self, record: StudyRecord) -> None:
        """Write a study's record."""
        self._replace(STUDIES, {"name": record.name}, {"started": record.started, "record": record.to_json()})

    def trials(self, study: str) -> list[Trial]:
        """Return a study's trials with their measurements, in the order in which they were asked for."""
        # As text, which pydantic reads at once; by way of dictionaries it takes several times as long.
        texts = sa.select(sa.cast(TRIALS.c.trial, sa.Text)).where(TRIALS.c.study == study).order_by(TRIALS.c.position)
        runs = (sa.select(MEASUREMENTS.c.trial, MEASUREMENTS.c.at, sa.cast(MEASUREMENTS.c.measurement, sa.Text))).where(
            MEASUREMENTS.c.study == study
        )
        measured: dict[str, list[Measurement]] = {}
        with uncollected():
            with _Guarded(self, self.engine.connect, "read") as db:
                found = db.execute(texts).scalars().all()
                told = db.execute(runs).all()
            # Sorted here: the database would carry every text along.
            for trial_id, _, text in sorted(told, key=lambda row: row[1]):
                measured.setdefault(trial_id, []).append(Measurement.model_validate_json(text))
            trials = [Trial.model_validate_json(text) for text in found]
            for trial in trials:
                self._complete(trial, tuple(measured.get(trial.id, ())))
            return trials

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of trials by state for each study."""
        query = sa.select(TRIALS.c.study, TRIALS.c.state, sa.func.count()).group_by(TRIALS.c.study, TRIALS.c.state)
        found: dict[str, dict[str, int]] = {}
        with _Guarded(self, self.engine.connect, "read") as db:
            for study, state, number in db.execute(query):
                found.setdefault(study, {})[state] = number
        return found

    def trial_keys(self, study: str) -> dict[str, str]:
        """Return for each trial the hash of all that went into it."""
        with _Guarded(self, self.engine.connect, "read") as db:
            return {
                row.id: row.key
                for row in db.execute(sa.select(TRIALS.c.id, TRIALS.c.key).where(TRIALS.c.study == study))
            }

    def save_trial(self, study: str, trial: Trial, key: str, position: int) -> None:
        """Write a trial (without its measurements, which are written by `save_measurement`)."""
        self.save_trials(study, [(trial, key, position)])

    def save_trials(self, study: str, trials: Iterable[tuple[Trial, str, int]]) -> None:
        """Write several trials in one transaction."""
        with _Guarded(self, self.engine.begin, "written") as db:
            for trial, key, position in trials:
                data = trial.to_json()
                data["measurements"] = []
                _replace(
                    db,
                    TRIALS,
                    {"study": study, "id": trial.id},
                    {"position": position, "state": trial.state, "key": key, "trial": data},
                )

    def measurement_keys(self, study: str) -> dict[tuple[str, str], str]:
        """Return for each (trial, runtime) the hash of what was measured."""
        columns = (MEASUREMENTS.c.trial, MEASUREMENTS.c.runtime, MEASUREMENTS.c.key)
        with _Guarded(self, self.engine.connect, "read") as db:
            return {
                (r.trial, r.runtime): r.key
                for r in db.execute(sa.select(*columns).where(MEASUREMENTS.c.study == study))
            }

    def save_measurement(
        self,
        study: str,
        trial: str,
        measurement: Measurement,
        key: str,
        samples_ns: np.ndarray[Any, Any] | None,
    ) -> None:
        """Write a measurement with its raw samples (rounds x invocations, nanoseconds) and the time of its operators."""
        raw = None if samples_ns is None else np.asarray(samples_ns, dtype="<i8").tobytes()
        name = runtime_key(measurement.runtime, measurement.options)
        values = {
            "at": time.time(),
            "key": key,
            "measurement": {**measurement.to_json(), "profile": None},
            "samples_ns": raw,
        }
        where = {"study": study, "trial": trial, "runtime": name}
        self._replace(MEASUREMENTS, where, values)
        if measurement.profile is not None:
            self._replace(OP_PROFILES, where, {"profile": measurement.profile.to_json()})

    def samples_ns(self, study: str, trial: str, runtime: str) -> np.ndarray[Any, Any]:
        """Return the raw samples of a measurement in nanoseconds; `runtime` as `runtime_key` names it."""
        where = (MEASUREMENTS.c.study == study) & (MEASUREMENTS.c.trial == trial) & (MEASUREMENTS.c.runtime == runtime)
        with _Guarded(self, self.engine.connect, "read") as db:
            raw = db.execute(sa.select(MEASUREMENTS.c.samples_ns).where(where)).scalar()
        return np.frombuffer(raw or b"", dtype="<i8")

    def op_profiles(self, study: str) -> dict[tuple[str, str], OpProfile]:
        """Return the time of operators by (trial, runtime); `runtime` as `runtime_key` names it."""
        query = sa.select(OP_PROFILES).where(OP_PROFILES.c.study == study)
        with _Guarded(self, self.engine.connect, "read") as db:
            return {(r.trial, r.runtime): OpProfile.model_validate(r.profile) for r in db.execute(query)}

    def save_profile(self, study: str, profile: Profile) -> None:
        """Write where the time of a run went."""
        self._replace(PROFILES, {"study": study, "started": profile.started}, {"profile": profile.to_json()})

    def profiles(self, study: str) -> list[Profile]:
        """Return the profiles of a study's runs, oldest first."""
        query = sa.select(PROFILES.c.profile).where(PROFILES.c.study == study).order_by(PROFILES.c.started)
        with _Guarded(self, self.engine.connect, "read") as db:
            return [Profile.model_validate(row.profile) for row in db.execute(query)]

    def close(self) -> None:
        """Release the database."""
        self.engine.dispose()

    def _complete(self, trial: Trial, measurements: tuple[Measurement, ...]) -> None:
        """Give a trial just read its measurements, and its artifact the path in this store, which may have been moved."""
        fill(trial, measurements=measurements)
        if trial.artifact:
            fill(trial.artifact, path=self.artifacts.location(trial.artifact.sha256, trial.artifact.kind))

    def _create_tables(self) -> None:
        with self.engine.begin() as db:
            for table in META.sorted_tables:
                # Not `create_all`, which looks first and creates later: another process may come in between.
                db.execute(sa.schema.CreateTable(table, if_not_exists=True))

    def _check_layout(self) -> None:
        with self.engine.begin() as db:
            found = db.execute(sa.select(LAYOUT_TABLE.c.version)).scalar()
            if found is None:
                with contextlib.suppress(sa.exc.IntegrityError), db.begin_nested():  # another process was first
                    db.execute(sa.insert(LAYOUT_TABLE).values(version=LAYOUT))
        if found not in (None, LAYOUT):
            raise WorkbenchError(
                f"store {self.location!r} has layout {found}, this version reads layout {LAYOUT}. Choose another with --store, or use the version that made it."
            )

    def _replace(self, table: sa.Table, where: dict[str, Any], values: dict[str, Any]) -> None:
        with _Guarded(self, self.engine.begin, "written") as db:
            _replace(db, table, where, values)


class _Guarded:
    """A connection whose database errors become messages."""

    def __init__(self, store: Store, start: Callable[[], Any], what: str) -> None:
        self.store, self.start, self.what = store, start, what

    def __enter__(self) -> sa.Connection:
        self.context = self._guarded(self.start)
        connection: sa.Connection = self._guarded(self.context.__enter__)
        return connection

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._guarded(self.context.__exit__, kind, error, trace)
        if isinstance(error, sa.exc.DBAPIError):
            raise self._message(error) from error

    def _guarded(self, call: Any, *args: Any) -> Any:
        try:
            return call(*args)
        except sa.exc.DBAPIError as error:
            raise self._message(error) from error

    def _message(self, error: Exception) -> WorkbenchError:
        hint = (
            "Finished work is kept; run the same command again."
            if self.what == "written"
            else "If the file is damaged, choose another --store."
        )
        return WorkbenchError(f"store {self.store.location!r} cannot be {self.what}: {_reason(error)}. {hint}")


def runtime_key(name: str, options: dict[str, Any]) -> str:
    """Return the one text that a runtime with its options has in the store."""
    return f"{name}{canonical_json(options)}"


def _replace(db: sa.Connection, table: sa.Table, where: dict[str, Any], values: dict[str, Any]) -> None:
    condition = sa.and_(*(table.c[k] == v for k, v in where.items()))
    update = sa.update(table).where(condition).values(**values)
    if db.execute(update).rowcount:
        return
    try:
        with db.begin_nested():
            db.execute(sa.insert(table).values(**where, **values))
    except sa.exc.IntegrityError:
        # Another process wrote the row in between (not in SQLite, where the update took the write lock).
        db.execute(update)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            # Readers and one writer at a time work side by side, and a killed writer leaves a whole database.
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            # This statement does not wait by itself for a process that opens the same new store at the same moment.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute(f"PRAGMA busy_timeout={LOCK_SECONDS * 1000}")
    cursor.close()


def _without_password(location: str) -> str:
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", location)


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
