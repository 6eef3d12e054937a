"""What every reader of datasets has to keep: found by what a user names, read twice alike, refused in words."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import pytest

from workbench import registry
from workbench.batches.content import data_sha256
from workbench.data.base import DatasetReader, InputShape
from workbench.data.dataset import Dataset
from workbench.data.load import allowed, find_reader, load_dataset, takes_shape
from workbench.data.materialize import dataset_sha256, materialize, open_split
from workbench.errors import WorkbenchError
from workbench.testing.common import check_described


class DatasetConformance:
    """The common tests; `name` is the reader's, `text` what a user would name, without options: a fixture of yours.

    `options` stands behind the question mark where the data cannot be read without, `input_shape`, with the batch first, is that of a model it is for.
    """

    name: ClassVar[str]
    options: ClassVar[str] = ""
    input_shape: ClassVar[InputShape | None] = None

    @pytest.fixture(scope="class")
    def text(self) -> str:
        """What a user would name."""
        raise NotImplementedError("say where data of this form lies: a fixture `text`")

    @pytest.fixture(scope="class")
    def reader(self) -> DatasetReader[Any]:
        """The reader, where it works here."""
        found = registry.datasets.get(self.name)
        if missing := found.available():
            assert "install" in missing.lower(), missing
            pytest.skip(missing)
        return found

    @pytest.fixture(scope="class")
    def dataset(self, reader: DatasetReader[Any], text: str) -> Dataset:
        """The data as it is read."""
        return self.read(text)

    def read(self, text: str) -> Dataset:
        """Return what is read of a text, with the options."""
        return load_dataset(f"{text}?{self.options}" if self.options else text, self.input_shape)

    def test_it_says_what_it_is(self) -> None:
        reader = registry.datasets.get(self.name)
        check_described(reader, self.name)
        assert "\n" not in reader.takes
        assert reader.takes in allowed()
        assert all(ending.startswith(".") for ending in reader.endings)

    def test_data_is_known_by_its_look(self, reader: DatasetReader[Any], text: str, dataset: Dataset) -> None:
        found = find_reader(text)
        assert (found.reader, found.text, found.said) == (reader, text, False)
        assert takes_shape(text) is reader.fits_shape
        assert find_reader(f"{reader.name}:{text}").reader is reader
        assert dataset_sha256(self.read(f"{reader.name}:{text}")) == dataset_sha256(dataset)

    def test_other_things_are_not(self, reader: DatasetReader[Any], tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "empty").write_bytes(b"")
        (tmp_path / "text.txt").write_text("text")
        for name in ("folder", "empty", "text.txt", "nothing", "nothing/below"):
            assert reader.matches(str(tmp_path / name)) is False, name

    def test_it_is_a_dataset_with_samples(self, dataset: Dataset) -> None:
        assert isinstance(dataset, Dataset)
        assert dataset.name
        for split in dataset.splits().values():
            assert len(split) > 0
            for array in (*split.inputs.values(), *split.targets.values()):
                assert len(array) == len(split)
                assert array.dtype.kind in "biuf"
        if self.input_shape is not None and len(dataset.test.inputs) == 1:
            shape = next(iter(dataset.test.inputs.values())).shape[1:]
            assert len(shape) == len(self.input_shape) - 1
            assert all(want in (None, have) for want, have in zip(self.input_shape[1:], shape, strict=True))

    def test_reading_twice_gives_the_same(self, text: str, dataset: Dataset) -> None:
        again = self.read(text)
        assert dataset_sha256(again) == dataset_sha256(dataset)
        assert (again.name, again.class_names, again.notes) == (dataset.name, dataset.class_names, dataset.notes)

    def test_it_is_stored_and_opened_again(self, dataset: Dataset, tmp_path: Path) -> None:
        info = materialize(dataset, tmp_path)
        assert info.sha256 == dataset_sha256(dataset)
        for name, split in dataset.splits().items():
            assert len(open_split(tmp_path / info.sha256, name)) == len(split) == info.splits[name]

    def test_its_content_has_a_hash(self, text: str) -> None:
        told = f"{text}?{self.options}" if self.options else text
        assert data_sha256(told) == data_sha256(told)
        assert len(data_sha256(told)) == 64

    def test_options_that_are_none_are_told(self, reader: DatasetReader[Any], text: str) -> None:
        with pytest.raises(WorkbenchError, match="no_such_option"):
            load_dataset(f"{text}?no_such_option=1", self.input_shape)
        name = next(iter(reader.params.model_fields), None)
        if name is not None:
            with pytest.raises(WorkbenchError, match="twice"):
                load_dataset(f"{text}?{name}=1&{name}=1", self.input_shape)

    def test_what_is_damaged_is_told(self, text: str, tmp_path: Path) -> None:
        path = Path(text)
        if not path.exists():
            pytest.skip("it is read by its name, not from a place")
        copy = tmp_path / path.name
        if path.is_dir():
            shutil.copytree(path, copy)
        else:
            shutil.copyfile(path, copy)
        for file in [copy] if copy.is_file() else [p for p in copy.rglob("*") if p.is_file()]:
            # In the middle of a character, so that it is no text either.
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] + b"\xff\x00\xfe")
        with pytest.raises(WorkbenchError):
            self.read(str(copy))
