"""What every target of exports has to keep: real files written into folders."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, ClassVar

import pytest

from workbench import registry
from workbench.errors import WorkbenchError
from workbench.flatbuffer.census import read_census, read_sizes
from workbench.recipes.grammar import parse_recipe
from workbench.recipes.target import parse_target, target_text
from workbench.targets.export import OURS, SCRATCH, export_trial
from workbench.testing.common import check_described, check_missing, sha256, write_files
from workbench.values.graph import Artifact
from workbench.values.source import DatasetInfo, ModelInfo, Signature, TensorInfo
from workbench.values.study import StudyRecord
from workbench.values.target import TargetSpec
from workbench.values.trial import Trial

# Ten classes, since the model has so many; called what somebody may call them.
CLASSES = (
    *(
        "zero",
        "one */ #error",
        'two "quoted" \\',
        "three\nlines\r\nlong",
        "${four}",
        "../five",
        "<six>",
        "",
        "acht ü",
        "9%s",
    ),
)


class TargetConformance:
    """The common tests; `text` names the target as on the command line.

    `takes` lists the kinds of file that it has to take, of `float32` and `int8`; any other it may refuse with a reason. `writes` names files that
    an export to it has beside those that every export has. `trials` gives a real trial of each kind.
    """

    text: ClassVar[str]
    takes: ClassVar[tuple[str, ...]] = ("float32", "int8")
    writes: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture(scope="class")
    def spec(self) -> TargetSpec:
        """The target with its options."""
        return parse_target(self.text)

    @pytest.fixture(scope="class")
    def target(self, spec: TargetSpec) -> Any:
        """The target, where it can be written here."""
        target = registry.targets.get(spec.name)
        missing = target.check(target.params.model_validate(spec.options))
        if missing:
            pytest.skip(missing)
        return target

    @pytest.fixture(scope="class")
    def record(self) -> StudyRecord:
        """A study whose classes have names that mean something to one language or another."""
        return StudyRecord(
            name="conformance",
            model=ModelInfo(name="digits */ \n#error", kind="keras", path="digits_small.h5", sha256="0" * 64),
            dataset=DatasetInfo(
                name="digits",
                sha256="1" * 64,
                splits={"train": 192, "test": 64},
                inputs={"": (16, 16, 1)},
                labels="class",
                class_names=CLASSES,
            ),
            signature=Signature(
                inputs=(TensorInfo(name="image", shape=(None, 16, 16, 1), dtype="float32"),),
                outputs=(TensorInfo(name="probabilities", shape=(None, 10), dtype="float32"),),
            ),
        )

    @pytest.fixture(scope="class")
    def trials(self, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
        """A trial with a real file of each kind."""
        return {kind: _trial(kind, path) for kind, path in write_files(tmp_path_factory.mktemp("trials")).items()}

    def test_its_text_is_read_and_written(self, spec: TargetSpec) -> None:
        assert parse_target(target_text(spec)) == spec
        assert TargetSpec.model_validate_json(spec.model_dump_json()) == spec

    def test_it_says_what_it_is(self, spec: TargetSpec) -> None:
        check_described(registry.targets.get(spec.name), spec.name)

    def test_it_says_what_is_missing(self, spec: TargetSpec) -> None:
        target = registry.targets.get(spec.name)
        check_missing(target.check(target.params.model_validate(spec.options)))

    def test_unknown_options_are_refused(self, spec: TargetSpec) -> None:
        with pytest.raises(WorkbenchError, match="no_such_option"):
            parse_target(f"{spec.name}[no_such_option=1]")

    def test_every_file_is_taken_or_refused_with_a_reason(
        self, target: Any, spec: TargetSpec, record: StudyRecord, trials: dict[str, Trial], tmp_path: Path
    ) -> None:
        for kind, trial in trials.items():
            out, refused = tmp_path / kind, ""
            try:
                export_trial(record, trial, out, spec)
            except WorkbenchError as error:
                refused = str(error)
            assert not refused or kind not in self.takes, f"{kind}: {refused}"
            assert out.exists() is not bool(refused), "what is refused leaves nothing"

    def test_the_folder_is_whole(
        self, target: Any, spec: TargetSpec, record: StudyRecord, trials: dict[str, Trial], tmp_path: Path
    ) -> None:
        for kind in self.takes:
            trial, out = trials[kind], export_trial(record, trials[kind], tmp_path / kind, spec)
            found = tree(out)
            assert set(found) >= {*OURS, *self.writes}
            assert trial.artifact is not None
            assert sha256(found["model.tflite"]) == trial.artifact.sha256
            assert found["labels.txt"].decode().split("\n") == [*(" ".join(c.splitlines()) for c in CLASSES), ""]
            card = json.loads(found["card.json"], parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
            assert card["target"] == spec.to_json()
            assert card["labels"] == list(CLASSES)
            assert card["files"] == {name: sha256(data) for name, data in found.items() if name != "card.json"}

    def test_the_same_again_gives_the_same_files(
        self, target: Any, spec: TargetSpec, record: StudyRecord, trials: dict[str, Trial], tmp_path: Path
    ) -> None:
        for kind in self.takes:
            one, two = (export_trial(record, trials[kind], tmp_path / n / kind, spec) for n in ("one", "two"))
            assert tree(one) == tree(two)

    def test_no_path_of_this_machine_is_in_a_file(
        self, target: Any, spec: TargetSpec, record: StudyRecord, trials: dict[str, Trial], tmp_path: Path
    ) -> None:
        for kind in self.takes:
            trial = trials[kind]
            assert trial.artifact is not None
            # The last is what the folder is called in which a target writes.
            places = (os.fsencode(tmp_path), os.fsencode(Path(trial.artifact.path).parent), os.fsencode(SCRATCH))
            for name, data in tree(export_trial(record, trial, tmp_path / kind, spec)).items():
                assert not any(place in data for place in places), name

    def test_another_export_leaves_nothing_of_the_first(
        self, target: Any, spec: TargetSpec, record: StudyRecord, trials: dict[str, Trial], tmp_path: Path
    ) -> None:
        nameless = record.model_copy(update={"dataset": record.dataset.model_copy(update={"class_names": ()})})
        first, last = trials[self.takes[0]], trials[self.takes[-1]]
        out, fresh = tmp_path / "out", export_trial(nameless, last, tmp_path / "fresh", spec)
        export_trial(record, first, out, spec)
        (out / "mine.txt").write_text("a file of the user's")
        export_trial(nameless, last, out, spec)
        assert tree(out) == {**tree(fresh), "mine.txt": b"a file of the user's"}
        # By way of another target, whose own files go too.
        other = "c" if spec.name == "python" else "python"
        export_trial(record, first, out, parse_target(other))
        export_trial(nameless, last, out, spec)
        assert tree(out) == {**tree(fresh), "mine.txt": b"a file of the user's"}

    def test_a_trial_that_failed_is_refused(
        self, target: Any, spec: TargetSpec, record: StudyRecord, tmp_path: Path
    ) -> None:
        failed = Trial(id="0" * 16, recipe="int8", steps=parse_recipe("int8").steps, state="failed", error="no kernel")
        with pytest.raises(WorkbenchError, match="no kernel"):
            export_trial(record, failed, tmp_path / "out", spec)
        assert not (tmp_path / "out").exists()


def tree(folder: Path) -> dict[str, bytes]:
    """Return the content of every file of a folder by its name within it."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _trial(scheme: str, path: Path) -> Trial:
    recipe, content = parse_recipe(scheme), path.read_bytes()
    return Trial(
        id=recipe.id,
        recipe=scheme,
        steps=recipe.steps,
        baseline=scheme == "float32",
        state="ok",
        artifact=Artifact(path=str(path), sha256=sha256(content), kind="tflite"),
        size=read_sizes(path),
        census=read_census(path),
    )
