"""Hashing files and folders by content, and writing a file whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import IO

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


def make_private(folder: Path) -> None:
    """Make a folder that only its owner can open; one that is there is left as it is. Those around it are made for all to read."""
    for around in reversed(folder.parents):
        if not around.exists():
            # Whatever the umask: who may write into a folder can put another one in the place of what lies in it.
            around.mkdir(mode=0o755, exist_ok=True)
    if not folder.is_dir():
        folder.mkdir(mode=0o700, exist_ok=True)


def make_within(folder: Path) -> None:
    """Make a folder that is as open as the one around it, whatever the umask; one that is there is left as it is."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=folder.parent.stat().st_mode & 0o777, exist_ok=True)


def open_private(path: Path) -> IO[bytes]:
    """Open a file to append to, which nobody but the owner can read where it is made now."""
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half; raises WorkbenchError when it cannot."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        name = path.parent / f".partial-{secrets.token_hex(8)}"
        # For others to read where the umask lets them, for nobody else to write.
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except OSError:
            name.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise WorkbenchError(f"{str(path)!r} cannot be written: {error}") from error
