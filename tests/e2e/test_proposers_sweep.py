"""A stranger's proposer in one file grows a sweep beyond its grid, and a search that is killed goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from interrupts import hear_interrupts
from running import FORKING, command, environment, images, install, query, run, show, stage_rows, succeed

import workbench
from workbench.dashboard.state import DashboardState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

HALVING = '''
"""A proposer in one file: the whole grid, then levels of pruning between the two that came out smallest."""

from pydantic import Field

from workbench.engine.proposers.base import Proposals, Proposer
from workbench.recipes.grammar import parse_recipe
from workbench.values.params import Params


class HalvingParams(Params):
    """How far it goes."""

    rounds: int = Field(1, ge=1, le=10, description="levels to try between those of the grid")


class Halving(Proposals):
    def __init__(self, space, rounds):
        self.space, self.rounds = space, rounds
        self.first = list(space.recipes)
        self.out = 0
        self.smallest = []

    def ask(self, n):
        asked, self.first = self.first, []
        if not asked and not self.out and self.rounds and len(self.smallest) > 1:
            self.rounds -= 1
            low, high = (level for _, level in sorted(self.smallest)[:2])
            asked = [parse_recipe(f"prune:{(low + high) / 2:g}+int8")]
        if any(self.space.unfit(r) for r in asked):
            return []
        self.out += len(asked)
        return asked

    def tell(self, trial):
        if not trial.baseline:
            self.out -= 1
            if trial.state == "ok":
                self.smallest.append((trial.size.gzip, trial.steps[0].params["sparsity"]))


class Between(Proposer):
    name = "between"
    help = "try the grid, then levels of pruning between its two smallest"
    params = HalvingParams

    def start(self, space, params):
        return Halving(space, params.rounds)

    def usual(self, recipes):
        return recipes + 10


class Gives(Proposals):
    def __init__(self, space):
        self.left = list(space.recipes)

    def ask(self, n):
        if len(self.left) < 2:
            raise KeyError("nothing left")
        return [self.left.pop(0)]


class Gives_up(Proposer):
    name = "gives-up"
    help = "proposes all recipes but one, and fails then"

    def start(self, space, params):
        return Gives(space)

    def usual(self, recipes):
        return recipes
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package that brings the proposers `between` and `gives-up`."""
    folder = install(tmp_path_factory.mktemp("site"), "halving", HALVING, {})
    points = "[workbench.proposers]\nbetween = halving:Between\ngives-up = halving:Gives_up\n"
    (folder / "halving-1.0.dist-info" / "entry_points.txt").write_text(points)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return images(tmp_path_factory.mktemp("data") / "random.npz")


def test_a_strangers_proposer_goes_everywhere_a_built_in_goes(
    package: Path, data: Path, small_h5: Path, tmp_path: Path
) -> None:
    env, store = environment(package), tmp_path / "store"
    parts = json.loads(succeed(tmp_path, "doctor", "--format", "json", env=env))["parts"]
    assert {"kind": "proposer", "name": "between", "state": "ok", "about": "try the grid, then levels of pruning between its two smallest"} in parts  # fmt: skip
    assert {p["name"] for p in parts if p["kind"] == "proposer"} >= {"grid", "random", "tpe", "nsga2", "between"}
    assert "between" in succeed(tmp_path, "sweep", "--help", env=env)

    sweep = ("sweep", small_h5, "--data", data, "--store", store, "--study", "grown", "--epochs", "1")
    lists = ("--prune", "0.2,0.8", "--quantize", "int8", "--measure-budget", "0.5")
    succeed(tmp_path, *sweep, *lists, "--search-strategy", "between[rounds=2]", env=env)
    shown = show(tmp_path, "grown", store)
    recipes = [t["recipe"] for t in shown["trials"]]
    # The more is pruned the smaller, so it goes towards 0.8.
    assert recipes == ["float32", "prune:0.2+int8", "prune:0.8+int8", "prune:0.5+int8", "prune:0.65+int8"]
    assert {t["state"] for t in shown["trials"]} == {"ok"}
    assert all(t["measurements"][0]["state"] == "ok" for t in shown["trials"])
    assert shown["grid"]["search"]["strategy"] == "between[rounds=2]"

    # What follows has to do without the package.
    state = DashboardState(workbench.open_study("grown", store=store))
    assert {row["cells"][0]["text"] for row in state.table()["rows"]} == set(recipes)
    assert state.header()["state"]
    page = tmp_path / "report.html"
    succeed(tmp_path, "report", "grown", "--store", store, "--out", page)
    assert all(recipe in page.read_text() for recipe in recipes)

    # Asked again it comes by the same way to the same end, and nothing is done twice.
    stages = stage_rows(store)
    succeed(tmp_path, *sweep, *lists, "--search-strategy", "between[rounds=2]", env=env)
    assert stage_rows(store) == stages
    assert show(tmp_path, "grown", store)["trials"] == shown["trials"]

    refused = run(tmp_path, *sweep, *lists, "--search-strategy", "betwen", env=env)
    assert refused.returncode == 2
    assert "unknown proposer 'betwen'. Did you mean 'between'?" in refused.stderr
    refused = run(tmp_path, *sweep, *lists, "--search-strategy", "between[rounds=0]", env=env)
    assert refused.returncode == 2
    assert "proposer 'between': rounds = '0': input should be greater than or equal to 1" in refused.stderr


