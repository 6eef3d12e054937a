"""Which sweeps work in a store right now, how far they are, and how any process asks one of them to stop."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from pydantic import ValidationError

from workbench.errors import WorkbenchError
from workbench.files import make_within, read_regular, write_atomic
from workbench.values.base import Count, Value

FOLDER = "underway"
# A sweep of another machine, whose processes cannot be looked at, counts as ended when it has said nothing for so long.
SILENT_SECONDS = 120.0
# Clocks and /proc round differently; a number is not given to another process within so short a time.
_SAME_START_SECONDS = 2.0
_MOST_BYTES = 100_000
_NAME = re.compile(r"[0-9a-f]{16}\.json")


class Underway(Value):
    """A sweep that works in a store: whose process it is, and how far it is; `study` is "" before its name is known.

    `born` and `at` are seconds since the epoch: when its process started, and when this was written.
    """

    id: str
    study: str = ""
    host: str
    pid: Count
    born: float
    at: float
    phase: str = "prepare"
    label: str = ""
    done: Count = 0
    total: Count = 0
    failed: Count = 0
    eta_s: float | None = None

    @property
    def alive(self) -> bool:
        """Whether its process is still there; of another machine's, whether it spoke lately."""
        if self.host != platform.node():
            return time.time() - self.at < SILENT_SECONDS
        with contextlib.suppress(psutil.Error):
            return abs(psutil.Process(self.pid).create_time() - self.born) < _SAME_START_SECONDS
        return False


class Announcement:
    """What one sweep says of itself, in a file of the store that goes when the sweep ends."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # Only a process's own start is told, not that of the machine it ran on.
        self.said = Underway(
            id=secrets.token_hex(8),
            host=platform.node(),
            pid=os.getpid(),
            born=psutil.Process().create_time(),
            at=time.time(),
        )

    @property
    def stop_asked(self) -> bool:
        """Whether a process asked this sweep to stop."""
        return _request(self.root, self.said.id).exists()

    def say(self, **told: object) -> None:
        """Write what is known now; a store that is full or gone does not end the sweep."""
        self.said = self.said.model_copy(update={**told, "at": time.time()})
        with contextlib.suppress(OSError, WorkbenchError):
            make_within(self.root / FOLDER)
            write_atomic(_file(self.root, self.said.id), self.said.model_dump_json().encode())

    def end(self) -> None:
        """Take it back."""
        _forget(self.root, self.said.id)


def underway(root: Path) -> list[Underway]:
    """Return the sweeps that work in a store's folder, oldest first; files that cannot be read are left out."""
    return sorted((u for u in _written(root) if u.alive), key=lambda u: u.born)


def clear_dead(root: Path) -> None:
    """Remove what processes left behind that were killed."""
    for found in _written(root):
        if not found.alive:
            _forget(root, found.id)


def ask_to_stop(root: Path, study: str) -> bool:
    """Ask the sweeps of a study to stop, wherever they run, and return whether there is one; each looks about once a second."""
    asked = [u for u in underway(root) if u.study == study]
    for sweep in asked:
        write_atomic(_request(root, sweep.id), b"")
    return bool(asked)


def _file(root: Path, id_: str) -> Path:
    return root / FOLDER / f"{id_}.json"


def _request(root: Path, id_: str) -> Path:
    return root / FOLDER / f"{id_}.stop"


def _forget(root: Path, id_: str) -> None:
    for path in (_file(root, id_), _request(root, id_)):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _written(root: Path) -> Iterator[Underway]:
    with contextlib.suppress(OSError):
        for name in filter(_NAME.fullmatch, os.listdir(root / FOLDER)):
            with contextlib.suppress(WorkbenchError, ValidationError):
                text = read_regular(root / FOLDER / name, "file", _MOST_BYTES)
                found = Underway.model_validate_json(text)
                if found.id == name.partition(".")[0]:
                    yield found
