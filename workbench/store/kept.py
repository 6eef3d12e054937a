"""Files of the store that are not named by their content: the hash of it is kept beside them, as `sha256sum` writes it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.files import file_sha256, make_within, write_atomic
from workbench.store.intact import find_flaw, set_aside
from workbench.store.rows import is_name


def keep_file(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file written in a folder of the store unless it is there and intact; a damaged one is set aside.

    One without its hash, as earlier versions kept it, is written anew. Raises WorkbenchError where it cannot be kept.
    """
    recorded = recorded_sha256(path)
    if os.path.lexists(path):
        flaw = find_flaw(path, recorded, folder=False) if recorded else None
        if recorded and flaw is None:
            return
        if flaw is not None or path.is_symlink() or not path.is_file():
            set_aside(path, path.parent.parent, flaw or "it is no file")
    try:
        make_within(path.parent)
        partial = path.with_suffix(f".{os.getpid()}.partial{path.suffix}")
        write(partial)
        # Whatever the umask: who could write it could change the model.
        partial.chmod(0o644)
        sha256 = file_sha256(partial)
        # Between the two writes there must be no hash of another content.
        hash_beside(path).unlink(missing_ok=True)
        partial.replace(path)
    except OSError as error:
        raise WorkbenchError(
            f"{path.name!r} cannot be kept in {str(path.parent)!r}: {error}. Free some space or choose another --store."
        ) from error
    write_atomic(hash_beside(path), f"{sha256}  {path.name}\n".encode())


def hash_beside(path: Path) -> Path:
    """Return where the hash of a kept file is."""
    return path.with_name(f"{path.name}.sha256")


def recorded_sha256(path: Path) -> str:
    """Return the hash that was recorded of a kept file, "" where there is none."""
    try:
        text = hash_beside(path).read_text(encoding="utf-8", errors="replace")[:64]
    except OSError:
        return ""
    return text if is_name(text) else ""
