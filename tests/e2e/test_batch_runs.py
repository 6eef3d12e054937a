"""`workbench batch` with real notebooks: the bundled example, a run that fails, Ctrl-C, and the second time of each."""

from __future__ import annotations

import csv
import html
import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from browser import open_page
from interrupts import hear_interrupts
from running import FORKING, command, environment, logging_to, run

from workbench.report import templates

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

EXAMPLE = templates.folder() / "batch_example.yaml"
QUIET = {"quantize": ["float32", "int8"], "measure": {"skip": True}}


def forked() -> dict[str, str]:
    """The environment of a command whose kernels fork their workers."""
    return environment(FORKING)


def times(folder: Path) -> dict[str, int]:
    """When each file below `runs` was written."""
    return {p.name: p.stat().st_mtime_ns for p in (folder / "runs").iterdir()}


def test_the_example_runs_and_the_second_time_does_nothing(tmp_path: Path) -> None:
    data = yaml.safe_load(EXAMPLE.read_text())
    # The bundled one, of the smaller model alone and measured for less long.
    data["matrix"]["models"] = ["digits_small"]
    del data["gates"]["digits_cnn"]
    data["matrix"]["grids"][0].update(quantize=["float32", "int8"], measure={"budget": 0.2})
    (tmp_path / "example.yaml").write_text(yaml.safe_dump(data))
    first = run(tmp_path, "batch", "example.yaml", "--out", "reports", env=forked())
    assert first.returncode == 0, first.stdout + first.stderr
    assert "2 runs, 2 ok (0 done before), gate passed by 2 of 2" in first.stdout
    folder = tmp_path / "reports"
    before = times(folder)
    second = run(tmp_path, "batch", "example.yaml", "--out", "reports", "--format", "json", env=forked())
    assert second.returncode == 0, second.stderr
    runs = json.loads(second.stdout)["runs"]
    assert [r["reused"] for r in runs] == [True] * 2
    assert times(folder) == before
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    # Four recipes a run; pruned ones differ by seed, the others have nothing to be random about.
    assert len(rows) == 8
    assert all(r["latency_ms@xnnpack"] for r in rows)
    index = open_page(folder / "index.html", tmp_path)
    assert index.requests == []
    assert 'class="main-svg"' in index.dom
    # That it opens offline is seen of the same notebook's page in `test_templates.py`.
    assert 'class="plot' in (folder / "runs" / "digits_small-digits-grid-1.html").read_text()


def test_a_run_that_fails_keeps_its_notebook_and_stops_no_other(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 9, 9, 1), np.float32), np.arange(20) % 10
    np.savez(tmp_path / "odd.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    source = {"matrix": {"models": ["digits_small"], "datasets": ["odd.npz", "digits"], "grids": [QUIET]}}
    (tmp_path / "b.yaml").write_text(yaml.safe_dump({**source, "gates": {"max_size": "20KB"}}))
    done = run(tmp_path, "batch", "b.yaml", env=forked())
    assert done.returncode == 1
    assert "2 runs, 1 ok (0 done before), 1 failed, gate passed by 1 of 1" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    runs = {r["data"]: r for r in json.loads((tmp_path / "b/results.json").read_text())["runs"]}
    assert runs["odd"]["state"] == "failed"
    assert "WorkbenchError" in runs["odd"]["error"]
    assert "papermill-error-cell" in (tmp_path / "b" / runs["odd"]["notebook"]).read_text()
    assert runs["odd"]["error"].rpartition(":")[2].strip()[:20] in html.unescape(
        (tmp_path / "b/index.html").read_text()
    )
    assert 'errors="1"' in (tmp_path / "b/gate.xml").read_text()
    before = times(tmp_path / "b")
    assert run(tmp_path, "batch", "b.yaml", env=forked()).returncode == 1
    after = times(tmp_path / "b")
    assert {n for n in before if before[n] != after[n]} == {n for n in before if "odd" in n}


def workers(folder: Path) -> list[int]:
    """The workers, and what forks them, of a batch whose store is below a folder."""
    return [pid for place in folder.rglob("logs") for pid in logging_to(place)]


def test_an_interrupt_leaves_finished_runs_and_no_process(tmp_path: Path) -> None:
    quick = {**QUIET, "quantize": ["float32"]}
    grid = {**quick, "prune": [0.5], "train": {"epochs": 200}}
    matrix = {"models": ["digits_small"], "grids": {"quick": quick, "long": grid}}
    (tmp_path / "b.yaml").write_text(yaml.safe_dump({"matrix": matrix}, sort_keys=False))
    log = tmp_path / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            command("batch", "b.yaml", "--jobs", "1"),
            cwd=tmp_path,
            env=forked(),
            stdout=stream,
            stderr=stream,
            preexec_fn=hear_interrupts,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 300
            # The second run's own kernel, and the worker that trains in it.
            while "-long-0 begins" not in log.read_text() or not workers(tmp_path):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            assert process.wait(120) != 0
        finally:
            process.kill()
            process.wait()
    _, alive = psutil.wait_procs(children, timeout=600)
    assert alive == []
    deadline = time.monotonic() + 120
    while workers(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert workers(tmp_path) == []
    assert "Traceback" not in log.read_text(), log.read_text()
    runs = json.loads((tmp_path / "b/results.json").read_text())["runs"]
    assert [r["state"] for r in runs] == ["ok", "cancelled"]
    assert (tmp_path / "b/index.html").exists()
    matrix["grids"]["long"] = {**grid, "train": {"epochs": 1}}  # type: ignore[index]
    (tmp_path / "b.yaml").write_text(yaml.safe_dump({"matrix": matrix}, sort_keys=False))
    done = run(tmp_path, "batch", "b.yaml", env=forked())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 runs, 2 ok (1 done before)" in done.stdout
