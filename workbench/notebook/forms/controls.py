"""The right widget for each kind of field: a choice, a slider for a short range, a number, a switch, a text with suggestions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from workbench.notebook.forms.fields import Field

# Ranges up to this many steps are sliders; wider ones are typed.
SLIDER_STEPS = 100
DEFAULT = "default"
_STYLE = {"description_width": "9.5em"}
_LAYOUT = {"width": "min(28em, 100%)"}


class Control:
    """A field's widget; `text()` is what it says on the line, `""` where the default stands."""

    def __init__(self, field: Field, suggestions: Sequence[str] = (), start: str | None = None) -> None:
        self.field = field
        self.start = start
        self.widget = _widget(field, suggestions, start)
        self.widget.tooltip = field.spec.help or field.spec.name
        self.widget.add_class(f"workbench-field-{field.name.replace('_', '-')}")

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called after each change."""
        self.widget.observe(lambda _: changed(), names="value")

    def set(self, text: str) -> None:
        """Fill the widget with a text."""
        self.widget.value = text

    def text(self) -> str | bool:
        """Return the value as it is written on the line, True or False for a switch; `""` leaves it out."""
        value, spec = self.widget.value, self.field.spec
        if spec.kind == "bool":
            return "" if bool(value) == bool(spec.default) else bool(value)
        if value is None or (value == DEFAULT and spec.kind == "choice"):
            return ""
        if isinstance(value, float):
            value = f"{value:g}"
        text = str(value).strip()
        # What the session or the description already says need not be said again.
        said = self.start if self.start is not None else (None if self.field.required else spec.default)
        return "" if said is not None and text == _plain(said) else text


def _widget(field: Field, suggestions: Sequence[str], start: str | None) -> Any:
    spec = field.spec
    common: dict[str, Any] = {"description": spec.name.replace("_", " "), "style": _STYLE, "layout": _LAYOUT}
    default = start if start is not None else spec.default
    if spec.kind == "bool":
        return widgets.Checkbox(value=bool(default), indent=True, **common)
    if spec.kind == "choice":
        options = [*([] if default is not None else [DEFAULT]), *spec.choices]
        return widgets.Dropdown(options=options, value=default if default is not None else DEFAULT, **common)
    bounded = spec.low is not None and spec.high is not None
    if spec.kind == "int" and default is not None:
        if bounded and spec.high - spec.low <= SLIDER_STEPS:  # type: ignore[operator]  # both are there
            return widgets.IntSlider(int(default), int(spec.low), int(spec.high), **common)  # type: ignore[arg-type]  # as above
        return widgets.BoundedIntText(int(default), int(spec.low or 0), int(spec.high or 10**9), **common)
    if spec.kind == "float" and default is not None and bounded:
        step = (spec.high - spec.low) / SLIDER_STEPS  # type: ignore[operator]  # both are there
        return widgets.FloatSlider(
            float(default), min=spec.low, max=spec.high, step=step, readout_format=".2f", **common
        )
    placeholder = f"default {_plain(spec.default)}" if spec.default is not None else "" if field.required else DEFAULT
    text = "" if start is None else start
    if suggestions:
        return widgets.Combobox(
            value=text,
            options=list(dict.fromkeys(suggestions)),
            ensure_option=False,
            placeholder=placeholder,
            continuous_update=False,
            **common,
        )
    return widgets.Text(value=text, placeholder=placeholder, continuous_update=False, **common)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
