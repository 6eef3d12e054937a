"""A third party's model source and dataset, one file each, everywhere that a built-in goes."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from running import FORKING, Json, environment, install, run, show, stage_rows, succeed

from workbench.data.load import bundled, load_dataset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

KZ = '''
"""Models as a zip of tf_keras's JSON and its weights as NumPy writes them."""

import io
import zipfile

import numpy as np

from workbench.errors import StageFailed, WorkbenchError
from workbench.sources.base import ConvertedSource


class Kz(ConvertedSource):
    name = "kz"
    help = "architecture and weights of a tf_keras model in one zip"
    takes = "a .kz archive"
    gives = "keras"
    endings = (".kz",)
    tools = ("tensorflow", "tf-keras")

    def check(self, path, allow_code):
        if not zipfile.is_zipfile(path) or set(zipfile.ZipFile(path).namelist()) != {"model.json", "weights.npz"}:
            raise WorkbenchError(f"{str(path)!r} is no .kz archive. Write one with model.json and weights.npz in it.")

    def open(self, path, folder, allow_code):
        import tf_keras

        try:
            with zipfile.ZipFile(path) as archive:
                model = tf_keras.models.model_from_json(archive.read("model.json").decode())
                weights = np.load(io.BytesIO(archive.read("weights.npz")))
            model.set_weights([weights[f"arr_{n}"] for n in range(len(weights.files))])
        except (ValueError, KeyError, zipfile.BadZipFile) as error:
            raise StageFailed(f"{path.name!r} cannot be opened: {error}") from error
        model.save(folder / "model.h5", include_optimizer=False, save_format="h5")
        return folder / "model.h5"
'''
IDX = '''
"""Folders in the form of MNIST: train-images-idx3-ubyte.gz and its three companions."""

import gzip
import math
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from workbench.data.base import DatasetReader
from workbench.data.dataset import from_arrays
from workbench.errors import WorkbenchError
from workbench.values.params import Params

FILES = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}


class IdxParams(Params):
    scale: Literal["0..1", "0..255"] = Field("0..1", description="range that pixel values are mapped to")


class Idx(DatasetReader[IdxParams]):
    name = "idx"
    help = "a folder of IDX files, as MNIST is spread"
    takes = "a folder of IDX files"
    params = IdxParams

    def matches(self, text):
        return (Path(text) / FILES["x_test"]).is_file()

    def read(self, text, params, input_shape):
        arrays = {name: idx(Path(text) / file) for name, file in FILES.items()}
        for name in ("x_train", "x_test"):
            arrays[name] = arrays[name][..., None].astype(np.float32) / np.float32(255 if params.scale == "0..1" else 1)
        return from_arrays(arrays, Path(text).name)


def idx(path):
    try:
        data = gzip.decompress(path.read_bytes())
        shape = np.frombuffer(data, ">i4", data[3], 4)
        return np.frombuffer(data, np.uint8, math.prod(shape.tolist()), 4 + 4 * len(shape)).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise WorkbenchError(f"{str(path)!r} is no IDX file: {error}. Load it down again.") from error
