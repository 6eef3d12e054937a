"""No code from a Keras file: what is refused, in either format, and that it did not run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tampered
from hypothesis import given
from hypothesis import strategies as st

import workbench
from workbench.errors import WorkbenchError
from workbench.sources import allowed_functions, trust
from workbench.sources.allowed_classes import words
from workbench.sources.identify import identify
from workbench.sources.keras_file import parse_keras_file
from workbench.sources.load import load_keras

SUFFIXES = (".h5", ".keras")


@pytest.fixture(scope="module", params=SUFFIXES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tampered.save(tmp_path_factory.mktemp("whole") / f"victim{request.param}")


def refused(path: Path, change: tampered.Change, canary: Path, *said: str) -> None:
    """Change a file and see that it is refused, with what is said, and that nothing of it ran."""
    tampered.tamper(path, change)
    fault = parse_keras_file(path).fault
    assert all(part in fault for part in said), fault
    with pytest.raises(WorkbenchError) as caught:
        load_keras(path)
    assert fault in str(caught.value)
    assert "--allow-code (Python: allow_code=True)" in str(caught.value)
    assert not canary.exists()


@pytest.fixture
def victim(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / whole.name))


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def test_the_untouched_file_loads(victim: Path) -> None:
    assert parse_keras_file(victim).fault == ""
    assert load_keras(victim)(np.ones((1, 4), np.float32)).shape == (1, 2)


# ---- TensorFlow symbols

SYMBOLS = sorted(
    words("""