def test_what_a_proposer_has_chosen_before_it_fails_is_kept(package: Path, data: Path, small_tflite: Path, tmp_path: Path) -> None:  # fmt: skip
    store = tmp_path / "store"
    sweep = ("sweep", small_tflite, "--data", data, "--store", store, "--study", "s", "--measure-skip")
    lists = ("--quantize", "float32,float16,dynamic,int8")
    failed = run(tmp_path, *sweep, *lists, "--search-strategy", "gives-up", env=environment(package))
    assert failed.returncode == 2
    assert "proposer 'gives-up' failed: KeyError: 'nothing left' (halving.py:" in failed.stderr
    assert "Traceback" not in failed.stderr
    built = {t["recipe"]: t for t in show(tmp_path, "s", store)["trials"]}
    assert set(built) == {"float32", "float16", "dynamic"}
    assert {t["state"] for t in built.values()} == {"ok"}
    stages = stage_rows(store)
    succeed(tmp_path, *sweep, *lists)
    assert stages.items() <= stage_rows(store).items()
    whole = {t["recipe"]: t for t in show(tmp_path, "s", store)["trials"]}
    assert set(whole) == {*built, "int8"}
    assert {r: whole[r]["artifact"] for r in built} == {r: t["artifact"] for r, t in built.items()}


def test_a_search_that_is_killed_goes_on_where_it_was(data: Path, small_tflite: Path, tmp_path: Path) -> None:
    schemes = "float32,float16,dynamic,weight-only-int8,int8,int8-float-io,int16x8,int4-dynamic,int4-weight-only"
    search = ("--search-strategy", "tpe[startup=3]", "--search-trials", 6, "--search-seed", 3)
    sweep = ("sweep", small_tflite, "--data", data, "--study", "s", "--quantize", schemes, "--measure-skip", *search)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        command(*sweep, "--store", killed),
        cwd=tmp_path,
        env=environment(FORKING),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )
    try:
        while len(query(killed, "SELECT id FROM trials WHERE state = 'ok'")) < 2:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
    before, stages = query(killed, "SELECT id FROM trials WHERE state = 'ok'"), stage_rows(killed)
    succeed(tmp_path, *sweep, "--store", killed)
    assert "utilisation of" in succeed(tmp_path, *sweep, "--store", whole, "--profile")
    after, expected = (
        [(t["id"], t["recipe"], t["state"], t["artifact"]["sha256"]) for t in show(tmp_path, "s", s)["trials"]]
        for s in (killed, whole)
    )
    assert len(before) < len(expected) == 7, "six recipes of nine, and the baseline, which is none of them"
    assert {state for _, _, state, _ in expected} == {"ok"}
    assert after == expected
    assert stages.items() <= stage_rows(killed).items(), "what was finished is not done again"
