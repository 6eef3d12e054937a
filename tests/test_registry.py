"""Techniques and runtimes by name: built-ins, entry points of other packages, and broken ones."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from workbench import registry
from workbench.errors import WorkbenchError, unknown
from workbench.runtimes.base import Estimator, Runtime
from workbench.techniques.base import Finisher, KerasTechnique, Technique
from workbench.values.params import Params

# ---- built-ins


@pytest.mark.parametrize(
    ("names", "name", "said"),
    [
        (
            registry.techniques,
            "prunes",
            ["technique 'prunes'", "Did you mean 'prune'", "Allowed: cluster, "],
        ),
        (
            registry.runtimes,
            "xnnpak",
            ["runtime 'xnnpak'", "Did you mean 'xnnpack'", "`workbench doctor` lists them all"],
        ),
        (registry.runtimes, "zzz", ["runtime 'zzz'. Allowed: ", "builtin, ", "reference"]),
        (registry.runtimes, "", ["runtime ''. Allowed"]),
    ],
)
def test_unknown_names_list_the_nearest_and_the_allowed(names: Any, name: str, said: list[str]) -> None:
    with pytest.raises(WorkbenchError) as caught:
        names.get(name)
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_the_nearest_name_may_be_written_large() -> None:
    assert "Did you mean 'tpe'?" in str(unknown("proposer", "TPE", ["grid", "tpe", "random"]))


def test_an_unknown_name_with_nothing_allowed() -> None:
    assert str(unknown("study", "a", [])) == "unknown study 'a'. Allowed: none."


@pytest.mark.parametrize("name", registry.BUILTIN_TECHNIQUES)
def test_built_in_techniques(name: str) -> None:
    technique = registry.techniques.get(name)
    assert isinstance(technique, (KerasTechnique, Finisher))
    assert technique.name == name
    assert registry.techniques.get(name) is technique
    assert len(technique.help) > 20
    assert technique.version >= 1
    assert technique.available() is None
    assert issubclass(technique.params, Params)


@pytest.mark.parametrize("name", registry.BUILTIN_RUNTIMES)
def test_built_in_runtimes(name: str) -> None:
    runtime = registry.runtimes.get(name)
    assert isinstance(runtime, (Runtime, Estimator))
    assert runtime.name == name
    assert runtime.kind == ("estimated" if isinstance(runtime, Estimator) else "measured")
    assert len(runtime.help) > 20
    missing = runtime.available()
    # What a driver or a vendor's kit is needed for may be missing here; it then says how to get it.
    assert missing is None or (name in ("gpu", "npu") and "install" in missing)


def test_techniques_go_before_finishers() -> None:
    found = registry.techniques.all().values()
    keras = [t.order for t in found if t.level == "keras"]
    assert keras == sorted(set(keras))
    assert max(keras) < min(t.order for t in found if isinstance(t, Finisher))


def test_built_ins_are_none_of_the_broken() -> None:
    for names, builtins in (
        (registry.techniques, registry.BUILTIN_TECHNIQUES),
        (registry.runtimes, registry.BUILTIN_RUNTIMES),
    ):
        assert list(names.all())[: len(builtins)] == list(builtins)
        assert not set(names.broken()) & set(builtins)


def test_every_technique_has_a_class_of_its_own() -> None:
    assert len({type(t) for t in registry.techniques.all().values()}) == len(registry.BUILTIN_TECHNIQUES)
    assert all(issubclass(type(t), Technique) for t in registry.techniques.all().values())


def test_the_kinds_are_all_registries_of_the_module() -> None:
    found = registry.kinds()
    assert {"source", "dataset", "task", "technique", "runtime"} <= set(found)
    assert found["source"] is registry.sources
    assert all(isinstance(names, registry.Registry) and names.what == kind for kind, names in found.items())
    assert len({names.group for names in found.values()}) == len(found)


@pytest.mark.parametrize("kind", registry.kinds())
def test_every_built_in_says_what_it_is(kind: str) -> None:
    names = registry.kinds()[kind]
    for name in names.builtins:
        part = names.get(name)
        assert (part.name, type(part).__module__.partition(".")[0]) == (name, "workbench")
        assert len(part.help) > 5
        missing = part.available()
        assert missing is None or isinstance(missing, str)


SLOW = """
import threading, time
made = []

