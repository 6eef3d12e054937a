"""Files named by the SHA-256 of their content; written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.files import file_sha256, make_within, tree_sha256
from workbench.values.trial import Artifact


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
        """Move a folder into the store."""
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
        final = self.path(sha256, kind)
        if final.exists():
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
