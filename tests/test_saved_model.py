"""No code from a SavedModel: what is refused before TensorFlow loads it, and that nothing ran; what others export passes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench
from workbench.errors import WorkbenchError
from workbench.sources import freeze, load
from workbench.sources.allowed_operators import FILE_ATTRIBUTES, OPERATORS, RESTORING, SAVING, TABLES
from workbench.sources.identify import identify
from workbench.sources.saved_model import GRAPH

Body = Callable[[Any, str], Any]


def save(folder: Path, body: Body, canary: Path) -> Path:
    """Save a SavedModel whose signature doubles `x` and runs the body besides."""
    import tensorflow as tf

    module = tf.Module()

    def serve(x: Any) -> dict[str, Any]:
        made = body(x, str(canary))
        with tf.control_dependencies([made] if made is not None else []):
            return {"y": tf.identity(x * 2.0)}

    module.serve = tf.function(serve, input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    module.scale = tf.Variable(2.0)
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


def change(folder: Path, edit: Callable[[Any], None]) -> Path:
    """Edit the meta graph of a SavedModel."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    content = SavedModel.FromString((folder / GRAPH).read_bytes())
    edit(content.meta_graphs[0])
    (folder / GRAPH).write_bytes(content.SerializeToString())
    return folder


def refused(folder: Path, canary: Path, *said: str) -> None:
    info = identify(folder, folder.parent)
    for way in (lambda: load.read_signature(info), lambda: freeze.saved_model_inference(folder)):
        with pytest.raises(WorkbenchError) as caught:
            way()
        assert all(part in str(caught.value) for part in (*said, f"SavedModel {folder.name!r} has", "--allow-code")), (
            caught
        )
    assert not canary.exists()


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def tf_of(call: Callable[[Any, Any, str], Any]) -> Body:
    def body(x: Any, canary: str) -> Any:
        import tensorflow as tf

        return call(tf, x, canary)

    return body


def in_a_branch(tf: Any, x: Any, canary: str) -> Any:
    def write() -> Any:
        tf.io.write_file(canary, "ran")
        return tf.constant(1)

    return tf.cond(tf.reduce_sum(x) > 0, write, lambda: tf.constant(0))


def in_a_loop(tf: Any, x: Any, canary: str) -> Any:
    def step(i: Any) -> Any:
        tf.io.write_file(canary, "ran")
        return (i + 1,)

    return tf.while_loop(lambda i: i < 2, step, (tf.constant(0),))[0]


def in_functions(tf: Any, x: Any, canary: str) -> Any:
    def write() -> Any:
        tf.io.write_file(canary, "ran")
        return tf.constant(1)

    inner = tf.function(write)
    outer = tf.function(lambda: inner() + 1)
    return outer()


def in_a_dataset(tf: Any, x: Any, canary: str) -> Any:
    return tf.data.TextLineDataset(canary).reduce(np.int64(0), lambda n, _: n + 1)


