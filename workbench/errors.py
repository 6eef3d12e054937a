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


class PartLeftOut(UserWarning):
    """A part that somebody else wrote and that cannot be used; everything else works."""


class Cancelled(Told):
    """The sweep was asked to stop; finished work is in the store."""

    def __str__(self) -> str:
        return "cancelled; finished work is kept, run the same again to go on"


# A message quotes at most so many characters of a value, and so many of the allowed names; the nearest is looked for among more.
MOST_SHOWN, MOST_NAMES, MOST_COMPARED = 200, 100, 10_000


def shown(value: object) -> str:
    """Return a value as messages quote it: its `repr`, cut where it is long; never raises for what data can hold."""
    if isinstance(value, (str, bytes)) and len(value) > MOST_SHOWN:
        return f"{value[:MOST_SHOWN]!r}... ({len(value):,} characters)"
    try:
        text = repr(value)
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, lists thousands deep
        return f"a value that cannot be written out ({type(value).__name__}: {str(error).partition(';')[0]})"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}... ({len(text):,} characters)"


def unknown(what: str, name: str, allowed: Iterable[str], hint: str = "") -> WorkbenchError:
    """Return an error for an unknown name: the value, the nearest and the allowed ones."""
    options = sorted(allowed)
    more = f" and {len(options) - MOST_NAMES:,} more" if len(options) > MOST_NAMES else ""
    listed = (", ".join(options[:MOST_NAMES]) or "none") + more
    tail = f" {hint}" if hint else ""
    return WorkbenchError(f"unknown {what} {shown(name)}.{nearest(name, options)} Allowed: {listed}.{tail}")


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return the question after the nearest of the allowed names, with a space before it, or nothing."""
    options = sorted(allowed)
    if len(name) > MOST_SHOWN or len(options) > MOST_COMPARED:
        return ""  # comparing takes the square of the length, for each
    # Names are lower-case as a rule, and somebody may have written them otherwise.
    close = [o for o in options if o.casefold() == name.casefold()] or difflib.get_close_matches(
        name, options, n=2, cutoff=0.5
    )
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
