"""A stranger's technique works like a built-in one, and whatever it does wrong ends its own trials alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import flatfile
import numpy as np
import pytest
from running import environment, images, install, run, show, stage_rows, succeed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

NOISE = '''
"""A technique in one file."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from workbench.techniques.base import KerasTechnique
from workbench.values.params import Params


class NoiseParams(Params):
    """How much noise."""

    primary: ClassVar[str] = "level"

    level: float = Field(0.01, gt=0, le=1, description="standard deviation of the noise")


class Noise(KerasTechnique[NoiseParams]):
    """Adds seeded noise to the weights."""

    name = "noise"
    help = "add seeded noise to the kernels"
    order = 15
    params = NoiseParams

    def apply(self, model, params, job):
        draw = np.random.default_rng(job.train.seed)
        for layer in model.layers:
            if hasattr(layer, "kernel"):
                layer.kernel.assign(layer.kernel.numpy() + params.level * draw.standard_normal(layer.kernel.shape))
        return model
'''


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package that brings the technique `noise`."""
    return install(tmp_path_factory.mktemp("site"), "noisy", NOISE, {"noise": "Noise"})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return images(tmp_path_factory.mktemp("data") / "random.npz")


def test_a_strangers_technique_goes_everywhere_a_built_in_goes(
    noise: Path, data: Path, small_h5: Path, small_keras_model: Any, tmp_path: Path
) -> None:
    env = environment(noise)
    store = tmp_path / "store"
    common = ("sweep", small_h5, "--data", data, "--store", store, "--study", "noisy", "--seed", "3")

    parts = json.loads(succeed(tmp_path, "doctor", "--format", "json", env=env))["parts"]
    assert [p for p in parts if p["name"] == "noise"] == [
        {"kind": "technique", "name": "noise", "state": "ok", "about": "add seeded noise to the kernels"}
    ]
    help_text = succeed(tmp_path, "sweep", "--help", env=env)
    assert "--noise" in help_text
    assert "add seeded noise to the kernels" in " ".join(help_text.split())
    assert "--noise" not in succeed(tmp_path, "sweep", "--help")

    succeed(tmp_path, *common, "--noise", "none,0.05,0.1", "--quantize", "float32,int8", "--measure-skip", env=env)
    shown = show(tmp_path, "noisy", store)
    assert [t["recipe"] for t in shown["trials"]] == [
        "float32",
        "int8",
        "noise:0.05+float32",
        "noise:0.05+int8",
        "noise:0.1+float32",
        "noise:0.1+int8",
    ]
    assert {t["state"] for t in shown["trials"]} == {"ok"}
    # The dense layer's kernel is stored as it is, so its noise can be told.
    dense = {
        t["recipe"]: flatfile.kernels(Path(t["artifact"]["path"]))[-1].squeeze()
        for t in shown["trials"]
        if t["recipe"].endswith("float32")
    }
    draw = np.random.default_rng(3)
    kernels = [layer.kernel.numpy() for layer in small_keras_model.layers if hasattr(layer, "kernel")]
    added = [draw.standard_normal(k.shape) for k in kernels][-1]
    np.testing.assert_allclose(dense["float32"], kernels[-1].T, atol=1e-6)
    np.testing.assert_allclose(dense["noise:0.05+float32"], (kernels[-1] + 0.05 * added).T, atol=1e-6)
    np.testing.assert_allclose(dense["noise:0.1+float32"], (kernels[-1] + 0.1 * added).T, atol=1e-6)

    # The same by a grid's key and by the text of recipes is the same work, found in the store.
    stages = stage_rows(store)
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "noise: [none, 0.05]\nquantize: [int8]\nrecipes: ['noise:0.1+float32', 'noise:0.10+int8']\nmeasure: {skip: true}\n"
    )
    succeed(tmp_path, *common, "--grid", grid, env=env)
    assert stage_rows(store) == stages
    assert show(tmp_path, "noisy", store)["trials"] == shown["trials"]

    refused = run(tmp_path, *common, "--noise", "7", env=env)
    assert refused.returncode == 2
    assert "technique 'noise': level = '7': input should be less than or equal to 1" in refused.stderr
    assert (
        "unknown technique or scheme 'noise'"
        in run(
            tmp_path,
            "sweep",
            small_h5,
            "--data",
            data,
            "--store",
            store,
            "--grid",
            write(tmp_path / "g.yaml", "recipes: ['noise:0.1+int8']"),
        ).stderr
    )


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


STRANGE = '''
import ctypes
import os
import time

import numpy as np

from workbench.techniques.base import KerasTechnique


class OddError(Exception):
    """Cannot be unpickled: it wants two arguments."""

    def __init__(self, part, whole):
        super().__init__(f"{part} of {whole} is missing")


