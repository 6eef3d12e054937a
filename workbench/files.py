"""Hashing files and folders by content, and writing a file whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from workbench.errors import WorkbenchError


def check_current_folder() -> None:
    """Raise WorkbenchError where the current folder was deleted: no relative path means anything there."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise WorkbenchError("the current folder was deleted. Go to a folder that exists, and try again.") from None


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
