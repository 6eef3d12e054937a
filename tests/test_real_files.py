"""Models that others published, in pinned packages of the registry: through inspect, sweep, bench and compare, against a plain interpreter.

None of the files lies in this repository; where no registry answers, the tests are skipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from published import PACKAGES, download

import workbench
from workbench.evaluate.run import run_all
from workbench.flatbuffer.mend import mend
from workbench.flatbuffer.reader import read_model

pytestmark = pytest.mark.slow
Array = np.ndarray[Any, Any]
FLOAT = ("face_detection_short_range", "iris_landmark")
WHERE = [(package, name) for package, names in PACKAGES.items() for name in names]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The `.tflite` files by name, of all packages."""
    try:
        return download(tmp_path_factory.mktemp("published"))
    except LookupError as error:
        pytest.skip(str(error))


def samples(path: Path, count: int) -> Array:
    """Seeded samples in a file's own type and shape, without the batch axis."""
    from ai_edge_litert.interpreter import Interpreter

    (detail,) = Interpreter(model_path=str(path)).get_input_details()
    shape = [count, *(int(d) for d in detail["shape"][1:])]
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def plain(content: bytes, x: Array) -> list[Array]:
    """Real outputs of a plain interpreter, sample by sample."""
    from ai_edge_litert.interpreter import Interpreter

    made = Interpreter(model_content=content, num_threads=1)
    made.allocate_tensors()
    (detail,) = made.get_input_details()
    rows: list[list[Array]] = []
    for sample in x:
        made.reset_all_variables()
        (scale, zero), value = detail["quantization"], sample[None]
        if scale:
            limits = np.iinfo(detail["dtype"])
            value = np.clip(np.round(value / np.float32(scale)) + zero, limits.min, limits.max)
        made.set_tensor(detail["index"], value.astype(detail["dtype"]))
        made.invoke()
        rows.append([])
        for end in made.get_output_details():
            scale, zero = end["quantization"]
            out = made.get_tensor(end["index"])
            rows[-1].append((out.astype(np.float32) - zero) * np.float32(scale) if scale else out.copy())
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize(("package", "name"), WHERE)
def test_published_files_are_read_and_run_as_they_are(package: str, name: str, published: dict[str, Path]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    path = published[name]
    content, census = path.read_bytes(), workbench.inspect(path)
    assert not census.custom
    assert sum(census.operators.values()) == sum(len(g.operators) for g in read_model(content, name).graphs)
    made = Interpreter(model_content=content)
    shapes = [",".join("?" if d < 0 else str(d) for d in e["shape_signature"]) for e in made.get_input_details()]
    assert [end.rpartition("[")[2].rstrip("]") for end in census.inputs] == shapes
    x = samples(path, 2)
    right = plain(content, x)
    for file in (content, mend(content, read_model(content, name)).content):
        path.with_suffix(".copy").write_bytes(file)
        for mine, theirs in zip(run_all(path.with_suffix(".copy"), {"": x})[0].values(), right, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize("name", FLOAT)
def test_float_files_are_swept(name: str, published: dict[str, Path], tmp_path: Path) -> None:
    x = samples(published[name], 6)
    grid = {"quantize": ["float32", "dynamic", "int8"], "measure": {"skip": True}}
    study = workbench.sweep(published[name], {"x_train": x, "x_test": x[:3]}, grid, store=tmp_path, jobs=1)
    right = plain(published[name].read_bytes(), x[:3])
    for trial in study.trials:
        assert trial.state == "ok", trial.error
        assert trial.artifact is not None
        assert trial.census is not None
        assert trial.quality is not None
        held = trial.census.weights
        assert ("int8" in held) == (trial.recipe != "float32"), held
        mine = plain(Path(trial.artifact.path).read_bytes(), x[:3])
        for (shown, value), base in zip(zip(trial.quality.outputs.values(), mine, strict=True), right, strict=True):
            noise, signal = float(((value - base) ** 2).sum()), float((base**2).sum())
            if noise > 0:
                assert shown["sqnr_db"] == pytest.approx(10 * np.log10(signal / noise), abs=0.1)


def test_a_wake_word_is_benched_and_compared(published: dict[str, Path]) -> None:
    path = published["hey_jarvis"]
    (alone,) = workbench.bench(path, ["builtin"], budget=0.2)
    assert alone.state == "ok", alone.error
    compared = workbench.compare(path, ["builtin", "xnnpack"], {"x": samples(path, 8)}, budget=0.4)
    assert [m.state for m in compared] == ["ok", "ok"]
    assert all(m.reference is not None and m.reference.samples == 2 for m in compared)