'''
CONFORM = """
from pathlib import Path

import pytest
from workbench.testing import DatasetConformance, SourceConformance


class TestKz(SourceConformance):
    name = "kz"

    @pytest.fixture(scope="class")
    def file(self):
        return Path({model!r})


class TestIdx(DatasetConformance):
    name = "idx"
    options = "scale=0..255"
    input_shape = (None, 32, 32, 1)

    @pytest.fixture(scope="class")
    def text(self):
        return {data!r}
"""
COMPLETE = """
from IPython.core.interactiveshell import InteractiveShell
from workbench.notebook.completion import complete

shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "workbench")
session = shell.magics_manager.registry["WorkbenchMagics"].session
print(*complete(session, "model ").texts)
"""


class Site(NamedTuple):
    """Where the two packages lie, and a model and data of their forms."""

    folder: Path
    model: Path
    data: Path

    @property
    def env(self) -> dict[str, str]:
        return environment(self.folder, FORKING)


class Swept(NamedTuple):
    """The folder in which they were swept, its store, and what `show` prints without the packages."""

    folder: Path
    store: Path
    shown: Json


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    packages = install(tmp_path_factory.mktemp("site"), "kzfile", KZ, {"kz": "Kz"}, "sources")
    install(packages, "idxfile", IDX, {"idx": "Idx"}, "datasets")
    folder = tmp_path_factory.mktemp("theirs")
    return Site(packages, write_kz(folder / "small.kz"), write_idx(folder / "numbers"))


def write_kz(path: Path) -> Path:
    import tf_keras

    model = tf_keras.models.load_model(bundled("digits_small.h5"), compile=False)
    weights = path.with_suffix(".npz")
    np.savez(weights, *model.get_weights())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", model.to_json())
        archive.write(weights, "weights.npz")
    return path


def write_idx(folder: Path) -> Path:
    digits = load_dataset("digits")
    folder.mkdir()
    for name, split in (("train", digits.train), ("t10k", digits.test)):
        assert split is not None
        pixels = np.round(np.asarray(split.x)[..., 0] * 255).astype(np.uint8)
        labels = np.asarray(split.y, np.uint8)
        for what, array in ((f"{name}-images-idx3", pixels), (f"{name}-labels-idx1", labels)):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            (folder / f"{what}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    return folder


GRID = {
    "recipes": ["float32", "int8", "int8[engine=converter]", "prune:0.5+int8"],
    "train": {"epochs": 1},
    "measure": {"skip": True},
}


def sweep(site: Site, store: Path) -> list[object]:
    store.parent.joinpath("grid.json").write_text(json.dumps(GRID))
    return [
        "sweep", site.model, "--data", f"{site.data}?scale=0..1", "--grid", store.parent / "grid.json", "--store", store, "--study", "s",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def swept(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    folder = tmp_path_factory.mktemp("swept")
    succeed(folder, *sweep(site, folder / "store"), env=site.env)
    return Swept(folder, folder / "store", show(folder, "s", folder / "store"))


def test_doctor_lists_them_beside_the_built_ins(site: Site, tmp_path: Path) -> None:
    parts = json.loads(succeed(tmp_path, "doctor", "--format", "json", env=site.env))["parts"]
    found = {(p["kind"], p["name"]): (p["state"], p["about"]) for p in parts}
    assert found["source", "kz"] == ("ok", "architecture and weights of a tf_keras model in one zip")
    assert found["dataset", "idx"] == ("ok", "a folder of IDX files, as MNIST is spread")
    assert {("source", "keras"), ("dataset", "csv"), ("technique", "prune"), ("runtime", "micro")} <= set(found)


def test_all_recipes_are_made_of_them(swept: Swept) -> None:
    trials = {t["recipe"]: t for t in swept.shown["trials"]}
    assert len(trials) == 4
    for recipe, trial in trials.items():
        assert (trial["state"], trial["error"]) == ("ok", None), recipe
        # One epoch does not bring back all that half of the weights knew.
        assert trial["quality"]["accuracy"] > (0.5 if recipe.startswith("prune") else 0.8), recipe
    assert trials["prune:0.5+int8"]["census"]["sparsity"] > 0.4


def test_nothing_is_done_again(site: Site, swept: Swept) -> None:
    before = stage_rows(swept.store)
    kinds = [row[0] for row in before.values()]
    assert kinds.count("open") == 1, "opened once for all recipes"
    succeed(swept.folder, *sweep(site, swept.store), env=site.env)
    assert stage_rows(swept.store) == before
    told = succeed(swept.folder, "store", "gc", "--dry-run", "--format", "json", "--store", swept.store)
    assert '"open"' not in told


def test_lineage_begins_with_the_file_that_was_handed_in(site: Site, swept: Swept) -> None:
    made = json.loads(
        succeed(swept.folder, "lineage", "s", "prune:0.5+int8", "--store", swept.store, "--format", "json")
    )
    nodes = {n["id"]: n for n in made["nodes"]}
    (model,) = [n for n in made["nodes"] if n["kind"] == "model"]
    assert model["detail"]["path"] == str(site.model)
    (opening,) = [nodes[e["end"]] for e in made["edges"] if e["start"] == model["id"]]
    assert opening["title"] == "open small"
    assert opening["detail"]["settings"]["opener"] == "kz"
    assert set(opening["detail"]["tools"]) == {"tensorflow", "tf-keras"}
    (file,) = [nodes[e["end"]] for e in made["edges"] if e["start"] == opening["id"]]
    assert file["title"].endswith(".h5")
    readers = {nodes[e["end"]]["title"] for e in made["edges"] if e["start"] == file["id"]}
    assert "train prune:0.5" in readers


def test_a_study_outlives_the_packages(site: Site, swept: Swept) -> None:
    from workbench import open_study
    from workbench.dashboard.state import DashboardState

    assert {t["recipe"] for t in swept.shown["trials"]} > {"float32", "int8"}
    for env in (site.env, environment()):
        succeed(swept.folder, "report", "s", "--store", swept.store, "--out", "page.html", env=env)
        page = (swept.folder / "page.html").read_text()
        assert "numbers" in page
        assert "small" in page
    state = DashboardState(open_study("s", swept.store))
    assert state.header()["state"] == "done"
    model = state.environment()["model"]
    assert (model["name"], model["kind"]) == ("small", "keras made by kz")
    assert state.environment()["dataset"]["name"] == "numbers"


def test_without_the_packages_their_files_are_refused(site: Site, tmp_path: Path) -> None:
    for arguments, said in (
        (
            ("sweep", site.model, "--data", "digits"),
            "'.kz', which is no known kind. Allowed: a tf_keras or Keras 3 model object",
        ),
        (("sweep", bundled("digits_small.h5"), "--data", site.data), "has no class subfolders of images"),
    ):
        done = run(tmp_path, *arguments)
        assert done.returncode == 2
        assert said in " ".join(done.stderr.split())


MISTAKES = [
    ("model.onnx", "{data}", "'.onnx', which is no known kind. Allowed: a tf_keras or Keras 3 model object, .keras or .h5 (Keras 3), .keras or .h5 (tf_keras), a SavedModel folder, a float .tflite, or a .kz archive."),
    ("{model}", "x.parquet", "a folder of class subfolders of images, a folder of IDX files, a dict of arrays, tf.data datasets."),
    ("broken.kz", "{data}", "is no .kz archive"),
    ("keras:{model}", "{data}", "is not a readable HDF5 or .keras file"),
]  # fmt: skip
OF_DATA = [
    ("{data}?scala=0..1", "unknown dataset setting 'scala'. Did you mean 'scale'"),
    ("{data}?scale=2", "scale = '2'"),
    ("idx:{model}", "is no IDX file"),
]
TRY = """
import json, sys
import workbench
from workbench.errors import WorkbenchError

said = []
for model, data in json.load(sys.stdin):
    try:
        workbench.sweep(model, data, {"quantize": ["int8"]}) if model else workbench.load_dataset(data)
    except WorkbenchError as error:
        said.append(str(error))
print(json.dumps(said))
"""


def test_mistakes_are_told_before_anything_runs(site: Site, tmp_path: Path) -> None:
    for name in ("model.onnx", "x.parquet", "broken.kz"):
        (tmp_path / name).write_bytes(b"nothing")
    names = {"model": site.model, "data": site.data}
    cases = [(m.format(**names), d.format(**names), said) for m, d, said in MISTAKES]
    cases += [("", d.format(**names), said) for d, said in OF_DATA]
    done = python(site, tmp_path, "-c", TRY, told=json.dumps([case[:2] for case in cases]))
    assert done.returncode == 0, done.stderr[-3000:]
    for (_, _, said), found in zip(cases, json.loads(done.stdout), strict=True):
        assert said in found
    assert not list((tmp_path / ".workbench").glob("artifacts/*"))


def test_a_file_that_cannot_be_opened_is_told_before_anything_is_built(site: Site, tmp_path: Path) -> None:
    with_code(tmp_path / "lambda.kz")
    done = run(tmp_path, "sweep", "lambda.kz", "--data", site.data, "--quantize", "int8", env=site.env)
    assert done.returncode == 2, done.stderr
    assert "workbench: 'lambda.kz' cannot be opened: Requested the deserialization of a" in " ".join(
        done.stderr.split()
    )
    assert "Traceback" not in done.stderr


def with_code(path: Path) -> None:
    """Write a `.kz` with a layer of Python code, which tf_keras refuses to open."""
    import tf_keras

    layers = [tf_keras.layers.Input((32, 32, 1)), tf_keras.layers.Flatten(), tf_keras.layers.Lambda(lambda x: x + 1)]
    text = tf_keras.Sequential(layers).to_json()
    np.savez(path.with_suffix(".npz"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", text)
        archive.write(path.with_suffix(".npz"), "weights.npz")


def test_python_and_notebooks_take_them_too(site: Site, tmp_path: Path) -> None:
    script = f"""
import workbench
assert workbench.load_model({str(site.model)!r}).count_params() > 10_000
assert workbench.load_dataset({str(site.data)!r}).test.x.max() == 1.0
assert workbench.load_dataset({f"idx:{site.data}?scale=0..255"!r}).test.x.max() == 255.0
"""
    (tmp_path / "mine.kz").touch()
    (tmp_path / "notes.txt").touch()
    for code in (script, COMPLETE):
        done = python(site, tmp_path, "-c", code)
        assert done.returncode == 0, done.stderr[-3000:]
    assert {"mine.kz"} <= set(done.stdout.split())
    assert "notes.txt" not in done.stdout


def test_they_keep_the_common_rules(site: Site, tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(CONFORM.format(model=str(site.model), data=str(site.data)))
    done = python(site, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_theirs.py")
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"\b1[89] passed", done.stdout), done.stdout
    assert "skipped" not in done.stdout


def python(site: Site, folder: Path, *arguments: Any, told: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], input=told, cwd=folder, env={**os.environ, **site.env}, capture_output=True, text=True, timeout=1200, check=False
    )  # fmt: skip
