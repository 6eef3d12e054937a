"""What a third party's source makes of a file is held to what a user's own file is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench import registry
from workbench.engine.plan import Plan
from workbench.engine.planning import add_describing, add_opening
from workbench.errors import StageFailed, WorkbenchError
from workbench.sources.base import ConvertedSource
from workbench.sources.glance import glance
from workbench.sources.identify import allowed, identify
from workbench.sources.opening import open_source
from workbench.values.source import ModelInfo

Make = Callable[[Path], Path]


class Theirs(ConvertedSource):
    name = "theirs"
    help = "a source of a third party"
    takes = "a .their file"
    gives = "keras"
    endings = (".their",)

    def __init__(self) -> None:
        self.make: Make = lambda folder: folder / "nothing.h5"

    def open(self, path: Path, folder: Path, allow_code: bool) -> Path:
        return self.make(folder)


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Theirs:
    made, found = Theirs(), registry.sources.all()
    monkeypatch.setattr(registry.sources, "_loaded", {**found, "theirs": made})
    monkeypatch.setattr(registry.sources, "_names", dict.fromkeys([*found, "theirs"], ""))
    return made


@pytest.fixture
def info(theirs: Theirs, tmp_path: Path) -> ModelInfo:
    (tmp_path / "model.their").write_bytes(b"theirs")
    return identify(tmp_path / "model.their", tmp_path)


def opened(info: ModelInfo, tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return open_source(info, tmp_path / "folder")


def test_it_is_found_by_its_ending_and_told_so(info: ModelInfo, tmp_path: Path) -> None:
    assert (info.kind, info.source, info.opener) == ("keras", "theirs", "theirs")
    assert info.told == f"theirs:{tmp_path / 'model.their'}"
    assert glance(info) is None
    assert allowed().endswith("a float .tflite, or a .their file")
    assert ModelInfo.model_validate({**info.to_json(), "source": ""}).opener == "keras"


def test_what_it_makes_is_used(info: ModelInfo, theirs: Theirs, small_h5: Path, tmp_path: Path) -> None:
    theirs.make = lambda folder: Path(shutil.copyfile(small_h5, folder / "made.h5"))
    assert opened(info, tmp_path).read_bytes() == small_h5.read_bytes()


def with_code(folder: Path) -> Path:
    import tf_keras

    layers = [tf_keras.layers.Input((3,)), tf_keras.layers.Lambda(lambda x: x + 1)]
    tf_keras.Sequential(layers).save(folder / "code.keras")
    return folder / "code.keras"


def of_keras_3(folder: Path) -> Path:
    import keras  # type: ignore[import-untyped,unused-ignore]

    keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)]).save(folder / "new.keras")
    return folder / "new.keras"


def written(name: str) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"bytes")
        return folder / name

    return make


def linked(folder: Path) -> Path:
    (folder / "real.h5").write_bytes(b"")
    (folder / "link.h5").symlink_to(folder / "real.h5")
    return folder / "link.h5"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (with_code, r"cannot be used: .*Lambda"),
        (of_keras_3, r"cannot be used: .* was saved by Keras 3"),
        (written("model.h5"), "cannot be used: .* is not a readable HDF5"),
        (written("model.tflite"), r"that is no \.keras or \.h5 \(tf_keras\): 'model.tflite'"),
        (written("../outside.h5"), "lies elsewhere"),
        (linked, "lies elsewhere"),
        (lambda folder: folder / "none.h5", "that is no .keras"),
        (lambda folder: folder, "lies elsewhere"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused(make: Make, said: str, info: ModelInfo, theirs: Theirs, tmp_path: Path) -> None:
    theirs.make = make
    with pytest.raises(StageFailed, match=f"source 'theirs' made a file of 'model.their' .*{said}"):
        opened(info, tmp_path)


def test_allow_code_lets_it_make_code(info: ModelInfo, theirs: Theirs, tmp_path: Path) -> None:
    theirs.make = with_code
    allowed_ = info.model_copy(update={"allow_code": True})
    assert opened(allowed_, tmp_path).name == "code.keras"


def test_what_is_missing_or_wrong_is_told_before_anything_runs(
    theirs: Theirs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.their").touch()

    def broken(*_: Any) -> None:
        raise KeyError("weights")

    monkeypatch.setattr(theirs, "check", broken)
    with pytest.raises(WorkbenchError, match=r"source 'theirs' failed on '.*model\.their': KeyError: 'weights'"):
        identify(tmp_path / "model.their", tmp_path)
    monkeypatch.setattr(theirs, "available", lambda: "install their-tool")
    with pytest.raises(WorkbenchError, match=r"cannot work here: install their-tool\. `workbench doctor`"):
        identify(tmp_path / "model.their", tmp_path)


def test_keys_hold_who_opened_it_and_with_what(info: ModelInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    def key() -> str:
        return add_opening(Plan(), info)["source"]

    first = key()
    assert key() == first
    for name, value in (("version", 2), ("tools", ("numpy",))):
        with monkeypatch.context() as patch:
            patch.setattr(Theirs, name, value)
            assert key() != first
    plan = Plan()
    describing = plan.stages[add_describing(plan, info)]
    assert describing.parents == {"source": first}
    assert describing.sources == {"model": info.sha256}
    assert add_opening(Plan(), info.model_copy(update={"source": ""})) == {}
