"""Which files and stores a page may name: those below the server's root, with links followed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from workbench.errors import WorkbenchError, shown
from workbench.store.place import DATABASE, DEFAULT_STORE

# A walk ends after so many folders, levels or seconds, so that a home folder of any size is listed.
MOST_FOLDERS, MOST_LEVELS, MOST_SECONDS = 20_000, 8, 3.0
# A walk is good for so long; a store that is asked for by name is looked for anew.
KEPT_SECONDS = 10.0
_PASSED_OVER = {"node_modules", "__pycache__", "site-packages", "artifacts"}


class NotThere(WorkbenchError):
    """Nothing of that name is below the server's root."""


class Places:
    """The server's root folder, and the stores below it."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._lock = threading.Lock()
        self._found: list[str] = []
        self._walked = float("-inf")

    def file(self, name: str) -> Path:
        """Return a file below the root by its path from there; raises NotThere for any other, hidden ones too."""
        path = self._inside(name)
        if path is None or not path.is_file():
            raise NotThere(
                f"file {shown(name)} is not there. Allowed: a path from the server's root {str(self.root)!r}, of a file that lies below it and is not hidden."
            )
        return path

    def folder(self, name: str) -> Path:
        """Return a folder below the root that is there or can be made; raises NotThere for any other."""
        path = self._inside(name)
        if path is None or (path.exists() and not path.is_dir()):
            raise NotThere(
                f"folder {shown(name)} cannot be used. Allowed: a path from the server's root {str(self.root)!r}, below it and not hidden."
            )
        return path

    def new_file(self, name: str) -> Path:
        """Return a path below the root for a file to write; raises NotThere for one elsewhere."""
        path = self._inside(name)
        if path is None or path.is_dir() or not path.parent.is_dir():
            raise NotThere(
                f"file {shown(name)} cannot be written. Allowed: a path from the server's root {str(self.root)!r}, in a folder below it that is there and not hidden."
            )
        return path

    def store(self, name: str) -> Path:
        """Return the folder of a store that `stores` lists; raises NotThere with those there are."""
        for again in (False, True):
            if name in self.stores(again):
                return self.root / name
        known = ", ".join(self.stores()) or "none"
        raise NotThere(
            f"store {shown(name)} is not there. Allowed: {known} (from the server's root {str(self.root)!r})."
        )

    def stores(self, again: bool = False) -> list[str]:
        """Return the stores below the root by their paths from there, in the order of the alphabet."""
        with self._lock:
            if again or time.monotonic() - self._walked > KEPT_SECONDS:
                self._found = sorted(self._walk())
                self._walked = time.monotonic()
            return list(self._found)

    def _inside(self, name: str) -> Path | None:
        """Return where a name leads with links followed, None where that is not below the root, or hidden."""
        if not name or "\0" in name or os.path.isabs(name) or _hidden(Path(name)):
            return None
        try:
            path = (self.root / name).resolve()
        except (OSError, RuntimeError):
            return None
        inside = path.is_relative_to(self.root) and not _hidden(path.relative_to(self.root))
        return path if inside else None

    def _walk(self) -> Iterator[str]:
        """Yield stores, nearest levels first; links are not followed, since a store elsewhere is none of this root."""
        level, seen, end = [self.root], 0, time.monotonic() + MOST_SECONDS
        for _ in range(MOST_LEVELS):
            below: list[Path] = []
            for folder in level:
                seen += 1
                if seen > MOST_FOLDERS or time.monotonic() > end:
                    return
                try:
                    entries = list(os.scandir(folder))
                except OSError:
                    continue
                if any(e.name == DATABASE and e.is_file(follow_symlinks=False) for e in entries):
                    yield folder.relative_to(self.root).as_posix()
                    continue
                below += [Path(e.path) for e in entries if _entered(e)]
            level = below


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _entered(entry: os.DirEntry[str]) -> bool:
    """Return whether a folder may hold stores: no hidden one but the default store's own."""
    if entry.name in _PASSED_OVER or (entry.name.startswith(".") and entry.name != DEFAULT_STORE):
        return False
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
