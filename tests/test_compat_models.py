"""Canaries: what TensorFlow, tf_keras, TFMOT, LiteRT and others keep to themselves still means what Workbench takes it for."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.compat import (
    flatbuffers,
    keras,
    litert,
    litert_profiler,
    litert_quantizer,
    openvino,
    pycocotools,
    tensorflow,
    tf_keras,
    tfmot,
)

# ---- TensorFlow


def saved(folder: Path, function: Any, *specs: Any) -> Path:
    """A SavedModel that adds its variable, 10, to what a function computes."""
    import tensorflow as tf

    module = tf.Module()
    module.ten = tf.Variable(10.0)
    serve = tf.function(lambda *inputs: {"found": function(*inputs) + module.ten}, input_signature=specs)
    tf.saved_model.save(module, str(folder), signatures=serve)
    return folder


def test_a_frozen_function_keeps_the_values_that_its_variables_had() -> None:
    import tensorflow as tf

    weight = tf.Variable(3.0)
    function = tf.function(lambda x: x * weight).get_concrete_function(tf.TensorSpec([], tf.float32))
    constant = tensorflow.frozen(function)
    weight.assign(5.0)
    assert float(function(tf.constant(2.0))) == 10.0
    (found,) = constant(tf.constant(2.0))
    assert float(found) == 6.0
    assert not constant.variables


def test_operators_without_a_public_function_are_known_too() -> None:
    import tensorflow as tf

    hidden = "MlirPassthroughOp"
    assert not hasattr(tf.raw_ops, hidden)
    assert tensorflow.is_operator(hidden)
    assert tensorflow.is_operator("MatMul")
    assert not tensorflow.is_operator("__inference_serve_12")


def test_the_graph_of_a_saved_model_is_read_with_tensorflows_own_definition(tmp_path: Path) -> None:
    import tensorflow as tf

    folder = saved(tmp_path / "model", tf.nn.relu, tf.TensorSpec([2], tf.float32, name="x"))
    message = tensorflow.saved_model_message()
    message.ParseFromString((folder / "saved_model.pb").read_bytes())
    (graph,) = message.meta_graphs
    assert set(graph.signature_def["serving_default"].outputs) == {"found"}
    assert "Relu" in {n.op for f in graph.graph_def.library.function for n in f.node_def}


def test_gradients_of_traced_functions_are_filed_and_can_be_taken_out() -> None:
    import tensorflow as tf

    doubled = tf.custom_gradient(lambda x: (2 * x, lambda up: 2 * up))

    def trace() -> None:
        tf.function(doubled).get_concrete_function(tf.TensorSpec([], tf.float32))

    before = set(tensorflow.gradients())
    assert "MatMul" in before
    trace()
    new = set(tensorflow.gradients()) - before
    assert new
    assert all(n.startswith("CustomGradient-") for n in new)
    for name in new:
        del tensorflow.gradients()[name]
    assert set(tensorflow.gradients()) == before
    trace()
    assert set(tensorflow.gradients()) - before


def test_a_restored_function_is_called_by_position_whatever_its_inputs_are_called(tmp_path: Path) -> None:
    import tensorflow as tf

    v1, folder = tf.compat.v1, str(tmp_path / "model")
    with v1.Graph().as_default(), v1.Session() as session:  # only TensorFlow 1 writes an input of this name
        ends = {n: v1.placeholder(tf.float32, []) for n in ("zeta", "self", "alpha")}
        found = 100 * ends["zeta"] + ends["self"] - ends["alpha"]
        v1.saved_model.simple_save(session, folder, ends, {"found": found})
    loaded = tf.saved_model.load(folder)
    served = loaded.signatures["serving_default"]
    values = {"zeta": 3.0, "self": 2.0, "alpha": 1.0}
    with pytest.raises(TypeError, match="self"):
        served(**{n: tf.constant(v) for n, v in values.items()})
    flat = tensorflow.flat(served)
    assert sorted(flat.keywords) == sorted(values)
    assert float(flat(*[tf.constant(values[k]) for k in flat.keywords])["found"]) == 301.0


def test_a_restored_function_needs_its_object_and_keeps_it(tmp_path: Path) -> None:
    import tensorflow as tf

    folder = saved(tmp_path / "model", tf.nn.relu, tf.TensorSpec([], tf.float32, name="x"))

    def restored(kept: bool) -> tuple[Any, weakref.ref[Any]]:
        loaded = tf.saved_model.load(str(folder))
        function = loaded.signatures["serving_default"]
        return tensorflow.kept_with(function, loaded) if kept else function, weakref.ref(loaded)

    function, owner = restored(True)
    lost, gone = restored(False)
    gc.collect()
    assert owner() is not None
    assert gone() is None

    def traced(function: Any) -> float:
        outer = tf.function(lambda x: function(x=x)["found"])
        return float(outer.get_concrete_function(tf.TensorSpec([], tf.float32))(tf.constant(1.0)))

    assert traced(function) == 11.0
    with pytest.raises(AssertionError, match="variables which have been deleted"):
        traced(lost)


# ---- tf_keras


def test_safe_mode_holds_for_h5_files(tmp_path: Path) -> None:
    import tf_keras as keras

    path = tmp_path / "code.h5"
    image = keras.layers.Input((2,))
    keras.Model(image, keras.layers.Lambda(lambda x: x + 1)(image)).save(path)
    with tf_keras.safe_mode(True), pytest.raises(ValueError, match="Lambda"):
        keras.models.load_model(path)
    with tf_keras.safe_mode(False):
        assert float(keras.models.load_model(path)(np.zeros((1, 2), np.float32))[0, 0]) == 1.0


def unlisted() -> dict[str, Any]:
    import tf_keras as keras

    layers = tf_keras.unlisted_layers()
    return {
        "LayerScale": layers["LayerScale"](1e-6, 4),
        "StochasticDepth": layers["StochasticDepth"](0.1),
        "SpectralNormalization": layers["SpectralNormalization"](keras.layers.Dense(3)),
        "RandomFourierFeatures": layers["RandomFourierFeatures"](4),
    }


@pytest.mark.parametrize("name", ["LayerScale", "StochasticDepth", "SpectralNormalization", "RandomFourierFeatures"])
def test_layers_that_the_loader_does_not_know_are_given_to_it(name: str) -> None:
    import tf_keras as keras

    assert set(tf_keras.unlisted_layers()) == set(unlisted())
    # As an `.h5` file has it: a name, and no module.
    written = {"class_name": name, "config": unlisted()[name].get_config()}
    with pytest.raises(ValueError, match=f"Unknown layer: '{name}'"):
        keras.layers.deserialize(written, use_legacy_format=True)
    read = keras.layers.deserialize(written, custom_objects=tf_keras.unlisted_layers(), use_legacy_format=True)
    assert type(read) is tf_keras.unlisted_layers()[name]


def test_a_models_name_can_be_changed(small_h5: Path) -> None:
    import tf_keras as keras

    model = keras.models.load_model(small_h5)
    tf_keras.rename(model, "other")
    assert (model.name, model.get_config()["name"]) == ("other", "other")


def test_models_that_know_the_calls_of_their_layers(small_keras_model: Any) -> None:
    import tf_keras as keras

    class Own(keras.Model):  # type: ignore[misc]  # tf_keras is untyped
        def call(self, inputs: Any) -> Any:
            return inputs

    dense = keras.layers.Dense(2)
    assert tf_keras.is_graph(small_keras_model)
    assert tf_keras.is_graph(keras.Sequential([keras.layers.Input((3,)), dense]))
    assert not tf_keras.is_graph(keras.Sequential([keras.layers.Dense(2)]))
    assert not tf_keras.is_graph(Own())
    assert not tf_keras.is_graph("a model")


def test_a_graph_tells_its_calls_in_their_order() -> None:
    import tf_keras as k

    x, y = k.layers.Input((4,), name="x"), k.layers.Input((4,), name="y")
    first = k.layers.Dense(3, name="first")
    made = k.layers.Concatenate(name="both", axis=-1)([first(x), first(y)])
    model = k.Model([x, y], k.layers.Dense(2, name="last")(made))
    calls = tf_keras.graph_calls(model)
    assert [c.layer.name for c in calls] == ["first", "first", "both", "last"]
    assert calls[0].args[0] is x
    assert calls[3].args[0] is calls[2].outputs
    assert [tf_keras.maker(t)[0].name for t in calls[2].args[0]] == ["first", "first"]


def test_the_only_layer_before() -> None:
    import tf_keras as keras

    layers = keras.layers
    image = layers.Input((4,), name="image")
    first, second, third, twice = (layers.Dense(4) for _ in range(4))
    norm, sum_, end = layers.BatchNormalization(), layers.Add(), layers.ReLU()
    x = second(first(image))  # in a row
    split = third(x)
    both = sum_([split, norm(split)])  # third goes two ways, the sum comes two ways
    keras.Model(image, end(twice(twice(both))))
    assert tf_keras.only_before(second) is first
    assert tf_keras.only_before(third) is second
    assert tf_keras.only_before(norm) is None
    assert tf_keras.only_before(sum_) is None
    assert tf_keras.only_before(end) is None  # what comes before is called twice
    assert tf_keras.only_before(twice) is None


def test_a_tensor_says_whether_it_carries_a_mask() -> None:
    import tf_keras as keras

    layers = keras.layers
    given = layers.Input((4,), dtype="int32")
    x = layers.Embedding(5, 3, mask_zero=True)(given)
    assert [tf_keras.has_mask(t) for t in (given, x, layers.Dense(2)(x), layers.Reshape((4, 3))(x))] == [
        False,
        True,
        True,
        False,
    ]


# ---- TFMOT


@pytest.mark.slow
def test_tfmot_comes_without_keras_3_which_can_follow() -> None:
    code = """
