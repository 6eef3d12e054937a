"""Every notebook that comes along, run on one small store: by `run_notebook`, and by papermill's own command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from browser import open_page
from forked import server

import workbench
from workbench.errors import WorkbenchError
from workbench.report import templates
from workbench.report.run import Ran, run_notebook

MOST_BYTES = 8_000_000
GRID = {"quantize": ["float32", "int8"], "measure": {"budget": 0.1}}
# Has the kernels' workers forked.
FORKING = Path(__file__).parent / "forking"
REPORTS = ("compare_models", "compare_runtimes", "sweep_report", "technique_tour")
PARAMETERS: dict[str, dict[str, Any]] = {
    "sweep_report": {"study": "small", "gate": {"max_size": "1MB"}},
    "compare_runtimes": {"study": "small"},
    "compare_models": {"models": ["digits_small"], "grid": GRID},
    # What it trains is small.
    "technique_tour": {"model": "digits_small", "epochs": 1},
}
HEADINGS = {
    "sweep_report": ("Findings", "Ship gate", "Trade-off", "How to reproduce"),
    "compare_runtimes": ("Findings", "The float baseline", "All variants"),
    "compare_models": ("Best of each", "Findings"),
    "technique_tour": ("Where it starts", "prune: set the smallest weights to zero", "All of them"),
}


@pytest.fixture(scope="module")
def store(warm_engine: workbench.Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the study `small` on two runtimes."""
    folder = tmp_path_factory.mktemp("templates") / "store"
    runtimes = ["xnnpack", "builtin"]
    workbench.sweep("digits_small", "digits", GRID, runtimes=runtimes, study="small", store=folder, engine=warm_engine)
    return folder


@pytest.fixture(scope="module")
def ran(store: Path) -> dict[str, Ran]:
    """What `run_notebook` made of each notebook."""
    out = store.parent / "out"
    path = {"PYTHONPATH": os.pathsep.join([str(FORKING), environment()["PYTHONPATH"]])}
    return {
        name: run_notebook(
            name,
            {**PARAMETERS[name], "store": str(store)},
            out / f"{name}.ipynb",
            out / f"{name}.html",
            environment=path,
        )
        for name in REPORTS
    }