class Part:
    def __init__(self):
        # Half made for a while, which nobody may see.
        time.sleep(0.05)
        made.append(threading.get_ident())
        self.whole = True

class Asking(Part):
    def __init__(self):
        import of_threads
        self.other = of_threads.names.get("part")
        super().__init__()
"""


def test_many_threads_that_ask_first_get_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_parts.py").write_text(SLOW)
    (tmp_path / "of_threads.py").write_text("names = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    names: registry.Registry[Any] = registry.Registry(
        "part", "workbench.tests.none", "slow_parts:Part", {"part": "slow_parts:Part", "asking": "slow_parts:Asking"}
    )
    importlib.import_module("of_threads").names = names  # type: ignore[attr-defined]  # a module made for this test
    together = threading.Barrier(24)

    def ask(number: int) -> Any:
        together.wait()
        if number % 3 == 0:
            return names.get("part")
        if number % 3 == 1:
            return names.all()["part"]
        return names.get("asking").other

    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(ask, range(24)))
    assert len({id(part) for part in found}) == 1
    assert all(part.whole for part in found)
    made = importlib.import_module("slow_parts").made
    assert len(made) == 2, "each was made once"
    assert names.broken() == {}


def test_a_name_before_a_colon_is_a_choice() -> None:
    assert registry.datasets.named("csv:table.txt") == (registry.datasets.get("csv"), "table.txt")
    assert registry.datasets.named("csv:a:b") == (registry.datasets.get("csv"), "a:b")
    for text in ("table.csv", "cvs:table.txt", "./csv:table.txt", "csv", ""):
        assert registry.datasets.named(text) == (None, text)


def test_what_a_built_in_raises_is_a_bug_and_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), registry.datasets.blamed("csv", "table.csv"):
        1 / 0  # noqa: B018  # the error is the test
    with pytest.raises(WorkbenchError, match=r"dataset 'theirs' failed on 'x': ZeroDivisionError: .* whoever wrote it"):  # noqa: SIM117
        with registry.datasets.blamed("theirs", "x"):
            1 / 0  # noqa: B018  # as above


def test_a_file_that_a_strangers_code_cannot_open_is_nobodys_mistake_but_the_users(tmp_path: Path) -> None:
    kinds = registry.datasets
    with pytest.raises(WorkbenchError, match=r"^'.*/none\.csv' cannot be read by dataset 'theirs': No such file"):  # noqa: SIM117
        with kinds.blamed("theirs", "none.csv"):
            (tmp_path / "none.csv").read_bytes()


# ---- packages of others

STRANGERS = """
from pathlib import Path
from workbench.errors import WorkbenchError
from workbench.data.base import DatasetReader
from workbench.data.dataset import from_arrays
from workbench.runtimes.base import Runtime, Session
from workbench.techniques.base import KerasTechnique

class Abacus(Runtime):
    name = "abacus"
    help = "a frame with beads, for the patient"
    def open(self, path, params):
        raise WorkbenchError("beads are missing")
    def available(self):
        return "no beads here: buy some"

class Shrink(KerasTechnique):
    name = "shrink"
    help = "make it smaller by wishing"
    order = 15
    def apply(self, model, params, job):
        return model

class Abstract(Runtime):
    name = "abstract"
    help = "forgot to say how it opens"

class Picky(Runtime):
    name = "picky"
    help = "cannot be made"
    def __init__(self):
        raise RuntimeError("not today")
    def open(self, path, params): ...

class Plain:
    name = "plain"

