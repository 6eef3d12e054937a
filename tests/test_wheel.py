"""What the wheel holds: everything that is imported, and what it comes with."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as `pip` builds it."""
    pytest.importorskip("hatchling", reason="hatchling is not installed: pip install 'tflite-workbench[dev]'")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_every_module_is_in_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "workbench").rglob("*.py")}
    assert len(modules) > 100
    assert modules <= names
    assert {
        f"workbench/testing/{kind}.py" for kind in ("techniques", "runtimes", "tasks", "targets", "common")
    } <= modules
    assert {"workbench/py.typed", "workbench/_bundled/digits_small.h5", "workbench/_bundled/digits.npz"} <= names
    assert {f"workbench/_bundled/{name}" for name in ("fashion.npz", "fashion_cnn.h5", "fashion_LICENSE.txt")} <= names


def test_the_tests_of_plug_ins_are_imported_from_it(wheel: Path) -> None:
    script = "import workbench.testing as t; print(t.__file__); print(t.TargetConformance.__module__, t.TaskConformance.__doc__)"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(wheel)!r}); {script}"]
    done = subprocess.run(command, cwd=wheel.parent, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{wheel}/workbench/testing/__init__.py\nworkbench.testing.targets The common tests")
