"""The handle of a running sweep, the study that is only read, and the options that go to a sweep as one value."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from stored import store_study
from trials import make_study

import workbench
from workbench import api
from workbench.dashboard.source import TrialSource, Working
from workbench.engine.events import Event, Listener
from workbench.engine.options import SweepOptions
from workbench.errors import Cancelled, WorkbenchError
from workbench.handle import RunningSweep, Work
from workbench.notebook.progress import Gauge
from workbench.store.reader import Reader
from workbench.study import Study

# As it was when it was first published; each may be given by place or by name.
PARAMETERS = [
    "model",
    "data",
    "grid",
    "runtimes",
    "study",
    "store",
    "wait",
    "jobs",
    "cluster_address",
    "seed",
    "allow_code",
    "retry_failed",
    "listener",
    "command",
    "engine",
    "task",
    "cluster_security",
    "signature",
]


class Scene:
    """A sweep of a stored study that does what the test lets it do."""

    def __init__(self, folder: Path, error: BaseException | None = None) -> None:
        store_study(folder, "digits-sweep", make_study())
        self.go, self.named = threading.Event(), threading.Event()
        self.error = error
        self.sweep = RunningSweep(Reader(folder), Work(self._run))

    def _run(self, cancel: threading.Event, found: Callable[[str], None], tell: Listener) -> None:
        self.named.wait(60)
        tell(Event("told", "prepare", "task of output kind: classification"))
        found("digits-sweep")
        while not self.go.wait(0.01):
            if cancel.is_set():
                raise Cancelled("cancelled")
        tell(Event("phase", "build", "one"))
        if self.error:
            raise self.error
        tell(Event("phase", "done", "digits-sweep", 1, 1))


def test_a_handle_is_its_study_while_the_sweep_runs(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    sweep = scene.sweep
    heard: list[str] = []
    sweep.subscribe(lambda event: heard.append(event.phase))
    assert not sweep.begun(0)
    scene.named.set()
    assert sweep.begun(60)
    # Who comes later hears what stays to be read.
    late: list[str] = []
    sweep.subscribe(lambda event: late.append(event.label))
    assert late == ["task of output kind: classification"]
    assert (sweep.name, sweep.running, sweep.done, sweep.error) == ("digits-sweep", True, False, None)
    study = sweep.study
    assert type(study) is Study
    # All that a study has is reachable at the handle.
    assert sweep.trials == study.trials != []
    assert sweep.record == study.record
    assert sweep.best(max_drop=0.5) == study.best(max_drop=0.5) is not None
    assert [p.name for p in sweep.picks()] == [p.name for p in study.picks()] != []
    assert (study.running, study.error) == (False, None)
    scene.go.set()
    assert sweep.wait() is sweep
    assert sweep.result() is sweep
    assert (sweep.running, sweep.done, sweep.error) == (False, True, None)
    assert heard == ["prepare", "build", "done"]


def test_a_handle_cancels_its_sweep(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.named.set()
    scene.sweep.cancel()
    with pytest.raises(Cancelled):
        scene.sweep.wait()
    assert (scene.sweep.error, scene.sweep.done) == ("cancelled", True)
    assert scene.sweep.trials


def test_what_ended_a_sweep_is_raised_where_it_is_waited_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path, WorkbenchError("the disk is full"))
    scene.named.set()
    scene.go.set()
    with pytest.raises(WorkbenchError, match="the disk is full"):
        scene.sweep.result()
    assert scene.sweep.error == "the disk is full"


def test_a_study_that_is_read_has_nothing_to_wait_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.named.set()
    read: TrialSource = workbench.open_study("digits-sweep", tmp_path)
    running: TrialSource = scene.sweep
    assert isinstance(running, Working)
    assert not isinstance(read, Working)
    assert not any(hasattr(read, name) for name in ("wait", "result", "begun", "done"))
    scene.sweep.cancel()


def test_options_are_what_a_sweep_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    signature = inspect.signature(workbench.sweep)
    assert list(signature.parameters) == PARAMETERS
    assert {f.name for f in fields(SweepOptions)} <= set(PARAMETERS)
    assert all(signature.parameters[f.name].default == f.default for f in fields(SweepOptions))
    called: list[Any] = []
    monkeypatch.setattr(api, "start_sweep", lambda *given: called.append(given))
    values = dict(zip(PARAMETERS, range(1, 19), strict=True))
    workbench.sweep(*values.values())  # type: ignore[arg-type]  # whatever stands there
    workbench.sweep(**values)  # type: ignore[arg-type]  # as above
    by_place, by_name = called
    assert by_place == by_name
    model, data, grid, options, *rest = by_name
    assert (model, data, grid) == (1, 2, 3)
    assert {f.name: getattr(options, f.name) for f in fields(SweepOptions)} == {
        f.name: values[f.name] for f in fields(SweepOptions)
    }
    assert rest == [values[name] for name in ("wait", "listener", "command", "engine")]


def test_options_know_what_was_given() -> None:
    assert SweepOptions(study="s", jobs=2, task="none").given() == {"study": "s", "jobs": 2, "task": "none"}
    assert SweepOptions(allow_code=True, seed=0).given() == {"allow_code": True, "seed": 0}
    with pytest.raises(WorkbenchError, match="jobs 0 is too small"):
        SweepOptions(jobs=0)


def test_what_is_told_before_a_gauge_looks_stands_beside_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.named.set()
    assert scene.sweep.begun(60)
    gauge = Gauge(scene.sweep, lambda: None)
    gauge.follow()
    assert gauge.said.value == "<div>task of output kind: classification</div>"
    scene.go.set()
    scene.sweep.wait()
