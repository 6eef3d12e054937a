"""A batch apart from its notebooks: what is run, in which order, what is left as it is, and what is written."""

from __future__ import annotations

import contextlib
import csv
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from browser import open_page
from notebook import Shell

from workbench.batches import interrupt
from workbench.batches import run as batches
from workbench.batches.index import figure_of, index_html, told_of
from workbench.batches.outcome import BatchRun
from workbench.batches.run import Batch, BatchProgress, run_batch
from workbench.errors import Cancelled, UnprotectedCluster, WorkbenchError

# What crossed to a worker, which is a thread of this process.
_HERE: list[Any] = []
QUIET = {"quantize": ["float32", "int8"], "measure": {"skip": True}}
LOUD = {"quantize": ["float32", "int8"]}
Fake = Callable[[dict[str, Any]], str | None]


class Notebooks:
    """Stands for running notebooks: keeps what was run; `act` is what one does, its result the error."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.now = self.most = 0
        self.token = ""
        self.act: Fake = lambda parameters: None
        self.lock = threading.Lock()

    def __reduce__(self) -> Any:
        _HERE.append(self)
        return _here, (len(_HERE) - 1,)

    def __call__(
        self, template: str, parameters: dict[str, Any], target: str, environment: Any, token: str, listener: Any = None
    ) -> tuple[str | None, dict[str, Any] | None]:
        with self.lock:
            self.ran.append(parameters["study"])
            self.token = token
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            error = self.act(parameters)
            if interrupt.flag(token).is_set():
                raise Cancelled("cancelled")
        finally:
            with self.lock:
                self.now -= 1
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        for end in (".ipynb", ".html"):
            Path(target + end).write_text("made")
        return error, None if error else results(parameters)


def _here(position: int) -> Any:
    return _HERE[position]


def results(parameters: dict[str, Any]) -> dict[str, Any]:
    """What a notebook shows of a study with two variants."""
    small = "small" in parameters["study"]
    rows = [
        {"id": "a", "recipe": "float32", "size_bytes": 40_000 if small else 400_000, "accuracy": 0.97},
        {"id": "b", "recipe": "int8", "size_bytes": 12_000 if small else 110_000, "accuracy": 0.96},
    ]
    check = {"name": "max_size", "limit": "20 kB", "value": "", "state": "pass" if small else "fail", "text": "why"}
    gate = {"passed": small, "recipe": "int8", "checks": [check]} if parameters.get("gate") else None
    return {"rows": rows, "best": "b", "baseline": "a", "gate": gate}


@pytest.fixture
def notebooks(monkeypatch: pytest.MonkeyPatch) -> Notebooks:
    fake = Notebooks()
    monkeypatch.setattr(batches, "execute", fake)
    return fake


def asked(grid: Any = QUIET, seeds: tuple[int, ...] = (0,), **more: Any) -> dict[str, Any]:
    return {"matrix": {"models": ["digits_cnn", "digits_small"], "grids": [grid], "seeds": list(seeds)}, **more}


def states(batch: Batch) -> dict[str, str]:
    return {r.id.removesuffix("-grid-0").removesuffix("-digits"): r.state for r in batch.runs}


# ---- what is left as it is


def test_what_is_done_is_left_as_it_is(notebooks: Notebooks, tmp_path: Path) -> None:
    first = run_batch(asked(seeds=(0, 1)), tmp_path)
    assert len(notebooks.ran) == len(first.rows) // 2 == 4
    assert not any(r.reused for r in first.runs)
    notebooks.ran.clear()
    again = run_batch(asked(seeds=(0, 1)), tmp_path)
    assert notebooks.ran == []
    assert all(r.reused for r in again.runs)
    assert again.rows == first.rows
    run_batch(asked(seeds=(1, 2)), tmp_path)
    assert sorted(notebooks.ran) == ["digits_cnn-digits-grid-2", "digits_small-digits-grid-2"]


@pytest.mark.parametrize("lost", ["html", "ipynb", "json"])
def test_a_run_whose_files_are_gone_is_run_again(notebooks: Notebooks, tmp_path: Path, lost: str) -> None:
    run_batch(asked(), tmp_path)
    notebooks.ran.clear()
    (tmp_path / f"runs/digits_cnn-digits-grid-0.{lost}").unlink()
    run_batch(asked(), tmp_path)
    assert notebooks.ran == ["digits_cnn-digits-grid-0"]


def test_a_manifest_that_is_cut_off_is_none(notebooks: Notebooks, tmp_path: Path) -> None:
    run_batch(asked(), tmp_path)
    notebooks.ran.clear()
    manifest = tmp_path / "runs/digits_cnn-digits-grid-0.json"
    manifest.write_bytes(manifest.read_bytes()[:40])
    run_batch(asked(), tmp_path)
    assert notebooks.ran == ["digits_cnn-digits-grid-0"]


def test_another_grid_or_gate_is_run_again(notebooks: Notebooks, tmp_path: Path) -> None:
    run_batch(asked(), tmp_path)
    changes = [
        asked({**QUIET, "quantize": ["float32"]}),
        asked(gates={"digits_small": {"max_size": 9}}),
    ]
    counts = []
    for changed in changes:
        notebooks.ran.clear()
        run_batch(changed, tmp_path)
        counts.append(len(notebooks.ran))
    # What counts is what a run was made with the last time.
    assert counts == [2, 2]
    notebooks.ran.clear()
    run_batch(asked(gates={"digits_small": {"max_size": 10}}), tmp_path)
    assert notebooks.ran == ["digits_small-digits-grid-0"]


def test_another_model_or_notebook_is_run_again(
    notebooks: Notebooks, tmp_path: Path, small_tflite: Path, small_int8_tflite: Path
) -> None:
    from workbench.report import templates

    model, notebook = tmp_path / "net.tflite", tmp_path / "mine.ipynb"
    model.write_bytes(small_tflite.read_bytes())
    notebook.write_bytes(templates.find("sweep_report").read_bytes())
    source = {"template": str(notebook), "matrix": {"models": [str(model)], "grids": [QUIET]}}
    for change in (None, model, notebook):
        if change is not None:
            same = change.read_bytes()
            # What lies behind the end of a flatbuffer, or of JSON, is another content and means the same.
            change.write_bytes(same + b"\n")
        run_batch(source, tmp_path / "out")
        run_batch(source, tmp_path / "out")
    assert notebooks.ran == ["net-digits-grid-0"] * 3


# ---- what fails, and what is cancelled


def test_a_run_that_fails_stops_no_other_and_is_tried_again(notebooks: Notebooks, tmp_path: Path) -> None:
    def broken(parameters: dict[str, Any]) -> str | None:
        if "cnn" in parameters["study"]:
            raise OSError("the disk is <full>")
        return None

    notebooks.act = broken
    batch = run_batch(asked(gates={"max_size": 20_000}), tmp_path)
    assert states(batch) == {"digits_cnn": "failed", "digits_small": "ok"}
    assert [r.id for r in batch.failed] == ["digits_cnn-digits-grid-0"]
    assert "the disk is &lt;full&gt;" in batch.index.read_text()
    root = ET.parse(tmp_path / "gate.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("2", "0", "1")
    notebooks.act = lambda parameters: None
    notebooks.ran.clear()
    assert set(states(run_batch(asked(gates={"max_size": 20_000}), tmp_path)).values()) == {"ok"}
    assert notebooks.ran == ["digits_cnn-digits-grid-0"]


def test_an_interrupt_keeps_what_is_done(notebooks: Notebooks, tmp_path: Path) -> None:
    cancel = threading.Event()

    def second_is_long(parameters: dict[str, Any]) -> str | None:
        if parameters["study"].endswith("small-digits-grid-0"):
            cancel.set()
            assert interrupt.flag(notebooks.token).wait(60)
        return None

    notebooks.act = second_is_long
    batch = run_batch(asked(seeds=(0, 1)), tmp_path, jobs=1, cancel=cancel)
    assert [r.state for r in batch.runs] == ["ok", "ok", "cancelled", "cancelled"]
    done = [r.id for r in batch.runs if r.state == "ok"]
    assert batch.index.exists()
    notebooks.act = lambda parameters: None
    notebooks.ran.clear()
    again = run_batch(asked(seeds=(0, 1)), tmp_path)
    assert [r.state for r in again.runs] == ["ok"] * 4
    assert [r.id for r in again.runs if r.reused] == done
    assert sorted(notebooks.ran + done) == sorted(r.id for r in again.runs)


# ---- order


def test_what_measures_runs_alone_and_last(notebooks: Notebooks, tmp_path: Path) -> None:
    notebooks.act = lambda parameters: time.sleep(0.3)
    run_batch(asked(LOUD), tmp_path / "loud", jobs=4)
    assert notebooks.most == 1
    both = {
        "matrix": {
            "models": ["digits_small"],
            "grids": {"loud": LOUD, "a": QUIET, "b": {**QUIET, "quantize": ["int8"]}},
        }
    }
    notebooks.ran.clear()
    # Each of the two that measure nothing waits for the other: run one after another, they would never end.
    meeting = threading.Barrier(2)

    def meet(parameters: dict[str, Any]) -> None:
        if "loud" not in parameters["study"]:
            meeting.wait(60)

    notebooks.act = meet
    steps: list[BatchProgress] = []
    run_batch(both, tmp_path / "both", jobs=4, listener=steps.append)
    assert notebooks.most == 2
    assert notebooks.ran[-1] == "digits_small-digits-loud-0"
    assert [s.done for s in steps if s.text == "ok"] == [1, 2, 3]


def test_runs_on_the_workers_of_a_cluster(notebooks: Notebooks, tmp_path: Path) -> None:
    from distributed import LocalCluster, Security

    for scheme, security in (("tcp", None), ("tls", Security.temporary())):
        options: dict[str, Any] = {
            "processes": False,
            "dashboard_address": None,
            "protocol": scheme,
            "security": security,
        }
        told: Any = pytest.warns(UnprotectedCluster) if scheme == "tcp" else contextlib.nullcontext()
        with LocalCluster(n_workers=1, threads_per_worker=2, **options) as cluster, told:
            address = cluster.scheduler_address
            batch = run_batch(asked(), tmp_path / scheme, cluster_address=address, cluster_security=security)
        assert [r.state for r in batch.runs] == ["ok", "ok"]
    assert len(notebooks.ran) == 4


def test_what_cannot_be_is_told_before_anything_runs(notebooks: Notebooks, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="jobs 0 is too small"):
        run_batch(asked(), tmp_path, jobs=0)
    with pytest.raises(WorkbenchError, match="Did you mean 'digits_cnn'"):
        run_batch({"matrix": {"models": ["digits_cn"]}}, tmp_path)
    assert notebooks.ran == []


# ---- what is written


def test_the_index_and_the_rows(notebooks: Notebooks, tmp_path: Path) -> None:
    batch = run_batch(asked(seeds=(0, 1), gates={"max_size": 20_000}), tmp_path / "out")
    assert [r.passed for r in batch.runs] == [False, False, True, True]
    with (tmp_path / "out/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(batch.rows) == 8
    assert {(r["model"], r["seed"]) for r in rows} == {(m, s) for m in ("digits_cnn", "digits_small") for s in "01"}
    stored = json.loads((tmp_path / "out/results.json").read_text())
    assert [r["id"] for r in stored["runs"]] == [r.id for r in batch.runs]
    page = open_page(batch.index, tmp_path)
    assert page.requests == []
    assert 'class="main-svg"' in page.dom
    for run in batch.runs:
        assert f'href="runs/{run.id}.html"' in page.dom
    assert "not passed" in page.dom
    assert page.dom.count("plotly.js v") <= 2
    assert batch.index.stat().st_size < 8_000_000


def test_a_batch_without_results_has_an_index_without_a_chart(notebooks: Notebooks, tmp_path: Path) -> None:
    notebooks.act = lambda parameters: "cell 1: ValueError: no"
    batch = run_batch(asked(), tmp_path)
    text = batch.index.read_text()
    assert "Best of each run" not in text
    assert "ValueError: no" in text
    assert len(text) < 100_000


def test_the_verb_takes_a_file_or_a_variable(
    notebooks: Notebooks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shell = Shell()
    try:
        shell.names["nights"] = asked()
        found = shell.run("%wb batch nights --out pages")
        assert [r.state for r in found.runs] == ["ok", "ok"]
        assert "[2/2]" in shell.printed
        assert (tmp_path / "pages/index.html").exists()
        assert shell.session.opens_form("batch")
    finally:
        shell.close()


# ---- what runs are judged by


def judged(name: str, title: str, unit: str, drop_unit: str, figures: tuple[float, float]) -> BatchRun:
    """A run of two variants that are judged by a figure of their task."""
    rows = [
        {"id": i, "recipe": r, "size_bytes": size, name: figure, "agreement": agreement, f"{name}_drop": abs(figures[0] - figure)}
        for i, r, size, figure, agreement in (("a", "float32", 400, figures[0], 1.0), ("b", "int8", 100, figures[1], 0.9))
    ]  # fmt: skip
    quality = {"name": name, "title": title, "unit": unit, "drop": f"{name}_drop", "drop_unit": drop_unit}
    results = {"rows": rows, "best": "b", "baseline": "a", "gate": None, "quality": quality}
    return BatchRun(id=f"{name}-run", model="m", data=name, grid="g", seed=0, state="ok", seconds=1.0, results=results)


def test_runs_are_charted_by_the_figure_of_their_task() -> None:
    run = judged("rmse", "RMSE", "number", "number", (2.0, 2.5))
    figure = figure_of([run])
    assert figure is not None
    assert figure["layout"]["yaxis"]["title"]["text"] == "RMSE"
    assert [list(t["y"]) for t in figure["data"] if t["mode"] == "markers"] == [[2.0], [2.5]]
    told = told_of(run)["best"]
    assert (told["quality"], told["judged"], told["lost"]) == ("2.500", "RMSE", "0.5000 lost")
    page = index_html("sweep_report", [run])
    assert "RMSE; 0.5000 lost" in page
    assert ">Accuracy<" not in page


def test_runs_of_several_tasks_are_charted_by_what_all_have() -> None:
    runs = [judged("rmse", "RMSE", "number", "number", (2.0, 2.5)), judged("iou", "IoU", "share", "points", (0.8, 0.7))]
    figure = figure_of(runs)
    assert figure is not None
    assert figure["layout"]["yaxis"]["title"]["text"] == "Agreement with the baseline"
    assert sorted(y for t in figure["data"] if t["mode"] == "markers" for y in t["y"]) == [0.9, 0.9, 1.0, 1.0]
    assert [told_of(r)["best"]["judged"] for r in runs] == ["RMSE", "IoU"]
    assert told_of(runs[1])["best"]["lost"] == "10.00 points lost"
