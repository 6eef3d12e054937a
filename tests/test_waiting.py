"""Who waits to measure is told for whom, holds nothing meanwhile, and can be ended; what need not be alone does not wait."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from interrupts import hear_interrupts

from workbench.cli.progress import TerminalProgress
from workbench.engine.events import Event
from workbench.errors import WorkbenchError
from workbench.measure import session
from workbench.measure.hosts import Hosts
from workbench.measure.lock import machine_lock
from workbench.measure.protocol import Estimated
from workbench.measure.session import Measured, MeasureOptions, Subject, measure
from workbench.measure.watch import Watch
from workbench.recipes.grammar import parse_runtime
from workbench.values.settings import Measure

SOON = 60.0
QUICK = Measure(budget=0.3, half_width=0.9, samples=10)
BUILTIN = parse_runtime("builtin")


@pytest.fixture(autouse=True)
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of these tests is theirs alone; processes that they start have the same."""
    (tmp_path / "lock").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "lock"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "lock"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with contextlib.closing(Hosts()) as opened:
        yield opened


def until(moment: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SOON
    while not moment():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def children(hosts: Hosts) -> list[psutil.Process]:
    return [c for started, _ in hosts._parents.values() for c in psutil.Process(started.pid).children()]


def test_who_waits_holds_no_model_and_measures_when_its_turn_comes(hosts: Hosts, small_tflite: Path) -> None:
    told: list[str] = []
    steps: list[str] = []
    found: list[Measured] = []
    held: list[int] = []
    leave = threading.Event()

    def on_wait(text: str) -> None:
        told.append(text)
        until(lambda: not children(hosts), "the models are let go")
        held.append(len(children(hosts)))
        leave.set()

    def hold() -> None:
        with machine_lock("the first"):
            taken.set()
            leave.wait(SOON)

    taken = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(SOON)
    watch = Watch(None, lambda label, done, total: steps.append(label), on_wait)
    subjects = [Subject("a", small_tflite), Subject("b", small_tflite)]
    measure(subjects, [BUILTIN], MeasureOptions(QUICK, what="the second"), found.append, watch, hosts)
    holder.join(SOON)
    assert told[0].startswith(f"waiting for another measurement: process {os.getpid()}, `the first`, for ")
    assert held[0] == 0
    assert [m.measurement.state for m in found] == ["ok", "ok"]
    # Opened before the wait, to see that they open, and once more after it.
    assert steps[:5] == ["opening on builtin"] * 4 + ["timing on builtin"]


def test_a_wait_without_end_is_an_error_that_says_who(hosts: Hosts, small_tflite: Path) -> None:
    asked = MeasureOptions(QUICK.model_copy(update={"wait": 0.0}))
    told: list[Measured] = []
    with machine_lock("the first"), pytest.raises(WorkbenchError, match=rf"process {os.getpid()}, `the first`.*--wait"):
        measure([Subject("a", small_tflite)], [BUILTIN], asked, told.append, None, hosts)
    assert told == []
    until(lambda: not children(hosts), "nothing is held after that")


def test_cancelling_while_waiting_ends_it_and_tells_nothing(hosts: Hosts, small_tflite: Path) -> None:
    cancel = threading.Event()
    told: list[Measured] = []
    watch = Watch(cancel, on_wait=lambda text: cancel.set())
    with machine_lock("the first"):
        measure([Subject("a", small_tflite)], [BUILTIN], MeasureOptions(QUICK), told.append, watch, hosts)
    assert told == []
    until(lambda: not children(hosts), "nothing is held after that")


HANGS = """
#include <unistd.h>
void* tflite_plugin_create_delegate(const char* const* k, const char* const* v, unsigned long n, void (*r)(const char*)) {
  for (;;) pause();
}
void tflite_plugin_destroy_delegate(void* delegate) {}
"""


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hanging")
    (folder / "hangs.c").write_text(HANGS)
    command = ["cc", "-shared", "-fPIC", "-o", str(folder / "libhangs.so"), str(folder / "hangs.c")]
    subprocess.run(command, check=True, timeout=SOON)
    return folder / "libhangs.so"


def test_a_delegate_that_hangs_is_told_and_lets_others_measure(hanging: Path, hosts: Hosts, small_tflite: Path) -> None:
    """It hangs without the lock; and it ends when asked to."""
    cancel = threading.Event()
    told: list[str] = []
    found: list[Measured] = []
    watch = Watch(cancel, on_wait=told.append)
    arguments = (
        [Subject("a", small_tflite)],
        [parse_runtime(f"delegate:{hanging}")],
        MeasureOptions(QUICK),
        found.append,
        watch,
    )
    with contextlib.closing(Hosts()) as own:
        thread = threading.Thread(target=measure, args=(*arguments, own))
        thread.start()
        until(lambda: any("libhangs" in m.path for c in children(own) for m in maps(c)), "the library is loaded")
        others: list[Measured] = []
        measure(
            [Subject("b", small_tflite)],
            [BUILTIN],
            MeasureOptions(Measure(budget=0.3, wait=0.0)),
            others.append,
            None,
            hosts,
        )
        assert [m.measurement.state for m in others] == ["ok"]
        until(lambda: told, "waiting is told")
        assert told[0].startswith("waiting for small.tflite on delegate, for ")
        assert told[0].endswith(" s of at most 300 s")
        cancel.set()
        thread.join(SOON)
        assert not thread.is_alive()
        until(lambda: not children(own), "the process that hung is gone")
    assert found == []


def maps(process: psutil.Process) -> list[Any]:
    with contextlib.suppress(psutil.Error):
        return list(process.memory_maps())
    return []


class Compiler:
    """Stands for hosts: gives estimates, and says whether the machine's lock could be had meanwhile."""

    def __init__(self) -> None:
        self.free: list[bool] = []
        self.facts = Estimated(ops_total=3, ops_delegated=3, partitions=1, latency=1.5, cycles={"all": 10})

    def open(self, *_: object, **__: object) -> Compiler:
        with machine_lock("a test", wait=0.0):
            self.free.append(True)
        return self

    def close(self) -> None:
        pass


def test_a_compilers_estimate_needs_nobody_to_wait(small_tflite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Measured] = []
    compiler = Compiler()
    spec = parse_runtime("ethos-u55-128")
    with monkeypatch.context() as patched:
        patched.setattr(session, "machine_lock", lambda *_: pytest.fail("it was taken"))
        measure([Subject("a", small_tflite)], [spec], MeasureOptions(QUICK), found.append, None, compiler)  # type: ignore[arg-type]  # a stand-in
    assert compiler.free == [True]
    made = found[0].measurement
    assert (made.kind, made.cycles, made.ops_delegated) == ("estimated", {"all": 10}, 3)
    assert made.latency_ms is not None
    assert (made.latency_ms.median, made.latency_ms.samples, made.latency_ms.cut_short) == (1.5, 0, None)


@pytest.mark.parametrize(
    ("first_s", "limit"),
    [(0.0, 30.0), (0.01, 30.0), (5.9, 30.0), (10.0, 50.0), (59.0, 295.0), (61.0, 300.0), (200.0, 300.0)],
)
def test_what_opened_once_has_less_time_to_do_so_again(first_s: float, limit: float) -> None:
    assert session.again_seconds(first_s) == limit


# ---- on the command line


def waiting(command: list[str], **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "workbench", *command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
    )  # fmt: skip


@pytest.mark.parametrize("verb", [["bench", "--runtime", "builtin"], ["compare", "--runtimes", "builtin,xnnpack"]])
def test_the_command_line_tells_for_whom_it_waits(verb: list[str], small_tflite: Path) -> None:
    with machine_lock("study digits"):
        process = waiting([*verb, str(small_tflite), "--budget", "0.3"])
        assert process.stderr is not None
        line = process.stderr.readline()
    out, rest = process.communicate(timeout=SOON * 3)
    assert line.startswith(f"waiting for another measurement: process {os.getpid()}, `study digits`, for ")
    assert process.returncode == 0, rest
    assert "builtin" in out


@pytest.mark.parametrize("verb", [["bench"], ["compare", "--runtimes", "builtin"]])
def test_the_command_line_gives_up_in_words(verb: list[str], small_tflite: Path) -> None:
    with machine_lock("study digits"):
        process = waiting([*verb, str(small_tflite), "--wait", "0"])
        _, said = process.communicate(timeout=SOON * 3)
    assert process.returncode not in (0, None)
    assert "Traceback" not in said
    assert f"another measurement has this machine: process {os.getpid()}, `study digits`" in " ".join(said.split())


@pytest.mark.parametrize("value", ["-1", "nan", "soon"])
def test_a_wait_that_is_none_is_refused(value: str, small_tflite: Path) -> None:
    process = waiting(["bench", str(small_tflite), "--wait", value])
    _, said = process.communicate(timeout=SOON * 3)
    assert process.returncode not in (0, None)
    assert "wait" in said
    assert "Traceback" not in said


def test_an_interrupt_ends_the_wait_of_a_command(small_tflite: Path) -> None:
    with machine_lock("study digits"):
        process = waiting(["bench", str(small_tflite)], preexec_fn=hear_interrupts)
        assert process.stderr is not None
        assert process.stderr.readline().startswith("waiting for another measurement")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SOON)
    assert process.returncode == 130
    assert "Traceback" not in said


def test_a_sweeps_progress_says_it_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with TerminalProgress() as progress:
        progress(Event("phase", "measure", "xnnpack", 0, 3))
        progress(Event("waiting", "measure", "waiting for another measurement: process 7, for 1 s"))
        progress(Event("waiting", "measure", "waiting for another measurement: process 7, for 11 s"))
    said = capsys.readouterr().err
    assert said.count("waiting for another measurement: process 7") == 2
