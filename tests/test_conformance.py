"""Built-in techniques, tasks and targets keep what is asked of a third party's; runtimes do so in `test_runtimes.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judging import random_found, random_truth

import workbench
from workbench import registry
from workbench.recipes.task import parse_tasks
from workbench.testing import TargetConformance, TaskConformance, TechniqueConformance
from workbench.testing.common import write_files
from workbench.values.boxes import padded
from workbench.values.task import TaskSpec

Array = np.ndarray[Any, Any]

# ---- targets


class TestPython(TargetConformance):
    text = "python"
    writes = ("predict.py",)


class TestC(TargetConformance):
    text = "c:net[align=32,language=c]"
    writes = ("net.c", "net.h")


# ---- tasks


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class TestClassification(TaskConformance):
    text = "classification"

    @pytest.fixture(scope="class")
    def y(self) -> Array:
        return draws().integers(0, 7, 60)

    @pytest.fixture(scope="class")
    def outputs(self, y: Array) -> dict[str, Array]:
        logits = 3 * np.eye(7)[y] + draws(1).normal(size=(60, 7))
        e = np.exp(logits)
        return {"probabilities": (e / e.sum(1, keepdims=True)).astype("f4")}

    @pytest.fixture(scope="class")
    def refused(self) -> list[Array]:
        return [np.linspace(0, 1, 60), np.arange(60), -np.ones(60, int), np.zeros((60, 7))]


class TestBinary(TaskConformance):
    text = "classification"

    @pytest.fixture(scope="class")
    def y(self) -> Array:
        return draws().integers(0, 2, 60).astype(bool)

    @pytest.fixture(scope="class")
    def outputs(self, y: Array) -> dict[str, Array]:
        return {"logit": (4.0 * y - 2 + draws(1).normal(size=60))[:, None].astype("f4")}

    @pytest.fixture(scope="class")
    def refused(self) -> list[Array]:
        return [np.arange(60) % 3]


class TestMultiLabel(TaskConformance):
    text = "multi-label"

    @pytest.fixture(scope="class")
    def y(self) -> Array:
        return draws().integers(0, 2, (50, 4))

    @pytest.fixture(scope="class")
    def outputs(self, y: Array) -> dict[str, Array]:
        return {"marks": (1 / (1 + np.exp(-(4.0 * y - 2 + draws(1).normal(size=y.shape))))).astype("f4")}

    @pytest.fixture(scope="class")
    def refused(self) -> list[Array]:
        return [np.full((50, 4), 2), np.full((50, 4), 0.5), np.zeros((50, 3), int)]


class TestSegmentation(TaskConformance):
    text = "segmentation"

    @pytest.fixture(scope="class")
    def y(self) -> Array:
        return draws().integers(0, 3, (40, 6, 5))

    @pytest.fixture(scope="class")
    def outputs(self, y: Array) -> dict[str, Array]:
        return {"mask": (3 * np.eye(3)[y] + draws(1).normal(size=(*y.shape, 3))).astype("f4")}

    @pytest.fixture(scope="class")
    def refused(self) -> list[Array]:
        return [np.zeros((40, 6, 4), int), np.full((40, 6, 5), 3), np.full((40, 6, 5), 0.5)]


class TestRegression(TaskConformance):
    text = "regression"

    @pytest.fixture(scope="class")
    def y(self) -> Array:
        return draws().normal(size=(50, 2))

    @pytest.fixture(scope="class")
    def outputs(self, y: Array) -> dict[str, Array]:
        return {"values": (y + 0.2 * draws(1).normal(size=y.shape)).astype("f4")}

    @pytest.fixture(scope="class")
    def refused(self) -> list[Array]:
        return [np.zeros((50, 3))]


class TestDetection(TaskConformance):
    text = "detection:xyxy-score-class[min_score=0.05]"

    @pytest.fixture(scope="class")
    def truth(self) -> list[Array]:
        return random_truth(draws(), 40)

    @pytest.fixture(scope="class")
    def y(self, truth: list[Array]) -> Array:
        return padded(truth)

    @pytest.fixture(scope="class")
    def outputs(self, truth: list[Array]) -> dict[str, Array]:
        found = random_found(draws(1), truth, 0.02)
        boxes = np.zeros((len(found), max(len(d.scores) for d in found), 6))
        for row, d in zip(boxes, found, strict=True):
            row[: len(d.scores)] = np.concatenate([d.boxes, d.scores[:, None], d.classes[:, None]], axis=1)
        return {"boxes": boxes}

    @pytest.fixture(scope="class")
    def refused(self) -> list[Array]:
        return [np.arange(40), np.ones((40, 3))]


class TestNone(TaskConformance):
    text = "none"

    @pytest.fixture(scope="class")
    def y(self) -> Array:
        return np.arange(40)

    @pytest.fixture(scope="class")
    def outputs(self) -> dict[str, Array]:
        return {"anything": draws().normal(size=(40, 3))}

    @pytest.fixture(scope="class")
    def refused(self) -> list[Array]:
        return []


def distance(outputs: dict[str, Array], y: Array) -> dict[str, Any]:
    """A user's own figures: of one output per sample, and of both as a whole."""
    error = np.abs(outputs["first"][:, 0] - y)
    return {"error": (error, "low"), "correlation": float(np.corrcoef(outputs["second"][:, 0], y)[0, 1])}


