"""What every task has to keep: figures of outputs that are good, and of the same outputs given to the wrong samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, get_args

import numpy as np
import pytest

from workbench import registry
from workbench.errors import StageFailed, WorkbenchError
from workbench.evaluate.quality import quality
from workbench.recipes.task import choose_tasks, parse_tasks
from workbench.tasks import intervals
from workbench.tasks.base import BaseTask, looks_like_probabilities
from workbench.tasks.function import NAMES, TAKEN
from workbench.tasks.scores import AnyScore
from workbench.testing.common import Array, check_described, check_missing
from workbench.values.figure import Better, Figure, Unit
from workbench.values.labels import label_info
from workbench.values.task import TaskSpec
from workbench.values.trial import Quality

EPOCHS = 10


class JudgedTask(NamedTuple):
    """A task as it was chosen for the outputs, and what it says of them."""

    task: BaseTask[Any]
    params: Any
    spec: TaskSpec
    scores: Sequence[AnyScore]


class TaskConformance:
    """The common tests; `text` names the task as on the command line.

    Fixtures of yours: `outputs`, real values of 40 or more samples by output, the labelled one first, `{name: (n, *shape)}`, as a good model gives
    them; their labels `y` `(n, ...)`; and `refused`, a list of labels that are not of this task, empty where it takes any.
    """

    text: ClassVar[str]

    @pytest.fixture(scope="class")
    def outputs(self) -> dict[str, Array]:
        """Outputs as a good model gives them."""
        raise NotImplementedError("say what good outputs are: a fixture `outputs`, {name: (n, *shape)}")

    @pytest.fixture(scope="class")
    def y(self) -> Array:
        """The labels of the outputs' samples."""
        raise NotImplementedError("say what the labels are: a fixture `y`, (n, ...)")

    @pytest.fixture(scope="class")
    def refused(self) -> list[Array]:
        """Labels that are not of this task."""
        raise NotImplementedError(
            "give labels that it refuses for these outputs: a fixture `refused`, a list, [] if none"
        )

    @pytest.fixture(scope="class")
    def asked(self) -> TaskSpec:
        """The task with its options."""
        return parse_tasks(self.text)[""]

    @pytest.fixture(scope="class")
    def judged(self, asked: TaskSpec, outputs: dict[str, Array], y: Array) -> JudgedTask:
        """What it says of the outputs."""
        task = registry.tasks.get(asked.name)
        if missing := task.available():
            pytest.skip(missing)
        spec = choose_tasks({"": label_info(y)}, _shapes(outputs), {"": asked})[next(iter(outputs))]
        params = task.params.model_validate(spec.options)
        return JudgedTask(task, params, spec, task.judge(params, _read(spec, outputs), y))

    def test_its_text_is_read_and_written(self, asked: TaskSpec) -> None:
        params = registry.tasks.get(asked.name).params.model_validate(asked.options)
        assert type(params).model_validate(params.to_json()) == params
        assert params.to_json() == asked.options
        assert TaskSpec.model_validate_json(asked.model_dump_json()) == asked

    def test_it_says_what_it_is(self, asked: TaskSpec) -> None:
        task = registry.tasks.get(asked.name)
        check_described(task, asked.name)
        assert task.version >= 1

    def test_it_says_what_is_missing(self, asked: TaskSpec) -> None:
        check_missing(registry.tasks.get(asked.name).available())

    def test_unknown_options_are_refused(self, asked: TaskSpec) -> None:
        with pytest.raises(WorkbenchError):
            parse_tasks(f"{asked.name}[no_such_option=1]")

    def test_labels_that_are_not_its_own_are_refused_with_a_reason(
        self, judged: JudgedTask, outputs: dict[str, Array], y: Array, refused: list[Array]
    ) -> None:
        read = {
            name: shape
            for name, shape in _shapes(outputs).items()
            if name in (judged.spec.reads or (next(iter(outputs)),))
        }
        assert judged.task.unfit(judged.params, label_info(y), read) is None
        for labels in refused:
            reason = judged.task.unfit(judged.params, label_info(labels), read)
            assert reason, f"labels of shape {labels.shape} and type {labels.dtype} were taken"
            assert len(reason) > 10

    def test_figures_are_complete(self, judged: JudgedTask, y: Array) -> None:
        if not judged.scores:
            assert judged.task.primary == "agreement", "a task without figures of its own is charted by agreement"
        else:
            assert judged.task.primary in ("", judged.scores[0].name), "the primary figure comes first"
        names = [score.name for score in judged.scores]
        assert len(set(names)) == len(names)
        for score in judged.scores:
            assert NAMES.fullmatch(score.name)
            assert score.name not in TAKEN
            assert not score.name.endswith("_drop")
            assert score.title
            assert score.unit in get_args(Unit), score.name
            assert score.better in get_args(Better), score.name
            assert score.samples == len(y), score.name

    def test_figures_lie_within_their_intervals(self, judged: JudgedTask) -> None:
        for figure in intervals.figures(judged.scores, judged.scores):
            assert math.isfinite(figure.value), figure.name
            assert -math.inf < figure.low <= figure.value <= figure.high < math.inf, figure.name
            assert figure.change is not None
            assert (figure.change.value, figure.change.low <= 0 <= figure.change.high) == (0, True), figure.name
            if figure.unit == "share":
                assert 0 <= figure.low <= figure.high <= 1, figure.name

    def test_the_same_again_gives_the_same_figures(
        self, judged: JudgedTask, outputs: dict[str, Array], y: Array
    ) -> None:
        given, labels = {n: v.copy() for n, v in outputs.items()}, y.copy()
        again = judged.task.judge(judged.params, _read(judged.spec, given), labels)
        assert intervals.figures(again) == intervals.figures(judged.scores)
        assert all((given[n] == outputs[n]).all() for n in outputs), "outputs are not to be changed"
        assert (labels == y).all(), "labels are not to be changed"

    def test_outputs_of_other_samples_are_worse(self, judged: JudgedTask, outputs: dict[str, Array], y: Array) -> None:
        assert len(y) >= 40, "give 40 samples or more"
        moved = {name: np.roll(values, len(y) // 3, axis=0) for name, values in outputs.items()}
        worse = intervals.figures(judged.task.judge(judged.params, _read(judged.spec, moved), y), judged.scores)
        for figure in worse[:1]:
            assert figure.loss is not None
            assert figure.loss.value > 0, (
                f"{figure.name} is {figure.value} of other samples' outputs: is {figure.better!r} better?"
            )
            assert figure.loss.high >= figure.loss.value >= figure.loss.low

    def test_nothing_is_cleared_of_good_outputs_but_what_says_nothing(
        self, judged: JudgedTask, outputs: dict[str, Array], y: Array
    ) -> None:
        clear = judged.task.clear(judged.params, _read(judged.spec, outputs))
        assert {n: v.shape for n, v in clear.items()} == {n: outputs[n].shape for n in _read(judged.spec, outputs)}
        assert intervals.figures(judged.task.judge(judged.params, clear, y)) == intervals.figures(judged.scores)

    def test_a_record_of_it_is_read_and_written(self, judged: JudgedTask, outputs: dict[str, Array], y: Array) -> None:
        first = next(iter(outputs))
        made = quality(outputs, outputs, {first: y}, {n: judged.spec if n == first else _NONE for n in outputs}, 1)
        assert Quality.model_validate_json(made.model_dump_json()) == made
        assert Quality.model_validate(made.to_json()) == made
        assert made.task == judged.spec.name
        assert [f.name for f in made.figures] == [s.name for s in judged.scores]
        assert all(isinstance(f, Figure) and made.figure(f.key) == f for f in made.figures)

    def test_it_goes_to_other_processes(self, judged: JudgedTask, outputs: dict[str, Array], y: Array) -> None:
        packed = judged.task.pack(judged.params)
        assert packed is None or isinstance(packed, bytes)
        if packed is not None:
            judged.task.unpack(judged.params, packed)
            again = judged.task.judge(judged.params, _read(judged.spec, outputs), y)
            assert intervals.figures(again) == intervals.figures(judged.scores)

    def test_it_trains_or_says_why_not(self, judged: JudgedTask, outputs: dict[str, Array], y: Array) -> None:
        values = next(iter(outputs.values()))
        loss, refused = None, "it keeps to what the model says"
        try:
            loss = judged.task.loss(judged.params, values[:8], y)
        except StageFailed as error:
            refused = str(error)
        assert len(refused) > 20
        if loss is not None:
            losses = _trained(loss, values, y)
            assert np.isfinite(losses).all()
            assert losses[-1] < losses[0], "the loss does not fall"


_NONE = TaskSpec(name="none")


def _shapes(outputs: dict[str, Array]) -> dict[str, tuple[int | None, ...]]:
    return {name: values.shape[1:] for name, values in outputs.items()}


def _read(spec: TaskSpec, outputs: dict[str, Array]) -> dict[str, Array]:
    """Return the outputs that a task reads."""
    return {name: outputs[name] for name in spec.reads or (next(iter(outputs)),)}


def _trained(loss: Any, outputs: Array, y: Array) -> Array:
    """Return the loss of each epoch of a model that learns the labels by heart; it ends in what its outputs look like."""
    import tf_keras

    shape, last = outputs.shape[1:], None
    if looks_like_probabilities(outputs):
        last = "softmax"
    elif outputs.min() >= 0 and outputs.max() <= 1:
        last = "sigmoid"
    tf_keras.utils.set_random_seed(0)
    layers = [tf_keras.layers.Dense(math.prod(shape)), tf_keras.layers.Reshape(shape), tf_keras.layers.Activation(last)]
    model = tf_keras.Sequential([tf_keras.layers.Input((len(y),)), *layers])
    model.compile(tf_keras.optimizers.Adam(0.05), loss)
    x = np.eye(len(y), dtype=np.float32)
    found: Array = np.array(model.fit(x, y, epochs=EPOCHS, batch_size=16, verbose=0).history["loss"])
    return found
