"""Whether arrays fit into memory, asked before they are made."""

from __future__ import annotations

from workbench.errors import WorkbenchError


def check_room(needed: int, what: str, advice: str) -> None:
    """Raise WorkbenchError with both figures where so many bytes are not free; `what` is the subject, in the plural."""
    import psutil

    free = psutil.virtual_memory().available
    if needed > free:
        raise WorkbenchError(f"{what} need about {_text(needed)} of memory, but {_text(free)} are free. {advice}")


def _text(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
