"""What a `.tflite` of a third party lacks for the tools that come after: written into a copy of it.

Files from before the second field of operator codes have only the older one, which newer tools do not read; many files have no
signature; most published ones hold float16 weights behind DEQUANTIZE operators, and some sparse ones behind DENSIFY, which a
quantizer takes for activations.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from workbench.errors import StageFailed
from workbench.flatbuffer.kept import drop_tensors, empty_buffers, text
from workbench.flatbuffer.numbers import densify
from workbench.flatbuffer.records import Graph, Model, StoredTensor

SIGNATURE = "serving_default"
# The older field of an operator's code is a byte; this is what it says where the newer one has the number.
_PLACEHOLDER = 127
_UNFOLDED = {"DEQUANTIZE": ("float16",), "DENSIFY": ("float16", "float32")}
# Dense bytes for each byte of a file: half precision doubles, and a sparse kernel of which one in 32 is kept.
_GROWTH = 64
_ALWAYS = 1 << 26


class Mended(NamedTuple):
    """The file that stages start from, and what was done to it in sentences."""

    content: bytes
    float16: int
    sparse: int


def mend(content: bytes, records: Model) -> Mended:
    """Return a flatbuffer with both operator codes, a signature, names in UTF-8, and its constants unfolded to float32.

    `records` is what `read_model` found in it, within bounds. `float16` and `sparse` count the bytes of constants that were unfolded. A file
    that lacks nothing is returned as it is. Raises StageFailed where it would unfold to more than a file of its size may.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    unfolding = _Unfolding(model, records, _GROWTH * len(content) + _ALWAYS)
    # Each has to do its part.
    changed = [_both_codes(model), _utf8(model), unfolding.all(), _sign(model), _unscaled(model)]
    if not any(changed):
        return Mended(content, 0, 0)
    made = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    return Mended(made, unfolding.float16, unfolding.sparse)


def _both_codes(model: Any) -> bool:
    """Write what either field of an operator's code says into both."""
    changed = False
    for code in model.operatorCodes or ():
        number = max(int(code.builtinCode), int(code.deprecatedBuiltinCode))
        older = min(number, _PLACEHOLDER)
        if (code.builtinCode, code.deprecatedBuiltinCode) != (number, older):
            code.builtinCode, code.deprecatedBuiltinCode, changed = number, older, True
    return changed


def _utf8(model: Any) -> bool:
    """Replace what is not UTF-8 in names: LiteRT's Python interface reads no others."""
    ends = [e for s in model.signatureDefs or () for e in (*(s.inputs or ()), *(s.outputs or ()))]
    named = [*(t for graph in model.subgraphs or () for t in graph.tensors or ()), *ends]
    odd = [n for n in named if isinstance(n.name, bytes) and text(n.name).encode() != n.name]
    for item in odd:
        item.name = text(item.name)
    return bool(odd)


def _sign(model: Any) -> bool:
    """Add a signature that names the main graph's ends as their tensors are, where there is none."""
    if model.signatureDefs:
        return False
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]

    def ends(indices: Any, kind: str) -> list[Any]:
        found, taken = [], set()
        for number, index in enumerate(i for i in indices if i >= 0):
            name = text(graph.tensors[index].name) or f"{kind}_{number}"
            # One tensor may be two outputs, and two tensors may have one name.
            name = name if name not in taken else f"{name}_{number}"
            taken.add(name)
            end = schema.TensorMapT()
            end.name, end.tensorIndex = name, int(index)
            found.append(end)
        return found

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs, signature.outputs = ends(graph.inputs, "input"), ends(graph.outputs, "output")
    model.signatureDefs = [signature]
    return True


def _unscaled(model: Any) -> bool:
    """Take scales away from float tensors, where they mean nothing and a quantizer takes them for a sign of its work."""
    from ai_edge_litert import schema_py_generated as schema

    changed = False
    for tensor in (t for graph in model.subgraphs for t in graph.tensors or ()):
        found = tensor.quantization
        if tensor.type == schema.TensorType.FLOAT32 and found is not None and found.scale is not None:
            tensor.quantization, changed = None, True
    return changed


class _Unfolding:
    """Constants behind DEQUANTIZE and DENSIFY operators become dense float32 constants, and the operators go."""

    def __init__(self, model: Any, records: Model, room: int) -> None:
        self.model, self.records, self.room = model, records, room
        self.float16 = self.sparse = 0
        # By what they are made of, so that what shares data still does.
        self.buffers: dict[tuple[Any, ...], int] = {}

    def all(self) -> bool:
        """Unfold them in every graph; returns whether there were any."""
        found = [self._graph(g, r) for g, r in zip(self.model.subgraphs, self.records.graphs, strict=True)]
        if not any(found):
            return False
        empty_buffers(self.model)
        return True

    def _graph(self, graph: Any, records: Graph) -> bool:
        """Put dense constants in place of what the operators give, in the order in which they run."""
        stored: dict[int, StoredTensor] = {i: t for i, t in enumerate(records.tensors) if t.data is not None}
        gone: set[int] = set()
        for number, operator in enumerate(records.operators):
            source = stored.get(operator.inputs[0]) if operator.inputs else None
            if source is None or source.type not in _UNFOLDED.get(operator.name, ()) or len(operator.outputs) != 1:
                continue
            output = operator.outputs[0]
            readers = {o.name for o in records.operators if output in o.inputs}
            if operator.name == "DENSIFY" and source.type == "float16" and readers != {"DEQUANTIZE"}:
                continue
            if not self._unfold(graph.tensors[output], source):
                continue
            stored[output] = source
            gone.add(number)
        if gone:
            graph.operators = [o for n, o in enumerate(graph.operators) if n not in gone]
            drop_tensors(self.model, graph, {records.operators[n].inputs[0] for n in gone})
        return bool(gone)

    def _unfold(self, tensor: Any, source: StoredTensor) -> bool:
        """Make a tensor the dense float32 constant that a stored one stands for; False where it cannot be told."""
        from ai_edge_litert import schema_py_generated as schema

        key = (source.buffer, id(source.sparsity), source.shape)
        if key not in self.buffers:
            values = self._values(source)
            if values is None:
                return False
            made = schema.BufferT()
            made.data = np.frombuffer(values.tobytes(), np.uint8)
            self.model.buffers.append(made)
            self.buffers[key] = len(self.model.buffers) - 1
            assert source.data is not None
            self.float16 += source.data.size if source.type == "float16" else 0
            self.sparse += source.data.size if source.sparsity is not None else 0
        tensor.buffer, tensor.type, tensor.sparsity = self.buffers[key], schema.TensorType.FLOAT32, None
        tensor.shape, tensor.shapeSignature, tensor.quantization = list(source.shape), None, None
        return True

    def _values(self, source: StoredTensor) -> np.ndarray[Any, Any] | None:
        assert source.data is not None
        self.room -= 4 * source.elements
        if self.room < 0:
            raise StageFailed(
                "its sparse or half-precision weights unfold to more than a file of its size may hold. Convert the model again with float32 weights."
            )
        kind = np.dtype("<f2" if source.type == "float16" else "<f4")
        values = source.data.view(kind)
        if source.sparsity is not None:
            dense = densify(values, source.sparsity, source.shape)
            if dense is None:
                return None
            values = dense
        return values.astype("<f4") if values.size == source.elements else None