import sys
from workbench.compat import tfmot
tfmot.import_tfmot()
brought = [name for name in ("keras", "sklearn", "matplotlib") if name in sys.modules]
import tensorflow as tf
import tf_keras
assert tf.keras.layers.Dense is tf_keras.layers.Dense
from tensorflow_model_optimization.sparsity.keras import prune_low_magnitude
assert prune_low_magnitude(tf_keras.layers.Dense(2))
import keras
print(brought, keras.__version__[0], sys.modules["keras"] is keras)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2] == "[] 3 True"


def test_tfmot_prunes_variables_without_a_layer() -> None:
    import tensorflow as tf
    from tensorflow_model_optimization.sparsity import keras as sparsity

    weights = [
        tf.Variable(np.random.default_rng(n).normal(size=s).astype("f4")) for n, s in enumerate([(3, 3, 2, 4), (8, 4)])
    ]
    kept = [np.sort(np.abs(w.numpy()).ravel())[w.shape.num_elements() // 2 :] for w in weights]
    pruner = tfmot.Pruner(weights, sparsity.ConstantSparsity(0.5, begin_step=0, frequency=1))
    pruner.step(1)
    for weight, values in zip(weights, kept, strict=True):
        np.testing.assert_array_equal(np.sort(np.abs(weight.numpy()[weight.numpy() != 0])), values)
        zeros = weight.numpy() == 0
        weight.assign_add(tf.ones_like(weight))
        pruner.hold()
        assert (weight.numpy()[zeros] == 0).all()


def test_tfmot_prunes_n_of_m_and_blocks() -> None:
    import tensorflow as tf
    from tensorflow_model_optimization.sparsity import keras as sparsity

    for options, shape in (({"sparsity_m_by_n": (2, 4)}, (8, 4)), ({"block_size": (1, 4)}, (1, 4))):
        weight = tf.Variable(np.random.default_rng(2).normal(size=(8, 8)).astype("f4"))
        tfmot.Pruner([weight], sparsity.ConstantSparsity(0.5, 0, frequency=1), **options).step(1)
        zeros = weight.numpy() == 0
        assert zeros.mean() == 0.5
        if "block_size" in options:
            assert set(zeros.reshape(8, 2, 4).sum(axis=2).ravel()) == {0, 4}
        else:
            assert (zeros.T.reshape(8, 2, shape[1]).sum(axis=2) == 2).all()


@pytest.mark.parametrize("init", ["KMEANS_PLUS_PLUS", "LINEAR", "DENSITY_BASED", "RANDOM"])
@pytest.mark.parametrize("zero", [True, False])
def test_tfmot_chooses_the_values_of_clusters(init: str, zero: bool) -> None:
    import tensorflow as tf

    kernel = np.random.default_rng(2).uniform(0.5, 1.5, (8, 8)).astype(np.float32)
    kernel[::2] = 0.0
    found = np.asarray(tfmot.centroids(tf.constant(kernel), 4, init, zero))
    assert 1 <= len(found) <= 4
    assert found.max() <= 1.5
    assert not zero or (found == 0).any()


def annotated(*layers: Any) -> Any:
    import tf_keras as keras
    from tensorflow_model_optimization.quantization.keras import quantize_annotate_model

    return quantize_annotate_model(keras.Sequential([keras.layers.Input((6, 6, 3)), *layers]))


def test_rounding_of_a_relu6_inside_of_a_layer_is_simulated() -> None:
    import tf_keras as keras
    from tensorflow_model_optimization.quantization.keras import quantize_apply

    tfmot.simulate_relu6()
    tfmot.simulate_relu6()
    aware = quantize_apply(annotated(keras.layers.Conv2D(4, 3, activation="relu6")))
    names = {w.name.rpartition("/")[2] for w in aware.layers[-1].weights}
    assert {"post_activation_min:0", "post_activation_max:0"} <= names


def test_one_scale_holds_for_a_whole_kernel_but_a_depthwise_one() -> None:
    import tf_keras as keras
    from tensorflow_model_optimization.quantization.keras import default_8bit, quantize_apply

    def scales(scheme: Any, layer: Any) -> list[tuple[int, ...]]:
        aware = quantize_apply(annotated(layer), scheme)
        return [tuple(w.shape) for w in aware.layers[-1].weights if w.name.endswith("kernel_max:0")]

    assert scales(default_8bit.Default8BitQuantizeScheme(), keras.layers.Conv2D(4, 3)) == [(4,)]
    assert scales(tfmot.one_scale_scheme()(), keras.layers.Conv2D(4, 3)) == [()]
    depthwise = scales(default_8bit.Default8BitQuantizeScheme(), keras.layers.DepthwiseConv2D(3))
    assert scales(tfmot.one_scale_scheme()(), keras.layers.DepthwiseConv2D(3)) == depthwise


def test_ranges_start_from_what_the_model_is_given() -> None:
    import tf_keras as keras
    from tensorflow_model_optimization.quantization.keras import quantize_apply

    aware = quantize_apply(annotated(keras.layers.Conv2D(4, 3)))
    x = np.random.default_rng(0).uniform(-300, 900, (8, 6, 6, 3)).astype("f4")
    with tfmot.measuring_ranges():
        aware(x[:4], training=False)
        aware(x[4:], training=False)
    values = {w.name: w.numpy() for w in aware.weights}
    first = [v for n, v in values.items() if n.startswith("quantize_layer") and n.endswith(("_min:0", "_max:0"))]
    assert sorted(first) == [x.min(), x.max()]
    (top,) = [v for n, v in values.items() if n.endswith("post_activation_max:0")]
    assert 6 < top == pytest.approx(aware(x, training=False).numpy().max(), rel=0.05)
    assert "linear" in tfmot.simulated_activations()


# ---- LiteRT


def interpreter_of(path: Path, resolver: str) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    found = Interpreter(model_path=str(path), experimental_op_resolver_type=OpResolverType[resolver])
    found.allocate_tensors()
    return found


def test_signatures_name_the_tensors_of_inputs_and_outputs(two_input_tflite: Path) -> None:
    interpreter = interpreter_of(two_input_tflite, "BUILTIN_REF")
    signature = litert.signatures(interpreter)["serving_default"]
    shapes = {d["index"]: tuple(d["shape"]) for d in interpreter.get_tensor_details()}
    assert {n: shapes[i] for n, i in signature["inputs"].items()} == {"zeta": (1, 4), "alpha": (1, 2, 2)}
    assert {n: shapes[i] for n, i in signature["outputs"].items()} == {"second": (1, 3), "first": (1, 2)}


def test_nodes_that_a_delegate_took_stand_before_it(small_tflite: Path) -> None:
    plain = litert.nodes(interpreter_of(small_tflite, "BUILTIN_WITHOUT_DEFAULT_DELEGATES"))
    names = [n["op_name"] for n in plain]
    assert names[0] == "CONV_2D"
    assert names[-1] == "SOFTMAX"
    # Each takes what another gave.
    given = {int(t) for n in plain for t in n["outputs"]}
    assert all({int(t) for t in n["inputs"]} & given for n in plain[1:])
    taken = litert.nodes(interpreter_of(small_tflite, "AUTO"))
    assert [n["op_name"] for n in taken] == [*names, "DELEGATE"]
    assert {int(t) for t in taken[-1]["outputs"]} == {int(t) for t in plain[-1]["outputs"]}


def test_the_packages_folder_holds_the_library_that_is_called() -> None:
    import ctypes

    library = ctypes.CDLL(str(litert.litert_folder() / "libLiteRt.so"))
    assert library.LiteRtCompiledModelGetProfiler
    assert (litert.litert_folder() / "vendors").is_dir()


PROFILED = """
import json, sys
from pathlib import Path
from workbench.compat.litert_profiler import ProfiledModel
with ProfiledModel(Path(sys.argv[1]), sys.argv[2], 1) as model:
    print(json.dumps([model.profiled(n) for n in (1, 3)]))
"""


def profiled(path: Path, resolver: str) -> list[list[litert_profiler.ProfilerEvent]]:
    """The events of one inference and of three, from a process of its own: a wrong layout may crash it."""
    command = [sys.executable, "-c", PROFILED, str(path), resolver]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    once, thrice = json.loads(done.stdout.splitlines()[-1])
    return [[litert_profiler.ProfilerEvent(*e) for e in events] for events in (once, thrice)]


def test_the_profiler_tells_each_operator_of_the_file(small_tflite: Path) -> None:
    names = [n["op_name"] for n in litert.nodes(interpreter_of(small_tflite, "BUILTIN_WITHOUT_DEFAULT_DELEGATES"))]
    once, thrice = profiled(small_tflite, "BUILTIN_WITHOUT_DEFAULT_DELEGATES")
    operators = [e for e in once if e.kind == litert_profiler.OPERATOR]
    assert [(e.node, e.tag) for e in operators] == list(enumerate(names))
    assert len([e for e in thrice if e.kind == litert_profiler.OPERATOR]) == 3 * len(names)
    # Microseconds of a model as small as this one: a field that lies elsewhere is an address, or a time of day.
    assert 0 <= sum(e.elapsed_us for e in operators) < 1e6


def test_the_profiler_tells_what_xnnpack_did(small_tflite: Path) -> None:
    once, thrice = profiled(small_tflite, "AUTO")
    kinds = (litert_profiler.DELEGATE_OPERATOR, litert_profiler.DELEGATE_PROFILED)
    inside = [e.tag for e in once if e.kind in kinds]
    assert any(tag.startswith("Convolution") for tag in inside)
    assert any(tag.startswith("Softmax") for tag in inside)
    assert [e.tag for e in thrice if e.kind in kinds] == 3 * inside


# ---- litert-quantizer


def test_calibration_keeps_the_whole_range(small_tflite: Path) -> None:
    from litert_quantizer import qtyping, quantizer

    images = [np.full((1, 8, 8, 1), v, np.float32) for v in (0.0, -3.0, 0.5, 7.0, 0.0)]
    content = bytearray(small_tflite.read_bytes())
    made = quantizer.Quantizer(content)
    made.add_static_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, 8, 8, qtyping.QuantGranularity.CHANNELWISE)
    samples = [{"image": i} for i in images]
    found = litert_quantizer.ranges(made, content, {"serving_default": samples}, 1)
    (image,) = [n for n in found if "image" in n]
    assert (float(np.min(found[image]["min"])), float(np.max(found[image]["max"]))) == (-3.0, 7.0)
    # What its own way makes of the same samples.
    average = made.calibrate({"serving_default": samples}, num_threads=1)[image]
    assert float(np.max(average["max"])) < 7.0
    # The ranges are those that it quantizes with.
    assert made.quantize(found, enable_progress_bar=False, enable_progress_report=False).quantized_model


# ---- pycocotools


def test_boxes_that_were_put_in_are_matched() -> None:
    matcher = pycocotools.matcher(5)
    box = {"bbox": [2.0, 3.0, 10.0, 10.0], "area": 100.0}
    assert pycocotools.truths(matcher)["new", 1] == []
    pycocotools.truths(matcher)[7, 1].append({**box, "id": 1, "iscrowd": 0, "ignore": 0})
    for number in range(8):
        pycocotools.detections(matcher)[7, 1].append({**box, "id": number + 1, "score": 1 - number / 10})
    matcher.ious[7, 1] = matcher.computeIoU(7, 1)
    found = matcher.evaluateImg(7, 1, (0.0, 1e10), 5)
    assert found["dtScores"] == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6])
    assert found["dtMatches"].shape == (10, 5)
    assert (found["dtMatches"][:, 0] == 1).all()
    assert not found["dtMatches"][:, 1:].any()
    assert not found["dtIgnore"].any()


