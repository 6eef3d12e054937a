"""Run the command line as its users do: as a process, in a folder of its own, reading what it leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from forked import server

import workbench
from workbench.data.load import bundled

ROOT = Path(workbench.__file__).resolve().parents[1]
MODEL = bundled("digits_cnn.h5")
# On the import path of a process that is started afresh, it has its pools forked as those of this process are.
FORKING = ROOT / "tests" / "forking"
# Variables that may differ in a forked command; the second names the test, and a fixture's environment another.
ANY = {"PYTHONPATH": "", "PYTEST_CURRENT_TEST": ""}
Json = dict[str, Any]
Done = subprocess.CompletedProcess[str]


def environment(*paths: Path, **more: str) -> dict[str, str]:
    """Return the environment of a command: `paths` first on the import path, no store named, numbers in `more`."""
    kept = {k: v for k, v in os.environ.items() if k not in ("WORKBENCH_STORE", "WORKBENCH_ARTIFACTS")}
    inherited = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    return {**kept, "PYTHONPATH": os.pathsep.join([*map(str, paths), str(ROOT), *inherited]), **more}


def command(*arguments: object) -> list[str]:
    """Return the command line as a list."""
    return [sys.executable, "-m", "workbench", *map(str, arguments)]


def run(
    folder: Path, *arguments: object, env: dict[str, str] | None = None, timeout: float = 1200, fresh: bool = False
) -> Done:
    """Run a command in a folder to its end: forked, or started where it is `fresh` or has variables of its own."""
    usual = environment()
    env = env or usual
    if not fresh and {**env, **ANY} == {**usual, **ANY}:
        return server().run(folder, [*map(str, arguments)], env, timeout)
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def succeed(folder: Path, *arguments: object, env: dict[str, str] | None = None, fresh: bool = False) -> str:
    """Run a command that has to exit with 0, and return what it printed."""
    done = run(folder, *arguments, env=env, fresh=fresh)
    assert done.returncode == 0, (
        f"{arguments} exited with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    )
    return done.stdout


def show(folder: Path, study: str, store: Path) -> Json:
    """Return what `workbench show --format json` prints."""
    found: Json = json.loads(succeed(folder, "show", study, "--format", "json", "--store", store))
    return found


def query(store: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query on a store's database, which is opened for reading only; none where it is not there yet."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"file:{store / 'store.db'}?mode=ro", uri=True, timeout=10)
        ) as database:
            return database.execute(sql).fetchall()
    except sqlite3.OperationalError:
        return []


def stage_rows(store: Path) -> dict[str, tuple[Any, ...]]:
    """Return every finished stage by key; a result carries its seconds and its process, so a stage done again differs."""
    return {row[0]: row[1:] for row in query(store, "SELECT key, kind, seconds, result FROM executions")}


def logging_to(store: Path) -> list[int]:
    """Return the processes whose output goes to a file below a folder, a store's or one around it: the workers."""
    found = []
    for pid in psutil.pids():
        try:
            if os.readlink(f"/proc/{pid}/fd/1").startswith(f"{store}{os.sep}"):
                found.append(pid)
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return found


def artifact_times(store: Path) -> dict[str, int]:
    """Return when each artifact was written (nanoseconds), by name."""
    return {p.name: p.stat().st_mtime_ns for p in (store / "artifacts").iterdir() if not p.name.startswith("partial-")}


def install(folder: Path, name: str, source: str, plug_ins: dict[str, str], kind: str = "techniques") -> Path:
    """Lay out a third party's package as pip installs it: one module, and plug-ins of a kind by name as its entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    points = "".join(f"{plug_in} = {name}:{attribute}\n" for plug_in, attribute in plug_ins.items())
    (info / "entry_points.txt").write_text(f"[workbench.{kind}]\n{points}")
    return folder


def images(path: Path, count: int = 120, shape: tuple[int, ...] = (8, 8, 1), classes: int = 6) -> Path:
    """Write random images with labels as a dataset; the test split is a third of the train split."""
    draw = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, n in (("train", count), ("test", count // 3)):
        arrays[f"x_{split}"] = draw.random((n, *shape), dtype=np.float32)
        arrays[f"y_{split}"] = draw.integers(0, classes, n)
    np.savez(path, **arrays)
    return path