class Raises(KerasTechnique):
    name, help, order = "raises", "raises an exception", 15

    def apply(self, model, params, job):
        raise OddError("a cog", "the machine")


class Aborts(KerasTechnique):
    name, help, order = "aborts", "calls abort()", 15

    def apply(self, model, params, job):
        os.abort()


class Crashes(KerasTechnique):
    name, help, order = "crashes", "reads address 0", 15

    def apply(self, model, params, job):
        ctypes.string_at(0)


class Hangs(KerasTechnique):
    name, help, order = "hangs", "sleeps in native code and keeps the interpreter's lock", 15

    def apply(self, model, params, job):
        ctypes.PyDLL(None).sleep(100000)


class Hoards(KerasTechnique):
    name, help, order = "hoards", "takes memory until it is stopped", 15

    def apply(self, model, params, job):
        kept = []
        while True:
            kept.append(np.ones(1 << 22))
            time.sleep(0.02)
'''
REASONS = {
    "raises": r"OddError: a cog of the machine is missing \(strange\.py:\d+\)",
    "aborts": r"crash: the worker process died in stage `train aborts`",
    "crashes": r"crash: the worker process died in stage `train crashes`",
    "hangs": r"time limit: stage `train hangs` ran longer than 30 s",
    "hoards": r"crash: the worker process died in stage `train hoards` .*out of memory",
}


def test_whatever_goes_wrong_ends_its_own_trials_alone(noise: Path, data: Path, small_h5: Path, tmp_path: Path) -> None:
    strange = install(tmp_path / "site", "strange", STRANGE, {n: n.capitalize() for n in REASONS})
    store = tmp_path / "store"
    failing = [f"{name}+{scheme}" for name in REASONS for scheme in ("float32", "int8")]
    working = [
        "float32",
        "dynamic",
        "int8",
        "noise:0.05+float32",
        "noise:0.05+int8",
        "prune:0.5+float32",
        "prune:0.5+int8",
    ]
    mixed = [r for pair in zip(failing, working, strict=False) for r in pair] + failing[len(working) :]
    grid = write(
        tmp_path / "grid.yaml",
        json.dumps(
            {
                "recipes": mixed,
                "train": {"epochs": 1},
                "measure": {"skip": True},
                "limits": {"stage_seconds": 30, "memory": "1.5GiB"},
            }
        ),
    )
    command = ("sweep", small_h5, "--data", data, "--grid", grid, "--store", store, "--study", "strange")
    done = run(tmp_path, *command, env=environment(strange, noise))
    assert done.returncode == 1, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    trials = {t["recipe"]: t for t in show(tmp_path, "strange", store)["trials"]}
    assert {r: t["error"] for r, t in trials.items() if r in working and t["state"] != "ok"} == {}
    assert set(trials) == {*working, *failing}
    import re

    for recipe in failing:
        trial = trials[recipe]
        assert trial["state"] == "failed"
        assert re.match(REASONS[recipe.partition("+")[0]], trial["error"]), (recipe, trial["error"])
        assert trial["artifact"] is None
        assert f"failed {recipe}: {trial['error']}" in done.stdout
    assert f"{len(trials)} trials, {len(working)} ok, {len(failing)} failed" in done.stdout
    # The reason of a crash sends to the logs, where native code's stack has to be.
    logs = "".join(p.read_text(errors="replace") for p in (store / "logs").rglob("*") if p.is_file())
    assert "Fatal Python error: Segmentation fault" in logs
    assert "Fatal Python error: Aborted" in logs
    assert logs.count("strange.py") >= 2

    # What failed is not tried again unasked, and what worked is not done again.
    stages = stage_rows(store)
    again = run(tmp_path, *command, env=environment(strange, noise))
    assert again.returncode == 1
    assert stage_rows(store) == stages
    assert {t["recipe"]: t for t in show(tmp_path, "strange", store)["trials"]} == trials


def test_a_broken_package_breaks_nothing_else(tmp_path: Path) -> None:
    broken = install(tmp_path / "site", "broken", "raise RuntimeError('no licence found')\n", {"broken": "Broken"})
    install(broken, "hiding", NOISE, {"prune": "Noise"})
    done = run(tmp_path, "doctor", "--format", "json", env=environment(broken))
    assert done.returncode == 0, done.stderr
    parts = {p["name"]: p for p in json.loads(done.stdout)["parts"]}
    assert parts["broken"]["state"] == "broken"
    assert "no licence found" in parts["broken"]["about"]
    assert parts["prune"]["state"] == "ok"
    assert parts["prune"]["about"].startswith("set the smallest weights to zero")
