"""What a trial's settings have that its study's do not, in words that stand behind its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.values.base import Value
from workbench.values.settings import Calibration, Train
from workbench.values.study import StudyRecord
from workbench.values.trial import TrialSettings

MARK = " @ "
UNRECORDED = "settings not recorded"


def difference(settings: TrialSettings, record: StudyRecord) -> list[str]:
    """Return `name=value` for each setting of a trial that is not the study's, and `package version` for each tool."""
    found: list[str] = []
    train, calibration = record.grid.get("train"), record.grid.get("calibration")
    found += _fields(settings.train, train, Train())
    found += _fields(settings.calibration, calibration, Calibration())
    seed = train.get("seed") if isinstance(train, Mapping) else None
    if settings.train is None and settings.seed is not None and seed is not None and settings.seed != seed:
        found.append(f"seed={settings.seed}")
    if settings.threads is not None and record.threads is not None and settings.threads != record.threads:
        found.append(f"threads={settings.threads}")
    today = record.environment.get("versions")
    if isinstance(today, Mapping):
        found += [f"{tool} {v}" for tool, v in settings.tools.items() if tool in today and today[tool] != v]
    return found


def _fields(mine: Value | None, study: Any, default: Value) -> list[str]:
    if mine is None or not isinstance(study, Mapping):
        return []
    own, theirs = mine.to_json(), {**default.to_json(), **study}
    return [f"{name}={value}" for name, value in own.items() if theirs.get(name) != value]
