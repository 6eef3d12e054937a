"""Nothing grows in a worker that goes on, and nothing is left of one that has ended."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pytest

import workbench

HERE = Path(__file__).parent
ROOT = Path(workbench.__file__).parents[1]
Held = dict[str, dict[str, int]]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads what a process holds from Linux's /proc")


def environment(temporary: Path) -> dict[str, str]:
    """Return the environment of a process that has a temporary folder of its own, made here."""
    temporary.mkdir()
    path = os.pathsep.join([str(ROOT), str(HERE)])
    return {
        **os.environ,
        "PYTHONPATH": path,
        "TMPDIR": str(temporary),
        "CUDA_VISIBLE_DEVICES": "-1",
        "TQDM_DISABLE": "1",
    }


# ---- in a worker that goes on


def done_again(folder: Path, source: Path, rounds: int) -> dict[str, Held]:
    """Return what a worker held before and after so many rounds of each work on a model."""
    done = subprocess.run(
        [sys.executable, HERE / "long_worker.py", folder, source, str(rounds)],
        env=environment(folder / "tmp"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Held] = json.loads(done.stdout)
    return found


def assert_flat(name: str, held: Held, rounds: int) -> None:
    """Hold that one work has left nothing, and not more memory than the allocator needs to settle."""
    before, after = held["before"], held["after"]
    more = {key: after[key] - before[key] for key in before}
    assert more["descriptors"] <= 1, f"{name}: {more['descriptors']} descriptors more after {rounds} rounds"
    # A graph that stays has thousands; the test's own table of results has a few.
    assert more["objects"] < 50 * rounds, f"{name}: {more['objects']} objects more after {rounds} rounds"
    assert more["temporary"] == 0, f"{name}: {more['temporary']} temporary files more after {rounds} rounds"
    assert more["modules"] == 0, f"{name}: {more['modules']} modules more after {rounds} rounds"
    assert after["memory"] < 1.02 * before["memory"], (
        f"{name}: {more['memory'] / 1e6:.1f} MB more after {rounds} rounds"
    )


def assert_each_flat(found: dict[str, Held], rounds: int, kinds: int) -> None:
    """Hold that every kind of work has left nothing, all of them together too."""
    assert len(found) >= kinds, f"only {', '.join(found)}"
    for name, held in found.items():
        assert_flat(name, held, rounds)
    first, last = next(iter(found.values()))["before"], [*found.values()][-1]["after"]
    assert last["descriptors"] <= first["descriptors"] + 2
    assert last["memory"] < 1.1 * first["memory"]


@pytest.mark.slow
def test_work_without_tensorflow_leaves_nothing(small_tflite: Path, tmp_path: Path) -> None:
    rounds = 12
    found = done_again(tmp_path, small_tflite, rounds)
    assert {"calibrate the model", "write int8", "evaluate int16x8", "evaluate a file: cut"} <= found.keys()
    assert_each_flat(found, rounds, kinds=25)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_training_and_conversion_leave_nothing(small_h5: Path, tmp_path: Path) -> None:
    rounds = 3
    found = done_again(tmp_path, small_h5, rounds)
    assert {"train prune:0.5", "train cluster:4", "train qat", "write int8[engine=converter]"} <= found.keys()
    assert_each_flat(found, rounds, kinds=12)


# ---- of workers that have ended


class Playing(NamedTuple):
    """A process with workers, all that it started, and the semaphores that they have in shared memory."""

    process: subprocess.Popen[str]
    started: list[psutil.Process]
    semaphores: set[Path]
    temporary: Path


@contextlib.contextmanager
def playing(scene: str, folder: Path) -> Iterator[Playing]:
    """Play a scene up to the point where it is ready."""
    temporary = folder / "tmp"
    process = subprocess.Popen(
        [sys.executable, HERE / "engine_process.py", scene, folder],
        env=environment(temporary),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        assert process.stdout.readline() == "ready\n"
        started = psutil.Process(process.pid).children(recursive=True)
        yield Playing(process, started, semaphores(started), temporary)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def semaphores(processes: list[psutil.Process]) -> set[Path]:
    """Return the semaphores that the processes have mapped."""
    found: set[Path] = set()
    for process in processes:
        with contextlib.suppress(OSError):  # it ended meanwhile
            maps = Path(f"/proc/{process.pid}/maps").read_text()
            found |= {Path(p) for p in re.findall(r"(/dev/shm/\S+)", maps)}
    return found


def remains(folder: Path) -> list[Path]:
    """Return what is in a temporary folder, but for the lock that all measurements of a user share."""
    found = [p for p in folder.rglob("*") if p.suffix != ".lock"]
    return [p for p in found if not (p.is_dir() and any(q.suffix == ".lock" for q in p.iterdir()))]


def until(true: Callable[[], Any], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := bool(true())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return met


def running(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def assert_nothing_left(play: Playing) -> None:
    """Hold that processes, semaphores and temporary files are gone soon after the process with the workers is."""
    until(lambda: not running(play.started))
    assert not running(play.started), running(play.started)
    until(lambda: not any(p.exists() for p in play.semaphores) and not remains(play.temporary), seconds=3)
    assert not [p for p in play.semaphores if p.exists()], f"of {len(play.semaphores)}"
    assert not remains(play.temporary)


ENDS = [
    "closed",
    "closed while workers start",
    "closed while workers work",
    "closed twice",
    "a worker restarted",
    "a worker died",
    "never closed",
    "forgotten",
    "swept",
    "cancelled",
]


# Those in which workers are at work, whose semaphores could be left.
WORKING = {"closed while workers work", "a worker restarted", "a worker died", "never closed"}


@pytest.fixture
def folder(tmp_path: Path, small_tflite: Path) -> Path:
    """A folder with a model and data to sweep."""
    draw = np.random.default_rng(0)
    (tmp_path / "model.tflite").write_bytes(small_tflite.read_bytes())
    x, y = draw.random((40, 8, 8, 1), dtype=np.float32), draw.integers(0, 6, 40)
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("scene", ENDS)
def test_nothing_is_left_of_workers_that_ended(scene: str, folder: Path) -> None:
    with playing(scene, folder) as play:
        assert play.started
        assert play.semaphores or scene not in WORKING, "there is nothing that could be left"
        assert play.process.stdin
        play.process.stdin.write("go\n")
        play.process.stdin.close()
        assert play.process.wait(120) == 0
        assert_nothing_left(play)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
@pytest.mark.parametrize("scene", ["closed", "closed while workers start", "closed while workers work", "swept"])
def test_nothing_is_left_when_the_caller_is_ended(scene: str, sent: signal.Signals, folder: Path) -> None:
    with playing(scene, folder) as play:
        assert play.started
        play.process.send_signal(sent)
        assert play.process.stdin
        play.process.stdin.close()
        assert play.process.wait(60) != 0
        assert_nothing_left(play)
