"""One form for any verb: fields, the line and the call that they mean, Run, progress, and the result below."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from workbench.commands.result import Result
from workbench.dashboard.standing import Standing
from workbench.engine.forecast import Forecast
from workbench.errors import WorkbenchError
from workbench.handle import RunningSweep
from workbench.names import notebook
from workbench.notebook.forms.controls import Control
from workbench.notebook.forms.fields import Field, Group, fields, words_of
from workbench.notebook.forms.left import LeftUntouched
from workbench.notebook.forms.probe import AskedSweep, foresee, probe, python_call
from workbench.notebook.progress import Gauge
from workbench.notebook.rich import bundle
from workbench.notebook.session import NotebookFrontEnd
from workbench.notebook.techniques import Tried
from workbench.views.units import duration

TITLES: dict[Group, str] = {
    "what": "",
    "how": "",
    "options": "Options of runtimes",
    "settings": "Training, calibration, measuring",
    "where": "Where and how it runs",
}


class Form:
    """A verb's form. It writes a line, and Run runs that line, as if it had been typed."""

    def __init__(self, session: NotebookFrontEnd, verb: str, suggest: Callable[[Field], list[str]]) -> None:
        self.session, self.verb = session, verb
        command = session.verb(verb)
        start = session.defaults(verb)
        self.controls = [self.control(f, suggest(f), start.get(f.name)) for f in fields(command)]
        for control in self.controls:
            control.watch(self.changed)
        self.line = widgets.HTML()
        self.message = widgets.HTML()
        self.run = widgets.Button(description="Run", icon="play", button_style="primary", tooltip="run the line below")
        self.run.add_class("workbench-run")
        self.run.on_click(lambda _: self.start())
        self.running = widgets.VBox()
        self.left = LeftUntouched(session)
        self.asked: AskedSweep | None = None
        self.output = Standing()
        # What a command's exit status is says nothing here.
        help_text = (command.help or "").split("\n")[0].partition("; exit 1")[0]
        self.widget = widgets.VBox(
            [
                widgets.HTML(f"<b>%wb {html.escape(verb)}</b>: {html.escape(help_text)}"),
                *self.layout(),
                self.line,
                widgets.HBox([self.run, self.message], layout={"align_items": "center", "flex_flow": "row wrap"}),
                self.left.widget,
                self.running,
            ],
            layout={"max_width": "100%"},
        )
        self.widget.add_class("workbench-form")
        self.widget.add_class(f"workbench-form-{verb.replace(' ', '-')}")
        self.changed()

    def control(self, field: Field, suggestions: list[str], start: str | None) -> Any:
        """Return a field's control."""
        return Control(field, suggestions, start)

    def layout(self) -> list[Any]:
        """Return the controls: what a verb is about in the open, the rest folded."""
        found: list[Any] = []
        folded: list[tuple[str, Any]] = []
        for group, title in TITLES.items():
            inside = [c.widget for c in self.controls if c.field.group == group]
            if not inside:
                continue
            box = widgets.Box(inside, layout={"flex_flow": "row wrap", "max_width": "64em"})
            if title:
                folded.append((title, box))
            else:
                found.append(box)
        if folded:
            more = widgets.Accordion([box for _, box in folded], titles=tuple(title for title, _ in folded))
            found.append(more)
        return found

    @property
    def words(self) -> list[str]:
        """The line's words as the fields stand."""
        return words_of(self.verb, [(c.field, c.text()) for c in self.controls])

    def changed(self) -> None:
        """Check the line, show it with its call, and say what it means or what is wrong."""
        words = self.words
        line = f"%wb {notebook(words)}"
        try:
            self.asked = probe(self.session, words)
            meaning = self.meaning()
        except WorkbenchError as error:
            self.asked = None
            self.left.ask(None)
            self.run.disabled = True
            self.message.value = _alert(str(error))
            self.line.value = _code(line)
            return
        self.run.disabled = False
        self.line.value = _code(line) + (_code(python_call(self.asked)) if self.asked else "")
        self.message.value = meaning
        self.left.ask(self.asked)

    def meaning(self) -> str:
        """Return what the line means before it runs: recipes, stages, rough time; "" where the verb is no sweep."""
        if self.asked is None:
            return ""
        seen = foresee(self.session, self.asked)
        parts = [
            _count(seen.recipes, "recipe") if seen.tried == seen.recipes else _tried(seen),
            _count(seen.trainings, "training stage"),
            f"{_count(sum(seen.stages.values()), 'stage')} in all",
        ]
        if seen.found:
            parts.append(f"{seen.found} of them in the store already")
        if seen.left_out:
            parts.append(f"{_count(seen.left_out, 'combination')} left out that do not go together")
        return f"{', '.join(parts)}; roughly {duration(seen.seconds)} ({html.escape(seen.basis)})"

    def start(self) -> None:
        """Run the line in the background where it is a sweep, else here; its result comes below."""
        self.run.disabled = True
        try:
            found = self.session.call(self.words)
        except WorkbenchError as error:
            self.message.value = _alert(str(error))
            self.run.disabled = False
            return
        study = found.study if isinstance(found, Tried) else found.value
        if isinstance(study, RunningSweep) and study.running:
            gauge = Gauge(study, lambda: self.ended(found))
            self.running.children = (gauge.widget,)
            gauge.follow()
        else:
            self.ended(found)

    def ended(self, found: Result) -> None:
        """Show a result, or what ended the sweep before its time; then the line can be run again."""
        try:
            self._show(found)
        finally:
            self.run.disabled = False

    def _show(self, found: Result) -> None:
        self.running.children = ()
        study = found.study if isinstance(found, Tried) else found.value
        error = study.error if isinstance(study, RunningSweep) else None
        if error:
            self.message.value = _alert(f"Stopped: {error}")
        if isinstance(found, Tried):
            if error and not found.trials:
                return
            found.finish()
        if hasattr(found.value, "embed"):
            self.running.children = (found.value.embed(),)
            return
        self.output.update(bundle(found))

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)
        self.left.live(True)
        words = html.escape(f"A form for %wb {self.verb}; its result comes here.")
        quiet = f'<div style="color:var(--jp-ui-font-color2,#666);font-size:12px">{words}</div>'
        self.output.show({"text/html": quiet, "text/plain": words})


def _tried(seen: Forecast) -> str:
    return f"at most {_count(seen.tried, 'recipe')}, of {seen.recipes} in the grid"


def _alert(text: str) -> str:
    return f'<span role="alert" style="color:var(--jp-error-color1,#b00020)">{html.escape(text)}</span>'


def _code(text: str) -> str:
    return f'<pre class="workbench-line" style="white-space:pre-wrap;overflow-wrap:anywhere;margin:.2em 0;user-select:all">{html.escape(text)}</pre>'


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