def sources(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(templates.find(name).read_text(encoding="utf-8"))
    return found


def environment() -> dict[str, str]:
    """The environment of a program that is to import what this test imports."""
    paths = os.pathsep.join([str(Path(workbench.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": paths}


def say(*words: str) -> subprocess.CompletedProcess[str]:
    return server().run(Path.cwd(), [*words], environment(), 600)


# ---- as they are kept


@pytest.mark.parametrize("name", templates.names())
def test_notebooks_are_kept_without_outputs_and_with_fixed_ids(name: str) -> None:
    notebook = sources(name)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [c["outputs"] for c in code] == [[] for _ in code]
    assert {c["execution_count"] for c in code} == {None}


@pytest.mark.parametrize("name", REPORTS)
def test_reports_take_parameters_each_with_a_word_on_it(name: str) -> None:
    notebook = sources(name)
    (cell,) = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", ())]
    assert set(PARAMETERS[name]) | {"store"} <= set(templates.parameters_of(notebook))
    assert all("  # " in line for line in cell["source"])


def test_every_notebook_goes_into_the_wheel() -> None:
    included = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    for name in templates.names():
        assert f'"notebooks/{name}.ipynb" = "workbench/_bundled/notebooks/{name}.ipynb"' in included


def test_a_notebook_is_copied_out_once(tmp_path: Path) -> None:
    done = say("notebook", "technique_tour", "--out", str(tmp_path / "mine"))
    assert done.returncode == 0, done.stderr
    copied = tmp_path / "mine" / "technique_tour.ipynb"
    assert copied.read_bytes() == templates.find("technique_tour").read_bytes()
    again = say("notebook", "technique_tour", "--out", str(tmp_path / "mine"))
    assert again.returncode != 0
    assert "is there already" in again.stderr
    assert "Traceback" not in again.stderr


def test_notebooks_are_listed_and_unknown_ones_get_the_nearest() -> None:
    listed = say("notebook", "--format", "json")
    assert {row["notebook"] for row in json.loads(listed.stdout)} == set(templates.names())
    with pytest.raises(WorkbenchError, match="technique_tour"):
        templates.find("tecnique_tour")


# ---- as they run


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTS)
def test_notebook_runs_and_its_page_opens_offline(name: str, ran: dict[str, Ran], tmp_path: Path) -> None:
    found = ran[name]
    assert found.error is None
    assert found.page is not None
    assert found.page.stat().st_size < MOST_BYTES
    text = found.page.read_text(encoding="utf-8")
    for heading in HEADINGS[name]:
        assert re.search(rf"<h2 [^>]*>{re.escape(heading)}", text), heading
    assert "Nothing can be shown of" not in text
    # Without the policy, so that it does not hide what the page would ask for.
    bare = tmp_path / "bare.html"
    bare.write_text(re.sub(r"<meta http-equiv[^>]*>", "", text), encoding="utf-8")
    opened = open_page(bare, tmp_path)
    assert opened.requests == []
    # Plotly has drawn each chart.
    charts = len(re.findall(r'class="plot(?: plain)?" id="', text))
    assert charts > 0
    assert len(set(re.findall(r'class="plot[^"]*js-plotly-plot[^"]*" id="([^"]*)"', opened.dom))) == charts


@pytest.mark.slow
def test_results_are_in_each_notebook(ran: dict[str, Ran]) -> None:
    for name, found in ran.items():
        assert found.results, name
        states = {row["state"] for row in found.results["rows"]}
        assert states == {"ok"}, name
    tour, models = ran["technique_tour"].results, ran["compare_models"].results
    assert tour
    assert len(tour["rows"]) == 8
    assert models
    assert [s["model"] for s in models["studies"]] == ["digits_small"]
    assert {row["model"] for row in models["rows"]} == {"digits_small"}


@pytest.mark.slow
def test_the_tour_shows_what_is_in_the_files(ran: dict[str, Ran]) -> None:
    page = ran["technique_tour"].page
    assert page
    text = page.read_text(encoding="utf-8")
    assert text.count("Two histograms of the ") == 7
    moved = [float(m) for m in re.findall(r"Its weights moved by ([\d.e-]+) %", text)]
    assert len(moved) == 7
    float16, dynamic, int8, pruned = moved[:4]
    assert 0 < float16 < dynamic <= pruned
    assert dynamic == pytest.approx(int8, rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sweep_report"])
def test_papermill_runs_a_notebook_by_itself(name: str, ran: dict[str, Ran], store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", str(templates.find(name)), str(out), "--no-progress-bar"]
    command += ["-p", "store", str(store)]
    for key, value in PARAMETERS[name].items():
        command += ["-p", key, str(value)] if not isinstance(value, (dict, list)) else ["-y", json.dumps({key: value})]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path, env=environment())
    assert done.returncode == 0, done.stderr[-3000:]
    cells = json.loads(out.read_text(encoding="utf-8"))["cells"]
    assert not [o for c in cells for o in c.get("outputs", ()) if o["output_type"] == "error"]
    assert sum(bool(c.get("outputs")) for c in cells) >= 5


@pytest.mark.slow
def test_a_failing_cell_keeps_notebook_and_page_with_the_error(store: Path, tmp_path: Path) -> None:
    parameters = {"study": "smal", "store": str(store)}
    found = run_notebook("compare_runtimes", parameters, tmp_path / "out.ipynb", tmp_path / "out.html")
    assert found.error
    assert "smal" in found.error
    assert "WorkbenchError" in found.error
    assert found.results is None
    assert found.page
    text = found.page.read_text(encoding="utf-8")
    assert "This run ended early." in text
    cells = json.loads(found.notebook.read_text(encoding="utf-8"))["cells"]
    assert [o["ename"] for c in cells for o in c.get("outputs", ()) if o["output_type"] == "error"] == [
        "WorkbenchError"
    ]


def test_unknown_parameters_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="runtimes"):
        run_notebook("compare_models", {"runtims": []}, tmp_path / "out.ipynb", None)
    assert list(tmp_path.iterdir()) == []
