"""Hashing files and folders by content, and writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from workbench.errors import WorkbenchError


def file_sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


def tree_sha256(folder: Path) -> str:
    """Return the SHA-256 (hex) of a folder: relative names and file hashes in order."""
    hasher = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        hasher.update(f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\n".encode())
    return hasher.hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half; raises WorkbenchError when it cannot."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise WorkbenchError(f"{str(path)!r} cannot be written: {error}") from error


def private_folder() -> Path:
    """Return a folder that only this user can enter, for locks and the like: the same one for each of the user's processes.

    It lies in `$XDG_RUNTIME_DIR` where that is the user's own and closed to others, else in the temporary folder; where
    somebody else has taken the name there, in `~/.cache`. Raises WorkbenchError when none of them can be had.
    """
    tried = []
    for place in _private_places():
        if _made_private(place):
            return place
        tried.append(repr(str(place)))
    raise WorkbenchError(
        f"no folder that is this user's alone can be made; tried {', '.join(tried)}. Remove what has these names, or set "
        "TMPDIR to a folder of yours."
    )


def _private_places() -> Iterator[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and _is_private(Path(runtime)):
        yield Path(runtime) / "workbench"
    yield Path(tempfile.gettempdir()) / f"workbench-{os.getuid()}"
    home = os.path.expanduser("~")
    if os.path.isabs(home):
        with contextlib.suppress(OSError):
            Path(home, ".cache").mkdir(mode=0o700, exist_ok=True)
        yield Path(home, ".cache", "workbench")


def _made_private(folder: Path) -> bool:
    """Make a folder for its owner alone where nothing has its name, and return whether it is one now."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        # Through a descriptor, which stands for the same folder however names change meanwhile; a link is not followed.
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(opened).st_uid == os.getuid():
                os.fchmod(opened, 0o700)
        finally:
            os.close(opened)
    except OSError:
        return False
    return _is_private(folder)


def _is_private(folder: Path) -> bool:
    """Return whether a name is a real folder of this user's that nobody else can enter."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
