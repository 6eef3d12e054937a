"""A function that takes one sample, of one that takes any number: recurrent layers convert for a known batch only.

Keras writes the open batch into the lists that its loops keep, so it has to be replaced there as well as at the inputs.
"""

from __future__ import annotations

from typing import Any

from workbench.compat.tensorflow import frozen
from workbench.errors import StageFailed
from workbench.sources.freeze import Inference

# Where operators on lists of tensors are told the shape of an element, by the place of that input.
_ELEMENT_SHAPE = {"TensorListReserve": 0, "TensorListFromTensor": 1, "TensorListGetItem": 2, "TensorListStack": 1}
_SUFFIX = "_of_one_sample"


def one_sample(inference: Inference) -> Inference:
    """Return the same inference for a batch of 1; what it gives has to be compared with the original, as `Inference.save` does.

    Raises StageFailed where the batch is not open in every input.
    """
    import tensorflow as tf

    if any(s.shape.rank in (None, 0) or s.shape[0] is not None for s in inference.specs.values()):
        raise StageFailed("the inputs have no open batch")
    constant = frozen(inference.function, keep_control_flow=True)
    graph = constant.graph.as_graph_def()
    _fix(graph)
    inputs, outputs = [t.name for t in constant.inputs], [t.name for t in constant.outputs]

    def run(*values: Any) -> Any:
        mapped = dict(zip(inputs, values, strict=True))
        return tf.graph_util.import_graph_def(graph, input_map=mapped, return_elements=outputs, name="")

    wrapped = tf.compat.v1.wrap_function(run, [tf.TensorSpec((1, *t.shape[1:]), t.dtype) for t in constant.inputs])
    specs = {n: tf.TensorSpec((1, *s.shape[1:]), s.dtype, name=n) for n, s in inference.specs.items()}
    order = [name.partition(":")[0] for name in inputs]

    def call(**given: Any) -> dict[str, Any]:
        return dict(zip(inference.names.outputs, wrapped(*[given[n] for n in order]), strict=True))

    return Inference(tf.function(call).get_concrete_function(**specs), specs, inference.call, inference.names)


def _fix(graph: Any) -> None:
    """Write a batch of 1 into a graph, and give its functions names that the process does not have yet."""
    bodies = [graph.node, *(f.node_def for f in graph.library.function)]
    known = {f.signature.name for f in graph.library.function}
    for function in graph.library.function:
        function.signature.name += _SUFFIX
    for nodes in bodies:
        by_name = {n.name: n for n in nodes}
        for node in nodes:
            # What shapes were before; they are inferred again.
            node.attr.pop("_output_shapes", None)
            for value in node.attr.values():
                called = {"func": [value.func], "list": value.list.func}.get(value.WhichOneof("value"), ())
                for name in called:
                    name.name += _SUFFIX if name.name in known else ""
            if node.op in _ELEMENT_SHAPE:
                _close(by_name.get(node.input[_ELEMENT_SHAPE[node.op]].partition(":")[0]))


def _close(constant: Any) -> None:
    import tensorflow as tf

    if constant is None or constant.op != "Const":
        return
    shape = tf.make_ndarray(constant.attr["value"].tensor)
    if shape.ndim == 1 and shape.size and shape[0] == -1:
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto([1, *shape[1:].tolist()], shape.dtype))
