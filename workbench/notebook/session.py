"""What a notebook works on: its current model, data and study, its workers, and how its words are understood."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from workbench import api
from workbench.commands.group import COMMANDS, Verbs
from workbench.commands.host import FrontEnd, StoreLike
from workbench.engine.engine import Engine
from workbench.engine.options import SweepOptions
from workbench.errors import WorkbenchError, unknown
from workbench.handle import RunningSweep
from workbench.names import notebook, without_password
from workbench.notebook.techniques import Tried
from workbench.recipes.grid import Grid
from workbench.registry import tasks, techniques
from workbench.study import Study, open_study
from workbench.values.preflight import Preflight
from workbench.values.settings import StageLimits

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

VERBS = {
    "model": ("workbench.notebook.verbs:model", "Name the model to optimize."),
    "data": ("workbench.notebook.verbs:data", "Name the data to calibrate, train and test on."),
    "convert": ("workbench.notebook.techniques:convert", "Convert to a float .tflite."),
    **{
        name: ("workbench.notebook.techniques:technique", f"{found.help[:1].upper()}{found.help[1:]}.")
        for name, found in techniques.all().items()
    },
    "delegate": ("workbench.notebook.techniques:delegate", "Run one variant on many runtimes."),
    "dashboard": ("workbench.notebook.verbs:dashboard", "Show the live trade-off chart of a study."),
    **{name: place for name, place in COMMANDS.items() if name != "demo"},
}  # fmt: skip

app = Verbs(
    VERBS,
    what="verb",
    name="%wb",
    help="Optimize TensorFlow Lite models: try, check, measure, choose. Without arguments a verb opens its form.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
# Verbs that remove a study have to be told which, whatever was looked at last.
NAMED = ("store rm",)
# Verbs that answer when nothing is missing; the others open their form.
ANSWERS = ("studies", "doctor", "show", "dashboard", "report", "store")
# How long a sweep is waited for before its handle is shown, so that most mistakes are errors of the cell.
CHECKED_SECONDS = 2.0
# How long a verb waits for the name of a study whose sweep has just begun.
KNOWN_SECONDS = 60.0


class Workers(NamedTuple):
    """What the workers of an engine are asked to be, in the order in which it takes it."""

    jobs: int | None
    cluster_address: str | None
    memory: str
    cluster_security: dict[str, str] | None


class NotebookFrontEnd(FrontEnd):
    """One notebook's state; every verb runs through `run`."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.model: str | None = None
        self.data: str | None = None
        self.store: str | None = None
        self.current: Study | None = None
        self._started: list[RunningSweep] = []
        self._line: list[str] = []
        self._engine: Engine | None = None
        self._engine_of: Workers | None = None
        # A form's thread may ask for the workers too.
        self._choosing = threading.Lock()
        atexit.register(self.close)

    @property
    def command(self) -> str:
        """The line as it was typed but for passwords, with the cell's text below it."""
        line = notebook(map(without_password, self._line))
        return f"%wb {line}" if self.body is None else f"%%wb {line}\n{self.body.rstrip()}"

    def run(self, words: Sequence[str], body: str | None = None) -> Any:
        """Run a verb and return its result.

        Raises WorkbenchError for what the user can mend.
        """
        verb = words[0]
        if body is not None and verb != "sweep":
            raise WorkbenchError(
                f"%%wb takes a grid below `sweep` only, not below {verb!r}. Write %wb {verb} with one percent sign."
            )
        path, command = app.descend(words)
        if body is None and isinstance(command, click.Group) and len(words) == len(path):
            words = [*words, "--help"]
        found = self.call(words, body)
        if isinstance(found, Tried):
            self.follow(found.study)
            found.finish()
        return found

    def call(self, words: Sequence[str], body: str | None = None) -> Any:
        """Run a verb and return its result; what takes time goes on in the background.

        Raises WorkbenchError for what the user can mend.
        """
        self._line, self.body = list(words), body
        try:
            found = app.main(
                list(words), prog_name="%wb", standalone_mode=False, obj=self, default_map=self.default_map(words)
            )
        except click.ClickException as error:
            raise WorkbenchError(error.format_message()) from None
        finally:
            self.body = None
        # Help ends in a number.
        return None if isinstance(found, int) else found

    def form_of(self, words: Sequence[str]) -> str | None:
        """Return the verb whose form a line opens, None where it says more than the verb, or the verb has nothing to ask."""
        path, command = app.descend(words)
        if command is None or isinstance(command, click.Group) or len(words) != len(path):
            return None
        verb = " ".join(path)
        return verb if self.opens_form(verb) else None

    def opens_form(self, verb: str) -> bool:
        """Whether a verb by itself opens its form: it has something to ask, and nothing that it shows is already chosen."""
        known = self.defaults(verb)
        missing = any(p.required and p.name not in known for p in self.verb(verb).params)
        return missing or verb.split()[0] not in ANSWERS

    def verb(self, name: str) -> click.Command:
        """Return a verb's command, by its words where it is one of a group; raises WorkbenchError with the nearest."""
        path, found = app.descend(name.split())
        if found is None or path != name.split():
            raise unknown("verb", name, app.places, "`%wb --help` explains them.")
        return found

    def default_map(self, words: Sequence[str]) -> dict[str, Any]:
        """Return what the verb of a line takes from the session, as click looks it up."""
        path, _ = app.descend(words)
        found: dict[str, Any] = self.defaults(" ".join(path)) if path else {}
        for name in reversed(path):
            found = {name: found}
        return found

    def defaults(self, verb: str) -> dict[str, str]:
        """Return what a verb takes from the session where the line does not say it."""
        takes = {p.name for p in self.verb(verb).params}
        known = {"model": self.model, "data": self.data, "store": self.store}
        # A sweep's study follows from model and data; the others are about the one looked at last.
        if "model" not in takes and verb not in NAMED and self.current is not None and self._known(self.current):
            known["study"] = self.current.name
        return {name: value for name, value in known.items() if value is not None and name in takes}

    def named(self, text: Any) -> Any:
        """Return the variable of that name where it can be a model, a dataset or a grid, else the text."""
        if isinstance(text, str) and text.isidentifier() and text in self.shell.user_ns:
            found = self.shell.user_ns[text]
            # `digits = 10` does not hide the dataset of that name; Keras models are callable, functions are no models.
            if not isinstance(found, (int, float, type(None), ModuleType)) and (
                not callable(found) or hasattr(found, "get_config")
            ):
                return found
        return text

    def task(self, text: str) -> Any:
        """Return the function of that name where it is no task's, else the text."""
        found = self.shell.user_ns.get(text) if text.isidentifier() else None
        return found if callable(found) and text not in tasks.names() else text

    def study(self, name: str, store: str | None) -> Study:
        """Return a study by name, or the one that a variable of that name holds; the one in work with its live handle."""
        held = self.shell.user_ns.get(name)
        if isinstance(getattr(held, "value", held), Study):
            found: Study = getattr(held, "value", held)
        elif store in (None, self.store) and (running := self._started_as(name)):
            found = running
        else:
            found = open_study(name, store or self.store)
        self.look_at(found)
        return found

    def sweep(
        self, model: Any, data: Any, grid: Any, options: SweepOptions, engine: Engine | None = None
    ) -> RunningSweep:
        """Start a sweep in the background and return its handle; a mistake that is found soon is raised here."""
        options = replace(options, store=options.store or self.store)
        # Its own workers, which stay warm from one cell to the next.
        engine = self._workers(
            Workers(options.jobs, options.cluster_address, grid.limits.memory, options.cluster_security)
        )
        study = api.start_sweep(model, data, grid, options, wait=False, command=self.command, engine=engine)
        study.begun(CHECKED_SECONDS)
        self._started = [s for s in self._started if s.running] + [study]
        self.store = str(options.store) if options.store else None
        self.look_at(study)
        return study

    def preflight(self, model: Any, grid: Grid | None, store: StoreLike, allow_code: bool) -> Preflight:
        """Ask the session's workers, which stay warm."""
        engine = self._engine or self._workers(Workers(None, None, StageLimits().memory, None))
        return api.preflight(model, grid, store or self.store, allow_code, engine, self.hear)

    def tell(self, text: str) -> None:
        """Say in a line of the cell's output what goes on."""
        print(text)

    def look_at(self, study: Study) -> None:
        """Make a study the one that verbs are about where the line names none."""
        self.current = study

    def follow(self, study: RunningSweep) -> None:
        """Wait for a sweep, showing its progress."""
        from IPython.display import display

        from workbench.notebook.progress import Gauge

        gauge = Gauge(study, lambda: None)
        display(gauge.widget)
        gauge.follow()
        study.wait()

    def close(self) -> None:
        """End the workers."""
        for study in self._started:
            study.cancel()
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _known(self, study: Study) -> bool:
        """Whether a study has its name; that of a sweep that has just begun is waited for."""
        return not isinstance(study, RunningSweep) or study.begun(KNOWN_SECONDS)

    def _started_as(self, name: str) -> RunningSweep | None:
        return next((s for s in reversed(self._started) if s.begun(0) and s.name == name), None)

    def _workers(self, wanted: Workers) -> Engine:
        """Return the session's warm workers; others than before where these are asked for."""
        with self._choosing:
            if self._engine is None or wanted != self._engine_of:
                if any(s.running for s in self._started):
                    raise WorkbenchError(
                        "a sweep with other workers is running. Wait for it, or cancel it, before asking for these."
                    )
                if self._engine is not None:
                    self._engine.close()
                self._engine, self._engine_of = Engine(*wanted), wanted
            return self._engine
