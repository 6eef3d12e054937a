"""What a form says of the layers that the techniques asked for will leave untouched, once a worker has looked."""

from __future__ import annotations

import html
import threading

from workbench.engine.preflight import asked_of, kept_preflight, lines
from workbench.errors import WorkbenchError
from workbench.notebook.forms.probe import AskedSweep, reader_of
from workbench.notebook.session import NotebookFrontEnd
from workbench.recipes.grid import expand
from workbench.sources.identify import identify

LOOKING = "looking at the layers for what training will leave untouched"


class LeftUntouched:
    """A text below a form's line. What the store knows stands there at once; while the form is shown, a thread has a worker look at the rest."""

    def __init__(self, session: NotebookFrontEnd) -> None:
        import ipywidgets as widgets

        self.session = session
        self.widget = widgets.HTML()
        self.widget.add_class("workbench-left")
        self._asked: AskedSweep | None = None
        self._live = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def live(self, shown: bool) -> None:
        """Say whether the form is shown: only then does a worker start."""
        self._live = shown
        self.ask(self._asked)

    def ask(self, asked: AskedSweep | None) -> None:
        """Show what is left by what is asked for; nothing where no sweep is, or nothing trains."""
        self._asked = asked
        said = [] if asked is None else self._known(asked)
        if said is not None:
            self.widget.value = _text(said)
        elif self._live:
            self.widget.value = _text([LOOKING])
            self._look()
        else:
            self.widget.value = ""

    def wait(self) -> None:
        """Wait until no worker looks any more."""
        while (thread := self._thread) is not None:
            thread.join()

    def _known(self, asked: AskedSweep) -> list[str] | None:
        """Return what the store tells, nothing where nothing trains, a mistake as what it says; None where a worker has to look."""
        reader = reader_of(self.session, asked)
        try:
            info = identify(asked.model, reader.models, asked.options.allow_code)
            chains = asked_of(expand(asked.grid, info.kind).recipes)
            found = kept_preflight(info, chains, reader) if chains.chains else None
        except WorkbenchError as error:
            return [str(error)]
        return lines(found) if found else None if chains.chains else []

    def _look(self) -> None:
        """Start a thread that looks, and again while another question came meanwhile; there is one at most."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="workbench-left", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            asked = self._asked
            said = [] if asked is None else self._told(asked)
            with self._lock:
                if asked is self._asked:
                    self.widget.value = _text(said)
                    self._thread = None
                    return

    def _told(self, asked: AskedSweep) -> list[str]:
        """Have a worker look, and return what it told, or what went wrong."""
        try:
            return lines(self.session.preflight(asked.model, asked.grid, asked.options.store, asked.options.allow_code))
        except WorkbenchError as error:
            return [str(error)]


def _text(said: list[str]) -> str:
    style = "color:var(--jp-ui-font-color2,#666);overflow-wrap:anywhere"
    return "".join(f'<div style="{style}">{html.escape(line)}</div>' for line in said)
