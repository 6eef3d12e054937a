"""The two kinds of trouble: a user's mistake gets a message, a bug keeps its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Told(Exception):
    """What a user is told in words; IPython asks `_render_traceback_` and so shows no traceback either."""

    def _render_traceback_(self) -> list[str]:
        return [f"workbench: {self}"]


class WorkbenchError(Told):
    """A mistake that the user can mend; its text is the whole message, shown without a traceback."""


class MissingExtra(WorkbenchError):
    """An optional part is not installed; the text carries the install command."""


class StageFailed(WorkbenchError):
    """A stage could not do its work for a reason that belongs on the trial."""


class Unfit(WorkbenchError):
    """A runtime does not take this kind of file; the text is the reason, and the measurement is skipped, not failed."""


class UnprotectedCluster(UserWarning):
    """A cluster of the user's own that anybody who reaches its port can use; it works, and is said to be so."""


class Cancelled(Told):
    """The sweep was asked to stop; finished work is in the store."""

    def __str__(self) -> str:
        return "cancelled; finished work is kept, run the same again to go on"


def unknown(what: str, name: str, allowed: Iterable[str], hint: str = "") -> WorkbenchError:
    """Return an error for an unknown name: the value, the nearest and the allowed ones."""
    options = sorted(allowed)
    listed = ", ".join(options) or "none"
    tail = f" {hint}" if hint else ""
    return WorkbenchError(f"unknown {what} {name!r}.{nearest(name, options)} Allowed: {listed}.{tail}")


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return the question after the nearest of the allowed names, with a space before it, or nothing."""
    close = difflib.get_close_matches(name, sorted(allowed), n=2, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