class TestFunction(TaskConformance):
    text = "function"

    @pytest.fixture(scope="class")
    def asked(self) -> TaskSpec:
        return parse_tasks(distance)[""]

    @pytest.fixture(scope="class")
    def y(self) -> Array:
        return draws().normal(size=80)

    @pytest.fixture(scope="class")
    def outputs(self, y: Array) -> dict[str, Array]:
        near = (y + 0.3 * draws(1).normal(size=80))[:, None]
        return {"first": near, "second": 2 * near}

    @pytest.fixture(scope="class")
    def refused(self) -> list[Array]:
        return []


# ---- techniques


class OneWorker(TechniqueConformance):
    """All of them on one worker, which imports TensorFlow once."""

    @pytest.fixture(scope="class")
    def engine(self, warm_engine: workbench.Engine) -> workbench.Engine:
        return warm_engine


@pytest.mark.slow
class TestPrune(OneWorker):
    text = "prune:0.6[schedule=constant]"


@pytest.mark.slow
class TestCluster(OneWorker):
    text = "cluster:8"


@pytest.mark.slow
class TestQat(OneWorker):
    text = "qat"
    schemes = ("int8",)


@pytest.mark.slow
class TestInt8(OneWorker):
    text = "int8[granularity=tensor]"


@pytest.mark.slow
class TestConverter(OneWorker):
    text = "int8[engine=converter]"


# ---- the classes themselves


def test_every_kind_of_built_in_is_held_to_its_class() -> None:
    texts: dict[type, set[str]] = {}
    for made in list(globals().values()):
        for base in (TargetConformance, TaskConformance, TechniqueConformance):
            if isinstance(made, type) and issubclass(made, base) and hasattr(made, "text"):
                texts.setdefault(base, set()).add(made.text.partition(":")[0].partition("[")[0])
    assert texts[TargetConformance] == set(registry.BUILTIN_TARGETS)
    assert texts[TaskConformance] == set(registry.BUILTIN_TASKS)
    assert texts[TechniqueConformance] == {*registry.BUILTIN_TECHNIQUES, "int8"} - {"quantize"}


def test_what_keeps_nothing_fails(tmp_path: Path) -> None:
    """Each class can fail: a task that is better when it is worse, a target that tells the time, one that forgets what it promised."""
    broken = """
import time
from pathlib import Path
import numpy as np
import pytest
from workbench import registry
from workbench.targets.base import Target
from workbench.tasks.base import Task
from workbench.tasks.scores import mean
from workbench.testing import TargetConformance, TaskConformance, targets

# They are there; it would take TensorFlow to make them again.
targets.write_files = lambda folder: {kind: Path("HERE", f"{kind}.tflite") for kind in ("float32", "int8")}

class Backwards(Task):
    name, help, primary = "backwards", "says of errors that more is better", "error"
    def scores(self, params, outputs, y):
        return [mean("error", "Error", "number", "high", np.abs(outputs[:, 0] - y))]

class Clock(Target):
    name, help = "clock", "writes the time, and where it is"
    def write(self, params, export, folder):
        (folder / "time.txt").write_text(f"{time.time_ns()} {folder}")

registry.BUILTIN_TASKS["backwards"] = f"{__name__}:Backwards"
registry.BUILTIN_TARGETS["clock"] = f"{__name__}:Clock"

class TestBackwards(TaskConformance):
    text = "backwards"
    @pytest.fixture(scope="class")
    def y(self): return np.arange(40) % 7
    @pytest.fixture(scope="class")
    def outputs(self, y): return {"o": y[:, None] + 0.1}
    @pytest.fixture(scope="class")
    def refused(self): return [np.zeros((40, 3))]

class TestClock(TargetConformance):
    text = "clock"
    writes = ("date.txt",)
"""
    write_files(tmp_path)
    (tmp_path / "test_broken.py").write_text(broken.replace("HERE", str(tmp_path)))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_broken.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    failed = {line.split()[1].rpartition("::")[2] for line in done.stdout.splitlines() if line.startswith("FAILED")}
    assert failed == {
        "test_labels_that_are_not_its_own_are_refused_with_a_reason",
        "test_outputs_of_other_samples_are_worse",
        "test_another_export_leaves_nothing_of_the_first",
        "test_no_path_of_this_machine_is_in_a_file",
        "test_the_folder_is_whole",
        "test_the_same_again_gives_the_same_files",
    }, done.stdout[-3000:]
    # Comparisons are shown as in one's own tests.
    assert "date.txt" in done.stdout


def test_without_pytest_it_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "pytest.py").write_text("raise ImportError('no pytest here')")
    script = "import sys; sys.path.insert(0, '.'); import workbench.testing; workbench.testing.TaskConformance"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "TaskConformance needs pytest: pip install 'tflite-workbench[testing]'" in done.stderr


def test_importing_it_loads_none_of_it() -> None:
    script = "import workbench.testing, sys; print(*(m for m in sys.modules if m.partition('.')[0] in ('workbench', 'pytest')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["workbench", "workbench.testing"]