hidden = Abacus

class Anything(DatasetReader):
    name = "anything"
    help = "takes whatever ends in .any"
    takes = "a .any file"
    endings = (".any",)
    def read(self, text, params, input_shape):
        return from_arrays({"x": [[1.0]] * 8}) if "good" in text else 1 / 0

class Everything(Anything):
    name = "everything"
    endings = (".any", ".all")
    def read(self, text, params, input_shape):
        return "a text"

class Silent(DatasetReader):
    name = "broken-silent"
    def read(self, text, params, input_shape): ...

class Moody(Anything):
    name = "moody"
    def matches(self, text):
        raise RuntimeError("not in the mood")
    def available(self):
        return self.matches("")
"""
ENTRY_POINTS = """
[workbench.runtimes]
abacus = strangers:Abacus
xnnpack = strangers:hidden
broken-import = strangers_of_strangers:Thing
broken-name = strangers:Nothing
broken-class = strangers:Abstract
broken-init = strangers:Picky
broken-kind = strangers:Plain

[workbench.techniques]
shrink = strangers:Shrink
broken-syntax = strangers_syntax:Thing

[workbench.sources]
broken-source = strangers:Plain

[workbench.datasets]
anything = strangers:Anything
everything = strangers:Everything
moody = strangers:Moody
broken-silent = strangers:Silent
broken-alias = strangers:Anything
"""


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `pip install` leaves it: modules, and a dist-info that names their entry points."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "strangers.py").write_text(STRANGERS)
    (folder / "strangers_of_strangers.py").write_text("import a_package_that_nobody_has\n")
    (folder / "strangers_syntax.py").write_text("def Thing(:\n")
    info = folder / "strangers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def python(strangers: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(strangers), *(p for p in sys.path if p)])}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=env, cwd=strangers, timeout=600
    )


def test_doctor_lists_good_missing_and_broken_parts(strangers: Path) -> None:
    done = python(strangers, "-W", "always", "-m", "workbench", "doctor", "--format", "json")
    assert done.returncode == 0, done.stderr
    parts = {(p["kind"], p["name"]): p for p in json.loads(done.stdout)["parts"]}
    states = {place: part["state"] for place, part in parts.items()}
    for kind, names in registry.kinds().items():
        for name in names.builtins:
            assert states.pop((kind, name)) in (("ok", "missing") if name in ("gpu", "npu", "hf", "tfds") else ("ok",))
    broken = ["broken-import", "broken-name", "broken-class", "broken-init", "broken-kind"]
    assert states == {
        ("technique", "shrink"): "ok",
        ("runtime", "abacus"): "missing",
        ("dataset", "anything"): "ok",
        ("dataset", "everything"): "ok",
        ("dataset", "moody"): "broken",
        ("dataset", "broken-silent"): "broken",
        ("dataset", "broken-alias"): "broken",
        ("technique", "broken-syntax"): "broken",
        ("source", "broken-source"): "broken",
        **{("runtime", name): "broken" for name in broken},
    }
    assert parts["dataset", "moody"]["about"] == "asking what is missing failed: RuntimeError: not in the mood"
    assert "is no subclass of workbench.sources.base.Source" in parts["source", "broken-source"]["about"]
    assert parts["task", "detection"]["about"] == registry.tasks.get("detection").help
    assert parts["runtime", "abacus"]["about"] == "no beads here: buy some"
    assert (
        "has no help and no takes, which workbench.data.base.DatasetReader asks for"
        in parts["dataset", "broken-silent"]["about"]
    )
    assert "calls itself 'anything'" in parts["dataset", "broken-alias"]["about"]
    # Said in a line, not as Python says warnings.
    assert "workbench: dataset 'broken-silent' is left out" in done.stderr
    reasons = {
        "broken-import": "No module named 'a_package_that_nobody_has'",
        "broken-name": "has no attribute 'Nothing'",
        "broken-class": "abstract",
        "broken-init": "RuntimeError: not today",
        "broken-kind": "is no subclass of workbench.runtimes.base.Backend",
    }
    for name, reason in reasons.items():
        assert reason in parts["runtime", name]["about"]
        assert "strangers" in parts["runtime", name]["about"]
        assert f"runtime {name!r} is left out" in done.stderr
    assert "SyntaxError" in parts["technique", "broken-syntax"]["about"]
    assert parts["runtime", "xnnpack"]["about"] == registry.runtimes.get("xnnpack").help
    assert "runtime 'xnnpack' of strangers:hidden hides behind the built-in of that name" in done.stderr


def test_strangers_go_through_the_same_door(strangers: Path) -> None:
    script = """
