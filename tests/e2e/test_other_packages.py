"""A stranger's task and a stranger's target, one file each, go wherever a built-in one goes."""

from __future__ import annotations

import base64
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judging import plain
from running import FORKING, Json, environment, install, run, show, succeed

import workbench
from workbench.dashboard.state import DashboardState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

TASK = '''
"""A task in one file."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from workbench.errors import StageFailed
from workbench.tasks.base import Task
from workbench.tasks.scores import mean, share
from workbench.values.params import Params


class MarginParams(Params):
    """When a model is sure."""

    primary: ClassVar[str] = "sure"

    sure: float = Field(0.5, gt=0, lt=1, description="margin from which an answer is sure")


class Margin(Task[MarginParams]):
    """How far the right class is ahead of the best wrong one."""

    name = "margin"
    help = "how far the right class is ahead of the best wrong one"
    primary = "margin"
    classes = True
    params = MarginParams

    def misfit(self, labels, output):
        if labels.shape or not labels.whole:
            return "labels are not one class for each sample"
        return None

    def scores(self, params, outputs, y):
        if y.max() >= outputs.shape[-1]:
            raise StageFailed(f"there is no class {y.max()}")
        right = np.arange(outputs.shape[-1]) == y[:, None]
        margin = outputs[right] - np.where(right, -np.inf, outputs).max(axis=-1)
        return [mean("margin", "Margin", "number", "high", margin), share("sure", "Sure answers", margin > params.sure)]

    def loss(self, params, outputs, y):
        import tf_keras

        return tf_keras.losses.SparseCategoricalCrossentropy()
'''
TARGET = '''
"""A target in one file."""

import base64
import inspect
import json
from typing import ClassVar, Literal

from pydantic import Field

from workbench.targets.base import Target
from workbench.values.params import Params


class PageParams(Params):
    """How a page loads it."""

    primary: ClassVar[str] = "module"

    module: Literal["esm", "commonjs"] = Field("esm", description="kind of JavaScript module")
    most: int = Field(10_000_000, ge=1, description="bytes that a page may load at most")


class Page(Target[PageParams]):
    """A module of JavaScript with the model in it."""

    name = "page"
    help = "a module of JavaScript that carries the model"
    params = PageParams

    def unfit(self, params, export):
        if len(export.content) > params.most:
            return f"it has {len(export.content)} bytes, and a page may load {params.most}"
        return None

    def write(self, params, export, folder):
        (folder / "js").mkdir()
        names = {"recipe": export.card["recipe"]["text"], "labels": export.labels, "shape": export.inputs[0].shape}
        head = "export default" if params.module == "esm" else "module.exports ="
        model = base64.b64encode(export.content).decode()
        (folder / "js" / "model.js").write_text(f"{head} {json.dumps({**names, 'model': model})};\\n")
        script = folder / "serve.sh"
        script.write_text("#!/bin/sh\\nexec python3 -m http.server\\n")
        script.chmod(0o755)
'''
CONFORM = """
import numpy as np
import pytest
import workbench
from workbench.testing import TargetConformance, TaskConformance


class TestPage(TargetConformance):
    text = "page:commonjs"
    writes = ("js/model.js", "serve.sh")

    @pytest.fixture(scope="class")
    def trials(self):
        return {{t.recipe: t for t in workbench.open_study("s", {store!r}).trials if t.recipe in self.takes}}


class TestMargin(TaskConformance):
    text = "margin:0.25"

    @pytest.fixture(scope="class")
    def y(self):
        return np.arange(60) % 4

    @pytest.fixture(scope="class")
    def outputs(self, y):
        scores = np.random.default_rng(0).random((60, 4)) + 2 * np.eye(4)[y]
        return {{"scores": scores / scores.sum(axis=1, keepdims=True)}}

    @pytest.fixture(scope="class")
    def refused(self):
        return [np.zeros((60, 2)), np.linspace(0, 1, 60)]
"""


def dashboard(store: object) -> Json:
    """What the dashboard shows of the study."""
    state = DashboardState(workbench.open_study("s", str(store)))
    usual = state.figure()["choices"]
    state.limit({"margin_drop": 0.9})
    shown = {"figure": state.figure(), "limits": state.limits(), "table": state.table(), "parallel": state.parallel()}
    return {"usual": usual, **shown}


