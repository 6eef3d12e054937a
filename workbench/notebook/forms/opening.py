"""Opens a verb's form."""

from __future__ import annotations

from typing import Any

from workbench.notebook.completion import known_values
from workbench.notebook.forms.fields import Field
from workbench.notebook.session import NotebookFrontEnd


def form_for(session: NotebookFrontEnd, verb: str) -> Any:
    """Return a verb's form; a sweep's has lists to tick."""
    from workbench.notebook.forms.builder import SweepForm
    from workbench.notebook.forms.form import Form

    command = session.verb(verb)

    def suggest(field: Field) -> list[str]:
        from workbench.notebook.completion import values

        if field.name in ("model", "data", "file", "source", "grid_file"):
            return values(session, command, field.parameter, "", {}).texts
        return known_values(session, command, field.parameter, session.defaults(verb))[0]

    return (SweepForm if verb == "sweep" else Form)(session, verb, suggest)