BODIES: dict[str, tuple[Callable[[Any, Any, str], Any], str]] = {
    "write": (lambda tf, x, c: tf.io.write_file(c, "ran"), "'WriteFile'"),
    "read": (lambda tf, x, c: tf.io.read_file(c), "'ReadFile'"),
    "list": (lambda tf, x, c: tf.io.matching_files(f"{c}*"), "'MatchingFiles'"),
    "python": (lambda tf, x, c: tf.py_function(lambda: open(c, "w").close(), [], []), "'EagerPyFunc'"),
    "numpy": (lambda tf, x, c: tf.numpy_function(lambda v: v, [x], tf.float32), "'PyFunc'"),
    "stateless python": (lambda tf, x, c: tf.raw_ops.PyFuncStateless(input=[x], token="pyfunc_0", Tout=[tf.float32])[0], "'PyFuncStateless'"),
    "print": (lambda tf, x, c: tf.print(x, output_stream=f"file://{c}"), "'PrintV2' on the file"),
    "mapped file": (lambda tf, x, c: tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=[1], memory_region_name=c), "'ImmutableConst'"),
    "words of a sampler": (
        lambda tf, x, c: tf.raw_ops.FixedUnigramCandidateSampler(true_classes=tf.constant([[0]], tf.int64), num_true=1, num_sampled=1, unique=True, range_max=2, vocab_file=c).sampled_candidates,
        "'FixedUnigramCandidateSampler' on the file",
    ),
    "descriptor": (
        lambda tf, x, c: tf.raw_ops.DecodeProtoV2(bytes=[b""], message_type="a", field_names=["b"], output_types=[tf.int32], descriptor_source=c).sizes,
        "'DecodeProtoV2'",
    ),
    "checkpoint saved": (lambda tf, x, c: tf.raw_ops.SaveV2(prefix=c, tensor_names=["a"], shape_and_slices=[""], tensors=[x]), "SaveV2, which is for the saver alone"),
    "checkpoint restored": (lambda tf, x, c: tf.raw_ops.RestoreV2(prefix=c, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32])[0], "RestoreV2, which is for the saver alone"),
    "checkpoints merged": (lambda tf, x, c: tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[c], destination_prefix=c), "MergeV2Checkpoints, which is for the saver alone"),
    "summaries": (lambda tf, x, c: tf.raw_ops.CreateSummaryFileWriter(writer=tf.raw_ops.SummaryWriter(), logdir=c, max_queue=1, flush_millis=1, filename_suffix="x"), "SummaryWriter"),
    "vocabulary": (
        lambda tf, x, c: tf.raw_ops.InitializeTableFromTextFileV2(table_handle=tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64), filename=c, key_index=-2, value_index=-1),
        "none of its own assets",
    ),
    "branch": (in_a_branch, "'WriteFile'"),
    "loop": (in_a_loop, "'WriteFile'"),
    "functions": (in_functions, "'WriteFile'"),
    "dataset": (in_a_dataset, "Dataset"),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_operators_that_do_more_than_compute(name: str, tmp_path: Path, canary: Path) -> None:
    call, said = BODIES[name]
    refused(save(tmp_path / "bad", tf_of(call), canary), canary, said)


# ---- what runs when a model is loaded


def with_initializer(folder: Path, canary: Path) -> Path:
    import tensorflow as tf
    from tensorflow.python.trackable.resource import TrackableResource

    class Springing(TrackableResource):  # type: ignore[misc,unused-ignore]  # tensorflow is untyped
        def _create_resource(self) -> Any:
            return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)

        @tf.function(input_signature=[])  # type: ignore[untyped-decorator,unused-ignore]
        def _initialize(self) -> Any:
            tf.io.write_file(str(canary), "ran")
            return tf.constant(1)

    module = tf.Module()
    module.table = Springing()
    module.serve = tf.function(
        lambda x: {"y": x * 2.0}, input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")]
    )
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    canary.unlink(missing_ok=True)
    return folder


def test_an_initializer_is_refused_before_it_runs(tmp_path: Path, canary: Path) -> None:
    folder = with_initializer(tmp_path / "bad", canary)
    refused(folder, canary, "'WriteFile'", "_initialize")
    load.serving_function(folder, allow_code=True)
    assert canary.read_text() == "ran", "what was refused is an attack"


def version_1(folder: Path, canary: Path) -> Path:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        y = x * v1.get_variable("w", [3])
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        written = tf.io.write_file(str(canary), "ran")
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, main_op=written)
        builder.save()
    return folder


def test_the_first_operation_of_an_old_model_is_refused(tmp_path: Path, canary: Path) -> None:
    refused(version_1(tmp_path / "old", canary), canary, "'WriteFile'")


# ---- savers and assets that were changed by hand


def good(folder: Path) -> Path:
    return save(folder, lambda x, _: None, folder)


def function(graph: Any, part: str) -> Any:
    return next(f for f in graph.graph_def.library.function if part in f.signature.name)


def caller(graph: Any, part: str) -> Any:
    return next(n for n in graph.graph_def.node if part in n.attr["f"].func.name)


def saving_while_restoring(graph: Any) -> None:
    function(graph, "traced_restore").node_def.add(name="more", op="SaveV2")


def writing_while_restoring(graph: Any) -> None:
    function(graph, "traced_restore").node_def.add(name="more", op="WriteFile")


def restoring_by_saving(graph: Any) -> None:
    graph.saver_def.restore_op_name = graph.saver_def.save_tensor_name.split(":")[0]


def signature_that_saves(graph: Any) -> None:
    graph.signature_def["serving_default"].outputs["y"].name = graph.saver_def.save_tensor_name


def signature_that_restores(graph: Any) -> None:
    graph.signature_def["serving_default"].outputs["y"].name = f"{graph.saver_def.restore_op_name}:0"


