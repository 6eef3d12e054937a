"""A sweep and a report under a umask of zero: what they make is their owner's, at every moment."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import FORKING, command, environment

pytestmark = pytest.mark.slow
SWEEP = (
    "sweep",
    "digits_small",
    "--data",
    "digits",
    "--prune",
    "0.5",
    "--quantize",
    "int8",
    "--epochs",
    1,
    "--jobs",
    1,
)


def open_to_others(folder: Path, bits: int) -> Iterator[str]:
    """Give what group and others can do those things with (bits of a mode), as far as they can get to it from the folder."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:  # removed meanwhile
        return
    for entry in entries:
        try:
            mode = entry.stat(follow_symlinks=False).st_mode
        except FileNotFoundError:
            continue
        if mode & bits and not stat.S_ISLNK(mode):
            yield f"{stat.filemode(mode)} {entry.path}"
        if stat.S_ISDIR(mode) and mode & 0o011:
            yield from open_to_others(Path(entry.path), bits)


def watched(folders: dict[Path, int], *commands: list[str], forking: bool = False) -> set[str]:
    """Run commands with a umask of zero, and return what was open to others at any moment; `forking` has workers forked."""
    found: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for folder, bits in folders.items():
                found.update(open_to_others(folder, bits))
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work, temporary = folders
    paths = [FORKING] if forking else []
    try:
        for one in commands:
            done = subprocess.run(
                one,
                cwd=work,
                env=environment(*paths, TMPDIR=str(temporary)),
                umask=0,
                capture_output=True,
                text=True,
                timeout=400,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-3000:]
    finally:
        over.set()
        watcher.join()
    return found


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Where it works and where it puts what is temporary."""
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    return work, temporary


def test_nobody_else_reads_or_writes_what_a_sweep_and_a_report_make(folders: tuple[Path, Path]) -> None:
    work, temporary = folders
    sweep = command(*SWEEP, "--measure-budget", 0.2, "--study", "s")
    report = command("report", "s", "--out", "asked/report.html")
    found = watched({work: 0o077, temporary: 0o077}, sweep, report)
    asked = {line for line in found if "/work/asked" in line}
    assert found - asked == set()
    assert asked, "what was asked for is for whom the umask lets"
    assert list((work / ".workbench" / "artifacts").iterdir())
    left = {p.name for p in temporary.iterdir() if p.name != f"workbench-{os.getuid()}"}
    assert left == set(), "nothing temporary is left"


def test_nobody_else_writes_into_a_store_that_all_may_read(folders: tuple[Path, Path]) -> None:
    work, temporary = folders
    (work / ".workbench").mkdir(mode=0o755)
    found = watched({work: 0o022, temporary: 0o077}, command(*SWEEP, "--measure-skip"), forking=True)
    assert found == set()
    assert (work / ".workbench" / "artifacts").stat().st_mode & 0o777 == 0o755


def test_the_watch_can_fail(folders: tuple[Path, Path]) -> None:
    work, temporary = folders
    careless = "import os, time; os.mkdir('a'); open('a/b', 'w').close(); time.sleep(1); os.remove('a/b')"
    found = watched({work: 0o077, temporary: 0o077}, [command()[0], "-c", careless])
    assert found == {f"drwxrwxrwx {work / 'a'}", f"-rw-rw-rw- {work / 'a' / 'b'}"}
