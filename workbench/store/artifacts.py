"""Files named by the SHA-256 of their content; written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.files import file_sha256, make_within, tree_sha256
from workbench.store.intact import find_flaw, set_aside
from workbench.store.rows import is_name
from workbench.values.graph import Artifact

# Where they are below a store's folder.
FOLDER = "artifacts"
# Kinds of artifacts that are folders.
FOLDERS = ("savedmodel",)


class Artifacts:
    """A folder of artifacts that any number of processes may write to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put_bytes(self, data: bytes, kind: str) -> Artifact:
        """Store bytes as an artifact of a kind, which is its file suffix."""
        name: str | None = None
        try:
            make_within(self.folder)
            handle, name = tempfile.mkstemp(prefix="partial-", dir=self.folder)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            return self._name(Path(name), kind, file_sha256(Path(name)))
        except OSError as error:
            if name is not None:
                Path(name).unlink(missing_ok=True)
            raise WorkbenchError(
                f"artifact of {len(data)} bytes cannot be written into {str(self.folder)!r}: {error}. Free some space or choose another --store."
            ) from error

    def put_folder(self, folder: Path, kind: str) -> Artifact:
        """Move a folder into the store; its kind is one of `FOLDERS`."""
        return self._name(folder, kind, tree_sha256(folder))

    def scratch(self) -> Path:
        """Return a new empty folder beside the artifacts, on the same file system."""
        make_within(self.folder)
        return Path(tempfile.mkdtemp(prefix="partial-", dir=self.folder))

    def sweep(self, older_than: float) -> None:
        """Remove what a killed process left unfinished before a time (seconds since the epoch)."""
        for path in self.folder.glob("partial-*"):
            try:
                if path.stat().st_mtime < older_than:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            except OSError:
                continue  # another process was faster

    def path(self, sha256: str, kind: str) -> Path:
        """Return where an artifact lies."""
        return Path(self.location(sha256, kind))

    def location(self, sha256: str, kind: str) -> str:
        """Return where an artifact lies, as text: what is asked for ten thousand of them."""
        return os.path.join(self.folder, f"{sha256}.{kind}")

    def _name(self, partial: Path, kind: str, sha256: str) -> Artifact:
        """Give what was written its name; what has it already stays if it is intact, and is set aside if it is not."""
        final = self.path(sha256, kind)
        if os.path.lexists(final) and self._stays(final, sha256, kind):
            shutil.rmtree(partial) if partial.is_dir() else partial.unlink()
        else:
            try:
                partial.chmod(0o755 if partial.is_dir() else 0o644)
                partial.rename(final)
            except OSError:
                if not final.exists():
                    raise
                shutil.rmtree(partial, ignore_errors=True)
        return Artifact(path=str(final), sha256=sha256, kind=kind)

    def _stays(self, final: Path, sha256: str, kind: str) -> bool:
        flaw = find_flaw(final, sha256, kind in FOLDERS)
        if flaw is not None:
            set_aside(final, self.folder.parent, flaw)
        return flaw is None


def check_name(path: Path) -> None:
    """Raise WorkbenchError for a file of a store whose content is not what its name says; other files have any name."""
    sha256, _, kind = path.name.partition(".")
    if path.parent.name != FOLDER or not is_name(sha256) or not kind or not path.is_file():
        return
    if file_sha256(path) != sha256:
        raise WorkbenchError(
            f"{str(path)!r} is damaged: its content is not what its name says, so its figures would be those of another file. "
            "Run the sweep again, which builds it anew; `workbench store check` looks at all files. A copy elsewhere can be looked at as it is."
        )


def intact_bytes(artifact: Artifact, what: str) -> bytes:
    """Return the content of an artifact that is a file; raises WorkbenchError where it is gone or is not what was measured."""
    path = Path(artifact.path)
    if not path.is_file():
        raise WorkbenchError(f"the file of {what} is gone: {str(path)!r}. Run the sweep again to build it.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WorkbenchError(f"the file of {what} cannot be read: {error}. Run the sweep again to build it.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != artifact.sha256:
        raise WorkbenchError(
            f"{str(path)!r} is not the file that was measured: its SHA-256 is {found[:12]}..., that of {what} is {artifact.sha256[:12]}.... "
            "Run the sweep again: it sets the damaged file aside and builds it anew; `workbench store check` looks at all of them."
        )
    return data
