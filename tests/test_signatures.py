"""Models with several signatures, and functions and modules of TensorFlow given in Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench
from workbench.errors import WorkbenchError
from workbench.flatbuffer.kept import keep_signature
from workbench.flatbuffer.reader import read_model
from workbench.sources.identify import identify
from workbench.sources.signatures import choose
from workbench.values.source import Signature, TensorInfo

DRAW = np.random.default_rng(0)


@pytest.fixture(scope="module")
def engine() -> Iterator[workbench.Engine]:
    with workbench.Engine(jobs=1) as made:
        yield made


@pytest.fixture(scope="module")
def three() -> Any:
    """A module of three functions: two that take 6 numbers (one loops), one that takes 4."""
    import tensorflow as tf

    class Three(tf.Module):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            self.w = tf.Variable(DRAW.normal(size=(6, 4)).astype(np.float32))

        @tf.function(input_signature=[tf.TensorSpec((None, 6), name="x")])  # type: ignore[untyped-decorator,unused-ignore]
        def encode(self, x: Any) -> Any:
            return {"z": tf.nn.relu(x @ self.w)}

        @tf.function(input_signature=[tf.TensorSpec((None, 4), name="z")])  # type: ignore[untyped-decorator,unused-ignore]
        def decode(self, z: Any) -> Any:
            return {"x": z @ tf.transpose(self.w)}

        @tf.function(input_signature=[tf.TensorSpec((1, 8), name="u")])  # type: ignore[untyped-decorator,unused-ignore]
        def loop(self, u: Any) -> Any:
            return {"v": tf.while_loop(lambda i, u: i < 3, lambda i, u: (i + 1, u * 2.0 + 1.0), (tf.constant(0), u))[1]}

    return Three()


@pytest.fixture(scope="module")
def file(three: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("three")
    keys = {"encode": three.encode, "decode": three.decode, "loop": three.loop}
    tf.saved_model.save(three, str(folder / "m"), signatures=keys)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "m"), signature_keys=list(keys))
    (folder / "m.tflite").write_bytes(converter.convert())
    return folder / "m.tflite"


@pytest.mark.parametrize("key", ["encode", "decode", "loop"])
def test_one_signature_of_a_file_is_a_file(key: str, file: Path, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    made = keep_signature(file.read_bytes(), key)
    records = read_model(made, "made")
    assert [s.key for s in records.signatures] == [key]
    assert len(records.graphs) == (3 if key == "loop" else 1)
    whole, one = Interpreter(model_path=str(file)), Interpreter(model_content=made)
    x = DRAW.random((1, {"encode": 6, "decode": 4, "loop": 8}[key]), dtype=np.float32)
    right = next(
        iter(whole.get_signature_runner(key)(**{{"encode": "x", "decode": "z", "loop": "u"}[key]: x}).values())
    )
    one.allocate_tensors()
    one.set_tensor(one.get_input_details()[0]["index"], x)
    one.invoke()
    np.testing.assert_array_equal(one.get_tensor(one.get_output_details()[0]["index"]), right)


@pytest.mark.slow
def test_the_data_or_the_user_chooses_and_the_study_knows(file: Path, engine: Any, tmp_path: Path) -> None:
    grid = {"quantize": ["float32", "int8"], "measure": {"skip": True}}

    def sweep(width: int, **more: Any) -> Any:
        x = np.random.default_rng(width).normal(size=(60, width)).astype(np.float32)
        return workbench.sweep(file, {"x": x}, grid, store=tmp_path, engine=engine, **more)

    encoded, decoded = sweep(6), sweep(4)
    assert encoded.name != decoded.name
    for study, key in ((encoded, "encode"), (decoded, "decode")):
        assert study.record.model.signature == key
        assert [t.state for t in study.trials] == ["ok", "ok"], [t.error for t in study.trials]
    assert {t.id for t in encoded.trials}.isdisjoint({t.id for t in decoded.trials})
    with pytest.raises(WorkbenchError, match=r"no signature 'decod'\. Did you mean 'decode'"):
        sweep(4, signature="decod")
    with pytest.raises(WorkbenchError, match=r"input 'x' takes \(6,\)"):
        sweep(4, signature="encode")
    with pytest.raises(WorkbenchError, match=r"3 signatures: 'decode' takes .*'encode' takes .*fits none of them"):
        sweep(5)


def _signature(key: str, width: int) -> Signature:
    return Signature(inputs=(TensorInfo(name="x", shape=(None, width), dtype="float32"),), outputs=(), key=key)


def test_what_is_not_clear_is_asked() -> None:
    several = _signature("a", 3).model_copy(update={"others": (_signature("b", 3), _signature("c", 9))})
    with pytest.raises(WorkbenchError, match=r"'c' takes x \(any, 9\).*fits both 'a' and 'b'.*--signature NAME"):
        choose(several, None, "m", "d", {"": (3,)})
    assert choose(several, "b", "m", "d", {"": (3,)}).key == "b"
    assert choose(several, None, "m", "d", {"x": (9,)}).key == "c"
    served = _signature("a", 3).model_copy(update={"others": (_signature("serving_default", 3),)})
    assert choose(served, None, "m", "d", {"": (3,)}).key == "serving_default"


@pytest.mark.slow
def test_functions_and_modules_are_models(three: Any, engine: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    x = np.random.default_rng(6).normal(size=(40, 6)).astype(np.float32)
    grid = {"quantize": ["float32", "dynamic"], "measure": {"skip": True}}
    concrete = tf.function(lambda x: tf.nn.softmax(x @ three.w)).get_concrete_function(
        tf.TensorSpec((None, 6), name="x")
    )
    for model, right in ((three, np.maximum(x @ three.w.numpy(), 0)), (concrete, None)):
        study = workbench.sweep(model, {"x": x}, grid, store=tmp_path, engine=engine)
        assert [t.state for t in study.trials] == ["ok", "ok"], [t.error for t in study.trials]
        artifact = study.trials[0].artifact
        assert artifact is not None
        if right is not None:
            from workbench.evaluate.run import run_all

            (made,) = run_all(Path(artifact.path), {"": x})[0].values()
            np.testing.assert_allclose(made, right, atol=1e-5)
    same, again = identify(three, tmp_path / "models"), identify(three, tmp_path / "models")
    assert same == again
    three.w.assign(three.w * 2)
    assert identify(three, tmp_path / "models").sha256 != same.sha256
    three.w.assign(three.w / 2)


def test_functions_without_fixed_inputs_are_refused_by_name(tmp_path: Path) -> None:
    import tensorflow as tf

    with pytest.raises(WorkbenchError, match="has no input_signature"):
        identify(tf.function(lambda x: x), tmp_path)
    with pytest.raises(WorkbenchError, match=r"Module has no tf\.function with an input_signature"):
        identify(tf.Module(), tmp_path)


@pytest.mark.parametrize("has", [{"": (4,)}, {"": ()}, {"words": (7,)}])
def test_an_input_of_text_is_told_before_anything_runs(has: dict[str, tuple[int, ...]]) -> None:
    from workbench.data.materialize import check_fit
    from workbench.values.source import DatasetInfo, TensorInfo

    out = TensorInfo(name="kind", shape=(None, 3), dtype="float32")
    given = DatasetInfo(name="mine", sha256="", splits={"test": 4}, inputs=has)
    text = TensorInfo(name="words", shape=(None, *next(iter(has.values()))), dtype="string")
    with pytest.raises(WorkbenchError, match=r"'words' takes text.*indexes of words"):
        check_fit(given, Signature(inputs=(text,), outputs=(out,)))
    check_fit(given, Signature(inputs=(text.model_copy(update={"dtype": "int32"}),), outputs=(out,)))
