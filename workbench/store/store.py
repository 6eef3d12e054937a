"""A store that is written to: made where it is not there, safe for several processes at once."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from workbench.errors import WorkbenchError
from workbench.files import make_private, make_within
from workbench.store.artifacts import FOLDERS
from workbench.store.intact import Contents, Keeper
from workbench.store.place import find_place, reason
from workbench.store.reader import Reader, runtime_key
from workbench.store.rows import files_of
from workbench.store.tables import CHECKED, EXECUTIONS, MACHINES, MEASUREMENTS, OP_PROFILES, PROFILES, STUDIES, TRIALS
from workbench.store.use import register
from workbench.store.written import WrittenDatabase
from workbench.values.graph import Artifact, Execution, Machine
from workbench.values.profile import Profile
from workbench.values.study import StudyRecord
from workbench.values.trial import Measurement, Trial

__all__ = ["Store", "runtime_key"]


class Store(Reader):
    """A `Reader` that writes too; what it hands out for further work is looked at first, and set aside where it is damaged."""

    database: WrittenDatabase

    def __init__(self, location: str | Path | None = None) -> None:
        self._set(find_place(location))
        try:
            make_private(self.root)
            for folder in (self.artifacts.folder, self.logs):
                make_within(folder)
            with tempfile.TemporaryFile(dir=self.root):
                pass
            self.database = WrittenDatabase(self.place)
        except (OSError, sa.exc.SQLAlchemyError) as error:
            raise WorkbenchError(
                f"store {self.location!r} cannot be opened for writing: {reason(error)}. Choose another with --store or WORKBENCH_STORE."
            ) from error
        register(self.place)
        self.exists = True
        self.engine = self.database.engine
        self._keeper = Keeper(self.root, self._checked, self._save_checked)

    def stages(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the results of those stages that are finished and all of whose files are intact."""
        found = {
            key: result
            for key, result in self._results(keys).items()
            if all(self._whole(a["sha256"], a["kind"]) for a in files_of(result))
        }
        self._keeper.remember()
        return found

    def intact(self, *artifacts: Artifact | None) -> bool:
        """Return whether artifacts are there and are what was put there; what is not is set aside."""
        found = all(a is not None and self._whole(a.sha256, a.kind) for a in artifacts)
        self._keeper.remember()
        return found

    def keeps(self, path: Path, sha256: str, contents: Contents) -> bool:
        """Return whether a folder of the store is there and `contents`, which reads it, gives that hash; else it is set aside."""
        found = self._keeper.intact(path, sha256, True, contents)
        self._keeper.remember()
        return found

    def save_execution(self, execution: Execution, result: dict[str, Any]) -> None:
        """Record what was done, and what it made as the executions that start from it read it."""
        values = {"kind": execution.kind, "seconds": execution.seconds, "result": result}
        self._replace(EXECUTIONS, {"key": execution.key}, {**values, "execution": execution.to_json()})

    def save_machine(self, machine: Machine) -> None:
        """Write what is known of a machine."""
        self._replace(MACHINES, {"id": machine.id}, {"machine": machine.to_json()})

    def save_study(self, record: StudyRecord) -> None:
        """Write a study's record."""
        self._replace(STUDIES, {"name": record.name}, {"started": record.started, "record": record.to_json()})

    def save_trial(self, study: str, trial: Trial, key: str, position: int) -> None:
        """Write a trial (without its measurements, which are written by `save_measurement`)."""
        self.save_trials(study, [(trial, key, position)])

    def save_trials(self, study: str, trials: Iterable[tuple[Trial, str, int]]) -> None:
        """Write several trials, all of them or none."""
        rows = []
        for trial, key, position in trials:
            data = trial.to_json()
            data["measurements"] = []
            # What differs is told when it is read, against the study's settings of that day.
            data |= {"recipe": trial.recipe.removesuffix(trial.differs), "differs": ""}
            data["warnings"] = [{**w, "place": ""} for w in data["warnings"]]
            known = {"position": position, "state": trial.state, "key": key}
            rows.append({"study": study, "id": trial.id, **known, "trial": data})
        self.database.replace(TRIALS, rows)

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
            "measurement": {**measurement.to_json(), "profile": None, "place": "", "elsewhere": False},
            "samples_ns": raw,
        }
        where = {"study": study, "trial": trial, "runtime": name, "machine": measurement.machine}
        self._replace(MEASUREMENTS, where, values)
        if measurement.profile is not None:
            self._replace(OP_PROFILES, where, {"profile": measurement.profile.to_json()})

    def save_profile(self, study: str, profile: Profile) -> None:
        """Write where the time of a run went."""
        self._replace(PROFILES, {"study": study, "started": profile.started}, {"profile": profile.to_json()})

    def _whole(self, sha256: str, kind: str) -> bool:
        return self._keeper.intact(self.artifacts.path(sha256, kind), sha256, kind in FOLDERS)

    def _checked(self) -> dict[str, str]:
        return {row.name: row.stamp for row in self.database.rows(sa.select(CHECKED.c.name, CHECKED.c.stamp))[0]}

    def _save_checked(self, found: dict[str, str]) -> None:
        self.database.replace(CHECKED, [{"name": name, "stamp": text} for name, text in found.items()])

    def _replace(self, table: sa.Table, where: dict[str, Any], values: dict[str, Any]) -> None:
        self.database.replace(table, [{**where, **values}])
