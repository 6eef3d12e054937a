"""An engine between sweeps, and the stage profile."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from running import MODEL

import workbench

GRID = {
    "prune": ["none", 0.5],
    "quantize": ["float32", "int8"],
    "train": {"epochs": 1},
    "measure": {"skip": True},
}

pytestmark = pytest.mark.slow


def test_an_engine_keeps_its_workers_and_the_profile_tells_what_ran(tmp_path: Path) -> None:
    with workbench.Engine(jobs=2) as engine:
        first = workbench.sweep("digits_small", "digits", GRID, store=tmp_path / "a", engine=engine)
        workers = set(engine.pool().workers())
        second = workbench.sweep("digits_small", "digits", GRID, store=tmp_path / "b", engine=engine)
        assert set(engine.pool().workers()) == workers
        again = workbench.sweep("digits_small", "digits", GRID, store=tmp_path / "b", engine=engine)
    assert [t.state for t in first.trials] == ["ok"] * 4
    figures = [
        [(t.id, t.artifact and t.artifact.sha256, t.quality and t.quality.accuracy) for t in s.trials]
        for s in (first, second)
    ]
    assert figures[0] == figures[1], "the same seed gives the same files in another store"

    profile = second.profiles[0]
    ran = {row["stage"]: row["ran"] for row in profile.rows()}
    assert ran == {"survey": 1, "train": 1, "convert": 2, "calibrate": 2, "finish": 4, "evaluate": 4}
    assert profile.repeated() == {}
    assert profile.utilisation is not None
    assert 0 < profile.utilisation <= 1
    assert all(
        s.ready_s <= s.started_s < s.ended_s and 0 < s.busy_s <= s.ended_s - s.started_s + 0.01 for s in profile.stages
    )
    assert {s.worker for s in profile.stages} <= workers
    assert len(again.profiles) == 2
    assert again.profiles[1].stages == (), "nothing was computed again"


def test_an_engine_that_can_have_no_more_workers_says_where_to_look(tmp_path: Path) -> None:
    with workbench.Engine(jobs=1) as engine:
        pool = engine.pool()
        pool.client.wait_for_workers(1, timeout=120)
        os.kill(pool._sessions[0], signal.SIGKILL)
        deadline = time.monotonic() + 60
        while pool.workers() or not pool.gone():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with pytest.raises(
            workbench.WorkbenchError, match=r"^no worker came up\. The logs in '.*store/logs' say why\.$"
        ):
            workbench.sweep(MODEL, "digits", GRID, store=tmp_path / "store", engine=engine)