def signature_behind_the_saver(graph: Any) -> None:
    caller(graph, "signature_wrapper").input.append(f"^{graph.saver_def.restore_op_name}")


def start_that_restores(graph: Any) -> None:
    graph.collection_def["saved_model_main_op"].node_list.value.append(graph.saver_def.restore_op_name)


def saver_taken_over(graph: Any) -> None:
    graph.saver_def.save_tensor_name = graph.saver_def.restore_op_name = ""


def function_that_calls_the_saver(graph: Any) -> None:
    saver = function(graph, "traced_save").signature.name
    node = function(graph, "signature_wrapper").node_def.add(name="more", op="StatefulPartitionedCall")
    node.attr["f"].func.name = saver


def function_called_as_an_operator(graph: Any) -> None:
    function(graph, "signature_wrapper").node_def.add(name="more", op=function(graph, "traced_save").signature.name)


def function_in_a_list(graph: Any) -> None:
    node = function(graph, "signature_wrapper").node_def.add(name="more", op="Case")
    node.attr["branches"].list.func.add(name=function(graph, "traced_save").signature.name)


def function_like_an_operator(graph: Any) -> None:
    function(graph, "signature_wrapper").signature.name = "MatMul"


def unknown_operator(graph: Any) -> None:
    graph.graph_def.node.add(name="more", op="Ev\u0456l")


def operator_in_other_letters(graph: Any) -> None:
    graph.graph_def.node.add(name="more", op="M\u0430tMul")


def operator_in_a_function_that_nobody_calls(graph: Any) -> None:
    new = graph.graph_def.library.function.add()
    new.signature.name = "nobody"
    new.node_def.add(name="more", op="ReadFile")


def asset_above(graph: Any) -> None:
    graph.asset_file_def.add(filename="../../secret")


def asset_elsewhere(graph: Any) -> None:
    graph.asset_file_def.add(filename="/etc/passwd")


