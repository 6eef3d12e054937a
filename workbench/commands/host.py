"""What a verb needs of the place where it was called: the command line, or a notebook."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.engine.events import Event
from workbench.engine.options import SweepOptions
from workbench.errors import WorkbenchError
from workbench.handle import RunningSweep
from workbench.recipes.grid import Grid
from workbench.store.store import Store
from workbench.study import Study, open_study
from workbench.values.preflight import Preflight

if TYPE_CHECKING:
    from workbench.engine.engine import Engine


StoreLike = str | Path | Store | None


class FrontEnd(ABC):
    """How names are understood and how a sweep is run there; `body` is the text below the line, in a notebook's cell."""

    body: str | None = None

    @property
    @abstractmethod
    def command(self) -> str:
        """The line that does the same again."""

    def named(self, text: str) -> Any:
        """Return what a text stands for as model, data or grid: itself, or the variable of that name."""
        return text

    def task(self, text: str) -> Any:
        """Return what a text stands for as task: itself, or the function of that name."""
        return text

    def study(self, name: str, store: str | None) -> Study:
        """Return a stored study; raises WorkbenchError with the nearest names."""
        return open_study(name, store)

    def confirm(self, question: str) -> bool:
        """Return whether a person says yes; raises WorkbenchError where nobody can be asked."""
        raise WorkbenchError(f"{question} Nobody can be asked here; say it with --yes.")

    def tell(self, text: str) -> None:
        """Say in a line what goes on."""
        print(text, file=sys.stderr, flush=True)

    def preflight(self, model: Any, grid: Grid | None, store: StoreLike, allow_code: bool) -> Preflight:
        """Run `workbench.preflight` as fits the place."""
        from workbench import api

        return api.preflight(model, grid, store, allow_code, listener=self.hear)

    def hear(self, event: Event) -> None:
        """Say what is waited for."""
        if event.kind == "waiting":
            self.tell(event.label)

    @abstractmethod
    def sweep(
        self, model: Any, data: Any, grid: Any, options: SweepOptions, engine: Engine | None = None
    ) -> RunningSweep:
        """Run `workbench.sweep` as fits the place, showing progress; `engine` has the workers where the place has none of its own."""


pass_host: Callable[[Any], Any] = click.pass_obj