SCRIPT = f"""
from __future__ import annotations
import json, sys
import workbench
from workbench.dashboard.state import DashboardState
{inspect.getsource(dashboard)}
print(json.dumps(dashboard(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two packages, which bring the task `margin` and the target `page`."""
    folder = install(tmp_path_factory.mktemp("site"), "others_task", TASK, {"margin": "Margin"}, "tasks")
    return install(folder, "others_target", TARGET, {"page": "Page"}, "targets")


@pytest.fixture(scope="module")
def store(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a sweep by the stranger's task."""
    store = tmp_path_factory.mktemp("swept") / "store"
    how = ("--task", "margin:0.25", "--prune", "none,0.7", "--epochs", 1, "--measure-budget", 0.2)
    where = ("--quantize", "float32,int8", "--store", store, "--study", "s")
    succeed(store.parent, "sweep", "digits_small", "--data", "digits", *how, *where, env=environment(site))
    return store


def test_they_keep_the_common_rules(site: Path, store: Path, tmp_path: Path) -> None:
    (tmp_path / "test_others.py").write_text(CONFORM.format(store=str(store)))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_others.py"],
        cwd=tmp_path, env=environment(site, FORKING), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"\b2\d passed", done.stdout), done.stdout
    assert "skipped" not in done.stdout


def test_doctor_and_help_know_them(site: Path, tmp_path: Path) -> None:
    parts = json.loads(succeed(tmp_path, "doctor", "--format", "json", env=environment(site)))["parts"]
    assert [p for p in parts if p["name"] in ("margin", "page")] == [
        {"kind": "task", "name": "margin", "state": "ok", "about": "how far the right class is ahead of the best wrong one"},
        {"kind": "target", "name": "page", "state": "ok", "about": "a module of JavaScript that carries the model"},
    ]  # fmt: skip
    help_text = " ".join(succeed(tmp_path, "export", "--help", env=environment(site)).split())
    assert "page[module=esm,most=10000000]: a module of JavaScript that carries the model" in help_text


def test_the_tasks_figures_are_those_of_the_files(store: Path, tmp_path: Path) -> None:
    # What follows reads the store without the package: a study outlives what brought its task.
    shown = show(tmp_path, "s", store)
    (task,) = shown["tasks"].values()
    assert (task["name"], task["options"]) == ("margin", {"sure": 0.25})
    assert [t["recipe"] for t in shown["trials"]] == ["float32", "int8", "prune:0.7+float32", "prune:0.7+int8"]
    test = workbench.load_dataset("digits").test
    for trial in shown["trials"]:
        assert (trial["state"], trial["error"]) == ("ok", None)
        (outputs,) = plain(trial["artifact"]["path"], np.asarray(test.x)).values()
        right = np.arange(10) == np.asarray(test.y)[:, None]
        margin = outputs[right] - np.where(right, -1, outputs).max(axis=1)
        first, second = trial["quality"]["figures"]
        assert (trial["quality"]["task"], first["name"], second["name"]) == ("margin", "margin", "sure")
        assert first["value"] == pytest.approx(margin.mean(), abs=2e-3)
        assert second["value"] == pytest.approx((margin > 0.25).mean(), abs=5e-3)
        assert first["low"] < first["value"] < first["high"]


def values(rows: list[Json]) -> dict[str, float]:
    return {t["recipe"]: next(f["value"] for f in t["quality"]["figures"] if f["name"] == "margin") for t in rows}


