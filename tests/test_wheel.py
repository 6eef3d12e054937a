"""What the wheel holds: everything that is imported, and what it comes with."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from extension import builder, built

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as `pip` builds it."""
    pytest.importorskip("hatchling", reason="hatchling is not installed: pip install 'tflite-workbench[dev]'")
    maker = builder()
    if shutil.which("node"):
        maker.build()
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


def test_the_lab_extension_is_in_it_and_on(wheel: Path, tmp_path: Path) -> None:
    built()
    data = "tflite_workbench-0.1.0.data/data/"
    archive = zipfile.ZipFile(wheel)
    config = json.loads(archive.read(f"{data}etc/jupyter/jupyter_server_config.d/tflite-workbench.json"))
    assert config["ServerApp"]["jpserver_extensions"] == {"workbench.server": True}
    place = f"{data}share/jupyter/labextensions/tflite-workbench-lab/"
    names = {n.removeprefix(place) for n in archive.namelist() if n.startswith(place)}
    package = json.loads(archive.read(f"{place}package.json"))
    assert {
        "install.json",
        "schemas/tflite-workbench-lab/plugin.json",
        package["jupyterlab"]["_build"]["load"],
    } <= names
    # JupyterLab itself finds it where a wheel's data goes.
    for name in names:
        path = tmp_path / "labextensions" / "tflite-workbench-lab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archive.read(place + name))
    command = [sys.executable, "-m", "jupyterlab.labextensions", "list"]
    environment = {**os.environ, "JUPYTER_PATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
    assert re.search(r"tflite-workbench-lab v0.1.0 .*enabled.*OK", done.stdout + done.stderr), done.stderr


@pytest.mark.slow
def test_the_source_distribution_makes_the_same_wheel_without_node(wheel: Path, tmp_path: Path) -> None:
    built()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=600)
    (source,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = (p for p in tmp_path.iterdir() if p.is_dir())
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600, env={"PATH": str(tmp_path)})
    (made,) = tmp_path.glob("*.whl")
    theirs, ours = zipfile.ZipFile(made), zipfile.ZipFile(wheel)
    assert sorted(theirs.namelist()) == sorted(ours.namelist())
    differ = [n for n in ours.namelist() if ours.read(n) != theirs.read(n)]
    assert differ == []


def test_the_tests_of_plug_ins_are_imported_from_it(wheel: Path) -> None:
    script = "import workbench.testing as t; print(t.__file__); print(t.TargetConformance.__module__, t.TaskConformance.__doc__)"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(wheel)!r}); {script}"]
    done = subprocess.run(command, cwd=wheel.parent, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{wheel}/workbench/testing/__init__.py\nworkbench.testing.targets The common tests")
