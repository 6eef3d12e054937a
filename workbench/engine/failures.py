"""What is said of a stage that failed: the first reason, the explanation where it is known, the whole log where it is not."""

from __future__ import annotations

import hashlib
import re
import traceback
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.files import make_within
from workbench.names import printable
from workbench.values.explained import explain

# Beside the store's logs; a log is named by its content, so that many trials that fail alike have one.
FOLDER = ("logs", "failures")
# A converter may print a graph of hundreds of megabytes.
MOST_CHARACTERS = 2_000_000
SAID = 500
_NAMED = re.compile(f"{'/'.join(FOLDER)}/([0-9a-f]{{16}}\\.txt)")


def told(error: Exception, root: Path) -> str:
    """Return what a trial says of an error, and write its whole log into the store `root` where nothing is known of it.

    A WorkbenchError that no other exception led to is a mistake that says itself what it is.
    """
    reason = str(error) if isinstance(error, WorkbenchError) else _one_line(error)
    if isinstance(error, WorkbenchError) and error.__cause__ is None:
        known = explain(reason)
        return f"{reason} {known.text}" if known else reason
    log = "".join(traceback.format_exception(error))[-MOST_CHARACTERS:]
    # Not the log, which tells what was tried afterwards too: what that failed of is not the reason.
    first = error.__cause__ if isinstance(error, WorkbenchError) else None
    known = explain(str(first)) if first else explain(reason) or explain(str(error))
    if known is not None:
        return f"{reason} {known.text}"
    return f"{reason} The whole log: {'/'.join((*FOLDER, _kept(log, root)))} in the store, or `workbench show STUDY --trial ID`."


def log_of(error: str, root: Path) -> str:
    """Return the whole log that a trial's error names in the store `root`; nothing where it names none, or it is gone."""
    named = _NAMED.search(error)
    path = root.joinpath(*FOLDER, named[1]) if named else None
    if path is None or not path.is_file():
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def _kept(log: str, root: Path) -> str:
    """Write a log unless it is there, and return the name of its file."""
    content = printable(log).encode()
    path = root.joinpath(*FOLDER, f"{hashlib.sha256(content).hexdigest()[:16]}.txt")
    if not path.is_file():
        make_within(path.parent)
        path.write_bytes(content)
    return path.name


def _one_line(error: Exception) -> str:
    """Return an exception on one line: its class, what it says (TensorFlow adds stack lines), and where it was raised."""
    lines = (line.strip() for line in str(error).splitlines())
    said = " ".join(
        line for line in lines if line and not line.startswith(('File "', "Graph execution error", "Detected at node"))
    )
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {said[:SAID]} ({Path(place.filename).name}:{place.lineno})"
