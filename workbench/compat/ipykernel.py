"""ipykernel: on which of its threads a widget hears its page."""

from __future__ import annotations

from typing import Any


def hear_beside_cells(widget: Any) -> None:
    """Have what the page sends to a widget heard where the page sends it, also while a cell runs.

    JupyterLab sends to a subshell, a thread beside that of the cells. ipykernel 7.4 passes it on to the loop that
    spoke last, which is that of the cells, for the sake of cells that await an answer; none awaits one of ours.
    Where a comm has no such rule, as before 7.4, there is nothing to change.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = lambda data, sender: sender
