"""Bounds on what a compressed model file unfolds to: a small file must not fill memory or a disk."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

from workbench.errors import WorkbenchError

# tf_keras stores weights as they are; compressed by hand and pruned they unfold to some twenty times the file.
RATIO = 100
FREE_BYTES = 256 << 20
MEMBERS = 10_000
NAME_LENGTH = 1_000


def check_size(unfolded: int, path: Path, what: str) -> None:
    """Raise WorkbenchError when `unfolded` bytes are more than a file of this size may unfold to."""
    size = path.stat().st_size
    allowed = RATIO * size + FREE_BYTES
    if unfolded > allowed:
        raise WorkbenchError(
            f"{str(path)!r} ({size} bytes) unfolds to {unfolded} bytes ({what}); at most {allowed} are read of a file of that size, "
            f"{RATIO} times its own and {FREE_BYTES >> 20} MB. Save the model again without compression."
        )


def check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise WorkbenchError for an archive that unfolds to too much, or whose members lie outside of it or twice in it."""
    members = archive.infolist()
    if len(members) > MEMBERS:
        raise WorkbenchError(
            f"{str(path)!r} is a damaged .keras file: {len(members)} members, at most {MEMBERS} allowed."
        )
    # Python stops reading a member at the size that it declares, so the declared sizes bind.
    check_size(sum(m.file_size for m in members), path, f"{len(members)} members of the archive")
    for name, times in Counter(m.filename for m in members).items():
        parts = PurePosixPath(name).parts
        if times > 1 or len(name) > NAME_LENGTH or name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
            why = "twice in the archive" if times > 1 else "no name for a file within the archive"
            raise WorkbenchError(f"{str(path)!r} is a damaged .keras file: member {name[:80]!a} is {why}.")


def member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Return a member's content; raises ValueError when it has more than `limit` bytes, KeyError when it is missing."""
    with archive.open(name) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{name} has more than {limit} bytes")
    return content
