"""The extension in a real JupyterLab: the viewer, the panel, tabs that fill while a sweep of the command line runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import extension
import numpy as np
import pytest
from extension import Window
from lab import Lab, foreign
from playwright.sync_api import expect

import workbench

pytestmark = pytest.mark.slow

VERBS = re.findall(r"^  (\w+): \"", (extension.ROOT / "extensions/lab/src/commands.ts").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    x = rng.random((96, 8, 8, 1), np.float32)
    y = rng.integers(0, 6, 96)
    path = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x[:24], y_test=y[:24])
    return path


@pytest.fixture(scope="module")
def window(lab: Lab, small_tflite: Path) -> Iterator[Window]:
    extension.built()
    shutil.copy(small_tflite, lab.root / "small.tflite")
    opened = Window(lab)
    yield opened
    opened.close()


def test_a_double_click_shows_summary_and_graph(lab: Lab, window: Window, small_tflite: Path) -> None:
    shown = window.open_file("small.tflite")
    census = workbench.inspect(small_tflite)
    expect(shown.locator(".wb-Figures")).to_contain_text(f"{small_tflite.stat().st_size / 1000:.2f} kB")
    for operator, count in census.operators.items():
        expect(shown.get_by_role("row", name=re.compile(rf"{operator}\s*{count}"))).to_be_visible()
    expect(shown).to_contain_text("float32[?×8×8×1]")
    shown.get_by_role("tab", name="Operators").click()
    expect(shown.locator("tbody tr")).to_have_count(sum(census.operators.values()))
    # With the keyboard: arrows move between tabs.
    window.page.keyboard.press("ArrowRight")
    expect(shown.locator("tbody tr")).to_have_count(len(census.tensors))
    window.page.keyboard.press("ArrowRight")
    graph = window.graph()
    graph.locator("g.node").first.wait_for()
    # The inputs and outputs are nodes too.
    assert graph.locator("g.node").count() >= sum(census.operators.values())
    expect(graph.locator("svg").first).to_contain_text("probabilities")
    assert window.console == []
    assert any("/workbench/netron/files/small.tflite" in url for url in lab.requests)
    assert foreign(lab.requests) == []


def test_a_file_that_is_no_model_says_so(lab: Lab, window: Window) -> None:
    (lab.root / "broken.tflite").write_text("no model")
    shown = window.open_file("broken.tflite")
    expect(shown.get_by_role("alert")).to_contain_text("TensorFlow Lite")
    window.run("application:close")
    # The failed request is on the console, and nothing else.
    assert all("400" in text for text in window.console), window.console
    window.console.clear()


def test_a_sweep_of_the_command_line_is_followed_and_cancelled(
    lab: Lab, window: Window, small_h5: Path, small_data: Path, tmp_path: Path
) -> None:
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "{quantize: [int8, dynamic, float16], prune: [none, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], train: {epochs: 15}, measure: {skip: true}}"
    )
    words = ["sweep", str(small_h5), "--data", str(small_data), "--grid", str(grid), "--study", "live", "--jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", *words], cwd=lab.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        row = window.studies().and_(window.page.locator('[data-study="live"]'))
        expect(row).to_have_attribute("data-state", "running")
        row.click()
        first = window.expect_points(1)
        expect(window.dashboard()).to_have_attribute("data-state", "running")
        expect(window.dashboard().locator(".wb-progress")).to_contain_text("of")
        assert window.expect_points(first + 2) > first
        status = window.page.locator(".wb-StatusButton")
        expect(status).to_contain_text("Sweep live: build")
        status.click()
        window.answer("Cancel sweep")
        said, _ = process.communicate(timeout=60)
        assert b"finished work is kept" in said
    finally:
        process.kill()
        process.wait()
    expect(row).to_have_attribute("data-state", "stopped")
    expect(window.dashboard()).to_have_attribute("data-state", "stopped")
    expect(status).to_be_hidden()
    expect(window.page.locator(".Toastify")).to_contain_text("Sweep live: stopped")
    shown = int(window.dashboard().get_attribute("data-points") or 0)
    stored = [t for t in workbench.open_study("live", lab.root / ".workbench").trials if t.state == "ok"]
    assert shown == len(stored)
    assert window.console == []
    assert foreign(lab.requests) == []


def test_a_study_is_tagged_noted_and_deleted_by_its_menu(lab: Lab, window: Window) -> None:
    row = window.studies().and_(window.page.locator('[data-study="live"]'))
    for entry, text in (("Change tags", "good v1"), ("Write note", "for the docs")):
        row.click(button="right")
        window.choose(entry)
        window.answer("Ok", text)
    expect(row.locator(".wb-Tags")).to_have_text("goodv1")
    expect(row).to_have_attribute("title", "for the docs")
    row.click(button="right")
    window.choose("Delete study")
    window.answer("Delete")
    expect(row).to_have_count(0)
    # Its tab has nothing to ask about any more, and says so.
    expect(window.page.locator(".wb-notice").first).to_contain_text("unknown study")
    window.page.keyboard.press("Escape")
    window.console.clear()


def test_every_verb_of_the_palette_is_written_and_runs(lab: Lab, window: Window) -> None:
    assert len(VERBS) > 20
    window.run("workbench:use", {"path": "small.tflite"})
    window.page.wait_for_function(
        "jupyterapp.shell.currentWidget?.content?.widgets?.[0]?.model?.sharedModel?.source?.includes('inspect')"
    )
    assert window.cells() == ['import workbench\n\nfile = "small.tflite"\nworkbench.inspect(file)']
    window.run("workbench:bench", {"path": "small.tflite"})
    for verb in VERBS:
        window.run("workbench:verb", {"verb": verb})
    with_outputs = (
        "n => { const cells = jupyterapp.shell.currentWidget.content.widgets.filter(c => c.model.type === 'code').slice(1);"
        " return cells.length === n && cells.every(c => c.model.executionCount !== null && c.model.executionState !== 'running'); }"
    )
    window.page.wait_for_function(with_outputs, arg=len(VERBS) + 1, timeout=240_000)
    written = window.cells()
    assert written[1] == "%load_ext workbench\n%wb bench small.tflite --runtime xnnpack"
    assert sorted(written[2:]) == sorted(f"%wb {verb}" for verb in VERBS)
    outputs: list[dict[str, Any]] = window.page.evaluate(
        "jupyterapp.shell.currentWidget.content.widgets.slice(1).flatMap(c => c.model.outputs.toJSON())"
    )
    assert [o for o in outputs if o["output_type"] == "error"] == []
    assert "No such command" not in str(outputs)
