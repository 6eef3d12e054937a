"""Every runtime in one sweep of a bundled model, and a stranger's runtime through the same commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from running import Json, environment, install, run, show, succeed

from workbench import registry
from workbench.store.store import Store, runtime_key
from workbench.testing.common import digits, model_path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SCHEMES = ("float32", "int8", "dynamic", "int16x8")
RUNTIMES = ("xnnpack", "builtin", "reference", "gpu", "openvino", "ethos-u55-128", "micro")
# A file on a runtime that has to run there, wherever the runtime is installed.
EXPECTED = {
    **{(s, r): True for s in SCHEMES for r in ("xnnpack", "builtin")},
    **{(s, "reference"): True for s in ("float32", "int8")},
    ("int8", "micro"): True,
    ("int8", "ethos-u55-128"): True,
    ("float32", "openvino"): True,
    ("int8", "openvino"): True,
    ("dynamic", "openvino"): True,
    ("float32", "gpu"): True,
}
ESTIMATED = ("ethos-u55-128",)
MODEL = model_path()


class Swept(NamedTuple):
    """A sweep that ran: its store, and what `show` printed."""

    folder: Path
    store: Path
    shown: Json

    @property
    def pairs(self) -> dict[tuple[str, str], Json]:
        """Each measurement by recipe and runtime."""
        return {(t["recipe"], m["runtime"]): m for t in self.shown["trials"] for m in t["measurements"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the digits: reference kernels and emulators take their time over each."""
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    arrays: dict[str, Any] = digits()
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def swept(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    folder = tmp_path_factory.mktemp("swept")
    store = folder / "store"
    common = ("--store", store, "--study", "places", "--quantize", ",".join(SCHEMES))
    measuring = ("--runtime", ",".join(RUNTIMES), "--measure-budget", "0.3", "--measure-profile")
    succeed(folder, "sweep", MODEL, "--data", data, *common, *measuring)
    return Swept(folder, store, show(folder, "places", store))


def installed(runtime: str) -> bool:
    return registry.runtimes.get(runtime).available() is None


def test_every_pair_is_measured_or_skipped_with_a_reason(swept: Swept) -> None:
    assert {t["recipe"]: (t["state"], t["error"]) for t in swept.shown["trials"]} == dict.fromkeys(
        SCHEMES, ("ok", None)
    )
    assert set(swept.pairs) == {(s, r) for s in SCHEMES for r in RUNTIMES}
    for (scheme, runtime), made in swept.pairs.items():
        allowed = ("ok", "skipped", "failed") if runtime == "gpu" or not installed(runtime) else ("ok", "skipped")
        assert made["state"] in allowed, (scheme, runtime, made["error"])
        if made["state"] == "ok":
            assert made["error"] is None
            assert made["latency_ms"]["median"] > 0
            assert 0 <= made["ops_delegated"] <= made["ops_total"]
        else:
            assert len(made["error"]) > 20, (scheme, runtime)
            assert made["latency_ms"] is None


@pytest.mark.parametrize(("scheme", "runtime"), list(EXPECTED))
def test_what_has_to_run_runs(swept: Swept, scheme: str, runtime: str) -> None:
    if not installed(runtime):
        pytest.skip(str(registry.runtimes.get(runtime).available()))
    made = swept.pairs[scheme, runtime]
    assert (made["state"], made["error"]) == ("ok", None)


def test_estimates_are_marked_and_have_no_samples(swept: Swept) -> None:
    store = Store(swept.store)
    for (scheme, runtime), made in swept.pairs.items():
        assert made["kind"] == ("estimated" if runtime in ESTIMATED else "measured")
        if made["state"] != "ok":
            continue
        trial = next(t["id"] for t in swept.shown["trials"] if t["recipe"] == scheme)
        raw = store.samples_ns("places", trial, runtime_key(runtime, made["options"]))
        assert len(raw) == made["latency_ms"]["samples"]
        assert (len(raw) == 0) is (runtime in ESTIMATED)


def test_micro_is_evaluated_on_its_own_kernels(swept: Swept) -> None:
    made = swept.pairs["int8", "micro"]
    assert made["state"] == "ok", made["error"]
    assert made["clock"] == "host"
    assert made["memory"]["arena"] > 0
    assert made["quality"]["task"] == "classification"
    own = next(t for t in swept.shown["trials"] if t["recipe"] == "int8")["quality"]["accuracy"]
    assert own - 0.05 < made["quality"]["accuracy"] <= 1
    others = {r for (_, r), m in swept.pairs.items() if m["quality"] is not None}
    assert others == {"micro"}


def test_accelerators_are_held_against_the_reference_kernels(swept: Swept) -> None:
    for (scheme, runtime), made in swept.pairs.items():
        if made["state"] != "ok":
            continue
        compared = runtime in ("gpu", "openvino", "micro")
        assert (made["reference"] is not None) is compared, (scheme, runtime)
        if compared:
            assert made["reference"]["samples"] >= 1
            assert made["reference"]["agreement"] > 0.8, (scheme, runtime, made["reference"])


def test_operators_times_are_in_the_store(swept: Swept) -> None:
    profiles = Store(swept.store).op_profiles("places")
    names = {t["id"]: t["recipe"] for t in swept.shown["trials"]}
    found = {(names[trial], re.split(r"[{]", runtime)[0]) for trial, runtime, _ in profiles}
    assert {(s, r) for s in SCHEMES for r in ("xnnpack", "builtin")} <= found
    assert ("int8", "ethos-u55-128") in found or not installed("ethos-u55-128")
    assert all(p.operators for p in profiles.values())


def test_warnings_name_their_runtime(swept: Swept) -> None:
    for (scheme, runtime), made in swept.pairs.items():
        trial = next(t for t in swept.shown["trials"] if t["recipe"] == scheme)
        software = [w for w in trial["warnings"] if w["kind"] == "software-device" and f"on {runtime}" in w["seen"]]
        assert bool(software) is (made["state"] == "ok" and made["software"]), (scheme, runtime)


def test_the_report_names_every_runtime(swept: Swept) -> None:
    succeed(swept.folder, "report", "places", "--store", swept.store, "--out", "page.html")
    page = (swept.folder / "page.html").read_text()
    for runtime in RUNTIMES:
        assert runtime in page
    assert "estimated" in page


# ---- a stranger's runtime

FINE = '''
"""A runtime in one file."""

from ai_edge_litert.interpreter import Interpreter
import numpy as np
from pydantic import Field

from workbench.errors import StageFailed
from workbench.runtimes.base import Coverage, Runtime, Session, seeded
from workbench.values.params import Params


class PlainParams(Params):
    """How it runs."""

    threads: int = Field(1, ge=1, le=8, description="threads of one inference")


class PlainSession(Session):
    device = "somebody's board"

    def __init__(self, interpreter):
        self.interpreter = interpreter
        self.invoke = interpreter.invoke
        operators = sum(o["op_name"] != "DELEGATE" for o in interpreter._get_ops_details())
        self.coverage = Coverage(operators, operators, 1)
        self.run([seeded(d["shape"], d["dtype"]) for d in interpreter.get_input_details()])

    def run(self, inputs):
        for detail, value in zip(self.interpreter.get_input_details(), inputs, strict=True):
            self.interpreter.set_tensor(detail["index"], value)
        self.interpreter.invoke()
        return [np.array(self.interpreter.get_tensor(d["index"])) for d in self.interpreter.get_output_details()]


class Plain(Runtime[PlainParams]):
    name = "plain"
    help = "LiteRT's interpreter by a stranger"
    params = PlainParams

    def open(self, path, params):
        try:
            interpreter = Interpreter(str(path), num_threads=params.threads)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise StageFailed(f"it cannot be read: {error}") from error
        return PlainSession(interpreter)
'''
DEADLY = """
import os

from stranger import Plain, PlainSession


class DeadlySession(PlainSession):
    def __init__(self, interpreter):
        super().__init__(interpreter)
        # Opening invokes it six times at most, timing more often than that.
        self.left = 6
        self.invoke = self.step

    def step(self):
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), 9)
        self.interpreter.invoke()


class Deadly(Plain):
    name = "deadly"
    help = "ends its own process while it is timed"

    def open(self, path, params):
        return DeadlySession(super().open(path, params).interpreter)
"""
CONFORMS = """
from pathlib import Path

import pytest
from workbench.testing import RuntimeConformance


class TestPlain(RuntimeConformance):
    text = "plain[threads=2]"

    @pytest.fixture(scope="class")
    def files(self):
        return {{"float32": Path({float32!r}), "int8": Path({int8!r})}}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two packages that bring the runtimes `plain` and `deadly`."""
    folder = install(tmp_path_factory.mktemp("site"), "stranger", FINE, {"plain": "Plain"}, "runtimes")
    return install(folder, "killer", DEADLY, {"deadly": "Deadly"}, "runtimes")


@pytest.fixture(scope="module")
def theirs(site: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """A sweep on the strangers' runtimes beside a built-in one."""
    folder = tmp_path_factory.mktemp("theirs")
    store = folder / "store"
    quick = ("--quantize", "float32,int8", "--measure-budget", "0.3", "--store", store, "--study", "s")
    where = ("--runtime", "deadly,xnnpack,plain")
    done = run(folder, "sweep", MODEL, "--data", data, *quick, *where, env=environment(site))
    assert done.returncode in (0, 1), done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return Swept(folder, store, show(folder, "s", store))


def test_a_strangers_runtime_keeps_the_common_rules(
    site: Path, small_tflite: Path, small_int8_tflite: Path, tmp_path: Path
) -> None:
    """On files that are there, so that nothing is made of the bundled model again."""
    files = {"float32": str(small_tflite), "int8": str(small_int8_tflite)}
    (tmp_path / "test_plain.py").write_text(CONFORMS.format(**files))
    env = environment(site)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_plain.py"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"\b1\d passed", done.stdout), done.stdout
    assert "skipped" not in done.stdout


def test_a_strangers_runtime_goes_everywhere_a_built_in_goes(
    site: Path, theirs: Swept, small_tflite: Path, tmp_path: Path
) -> None:
    env = environment(site)
    parts = json.loads(succeed(tmp_path, "doctor", "--format", "json", env=env))["parts"]
    assert [p for p in parts if p["name"] == "plain"] == [
        {"kind": "runtime", "name": "plain", "state": "ok", "about": "LiteRT's interpreter by a stranger"}
    ]

    bench = ("bench", small_tflite, "--runtime", "plain[threads=2],xnnpack", "--budget", "0.3", "--format", "json")
    plain, xnnpack = json.loads(succeed(tmp_path, *bench, env=env))
    assert (plain["state"], plain["device"], plain["options"]) == ("ok", "somebody's board", {"threads": 2})
    assert plain["ops_delegated"] == plain["ops_total"] == xnnpack["ops_total"] > 2

    compared = ("compare", small_tflite, "--runtimes", "xnnpack,plain", "--budget", "0.3", "--format", "json")
    _, plain = json.loads(succeed(tmp_path, *compared, env=env))
    assert plain["reference"]["agreement"] == 1.0
    assert plain["ratio"]["median"] > 0

    store, trials = theirs.store, theirs.shown["trials"]
    for trial in trials:
        made = {m["runtime"]: m for m in trial["measurements"]}
        assert {r: made[r]["state"] for r in ("xnnpack", "plain")} == {"xnnpack": "ok", "plain": "ok"}
        assert made["plain"]["reference"]["agreement"] > 0.9
        assert made["xnnpack"]["reference"] is None
    succeed(tmp_path, "report", "s", "--store", store, "--out", "page.html", env=env)
    page = (tmp_path / "page.html").read_text()
    assert "plain" in page
    assert "deadly" in page
    assert "somebody" in page or "plain" in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    # A study outlives the package that brought its runtime.
    succeed(tmp_path, "report", "s", "--store", store, "--out", "without.html")
    assert [t["recipe"] for t in show(tmp_path, "s", store)["trials"]] == [t["recipe"] for t in trials]


def test_a_runtime_that_kills_its_process_costs_its_own_measurements(theirs: Swept) -> None:
    for trial in theirs.shown["trials"]:
        assert (trial["state"], trial["error"]) == ("ok", None)
        assert trial["quality"]["accuracy"] > 0.5
        made = {m["runtime"]: m for m in trial["measurements"]}
        assert made["xnnpack"]["state"] == made["plain"]["state"] == "ok"
        assert made["deadly"]["state"] == "failed"
        assert re.match(r"crash: the process of .* on deadly died", made["deadly"]["error"])
    assert os.listdir(theirs.store / "artifacts")
