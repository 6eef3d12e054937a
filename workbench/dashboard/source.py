"""What a dashboard is about: a study as it is seen from here, whoever runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from workbench.engine.events import Event
from workbench.values.study import StudyRecord
from workbench.values.trial import Trial


class TrialSource(Protocol):
    """A study with its trials."""

    @property
    def name(self) -> str:
        """The study's name."""

    @property
    def record(self) -> StudyRecord:
        """Model, dataset, grid, environment and command."""

    @property
    def trials(self) -> list[Trial]:
        """All trials as they are at this moment, with their measurements."""

    @property
    def running(self) -> bool:
        """Whether a sweep of this process works on it."""

    @property
    def error(self) -> str | None:
        """What ended the sweep, in words; None while it runs and where all went well."""

    def export(self, trial: str | Trial, path: str | Path) -> Path:
        """Write a trial's file with what belongs to it into a folder, and return that."""


@runtime_checkable
class Working(Protocol):
    """What a study is besides where a sweep of this process works on it."""

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with each event, from the sweep's thread; returns what ends that."""

    def cancel(self) -> None:
        """Stop the sweep; finished trials stay."""
