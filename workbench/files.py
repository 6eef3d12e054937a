"""Opening what a user names without waiting for it, hashing by content, and writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, Literal

from workbench.errors import WorkbenchError, shown

_OTHERS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind_of(path: Path) -> Literal["file", "folder", "other", "nothing"]:
    """Return what lies at a path, links followed; raises WorkbenchError where that cannot be found out."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: no path can have these characters
        return "nothing"
    except OSError as error:
        raise WorkbenchError(f"{shown(str(path))} cannot be read: {_reason(error)}.") from None
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def holds(folder: Path, name: str) -> bool:
    """Whether a folder has a file of that name; False where it cannot be looked into, which whoever reads it says."""
    try:
        return kind_of(folder / name) == "file"
    except WorkbenchError:
        return False


def open_regular(path: Path, what: str, most: int | None = None) -> BinaryIO:
    """Open a regular file for reading, `what` being its name in messages; nothing that could make the reader wait is opened.

    Raises WorkbenchError where it cannot be read, is no regular file (a link to one is), or has more than `most` bytes.
    """
    try:
        _check_regular(path, what, os.stat(path))  # opening a device or a FIFO is already felt at its other end
        # Without waiting, in case that another was put in its place since.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise WorkbenchError(f"{what} {shown(str(path))} cannot be read: {_reason(error)}.") from None
    except ValueError as error:
        raise WorkbenchError(f"{what} {shown(str(path))} cannot be read: {error}.") from None
    file = os.fdopen(handle, "rb")
    try:
        found = os.fstat(handle)
        _check_regular(path, what, found)
        if most is not None and found.st_size > most:
            raise _too_large(path, what, f"{found.st_size:,}", most)
    except WorkbenchError:
        file.close()
        raise
    return file


def read_regular(path: Path, what: str, most: int) -> bytes:
    """Return the bytes of a regular file, at most `most`; raises WorkbenchError as `open_regular` does."""
    with open_regular(path, what, most) as file:
        try:
            data = file.read(most + 1) or b""
        except OSError as error:
            raise WorkbenchError(f"{what} {shown(str(path))} cannot be read: {_reason(error)}.") from None
    if len(data) > most:  # it grew, or has no size of its own
        raise _too_large(path, what, f"more than {most:,}", most)
    return data


def _check_regular(path: Path, what: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _OTHERS.get(stat.S_IFMT(found.st_mode), "something else")
        raise WorkbenchError(
            f"{what} {shown(str(path))} cannot be read: it is {kind}. Allowed: a regular file or a link to one."
        )


def _too_large(path: Path, what: str, size: str, most: int) -> WorkbenchError:
    return WorkbenchError(f"{what} {shown(str(path))} has {size} bytes. Allowed: at most {most:,}.")


def _reason(error: OSError) -> str:
    return {
        errno.ENOENT: "there is no such file",
        errno.ELOOP: "its links lead round in a circle",
        errno.EACCES: "this user may not read it",
    }.get(error.errno or 0, error.strerror or str(error))


def check_current_folder() -> None:
    """Raise WorkbenchError where the current folder was deleted: no relative path means anything there."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise WorkbenchError("the current folder was deleted. Go to a folder that exists, and try again.") from None


def file_sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of a regular file's bytes."""
    hasher = hashlib.sha256()
    with open_regular(path, "file") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


def tree_sha256(folder: Path) -> str:
    """Return the SHA-256 (hex) of a folder: relative names and file hashes in order."""
    hasher = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        hasher.update(os.fsencode(f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\n"))
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