io.write_file io.read_file io.matching_files io.gfile.remove io.gfile.rmtree load_op_library load_library raw_ops.WriteFile raw_ops.ReadFile
raw_ops.PyFunc compat.v1.raw_ops.WriteFile compat.v1.write_file compat.v1.py_func compat.v1.load_file_system_library py_function
numpy_function saved_model.load saved_model.save keras.models.load_model keras.models.model_from_json keras.utils.get_file
keras.utils.deserialize_keras_object keras.layers.deserialize keras.activations.deserialize keras.backend.eval keras.backend.rnn
keras.__internal__.enable_unsafe_deserialization summary.create_file_writer data.experimental.load data.experimental.save map_fn while_loop
vectorized_map function custom_gradient import_graph_def experimental.register_filesystem_plugin config.experimental_connect_to_host
debugging.experimental.enable_dump_debug_info profiler.experimental.start train.load_checkpoint print nn.fixed_unigram_candidate_sampler
mlir.experimental.convert_saved_model lite.experimental.load_delegate
""")
)
# Cyrillic letters, a full-width dot, a space that has no width, other case, ends.
LOOKALIKES = (
    "m\u0430th.add",
    "math\uff0eadd",
    "math.\u0430dd",
    "math.add\u200b",
    "math.add ",
    " math.add",
    "Math.Add",
    "math.add\x00",
    "math..add",
    "compat.v1.compat.v1.math.add",
    "tf.math.add",
    "",
)


@pytest.mark.parametrize("symbol", [*SYMBOLS, *LOOKALIKES], ids=ascii)
def test_symbols_that_do_more_than_compute(symbol: str, victim: Path, canary: Path) -> None:
    change = tampered.operation(symbol, filename=str(canary), contents="ran")
    refused(victim, change, canary, f"TensorFlow's {symbol!a}", "(layer 'bad')")


@pytest.mark.parametrize("symbol", [None, 3, ["io.write_file"], {"class_name": "function"}, True])
def test_symbols_that_are_no_text(symbol: Any, victim: Path, canary: Path) -> None:
    refused(victim, tampered.operation(symbol), canary, "TensorFlow's")


def test_allowed_symbols_are_tensorflows_own() -> None:
    """A name that TensorFlow does not know allows nothing; one that it does is no class and takes no function."""
    import inspect

    import tensorflow as tf  # noqa: F401  # fills the table of names
    import tf_keras  # noqa: F401
    from tensorflow.python.util.tf_export import get_symbol_from_name

    for name in allowed_functions.FUNCTIONS:
        found = get_symbol_from_name(name) or get_symbol_from_name(f"compat.v1.{name}")
        assert found is not None, name
        assert not inspect.isclass(found), name
        taken = set(inspect.signature(found).parameters)
        assert not taken & {
            "fn",
            "func",
            "loop_fn",
            "body",
            "cond",
            "cell",
            "filename",
            "file",
            "path",
            "vocab_file",
            "library_filename",
        }, name


def test_the_attack_is_one(victim: Path, canary: Path) -> None:
    """Allowed to, the file does write: what the others are refused for is no fancy."""
    tampered.tamper(victim, tampered.operation("io.write_file", contents="ran"))

    def swap(config: Any) -> None:
        node = config["config"]["layers"][-1]["inbound_nodes"][0]
        node[3] = {"filename": str(canary), "contents": "ran"}
        node[:3] = ["_CONSTANT_VALUE", -1, str(canary)]
        node[3] = {"contents": "ran"}
        config["config"]["output_layers"] = [["out", 0, 0]]

    tampered.tamper(victim, swap)
    with pytest.raises(WorkbenchError, match=r"TensorFlow's 'io\.write_file'"):
        load_keras(victim)
    assert not canary.exists()
    with pytest.raises(Exception, match=r"."):  # it runs, and then is no part of a graph
        load_keras(victim, allow_code=True)
    assert canary.read_text() == "ran"


# ---- objects within configurations

Bad = Callable[[Path], tampered.Change]
OBJECTS: dict[str, tuple[Bad, str]] = {
    "lambda layer": (
        lambda c: tampered.layer("Lambda", function=tampered.byte_code(c), function_type="lambda", output_shape=None),
        "a Lambda layer",
    ),
    "lambda layer in keras 3's form": (
        lambda c: tampered.layer("Lambda", function=tampered.lambda_dict(c)),
        "a Lambda layer",
    ),
    "lambda as activation": (lambda c: tampered.setting("activation", tampered.lambda_dict(c)), "a lambda function"),
    "byte code as activation": (lambda c: tampered.setting("activation", tampered.byte_code(c)), "Python byte code"),
    "byte code in an unknown key": (lambda c: tampered.setting("whatever", tampered.byte_code(c)), "Python byte code"),
    "byte code deep in data": (lambda c: tampered.setting("data", [[{"a": tampered.byte_code(c)}]]), "Python byte code"),
    "os.system as activation": (
        lambda c: tampered.setting("activation", tampered.function_dict("os", "system")),
        "'os', 'system'",
    ),
    "eval as activation": (
        lambda c: tampered.setting("activation", tampered.function_dict("builtins", "eval")),
        "'builtins', 'eval'",
    ),
    "relu of os": (lambda c: tampered.setting("activation", tampered.function_dict("os", "relu")), "module 'os'"),
    "relu registered as eval": (
        lambda c: tampered.setting("activation", {**tampered.function_dict("builtins", "relu"), "registered_name": "eval"}),
        "'eval'",
    ),
    "deserialize as activation": (lambda c: tampered.setting("activation", "deserialize"), "'deserialize'"),
    "get as activation": (lambda c: tampered.setting("activation", {"class_name": "get", "config": {}}), "'get'"),
    "process as initializer": (
        lambda c: tampered.setting("kernel_initializer", tampered.object_dict("subprocess", "Popen", args=["touch", str(c)])),
        "'Popen'",
    ),
    "zeros of builtins": (
        lambda c: tampered.setting("kernel_initializer", tampered.object_dict("builtins", "Zeros")),
        "module 'builtins'",
    ),
    "exec as initializer": (
        lambda c: tampered.setting("kernel_initializer", tampered.object_dict("builtins", "exec", source=f"open({str(c)!r}, 'w')")),
        "'exec'",
    ),
    "os.system as regularizer": (
        lambda c: tampered.setting("kernel_regularizer", tampered.object_dict("os", "system", command=f"touch {c}")),
        "'system'",
    ),
    "constraint of a module in the folder": (
        lambda c: tampered.setting("kernel_constraint", tampered.object_dict("evil", "MaxNorm")),
        "module 'evil'",
    ),
    "utilities of tf_keras": (
        lambda c: tampered.setting("kernel_initializer", tampered.object_dict("keras.src.utils.generic_utils", "func_load", code=tampered.byte_code(c)[0])),
        "'func_load'",
    ),
    "downloads of tf_keras": (
        lambda c: tampered.setting("kernel_initializer", tampered.object_dict("keras.utils", "get_file", origin=f"file://{c}")),
        "'get_file'",
    ),
    "module beside tf_keras's": (
        lambda c: tampered.setting("kernel_initializer", tampered.object_dict("keras_evil.initializers", "Zeros")),
        "module 'keras_evil.initializers'",
    ),
    "module above tf_keras's": (
        lambda c: tampered.setting("kernel_initializer", tampered.object_dict("keras.layers.", "Zeros")),
        "module 'keras.layers.'",
    ),
    "dense registered otherwise": (
        lambda c: lambda config: config["config"]["layers"][1].update(registered_name="Custom>Evil"),
        "'Custom>Evil'",
    ),
    "dense in other letters": (
        lambda c: lambda config: config["config"]["layers"][1].update(class_name="D\u0435nse"),
        "'D\\u0435nse'",
    ),
    "class that is an object": (
        lambda c: lambda config: config["config"]["layers"][1].update(class_name={"class_name": "Dense"}),
        "a class called",
    ),
    "outermost class": (lambda c: lambda config: config.update(class_name="Lambda"), "outermost object of class 'Lambda'"),
    "own class": (lambda c: tampered.layer("Own", module="own_package.layers"), "'Own'"),
    "operator of TensorFlow 2.3": (
        lambda c: tampered.layer("TensorFlowOpLayer", node_def={"op": "WriteFile", "name": "w"}, constants={}),
        "'TensorFlowOpLayer'",
    ),
    "feature columns": (
        lambda c: tampered.layer("DenseFeatures", feature_columns=[{"class_name": "VocabularyFileCategoricalColumn", "config": {}}]),
        "'DenseFeatures'",
    ),
    "cell of an RNN": (
        lambda c: tampered.layer("RNN", cell=tampered.object_dict("keras.layers", "Lambda", name="cell", function=tampered.byte_code(c))),
        "a Lambda layer, which is Python code",
    ),
    "residual function of a cell": (
        lambda c: tampered.layer(
            "RNN",
            cell={
                "class_name": "ResidualWrapper",
                "config": {
                    "cell": {"class_name": "LSTMCell", "config": {"units": 2}},
                    "residual_fn": tampered.byte_code(c)[0],
                    "residual_fn_type": "lambda",
                    "residual_fn_module": "os",
                },
            },
        ),
        "'ResidualWrapper'",
    ),
    "filter of a cell": (
        lambda c: tampered.layer(
            "RNN",
            cell={"class_name": "DropoutWrapper", "config": {"dropout_fn": tampered.byte_code(c)[0], "dropout_fn_type": "lambda"}},
        ),
        "'DropoutWrapper'",
    ),
    "layer of a wrapper": (
        lambda c: tampered.layer(
            "TimeDistributed",
            layer=tampered.object_dict("keras.layers", "Lambda", name="inner", function=tampered.byte_code(c), function_type="lambda"),
        ),
        "(layer 'inner')",
    ),
    "backward layer": (
        lambda c: tampered.layer(
            "Bidirectional",
            layer=tampered.object_dict("keras.layers", "LSTM", name="forward", units=2),
            backward_layer=tampered.object_dict("keras.layers", "LSTM", name="backward", units=2, activation=tampered.lambda_dict(c)),
        ),
        "a lambda function",
    ),
    "layer of a sub-model": (
        lambda c: tampered.layer(
            "Sequential",
            layers=[tampered.object_dict("keras.layers", "Activation", name="inner", activation=tampered.function_dict("os", "abort"))],
        ),
        "'os', 'abort'",
    ),
    "call of a function": (
        lambda c: tampered.operation("math.add", y={"class_name": "__lambda__", "config": {"value": tampered.byte_code(c)}}),
        "a lambda function",
    ),
    "call with a class": (
        lambda c: tampered.operation("math.add", y=tampered.object_dict("os", "system", command=f"touch {c}")),
        "'system'",
    ),
    "constant that is JSON": (
        lambda c: tampered.operation("math.add", y=[{"_TYPE": "COMPOSITE"}, json.dumps(tampered.lambda_dict(c))]),
        "a lambda function",
    ),
    "constant that is no JSON": (
        lambda c: tampered.operation("math.add", y=[{"_TYPE": "COMPOSITE"}, "cos\nsystem"]),
        "constant cos",
    ),
    "build configuration": (
        lambda c: lambda config: config["config"]["layers"][1].update(build_config={"input_shape": tampered.lambda_dict(c)}),
        "a lambda function",
    ),
    "loss of a sub-model": (
        lambda c: lambda config: config["config"]["layers"][1].update(compile_config={"loss": tampered.function_dict("os", "system")}),
        "'os', 'system'",
    ),
    "policy": (lambda c: tampered.setting("dtype", tampered.object_dict("os", "system", command=f"touch {c}")), "'system'"),
    "type": (
        lambda c: tampered.setting("spec", {"class_name": "TypeSpec", "type_spec": "os.Evil", "serialized": []}),
        "'os.Evil'",
    ),
    "type by module": (
        lambda c: tampered.setting("spec", {"class_name": "__typespec__", "spec_name": "TensorSpec", "module": "evil", "config": [], "registered_name": None}),
        "'evil'",
    ),
    "module alone": (lambda c: tampered.setting("anything", {"module": "os", "config": {}}), "module 'os'"),
    "passive object": (lambda c: tampered.setting("anything", {"__passive_serialization__": True}), "__passive_serialization__"),
    "vocabulary of words in a file": (lambda c: tampered.layer("StringLookup", vocabulary="/etc/passwd"), "the file '/etc/passwd'"),
    "vocabulary of numbers in a file": (lambda c: tampered.layer("IntegerLookup", vocabulary="/etc/passwd"), "the file '/etc/passwd'"),
    "vocabulary of texts in a file": (lambda c: tampered.layer("TextVectorization", vocabulary="/etc/passwd"), "the file '/etc/passwd'"),
    "standard of texts": (
        lambda c: tampered.layer("TextVectorization", standardize=tampered.function_dict("os", "system")),
        "'os', 'system'",
    ),
    "method of a class": (lambda c: tampered.layer("ClassMethod", cls_symbol="io.gfile.GFile", method_name="write"), "'io.gfile.GFile'"),
    "method of a dataset": (lambda c: tampered.layer("ClassMethod", cls_symbol="data.Dataset", method_name="from_generator"), "'from_generator'"),
    "attribute": (lambda c: tampered.layer("InstanceProperty", attr_name="__class__"), "'__class__'"),
    "method": (lambda c: tampered.layer("InstanceMethod", attr_name="__reduce__"), "'__reduce__'"),
}  # fmt: skip


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_that_are_code(name: str, victim: Path, canary: Path) -> None:
    bad, said = OBJECTS[name]
    refused(victim, bad(canary), canary, said)


def test_either_reading_of_a_file_that_is_both(tmp_path: Path, canary: Path) -> None:
    """An archive may be appended to an HDF5 file: what is checked is what tf_keras reads."""
    h5, archive = tampered.save(tmp_path / "a.h5"), tampered.save(tmp_path / "b.keras")
    tampered.tamper(h5, tampered.setting("activation", tampered.lambda_dict(canary)))
    both = h5.read_bytes() + archive.read_bytes()
    (tmp_path / "both.h5").write_bytes(both)
    (tmp_path / "both.keras").write_bytes(both)
    assert "a lambda function" in parse_keras_file(tmp_path / "both.h5").fault
    assert parse_keras_file(tmp_path / "both.keras").fault == ""
    (tmp_path / "archive.h5").write_bytes(archive.read_bytes())
    with pytest.raises(WorkbenchError, match="is not a readable HDF5"):
        identify(tmp_path / "archive.h5", tmp_path)


def test_what_the_outermost_model_was_compiled_with_is_not_loaded(victim: Path) -> None:
    own = {"loss": tampered.function_dict("mine", "loss")}
    tampered.tamper(victim, lambda config: config.update(compile_config=own))
    assert parse_keras_file(victim).fault == ""
    load_keras(victim)


# ---- the ways in


@pytest.mark.parametrize("name", ["lambda as activation", "cell of an RNN", "os.system as activation"])
def test_every_way_in_refuses(name: str, victim: Path, canary: Path, tmp_path: Path) -> None:
    from workbench.data.load import load_dataset
    from workbench.engine.forecast import forecast
    from workbench.recipes.grid import parse_grid
    from workbench.store.store import Store

    bad, said = OBJECTS[name]
    tampered.tamper(victim, bad(canary))
    store = tmp_path / "store"
    ways: tuple[Callable[[], Any], ...] = (
        lambda: identify(victim, tmp_path),
        lambda: workbench.load_model(victim),
        lambda: workbench.sweep(victim, "digits", {"quantize": ["float32"]}, store=str(store)),
        lambda: forecast(victim, load_dataset("digits"), parse_grid({"quantize": ["float32"]}), Store(store)),
    )
    for way in ways:
        with pytest.raises(WorkbenchError, match=r"--allow-code \(Python: allow_code=True\)") as caught:
            way()
        assert said in str(caught.value)
    assert not canary.exists()


def test_the_command_line_refuses(victim: Path, canary: Path, tmp_path: Path) -> None:
    tampered.tamper(victim, tampered.operation("io.write_file", filename=str(canary)))
    words = ["sweep", str(victim), "--data", "digits", "--quantize", "float32", "--store", str(tmp_path / "s")]
    done = subprocess.run([sys.executable, "-m", "workbench", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "has a call of TensorFlow's 'io.write_file'" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not canary.exists()


def test_a_file_that_changed_since_it_was_looked_at(victim: Path, canary: Path, tmp_path: Path) -> None:
    from workbench.sources.load import read_signature

    info = identify(victim, tmp_path)
    tampered.tamper(victim, tampered.operation("io.write_file", filename=str(canary)))
    with pytest.raises(WorkbenchError, match=r"io\.write_file"):
        read_signature(info)
    assert not canary.exists()


def test_a_model_of_ones_own_process_goes_the_same_way(tmp_path: Path) -> None:
    import tensorflow as tf
    import tf_keras

    x = tf_keras.layers.Input((4,), name="x", dtype="string")
    reading = tf_keras.Model(x, tf.io.decode_raw(x, "uint8", fixed_length=4), name="reading")
    with pytest.raises(
        WorkbenchError,
        match=r"model 'reading' has a call of TensorFlow's 'io\.decode_raw'.*tf\.io\.decode_raw.*allow_code",
    ):
        identify(reading, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["a", "a folder with a very long name and spaces " * 4])
def test_the_nearest_name_is_that_of_the_last_part(folder: str, tmp_path: Path) -> None:
    for place in (tmp_path / folder, Path(folder)):
        with pytest.raises(WorkbenchError, match=r"Did you mean 'digits_cnn'"):
            identify(place / "digits_cn", tmp_path)


# ---- a bad part anywhere


def good(name: str) -> dict[str, Any]:
    return tampered.object_dict("keras.layers", "Dense", name=name, units=2, activation="relu")


BAD: tuple[Callable[[str], tuple[dict[str, Any], str]], ...] = (
    lambda name: (tampered.object_dict("keras.layers", "Lambda", name=name), "a Lambda layer"),
    lambda name: ({**good(name), "module": "os"}, "module 'os'"),
    lambda name: ({**good(name), "registered_name": "Evil>Dense"}, "'Evil>Dense'"),
    lambda name: (tampered.object_dict("keras.layers", "Evil", name=name), "'Evil'"),
    lambda name: (tampered.object_dict(None, "TFOpLambda", name=name, function="io.write_file"), "'io.write_file'"),
    lambda name: (tampered.object_dict("keras.layers", "Dense", name=name, activation=["4wAAAA==", None, None]), "byte code"),
    lambda name: (tampered.object_dict("keras.layers", "Dense", name=name, kernel_initializer="eval"), "'eval'"),
)  # fmt: skip

# How a part may lie in another: in a model, a wrapper, a cell, a call, plain data.
NESTINGS: tuple[Callable[[str, dict[str, Any]], dict[str, Any]], ...] = (
    lambda name, part: tampered.object_dict("keras", "Sequential", name=name, layers=[good(f"{name}a"), part]),
    lambda name, part: tampered.object_dict("keras.layers", "TimeDistributed", name=name, layer=part),
    lambda name, part: tampered.object_dict("keras.layers", "Bidirectional", name=name, layer=good(f"{name}b"), backward_layer=part),
    lambda name, part: tampered.object_dict("keras.layers", "RNN", name=name, cell=tampered.object_dict("keras.layers", "StackedRNNCells", cells=[part])),
    lambda name, part: {**good(name), "inbound_nodes": [[["x", 0, 0, {"mask": [part]}]]]},
    lambda name, part: {**good(name), "build_config": {"deep": {"deeper": [[part]]}}},
    lambda name, part: {"class_name": "__tuple__", "items": [1, part, "text"]},
    lambda name, part: {"class_name": "Dense", "config": {"name": name, "units": [None, {"plain": part}]}},
)  # fmt: skip


@given(st.lists(st.sampled_from(NESTINGS), max_size=300), st.sampled_from(BAD), st.data())
def test_a_bad_part_is_found_at_any_depth(
    nestings: list[Callable[[str, dict[str, Any]], dict[str, Any]]],
    bad: Callable[[str], tuple[dict[str, Any], str]],
    data: st.DataObject,
) -> None:
    name = data.draw(st.text(min_size=1, max_size=8), label="name")
    part, said = bad(name)
    harmless = good(name)
    for number, nest in enumerate(nestings):
        part, harmless = nest(f"l{number}", part), nest(f"l{number}", harmless)

    def model(inner: dict[str, Any]) -> dict[str, Any]:
        return tampered.object_dict(
            "tf_keras.src.engine.functional", "Functional", name="m", layers=[good("first"), inner, good("last")]
        )

    assert trust.fault_of(model(harmless)) == ""
    fault = trust.fault_of(model(part))
    assert said in fault
    assert f"(layer {trust.shown(name)})" in fault
    assert {f.layer for f in trust.faults(model(part))} == {name}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(["class_name", "config", "module", "name", "items"]), inner, max_size=4),
    max_leaves=30,
)  # fmt: skip


@given(JSON)
def test_any_data_is_walked_without_a_crash(value: Any) -> None:
    config = {"class_name": "Functional", "config": {"layers": value}}
    assert all(isinstance(f, trust.Fault) for f in trust.faults(config))
    assert trust.fault_of(value) or isinstance(value, dict)