def test_charts_limits_picks_and_gates_take_its_figure(store: Path, tmp_path: Path) -> None:
    where = ("--store", store)
    trials = show(tmp_path, "s", store)["trials"]
    margins, sizes = values(trials), {t["recipe"]: t["size"]["file"] for t in trials}
    front = json.loads(succeed(tmp_path, "pareto", "s", "--x", "size", "--y", "margin", "--format", "json", *where))
    assert [t["recipe"] for t in front] == [
        r for r in sorted(sizes, key=lambda r: sizes[r]) if not any(
            sizes[o] <= sizes[r] and margins[o] >= margins[r] and (sizes[o], margins[o]) != (sizes[r], margins[r]) for o in sizes
        )
    ]  # fmt: skip

    assert json.loads(succeed(tmp_path, "pareto", "s", "--format", "json", *where)) == front

    def best(*limits: object) -> Any:
        done = run(tmp_path, "best", "s", *limits, "--format", "json", *where)
        return json.loads(done.stdout)[0]["recipe"] if done.returncode == 0 else done.returncode

    drops = {r: margins["float32"] - v for r, v in margins.items()}
    for most in (0.9, 1e-9, *(drop + 1e-9 for drop in drops.values() if drop > 0)):
        kept = [r for r, drop in drops.items() if drop <= most]
        assert best("--max-drop", f"margin={most}") == min(kept, key=lambda r: (sizes[r], -margins[r]))
    assert best("--figures", f"margin={max(margins.values()) - 1e-9}") == max(margins, key=lambda r: margins[r])
    assert best("--figures", "margin=5") == 1
    unknown = run(tmp_path, "best", "s", "--max-drop", "margn=0.1", *where)
    assert unknown.returncode == 2
    assert "Did you mean 'margin'" in unknown.stderr
    assert run(tmp_path, "gate", "s", "--trial", "int8", "--max-drop", "margin=0.9", *where).returncode == 0
    assert run(tmp_path, "gate", "s", "--trial", "int8", "--figures", "margin=5", *where).returncode == 1


def test_dashboard_and_report_show_its_figure(site: Path, store: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(store)], cwd=tmp_path, env=environment(site), capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    # Here the package is not installed.
    for shown in (json.loads(done.stdout), dashboard(store)):
        assert (shown["usual"]["x"], shown["usual"]["y"]) == ("size", "margin")
        assert "Margin" in json.dumps(shown["figure"]["figure"]["layout"]["yaxis"])
        assert "margin_drop" in json.dumps(shown["limits"])
        assert {"Margin", "Sure answers"} <= {column["label"] for column in shown["table"]["columns"]}
        assert "Margin" in {d["label"] for d in shown["parallel"]["figure"]["data"][0]["dimensions"]}
    succeed(
        tmp_path,
        "report",
        "s",
        "--store",
        store,
        "--out",
        "page.html",
        "--max-drop",
        "margin=0.9",
        env=environment(site),
    )
    text = re.sub(r"<script.*?</script>", "", (tmp_path / "page.html").read_text(), flags=re.DOTALL)
    assert "margin" in text.lower()


def test_the_target_is_exported_to(site: Path, store: Path, tmp_path: Path) -> None:
    env, where = environment(site), ("--store", store, "--out", "out")
    said = succeed(tmp_path, "export", "s", "int8", "--target", "page:commonjs", *where, env=env)
    assert "card.json, js/model.js, labels.txt, model.tflite, serve.sh" in said
    text = (tmp_path / "out/js/model.js").read_text()
    module = json.loads(text.removeprefix("module.exports = ").removesuffix(";\n"))
    trial = next(t for t in show(tmp_path, "s", store)["trials"] if t["recipe"] == "int8")
    assert base64.b64decode(module["model"]) == Path(trial["artifact"]["path"]).read_bytes()
    assert module["recipe"] == "int8"
    assert module["labels"] == (tmp_path / "out/labels.txt").read_text().split("\n")[:-1]
    assert (tmp_path / "out/serve.sh").stat().st_mode & 0o100
    card = json.loads((tmp_path / "out/card.json").read_text())
    assert card["target"] == {"name": "page", "options": {"module": "commonjs", "most": 10_000_000}}
    assert [f["name"] for f in card["quality"]["figures"]] == ["margin", "sure"]

    script = "import sys, workbench; print(workbench.open_study('s', sys.argv[1]).export('int8', 'out', target='c'))"
    done = subprocess.run([sys.executable, "-c", script, str(store)], cwd=tmp_path, env=env, check=False)
    assert done.returncode == 0
    assert sorted(p.name for p in (tmp_path / "out").rglob("*")) == [
        *("card.json", "labels.txt", "model.tflite", "model_data.cc", "model_data.h")
    ]
    for target, words in (
        ("page[most=100]", "does not fit target 'page': it has"),
        ("page:amd", "target 'page': module = 'amd'"),
        ("page[size=1]", "unknown parameter of target 'page' 'size'"),
        ("pge", "unknown target 'pge'. Did you mean 'page'?"),
    ):
        refused = run(tmp_path, "export", "s", "int8", "--target", target, "--store", store, "--out", "no", env=env)
        assert refused.returncode == 2
        assert words in refused.stderr, refused.stderr
        assert not (tmp_path / "no").exists()