from workbench import registry
from workbench.recipes.grammar import check_recipe, parse_recipe, recipe_text
from workbench.recipes.grid import expand, parse_grid
assert type(registry.runtimes.get("abacus")).__name__ == "Abacus"
assert registry.runtimes.get("xnnpack").__module__ == "workbench.runtimes.litert"
assert check_recipe(parse_recipe("shrink+int8"), "keras") is None
assert "`shrink` needs a Keras model" in check_recipe(parse_recipe("shrink+int8"), "tflite")
grid = parse_grid({"cluster": [16], "shrink": [False, True], "prune": [0.5], "quantize": ["int8"]})
print(*[recipe_text(r) for r in expand(grid, "keras").recipes])
"""
    done = python(strangers, "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["prune:0.5+cluster:16+int8", "prune:0.5+shrink+cluster:16+int8"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("broken-import", "No module named 'a_package_that_nobody_has'"), ("broken-kind", "is no subclass of")],
)
def test_asking_for_a_broken_part_is_a_message(strangers: Path, name: str, reason: str) -> None:
    (strangers / "model.tflite").write_bytes(b"")
    done = python(strangers, "-m", "workbench", "bench", "model.tflite", "--runtime", name)
    assert done.returncode == 2
    assert reason in done.stderr
    assert f"runtime {name!r} (strangers" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_part_is_a_failed_measurement_with_the_way_to_get_it(strangers: Path, small_tflite: Path) -> None:
    done = python(
        strangers,
        "-W",
        "ignore",
        "-m",
        "workbench",
        "bench",
        str(small_tflite),
        "--runtime",
        "abacus",
        "--format",
        "json",
    )
    assert done.returncode == 1, done.stderr
    (found,) = json.loads(done.stdout)
    assert (found["state"], found["error"]) == ("failed", "no beads here: buy some")


def test_who_reads_is_told_apart_or_asked(strangers: Path) -> None:
    script = """
import warnings
from pathlib import Path
import numpy as np
from workbench.data.load import find_reader, load_dataset, takes_shape
from workbench.errors import WorkbenchError
warnings.simplefilter("always")
for name in ("good.any", "bad.any", "x.all", "y.csv"):
    Path(name).write_text("a,b\\n1,2\\n3,4\\n")

def told(text):
    try:
        return load_dataset(text).name
    except WorkbenchError as error:
        return str(error)

print(told("good.any"))
print(takes_shape("good.any"))
print(told("anything:good.any"))
print(told("anything:bad.any"))
print(told("x.all"))
print(told("csv:good.any"))
print(find_reader("y.csv").reader.name)
"""
    done = python(strangers, "-c", script)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "'good.any' can be read by 2 datasets. Say by which: anything:good.any or everything:good.any."
    assert lines[1:3] == ["False", "arrays"]
    assert lines[3].startswith("dataset 'anything' failed on 'bad.any': ZeroDivisionError: division by zero.")
    assert lines[4] == "dataset 'everything' made no Dataset of 'x.all', but str."
    assert lines[5:] == ["good", "csv"]
    assert "dataset 'moody' is passed over: RuntimeError: not in the mood" in done.stderr
