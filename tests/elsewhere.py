"""Folders that other users can reach, commands run as another user, and what a folder looks like before and after."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import workbench

ROOT = Path(workbench.__file__).resolve().parents[1]
NOBODY = 65534
Look = dict[str, tuple[int, ...]]


def need_another_user() -> None:
    """Skip the test where commands cannot be run as another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a command as another user")
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    if as_nobody(["-c", "import workbench"], Path("/")).returncode:
        pytest.skip("another user cannot run this Python, even with the right to read everything")


@functools.cache
def _switch() -> tuple[str, ...]:
    """Return what comes before a command that another user is to run; where Python lies in a closed folder, he may read everything, but write nothing."""
    plain = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    runs = shlex.join([sys.executable, "-c", "import os"])
    # By way of a shell, which has no rights of root any more when it looks for Python.
    if subprocess.run([*plain, "sh", "-c", runs], capture_output=True, check=False).returncode == 0:
        return plain
    return (*plain, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


def as_nobody(arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this Python as another user in a folder; he can write only what he may, but perhaps read more."""
    search = os.pathsep.join([str(ROOT), *(p for p in sys.path if p)])
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WORKBENCH_")}
    env = {**kept, "HOME": "/nonexistent", "PYTHONPATH": search, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run(
        [*_switch(), sys.executable, *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def told_as_nobody(ask: Callable[[], str]) -> str:
    """Return what a function says in a copy of this process that belongs to another user, who may neither read nor write what he may not."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            said = ask()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


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
