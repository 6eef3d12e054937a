"""Folders that other users can reach, commands run as another user, and what a folder looks like before and after."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import workbench

ROOT = Path(workbench.__file__).resolve().parents[1]
NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
Look = dict[str, tuple[int, ...]]


def need_another_user() -> None:
    """Skip the test where commands cannot be run as another user, or that user cannot run this Python."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a command as another user")
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    if as_nobody(["-c", "import workbench"], Path("/")).returncode:
        pytest.skip("another user cannot read this Python's files")


def as_nobody(arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this Python as another user in a folder."""
    search = os.pathsep.join([str(ROOT), *(p for p in sys.path if p)])
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WORKBENCH_")}
    env = {**kept, "HOME": "/nonexistent", "PYTHONPATH": search, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run(
        [*AS_NOBODY, sys.executable, *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@contextmanager
def reachable() -> Iterator[Path]:
    """Give a new folder that every user can enter; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="workbench-test-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        for path in (folder, *(p for p in folder.rglob("*") if p.is_dir() and not p.is_symlink())):
            path.chmod(0o755)
        shutil.rmtree(folder)


def look(folder: Path) -> Look:
    """Return inode, mode, size and time of everything in a folder, by name, the folder itself among it."""
    found: Look = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(folder))] = (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)
    return found


def close_to_writing(folder: Path) -> None:
    """Take the right to write from everything in a folder."""
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