CHANGES = (
    saving_while_restoring, writing_while_restoring, restoring_by_saving, signature_that_saves, signature_that_restores, signature_behind_the_saver,
    start_that_restores, saver_taken_over, function_that_calls_the_saver, function_called_as_an_operator, function_in_a_list, function_like_an_operator,
    unknown_operator, operator_in_other_letters, operator_in_a_function_that_nobody_calls, asset_above, asset_elsewhere,
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return good(tmp_path_factory.mktemp("whole") / "good")


@pytest.mark.parametrize("edit", CHANGES)
def test_changed_by_hand(edit: Callable[[Any], None], whole: Path, tmp_path: Path, canary: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(whole, folder)
    assert load.serving_function(folder) is not None
    refused(change(folder, edit), canary)


def table(folder: Path, words: Path) -> Path:
    import tensorflow as tf

    words.write_text("a\nb\nc\n")
    lines, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    module = tf.Module()
    made = tf.lookup.TextFileInitializer(str(words), tf.string, lines, tf.int64, number)
    module.table = tf.lookup.StaticHashTable(made, -1)
    module.counts = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    module.serve = tf.function(
        lambda x: {"y": module.table.lookup(x)}, input_signature=[tf.TensorSpec([None], tf.string, name="x")]
    )
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    words.unlink()
    return folder


def test_a_table_of_its_own_asset_passes_and_of_another_file_does_not(tmp_path: Path, canary: Path) -> None:
    import tensorflow as tf

    folder = table(tmp_path / "table", tmp_path / "words.txt")
    found = load.serving_function(folder)(x=tf.constant(["b", "z"]))
    np.testing.assert_array_equal(found["y"], [1, -1])

    def constant(graph: Any) -> None:
        asset = next(n for n in graph.object_graph_def.nodes if n.WhichOneof("kind") == "asset")
        asset.constant.operation = "Const"

    shutil.copytree(folder, tmp_path / "constant")
    refused(change(tmp_path / "constant", constant), canary, "none of its own assets")

    def other_variable(graph: Any) -> None:
        graph.graph_def.node.add(name="path", op="Const")
        node = next(n for n in graph.graph_def.node if n.op == "AssignVariableOp")
        node.input[1] = "path"

    shutil.copytree(folder, tmp_path / "variable")
    refused(change(tmp_path / "variable", other_variable), canary, "none of its own assets")

    def within(graph: Any) -> None:
        bodies = graph.graph_def.library.function
        body, node = next((f, n) for f in bodies for n in f.node_def if n.op == "InitializeTableFromTextFileV2")
        body.node_def.add(name="path", op="Const")
        node.input[1] = "path:output:0"

    shutil.copytree(folder, tmp_path / "within")
    refused(change(tmp_path / "within", within), canary, "none of its own assets")


# ---- what passes


def by_tf_keras(model: Any, folder: Path) -> None:
    model.save(folder, save_format="tf")


def by_export(model: Any, folder: Path) -> None:
    model.export(str(folder))


def by_freezing(model: Any, folder: Path) -> None:
    freeze.keras_inference(model).save(folder)


def by_the_ordinary_way(model: Any, folder: Path) -> None:
    load.save_ordinary(model, folder)


@pytest.mark.slow
@pytest.mark.parametrize("way", [by_tf_keras, by_export, by_freezing, by_the_ordinary_way])
def test_what_is_exported_of_tf_keras_passes(way: Callable[[Any, Path], None], tmp_path: Path) -> None:
    import tf_keras

    k = tf_keras.layers
    x = k.Input((6, 4), name="x")
    model = tf_keras.Model(
        x, k.Dense(2, name="y")(k.Dropout(0.5)(k.Bidirectional(k.LSTM(3))(k.LayerNormalization()(x))))
    )
    model.compile("adam", "mse")
    way(model, tmp_path / "model")
    serve = load.serving_function(tmp_path / "model")
    given = np.random.default_rng(0).random((1, 6, 4), dtype=np.float32)
    name = next(iter(serve.structured_input_signature[1]))
    np.testing.assert_allclose(next(iter(serve(**{name: given}).values())), model(given), rtol=1e-4, atol=1e-5)


def test_what_is_exported_of_keras_passes(tmp_path: Path) -> None:
    import keras  # type: ignore[import-untyped,unused-ignore]

    model = keras.Sequential([keras.layers.Input((3, 4)), keras.layers.GRU(2), keras.layers.Dropout(0.5)])
    model.export(tmp_path / "model", verbose=False)
    assert load.serving_function(tmp_path / "model") is not None


# ---- around it


def test_operators_are_tensorflows_own() -> None:
    import tensorflow as tf  # noqa: F401  # registers them
    from tensorflow.python.framework import op_def_registry

    every = OPERATORS | RESTORING | SAVING | TABLES | set(FILE_ATTRIBUTES)
    assert [name for name in sorted(every) if op_def_registry.get(name) is None] == []
    assert not OPERATORS & (RESTORING | SAVING | TABLES)
    # A file, a library or code is named in an attribute or argument of these kinds.
    for name in OPERATORS - set(FILE_ATTRIBUTES):
        definition = op_def_registry.get(name)
        named = [a.name for a in (*definition.attr, *definition.input_arg)]
        odd = {
            n
            for n in named
            if "file" in n or n.endswith("path") or n in ("token", "memory_region_name", "descriptor_source")
        }
        assert odd <= {"contents", "basename"}, name


def test_another_form_of_the_graph_is_not_read(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    shutil.copytree(whole, folder)
    (folder / "saved_model.cpb").write_bytes(b"garbage")
    (folder / "saved_model.pbtxt").write_text("garbage")
    assert load.serving_function(folder) is not None


def test_a_graph_beyond_what_can_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "huge").mkdir()
    with (tmp_path / "huge" / GRAPH).open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(
        WorkbenchError, match=r"'huge' cannot be loaded: its saved_model\.pb has 3221225472 bytes, at most"
    ):
        load.serving_function(tmp_path / "huge")


@pytest.mark.slow
def test_a_sweep_refuses(tmp_path: Path, canary: Path) -> None:
    import tensorflow as tf

    folder = save(tmp_path / "bad", tf_of(lambda tf, x, c: tf.io.write_file(c, "ran")), canary)
    data = {"x_train": np.ones((8, 3), np.float32), "x_test": np.ones((8, 3), np.float32)}
    with pytest.raises(WorkbenchError, match=r"SavedModel 'bad' has an operator 'WriteFile'.*--allow-code"):
        workbench.sweep(str(folder), data, {"quantize": ["float32"]}, store=str(tmp_path / "store"), jobs=1)
    assert not canary.exists()
    load.serving_function(folder, allow_code=True)(x=tf.ones((1, 3)))
    assert canary.read_text() == "ran"
