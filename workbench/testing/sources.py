"""What every source of models has to keep: found by its file, checked before it is read, swept like any other."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from workbench import api, registry
from workbench.engine.engine import Engine
from workbench.errors import WorkbenchError
from workbench.sources.base import ConvertedSource, NativeSource, Source
from workbench.sources.glance import glance
from workbench.sources.identify import allowed, identify
from workbench.sources.load import read_signature
from workbench.sources.opening import open_source
from workbench.study import Study
from workbench.values.source import ModelInfo, Signature

SAMPLES = 64


class SourceConformance:
    """The common tests; `name` is the source's, `file` a real model of its form that needs no `--allow-code`: a fixture of yours.

    `data` is what the model is swept on, random numbers by default; they are swept once, for some seconds.
    """

    name: ClassVar[str]

    @pytest.fixture(scope="class")
    def file(self) -> Path:
        """A file or folder with a model."""
        raise NotImplementedError("say where a model of this form lies: a fixture `file`")

    @pytest.fixture(scope="class")
    def source(self) -> Source:
        """The source, where it works here."""
        found = registry.sources.get(self.name)
        if missing := found.available():
            assert "install" in missing.lower(), missing
            pytest.skip(missing)
        return found

    @pytest.fixture(scope="class")
    def info(self, source: Source, file: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
        """The model as a sweep identifies it."""
        return identify(file, tmp_path_factory.mktemp("models"))

    @pytest.fixture(scope="class")
    def opened(self, info: ModelInfo, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The file that stages start from."""
        return open_source(info, tmp_path_factory.mktemp("opened"))

    @pytest.fixture(scope="class")
    def signature(self, info: ModelInfo, opened: Path) -> Signature:
        """Inputs and outputs as the loaded model has them."""
        return read_signature(info, opened)

    @pytest.fixture(scope="class")
    def data(self, signature: Signature) -> dict[str, Any]:
        """Arrays for the model's inputs, without labels."""
        draw = np.random.default_rng(0)
        x = {
            t.name: draw.random((SAMPLES, *(d or 4 for d in t.shape[1:]))).astype(np.dtype(t.dtype))
            for t in signature.inputs
        }
        only = next(iter(x.values())) if len(x) == 1 else x
        return {"x_train": only, "x_test": only}

    @pytest.fixture(scope="class")
    def study(self, file: Path, data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Study:
        """The model swept, and swept again."""
        with Engine(jobs=1) as engine:
            store, grid = tmp_path_factory.mktemp("store"), {"quantize": ["float32", "int8"], "measure": {"skip": True}}
            for _ in range(2):
                found = api.sweep(str(file), data, grid, store=store, study="conformance", engine=engine)
        return found

    def test_it_says_what_it_is(self) -> None:
        source = registry.sources.get(self.name)
        assert source.name == self.name
        assert len(source.help) > 10
        assert "\n" not in source.help + source.takes
        assert source.takes in allowed()
        assert isinstance(registry.sources.get(source.gives), NativeSource)
        assert all(ending.startswith(".") for ending in source.endings)
        assert all(isinstance(tool, str) and tool for tool in source.tools)
        assert not isinstance(source, ConvertedSource) or source.version >= 1

    def test_a_file_is_known_by_its_look(self, source: Source, file: Path, info: ModelInfo, tmp_path: Path) -> None:
        assert (info.opener, info.kind) == (source.name, source.gives)
        assert identify(info.told, tmp_path).sha256 == info.sha256
        said = identify(f"{source.name}:{file}", tmp_path)
        assert (said.opener, said.kind, said.sha256) == (info.opener, info.kind, info.sha256)
        assert ModelInfo.model_validate_json(info.model_dump_json()) == info

    def test_other_things_are_not(self, source: Source, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "empty").write_bytes(b"")
        (tmp_path / "text.txt").write_text("text")
        for name in ("folder", "empty", "text.txt", "nothing", "nothing/below"):
            assert source.matches(tmp_path / name) is False, name

    def test_its_hash_is_that_of_the_content(self, source: Source, file: Path, info: ModelInfo, tmp_path: Path) -> None:
        copy = tmp_path / file.name
        shutil.copytree(file, copy) if file.is_dir() else shutil.copyfile(file, copy)
        assert source.sha256(copy) == info.sha256 == source.sha256(file)
        assert len(info.sha256) == 64
        changed = max(
            (p for p in ([copy] if copy.is_file() else copy.rglob("*")) if p.is_file()), key=lambda p: p.stat().st_size
        )
        changed.write_bytes(changed.read_bytes()[:-1] + b"?!")
        assert source.sha256(copy) != info.sha256

    def test_it_gives_a_file_of_its_kind_and_leaves_the_original(
        self, source: Source, file: Path, info: ModelInfo, opened: Path
    ) -> None:
        assert registry.sources.get(source.gives).matches(opened)
        assert (opened == Path(info.path)) is not isinstance(source, ConvertedSource)
        assert source.sha256(file) == info.sha256

    def test_a_glance_is_what_the_loaded_model_says(self, info: ModelInfo, signature: Signature) -> None:
        seen = glance(info)
        assert signature.inputs
        assert signature.outputs
        if seen is not None:
            assert seen.inputs == signature.inputs
            assert [t.name for t in seen.outputs] == [t.name for t in signature.outputs]
            assert all(a.shape in ((), b.shape) for a, b in zip(seen.outputs, signature.outputs, strict=True))

    def test_a_damaged_file_is_told(self, source: Source, file: Path, tmp_path: Path) -> None:
        if file.is_dir():
            copy = shutil.copytree(file, tmp_path / file.name)
            cut = [p for p in copy.rglob("*") if p.is_file()]
        else:
            copy = Path(shutil.copyfile(file, tmp_path / file.name))
            cut = [copy]
        for path in cut:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        (tmp_path / "opened").mkdir()
        with pytest.raises(WorkbenchError) as caught:
            _read(copy, tmp_path / "opened")
        assert "Traceback" not in str(caught.value)

    def test_it_is_swept_once_and_found_again(self, study: Study, info: ModelInfo) -> None:
        assert [(t.recipe, t.state, t.error) for t in study.trials] == [("float32", "ok", None), ("int8", "ok", None)]
        assert study.record.model.sha256 == info.sha256
        first, second = study.profiles
        assert {s.kind for s in first.stages} >= {"finish", "evaluate"}
        assert second.stages == ()

    def test_lineage_begins_with_it(self, study: Study, source: Source, info: ModelInfo) -> None:
        found = study.lineage("int8")
        titles = {n.id: n.detail["kind"] for n in found.nodes if n.kind == "execution"}
        readers = [titles[e.end] for e in found.edges if e.start == info.sha256]
        assert readers
        assert (readers == ["open"]) is isinstance(source, ConvertedSource)


def _read(file: Path, folder: Path) -> None:
    """Go all the way that a sweep goes to know a model's inputs and outputs."""
    info = identify(file, folder)
    glance(info)
    read_signature(info, open_source(info, folder))
