"""The harness for tests in JupyterLab sees what is there, and notices what should not be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab, Notebook, foreign, watch
from playwright.sync_api import Error, expect

WIDGETS = """
import ipywidgets
button, slider = ipywidgets.Button(description="Press"), ipywidgets.IntSlider(3, 0, 9)
@button.on_click
def pressed(_): slider.value += 2
ipywidgets.VBox([button, slider])
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> Iterator[Notebook]:
    opened = lab.open(["1+1", WIDGETS, "1/0"])
    yield opened
    opened.close()


def test_a_cell_runs_in_the_kernel(notebook: Notebook) -> None:
    notebook.run(0)
    assert notebook.output_text(0) == "2"
    index = notebook.add_cell("import time; print('a'); time.sleep(0.5); print('b')")
    notebook.start(index)
    notebook.wait_cell(index)
    assert notebook.output_text(index) == "a\nb"


def test_a_click_on_a_widget_reaches_the_kernel(notebook: Notebook) -> None:
    notebook.run(1)
    output = notebook.output(1)
    expect(output.locator(".widget-readout")).to_have_text("3")
    output.get_by_role("button", name="Press").click()
    expect(output.locator(".widget-readout")).to_have_text("5")
    assert notebook.console == []


def test_errors_and_endless_cells_are_seen_and_the_dark_theme_goes_with_a_notebook(
    lab: Lab, notebook: Notebook
) -> None:
    """In one more notebook, since opening it is most of what any of this takes."""
    body = notebook.page.locator("body")
    expect(body).to_have_attribute("data-jp-theme-light", "true")
    notebook.set_dark(True)
    expect(body).to_have_attribute("data-jp-theme-light", "false")
    inside = "import ipywidgets; output = ipywidgets.Output()\nwith output: {}['inside']\nipywidgets.VBox([output])"
    other = lab.open(["import sys; print('only a line', file=sys.stderr)", inside, "1/0", "2+2"], name="failing.ipynb")
    expect(other.page.locator("body")).to_have_attribute("data-jp-theme-name", "JupyterLab Light")
    notebook.set_dark(False)
    other.run(0)
    assert other.output_text(0) == "only a line"
    assert other.errors() == ""
    other.run_all()
    assert "KeyError: 'inside'" in other.errors()
    assert "ZeroDivisionError: division by zero" in other.errors()
    assert other.output_text(3) == ""
    endless = other.add_cell("print('so far'); import time; time.sleep(600)")
    other.start(endless)
    expect(other.output(endless)).to_contain_text("so far")
    with pytest.raises(AssertionError, match=f"cell {endless} is through; output: so far"):
        other.wait_cell(endless, timeout=0.2)
    other.close()


def test_tab_completes(notebook: Notebook) -> None:
    assert {"operator", "os"} <= set(notebook.complete(0, "import o"))
    assert notebook.complete(0, "import ipywidg") == ["ipywidgets"]
    assert notebook.complete(0, "nothing_begins_so") == []
    assert notebook.cell(0).locator(".cm-content").inner_text() == "1+1"


def test_saving_writes_outputs_that_a_reload_shows(notebook: Notebook) -> None:
    notebook.run(0)
    cells = json.loads(notebook.save().read_text())["cells"]
    assert cells[0]["outputs"][0]["data"]["text/plain"] == ["2"]
    notebook.reload()
    assert notebook.output_text(0) == "2"


def test_a_closed_notebook_finds_its_kernel_or_a_fresh_one_and_is_photographed(lab: Lab, tmp_path: Path) -> None:
    from PIL import Image

    notebook = lab.open(["for kept in range(60): print(kept)"] * 2, name="long.ipynb", width=800, height=600)
    notebook.run_all()
    assert Image.open(notebook.screenshot(tmp_path / "window.png")).size == (800, 600)
    width, height = Image.open(notebook.screenshot(tmp_path / "full.png", full=True)).size
    assert width == 800
    assert height > 2 * 60 * 14
    assert notebook.page.viewport_size == {"width": 800, "height": 600}
    notebook.close(shutdown=False)
    notebook = lab.open(notebook.path)
    notebook.run(notebook.add_cell("kept"))
    assert notebook.output_text(2) == "59"
    notebook.close()
    notebook = lab.open(notebook.path)
    notebook.run(notebook.add_cell("kept"))
    assert "NameError" in notebook.errors()
    notebook.close()
    assert notebook.path.name not in {session["name"] for session in lab.api("GET", "api/sessions")}


def test_all_requests_stay_on_this_machine(lab: Lab, notebook: Notebook) -> None:
    requests = lab.requests
    assert any(url.startswith("ws://127.0.0.1:") for url in requests)
    assert any("/api/contents" in url for url in requests)
    assert foreign(requests) == []


def test_a_request_to_elsewhere_is_noticed_and_goes_nowhere(lab: Lab) -> None:
    context = lab.new_context()
    requests = watch(context)
    page = context.new_page()
    page.goto(f"{lab.url}/login")
    assert foreign(requests) == []
    # A page without a policy of its own that would refuse before anything is asked for.
    page.goto("about:blank")
    assert "Failed to fetch" in page.evaluate("fetch('https://example.org/', {mode: 'no-cors'}).then(String, String)")
    page.evaluate("new Promise(resolve => { new WebSocket('wss://192.0.2.2/').onerror = resolve })")
    with pytest.raises(Error, match="ERR_PROXY_CONNECTION_FAILED"):
        page.goto("http://192.0.2.1/")
    context.close()
    assert foreign(requests) == ["http://192.0.2.1/", "https://example.org/", "wss://192.0.2.2/"]


def test_other_tests_run_event_loops_of_their_own() -> None:
    asyncio.run(asyncio.sleep(0))
