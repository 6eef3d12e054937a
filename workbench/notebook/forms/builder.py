"""The sweep builder: a form in which the lists of a grid are ticked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from workbench import registry
from workbench.notebook.forms.controls import Control
from workbench.notebook.forms.fields import Field
from workbench.notebook.forms.form import Form
from workbench.recipes.grammar import split_list
from workbench.values.params import ParamSpec, param_specs


class ListControl(Control):
    """A list: values to tick, and a text for others; `text()` joins them by commas."""

    def __init__(self, field: Field, values: Sequence[str], ticked: Sequence[str], hint: str) -> None:
        self.field = field
        self.start = None
        self.boxes = [
            widgets.ToggleButton(
                value=v in ticked, description=v, tooltip=f"{field.spec.name} {v}", layout={"width": "auto"}
            )
            for v in values
        ]
        for box in self.boxes:
            _mark(box)
            box.observe(lambda change: _mark(change["owner"]), names="value")
        self.other = widgets.Text(
            placeholder=hint, continuous_update=False, layout={"width": "20em"}, tooltip=field.spec.help
        )
        label = widgets.HTML(f"<b>{field.spec.name}</b>", layout={"width": "7em"})
        self.widget = widgets.HBox([label, *self.boxes, self.other], layout={"flex_flow": "row wrap", "width": "100%"})
        self.widget.add_class(f"workbench-field-{field.name.replace('_', '-')}")

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called after each change."""
        for box in (*self.boxes, self.other):
            box.observe(lambda _: changed(), names="value")

    def set(self, text: str) -> None:
        """Tick the values of a list; those without a box go into the text."""
        parts = split_list(text)
        for box in self.boxes:
            box.value = box.description in parts
        known = {box.description for box in self.boxes}
        self.other.value = ",".join(p for p in parts if p not in known)

    def text(self) -> str:
        """Return the list."""
        return ",".join([*(b.description for b in self.boxes if b.value), *split_list(self.other.value)])


class SweepForm(Form):
    """The builder: an axis per technique, runtimes, and the settings of a sweep."""

    def control(self, field: Field, suggestions: list[str], start: str | None) -> Control:
        """Return ticks for the axes and runtimes, the usual control for the others."""
        name = field.name.removeprefix("axis_")
        if field.name == "runtime":
            here = [n for n in registry.runtimes.names() if n in registry.runtimes.all() and not n.startswith("ethos")]
            usable = [n for n in here if registry.runtimes.get(n).available() is None and n != "delegate"]
            return ListControl(field, usable, ["xnnpack"], "others, e.g. xnnpack[threads=2]")
        if name == field.name or field.spec.kind == "bool":
            return super().control(field, suggestions, start)  # type: ignore[no-any-return]  # a Control
        primary = next(s for s in param_specs(registry.techniques.get(name).params) if s.primary)
        values, ticked = _usual(primary)
        return ListControl(field, values, ticked, f"other {primary.name} values")


def _mark(box: Any) -> None:
    """Show whether a button is ticked by a sign, not by its colour alone."""
    box.icon, box.button_style = ("check", "info") if box.value else ("", "")


def _usual(primary: ParamSpec) -> tuple[list[str], list[str]]:
    """Return the values to tick of a technique's primary parameter, and those ticked at first."""
    if primary.choices:
        return list(primary.choices), [c for c in ("float32", "dynamic", "int8") if c in primary.choices]
    default = f"{primary.default:g}" if isinstance(primary.default, float) else str(primary.default)
    return ["none", default], []