# ---- flatbuffers


def test_the_table_behind_a_generated_object(small_tflite: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    data = small_tflite.read_bytes()
    root = schema.Model.GetRootAs(data, 0)
    table = flatbuffers.table_of(root)
    assert bytes(table.Bytes) == data
    assert int.from_bytes(data[table.Pos + table.Offset(4) :][:4], "little") == root.Version() == 3
    buffer = next(b for b in map(root.Buffers, range(root.BuffersLength())) if b.DataLength() > 0)
    inner = flatbuffers.table_of(buffer)
    start = inner.Vector(inner.Offset(4))
    assert data[start : start + buffer.DataLength()] == buffer.DataAsNumpy().tobytes()


# ---- OpenVINO


def test_openvinos_libraries_lie_where_they_are_looked_for() -> None:
    if find_spec("openvino") is None:
        assert openvino.library_folder() is None
        return
    folder = openvino.library_folder()
    assert folder is not None
    assert list(folder.glob("libopenvino.so*"))


# ---- Keras 3


def small_graph() -> Any:
    import keras as keras_3  # type: ignore[import-untyped,unused-ignore]

    x = keras_3.layers.Input((4,), name="x")
    return keras_3.Model(x, keras_3.layers.Dense(2, name="dense")(x) * 2.0)


def test_the_graph_of_a_model_is_known_and_of_a_subclass_is_not() -> None:
    import keras as keras_3  # type: ignore[import-untyped,unused-ignore]

    assert keras.import_keras() is keras_3

    class Own(keras_3.Model):  # type: ignore[misc,unused-ignore]  # Keras is untyped
        pass

    model = small_graph()
    assert keras.graph_of(model) is model
    assert keras.graph_of(keras_3.Sequential([keras_3.layers.Input((3,)), keras_3.layers.Dense(2)])).inputs[
        0
    ].shape == (None, 3)
    assert keras.graph_of(keras_3.Sequential([keras_3.layers.Dense(2)])) is None
    assert keras.graph_of(Own()) is None


def test_a_graph_is_run_through_with_other_operations() -> None:
    seen: list[str] = []

    def operation(op: Any) -> Any:
        seen.append(op.name)
        return lambda value, *_: f"{op.name}({value})"

    model = small_graph()
    (found,) = keras.run_through(model, ["start"], operation)
    assert (seen[0], found) == ("dense", f"{seen[1]}(dense(start))")
    assert keras.producer(model.inputs[0]).name == "x"
    assert keras.producer(model.outputs[0]).name == seen[1]


def test_symbolic_tensors_count_their_axes_where_keras_3_asks_them() -> None:
    import tf_keras as keras_2

    dense = keras_2.layers.Dense(2)
    tensor = dense(keras_2.layers.Input((3, 4)))
    assert tf_keras.is_symbolic(tensor)
    assert not tf_keras.is_symbolic(2.0)
    assert tf_keras.maker(tensor) == (dense, 0)
    with tf_keras.countable_axes():
        assert tensor.ndim == 3
        with tf_keras.countable_axes():
            assert tensor.ndim == 3
        assert tensor.ndim == 3
    assert not hasattr(tensor, "ndim")
