"""Whether a file or folder of the store is still what was put there, and where it goes when it is not."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from workbench.errors import WorkbenchError
from workbench.files import file_sha256, make_within, tree_sha256

DAMAGED = "damaged"
LOG = "log.txt"
# A file that changed so short ago may change once more within the same tick of the file system's clock.
SETTLED_NS = 50_000_000
Contents = Callable[[Path], str]


class Stamp(NamedTuple):
    """What changes when something is touched: inodes, sizes and times as one text; `changed_ns` is the last change."""

    text: str
    changed_ns: int


class Flaw(Exception):
    """Something in the store is not what was put there; the text says in what way."""


def stamp(path: Path, folder: bool) -> Stamp | None:
    """Return the stamp of a file, or of a folder with all that is in it; None where nothing is there.

    Raises Flaw for what Workbench never writes: links, pipes, a folder in place of a file.
    """
    try:
        status = path.lstat()
        if not (stat.S_ISDIR(status.st_mode) if folder else stat.S_ISREG(status.st_mode)):
            raise Flaw(f"it is {_kind(status.st_mode)}, not a {'folder' if folder else 'file'}")
        if not folder:
            return Stamp(_touched(status), max(status.st_mtime_ns, status.st_ctime_ns))
        hasher, changed = hashlib.sha256(), 0
        for name, inside in _walk(path, ""):
            if not stat.S_ISREG(inside.st_mode):
                raise Flaw(f"{name!r} in it is {_kind(inside.st_mode)}")
            hasher.update(f"{name}\0{_touched(inside)}\n".encode(errors="surrogateescape"))
            changed = max(changed, inside.st_mtime_ns, inside.st_ctime_ns)
        return Stamp(hasher.hexdigest(), changed)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Flaw(f"it cannot be read: {error.strerror}") from error


def find_flaw(path: Path, sha256: str, folder: bool, contents: Contents | None = None) -> str | None:
    """Return what is wrong with something that is there, None where nothing is; everything is read.

    `contents` returns the hash that its content should have; the default is that of files and folders.
    """
    try:
        stamp(path, folder)
        _check(path, sha256, contents or (tree_sha256 if folder else file_sha256))
    except Flaw as flaw:
        return str(flaw)
    return None


class Keeper:
    """Knows what of a store was found to be intact, and has it read again only where it was touched since.

    `load` gives the stamps remembered by name, `save` remembers more.
    """

    def __init__(self, root: Path, load: Callable[[], dict[str, str]], save: Callable[[dict[str, str]], None]) -> None:
        self.root = root
        self._load, self._save = load, save
        self._known: dict[str, str] | None = None
        self._new: dict[str, str] = {}

    def intact(self, path: Path, sha256: str, folder: bool, contents: Contents | None = None) -> bool:
        """Return whether something is there and is what was put there; what is not is set aside.

        Raises WorkbenchError where it cannot be moved.
        """
        if self._known is None:
            self._known = self._load()
        name = path.relative_to(self.root).as_posix()
        try:
            seen = stamp(path, folder)
            if seen is None:
                return False
            if self._known.get(name) == seen.text:
                return True
            _check(path, sha256, contents or (tree_sha256 if folder else file_sha256))
            if stamp(path, folder) == seen and time.time_ns() - seen.changed_ns > SETTLED_NS:
                self._known[name] = self._new[name] = seen.text
        except Flaw as flaw:
            set_aside(path, self.root, str(flaw))
            return False
        return True

    def remember(self) -> None:
        """Write down what was found since the last time."""
        if self._new:
            new, self._new = self._new, {}
            self._save(new)


def set_aside(path: Path, root: Path, why: str) -> None:
    """Move something damaged to `root/damaged`, under its name and the time, and note it in the log there.

    Raises WorkbenchError where it cannot be moved.
    """
    now = datetime.now(UTC)
    name = path.relative_to(root).as_posix()
    target = root / DAMAGED / f"{path.name}.{now:%Y%m%dT%H%M%S%f}Z"
    try:
        make_within(target.parent)
        _move(path, target)
    except FileNotFoundError:
        return  # another process was faster
    except OSError as error:
        raise WorkbenchError(
            f"{str(path)!r} is damaged ({why}) and cannot be moved to {str(target.parent)!r}: {error}. Remove it, or make both writable, and run the same again."
        ) from error
    line = "".join(c if c.isprintable() else "?" for c in f"{now.isoformat(timespec='seconds')} {name}: {why}")
    with (target.parent / LOG).open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


class News:
    """What is set aside from now on, by whatever process."""

    def __init__(self, root: Path) -> None:
        self.log = root / DAMAGED / LOG
        self._read = len(self._text())

    def told(self) -> list[str]:
        """Return what was set aside since the last time, a line each, without its time."""
        text = self._text()
        new, self._read = text[self._read :], len(text)
        return [line.partition(" ")[2] for line in new.splitlines()]

    def _text(self) -> str:
        try:
            return self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def _check(path: Path, sha256: str, contents: Contents) -> None:
    try:
        found = contents(path)
    except Exception as error:  # what reads a damaged file may raise anything
        raise Flaw(f"it cannot be read: {error}") from error
    if found != sha256:
        empty = path.is_file() and path.stat().st_size == 0
        raise Flaw("it is empty" if empty else "its content is not what was put there")


def _move(path: Path, target: Path) -> None:
    try:
        path.rename(target)
    except PermissionError:
        # A folder that may not be written cannot be moved; whose it is may change that.
        if path.is_symlink() or not path.is_dir():
            raise
        path.chmod(0o700)
        path.rename(target)


def _walk(folder: Path, before: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what is in a folder and those below it, in the order of names; folders themselves are no content."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda e: e.name)
    for entry in entries:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(Path(entry.path), f"{before}{entry.name}/")
        else:
            yield f"{before}{entry.name}", status


def _touched(status: os.stat_result) -> str:
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISLNK, "a symbolic link"), (stat.S_ISDIR, "a folder"), (stat.S_ISREG, "a file"))
    return next((words for is_kind, words in kinds if is_kind(mode)), "a pipe, socket or device")
