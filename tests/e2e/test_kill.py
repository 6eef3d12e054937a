"""A sweep that is killed or interrupted loses nothing that was finished, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from interrupts import hear_interrupts
from running import (
    FORKING,
    Json,
    artifact_times,
    command,
    environment,
    images,
    install,
    logging_to,
    query,
    run,
    show,
    stage_rows,
)

from workbench.measure.lock import machine_lock

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

TRIALS = 4
# After this a test gives up; how fast a machine is decides nothing.
PATIENCE_S = 120


@pytest.fixture(scope="module")
def sweep(small_h5: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The command line of a sweep of four trials, without its store."""
    data = images(tmp_path_factory.mktemp("data") / "random.npz", count=600)
    return [
        "sweep",
        small_h5,
        "--data",
        data,
        "--prune",
        "none,0.5",
        "--quantize",
        "float32,int8",
        "--epochs",
        "2",
        "--measure-budget",
        "2",
        "--study",
        "killed",
    ]


class Running(NamedTuple):
    """A sweep in a process group of its own, its store, when it began, and what it has said so far."""

    process: subprocess.Popen[bytes]
    store: Path
    begin: float
    log: Path

    def said(self) -> str:
        return self.log.read_text()


@contextmanager
def sweeping(sweep: list[object], store: Path, *paths: Path) -> Iterator[Running]:
    log = store.parent / f"stderr-{time.monotonic_ns()}.txt"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command(*sweep, "--store", store),
            cwd=store.parent,
            env=environment(*paths),
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
            preexec_fn=hear_interrupts,
        )
    try:
        yield Running(process, store, time.monotonic(), log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def workers_begin(running: Running) -> bool:
    return bool(logging_to(running.store))


def first_stage(running: Running) -> bool:
    return bool(stage_rows(running.store))


def trial_ok(running: Running) -> bool:
    return bool(query(running.store, "SELECT id FROM trials WHERE state = 'ok'"))


def measuring(running: Running) -> bool:
    return "[measure]" in running.said()


def waiting(running: Running) -> bool:
    return "waiting for another measurement" in running.said()


# In which workers' processes are started as they are for a user; elsewhere they are forked from one that has TensorFlow.
AS_STARTED = ("when the first stage is done", "while a model is trained")
# In the order in which a sweep meets them; each run goes on where the one before was killed.
MOMENTS: dict[str, Callable[[Running], bool]] = {
    "while workers start": workers_begin,
    "when the first stage is done": first_stage,
    "when the first trial is ok": trial_ok,
    "when measuring begins": measuring,
}


def paths(name: str) -> list[Path]:
    return [] if name in AS_STARTED else [FORKING]


def wait_for(moment: Callable[[Running], bool], running: Running, name: str) -> None:
    """Wait until the moment has come; a sweep that ends before it makes the test worthless, so that fails."""
    while not moment(running):
        assert running.process.poll() is None, (
            f"the sweep ended with {running.process.returncode} before the moment {name!r}:\n{running.said()[-2000:]}"
        )
        assert time.monotonic() - running.begin < PATIENCE_S, (
            f"the moment {name!r} did not come:\n{running.said()[-2000:]}"
        )
        time.sleep(0.05)


def descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def assert_gone(processes: list[psutil.Process], store: Path) -> None:
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
    alive = [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert not alive, f"still running after the kill: {[(p.pid, p.cmdline()) for p in alive]}"
    # One that was being started when the others were listed learns of its parent's end once it runs.
    deadline = time.monotonic() + PATIENCE_S
    while (left := logging_to(store)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, f"still running after the kill: {left}"


def outcome(folder: Path, store: Path) -> dict[str, tuple[Any, ...]]:
    """Return for every trial what has to be the same however often the sweep was stopped."""
    shown: Json = show(folder, "killed", store)
    return {
        t["id"]: (
            t["recipe"],
            t["state"],
            t["size"],
            t["artifact"]["sha256"],
            t["quality"]["accuracy"],
            len(t["measurements"]),
        )
        for t in shown["trials"]
    }


@pytest.fixture(scope="module")
def undisturbed(sweep: list[object], tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, ...]]:
    """The trials of the same sweep without a disturbance."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = run(folder, *sweep, "--store", folder / "store")
    assert done.returncode == 0, done.stderr[-3000:]
    found = outcome(folder, folder / "store")
    assert len(found) == TRIALS
    assert all(values[1] == "ok" and values[-1] == 1 for values in found.values())
    return found


def finish(
    sweep: list[object], store: Path, undisturbed: dict[str, tuple[Any, ...]], before: dict[str, tuple[Any, ...]]
) -> None:
    """Run the sweep to its end and hold it against the undisturbed one; nothing of `before` may be done again."""
    times = artifact_times(store)
    for path in (store / "artifacts").glob("partial-*"):
        os.utime(path, (0, 0))  # long ago, so that nobody can be working on it
    done = run(store.parent, *sweep, "--store", store)
    assert done.returncode == 0, done.stderr[-3000:]
    after = stage_rows(store)
    assert {k: after[k] for k in before} == before, "a finished stage was done again"
    assert {k: v for k, v in artifact_times(store).items() if k in times} == times, "an artifact was written again"
    assert outcome(store.parent, store) == undisturbed
    assert not list((store / "artifacts").glob("partial-*")), "what a killed run left unfinished is still there"


def test_killed_at_any_moment_it_goes_on_where_it_was(
    sweep: list[object], tmp_path: Path, undisturbed: dict[str, tuple[Any, ...]]
) -> None:
    store = tmp_path / "store"
    known: dict[str, tuple[Any, ...]] = {}
    ok: set[str] = set()
    for name, moment in MOMENTS.items():
        with sweeping(sweep, store, *paths(name)) as running:
            wait_for(moment, running, name)
            processes = descendants(running.process)
            if name not in ("while workers start", "when measuring begins"):
                assert logging_to(store), f"{name}: there is no worker that could be left behind"
            os.killpg(running.process.pid, signal.SIGKILL)
            running.process.wait(10)
            assert running.process.returncode == -signal.SIGKILL
            assert_gone(processes, store)
            assert "Traceback" not in running.said()
        found = stage_rows(store)
        assert {k: found[k] for k in known} == known, f"{name}: a finished stage was done again or lost"
        trials = {row[0] for row in query(store, "SELECT id FROM trials WHERE state = 'ok'")}
        assert ok <= trials, f"{name}: a finished trial was lost"
        known, ok = found, trials
    assert known, "nothing was finished by any killed run, so nothing could be lost"
    finish(sweep, store, undisturbed, known)


def starting(running: Running) -> bool:
    """Whether the program is loading its parts."""
    return "pydantic_core" in Path(f"/proc/{running.process.pid}/maps").read_text()


INTERRUPTIONS: dict[str, Callable[[Running], bool]] = {
    "while it starts": starting,
    "while a model is trained": trial_ok,
    "while measuring": measuring,
}


def interrupt(running: Running, name: str) -> None:
    """Press Ctrl-C, and hold that the sweep says so and ends at once with all its processes."""
    processes = descendants(running.process)
    os.killpg(running.process.pid, signal.SIGINT)
    code = running.process.wait(PATIENCE_S)
    said = running.said()
    assert code == 130, f"{name}: {code}\n{said[-2000:]}"
    assert "Traceback" not in said, said[-2000:]
    assert said.splitlines()[-1].startswith("workbench: interrupted; finished work is kept, run the same command again")
    assert_gone(processes, running.store)


def test_an_interrupt_ends_it_at_once_and_in_words(
    sweep: list[object], tmp_path: Path, undisturbed: dict[str, tuple[Any, ...]]
) -> None:
    store = tmp_path / "store"
    for name, moment in INTERRUPTIONS.items():
        with sweeping(sweep, store, *paths(name)) as running:
            wait_for(moment, running, name)
            interrupt(running, name)
    # Another process measures: this one waits for its turn, and is told to stop meanwhile.
    with machine_lock(), sweeping(sweep, store, FORKING) as running:
        wait_for(waiting, running, "while waiting for another one that measures")
        interrupt(running, "while waiting for another one that measures")
    known = stage_rows(store)
    assert known
    finish(sweep, store, undisturbed, known)


STUCK = """
import ctypes
import pathlib

from workbench.techniques.base import KerasTechnique


class Stuck(KerasTechnique):
    name, help, order = "stuck", "sleeps in native code and keeps the interpreter's lock", 15

    def apply(self, model, params, job):
        pathlib.Path("stuck.txt").touch()
        ctypes.PyDLL(None).sleep(100000)
"""


def test_a_worker_that_is_stuck_in_native_code_goes_too(sweep: list[object], tmp_path: Path) -> None:
    site = install(tmp_path / "site", "sticky", STUCK, {"stuck": "Stuck"})
    with sweeping([*sweep, "--stuck"], tmp_path / "store", site) as running:
        wait_for(lambda _: (tmp_path / "stuck.txt").exists(), running, "when a technique is stuck")
        processes = descendants(running.process)
        assert logging_to(running.store)
        os.killpg(running.process.pid, signal.SIGKILL)
        assert_gone(processes, running.store)
