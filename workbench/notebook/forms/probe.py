"""Checks a line without running it: what it would sweep, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import click

from workbench.commands.host import FrontEnd
from workbench.engine.forecast import Forecast, forecast
from workbench.engine.options import SweepOptions
from workbench.engine.request import make_grid
from workbench.errors import WorkbenchError
from workbench.notebook.session import NotebookFrontEnd, app
from workbench.recipes.grid import Grid, grid_dict
from workbench.store.reader import Reader


class AskedSweep(NamedTuple):
    """A sweep as a line asks for it; `model_text` and `data_text` as they are named on it."""

    model: Any
    data: Any
    grid: Grid
    options: SweepOptions
    model_text: str
    data_text: str


class _Stop(Exception):
    """The verb has come to its sweep."""


class _Probe(FrontEnd):
    """A host in which nothing runs."""

    def __init__(self, session: NotebookFrontEnd) -> None:
        self.session = session
        self.asked: AskedSweep | None = None
        self._texts: dict[int, str] = {}

    @property
    def command(self) -> str:
        return ""

    def named(self, text: Any) -> Any:
        found = self.session.named(text)
        self._texts[id(found)] = text
        return found

    def sweep(self, model: Any, data: Any, grid: Any, options: SweepOptions, engine: object = None) -> NoReturn:
        self.asked = AskedSweep(model, data, grid, options, self._texts[id(model)], self._texts[id(data)])
        raise _Stop


def probe(session: NotebookFrontEnd, words: Sequence[str]) -> AskedSweep | None:
    """Return the sweep that a line asks for, or None where its verb is no sweep; raises WorkbenchError for a mistake."""
    path, _ = app.descend(words)
    verb = " ".join(path) or words[0]
    command = session.verb(verb)
    try:
        if "model" not in {p.name for p in command.params} or verb == "model":
            command.make_context(verb, list(words[len(path) :]), default_map=session.defaults(verb))
            return None
        host = _Probe(session)
        try:
            app.main(
                list(words),
                prog_name="%wb",
                standalone_mode=False,
                obj=host,
                default_map=session.default_map(words),
            )
        except _Stop:
            return host.asked
        return None
    except click.ClickException as error:
        raise WorkbenchError(error.format_message()) from None


def foresee(session: NotebookFrontEnd, asked: AskedSweep) -> Forecast:
    """Return what the sweep would do; raises WorkbenchError for runtimes or recipes that cannot be."""
    options, store = asked.options, reader_of(session, asked)
    grid = make_grid(asked.grid, options.runtimes, options.seed)
    return forecast(asked.model, asked.data, grid, store, options.jobs, options.allow_code)


def reader_of(session: NotebookFrontEnd, asked: AskedSweep) -> Reader:
    """Return the store of a sweep, to be read."""
    store = asked.options.store
    return store if isinstance(store, Reader) else Reader(store or session.store)


def python_call(asked: AskedSweep) -> str:
    """Return the Python call that does the same; a model or dataset in a variable goes by the variable's name."""
    arguments = [
        repr(asked.model) if isinstance(asked.model, str) else asked.model_text,
        repr(asked.data) if isinstance(asked.data, str) else asked.data_text,
        repr(grid_dict(asked.grid)),
        *(f"{k}={v!r}" for k, v in asked.options.given().items()),
    ]
    return f"workbench.sweep({', '.join(arguments)})"
