"""The public names of a file's inputs and outputs: they stand in its signature, and are data there.

Models are traced under names of ours, which every library takes as an identifier; what the user called an input may be
`class`, `my input` or `x.y`. The signature is the one place where a `.tflite` file carries the user's own names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import StageFailed
from workbench.flatbuffer.reader import read_model
from workbench.values.base import Value

# TensorFlow keeps what is in this folder of a SavedModel and never looks at it.
_FILE = Path("assets.extra") / "workbench_names.json"


class Names(Value):
    """Public names of inputs and outputs by the names of ours that a function or SavedModel has instead."""

    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}

    @classmethod
    def of(cls, inputs: Iterable[str], outputs: Iterable[str]) -> Names:
        """Return names of ours, `input_0 input_1 ...` and `output_0 ...`, which sort in the order of the public ones.

        Raises StageFailed for a name that a `.tflite` file cannot hold, or that is there twice.
        """
        return cls(inputs=_numbered("input", list(inputs)), outputs=_numbered("output", list(outputs)))

    def save(self, saved_model: Path) -> None:
        """Write the names into a SavedModel that has names of ours in its signature."""
        path = saved_model / _FILE
        path.parent.mkdir(exist_ok=True)
        path.write_text(self.model_dump_json(), encoding="utf-8")

    @classmethod
    def read(cls, saved_model: Path) -> Names:
        """Return the names in a SavedModel, empty where its signature carries the public ones itself."""
        path = saved_model / _FILE
        return cls.model_validate_json(path.read_bytes()) if path.is_file() else cls()

    def publish(self, content: bytes) -> bytes:
        """Return a flatbuffer with the public names wherever a signature has names of ours."""
        if all(mine == public for names in (self.inputs, self.outputs) for mine, public in names.items()):
            return content

        def rename(model: Any) -> None:
            for signature in model.signatureDefs or ():
                for ends, names in ((signature.inputs, self.inputs), (signature.outputs, self.outputs)):
                    for end in ends or ():
                        end.name = names.get(_text(end.name), end.name)

        return _edited(content, rename)


@dataclass(frozen=True)
class _End:
    """One end of a signature as the schema's object interface wants it."""

    name: str
    index: int

    def packed(self) -> Any:
        from ai_edge_litert import schema_py_generated as schema

        end = schema.TensorMapT()
        end.name, end.tensorIndex = self.name, self.index
        return end


def sign(content: bytes, key: str, names: Names) -> bytes:
    """Return a flatbuffer with a signature of the public names; its input tensors have names of ours.

    Conversion from a function leaves the signature out. Outputs come in the order of `names`. Tensors of inputs get the
    public name too, for those who read a file without its signature, unless another tensor has it.
    """

    def add(model: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        graph = model.subgraphs[0]
        inputs = []
        taken = {_text(tensor.name) for tensor in graph.tensors}
        for index in graph.inputs:
            tensor = graph.tensors[index]
            mine = _text(tensor.name).partition(":")[0]
            if mine not in names.inputs:
                raise StageFailed(f"converted input {mine!r} is not one of {', '.join(names.inputs)}")
            public = names.inputs[mine]
            inputs.append(_End(public, int(index)).packed())
            if public and public not in taken:
                tensor.name = public
        if len(names.outputs) != len(graph.outputs):
            told = ", ".join(names.outputs.values())
            raise StageFailed(f"conversion gave {len(graph.outputs)} outputs, not {len(names.outputs)} ({told})")
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = key, 0
        signature.inputs = inputs
        pairs = zip(names.outputs.values(), graph.outputs, strict=True)
        signature.outputs = [_End(name, int(index)).packed() for name, index in pairs]
        model.signatureDefs = [signature]

    return _edited(content, add)


def sign_as(content: bytes, source: bytes) -> bytes:
    """Return a flatbuffer whose signatures name the ends of its graphs, by their order in the file that it was made of.

    A quantizer that puts an operator behind an output which the graph reads as well leaves the signature at the tensor before it.
    """
    made, was = read_model(content, "made"), read_model(source, "source")
    before = {s.key: s for s in was.signatures}
    moved: dict[str, list[_End]] = {}
    for signature in made.signatures:
        ends, old = made.graphs[signature.graph].outputs, before.get(signature.key)
        if old is not None and not set(signature.outputs) <= set(ends):
            places = {index: place for place, index in enumerate(was.graphs[old.graph].outputs)}
            named = [(name, places[i]) for i, name in old.outputs.items() if i in places]
            moved[signature.key] = [_End(name, ends[place]) for name, place in named]
    if not moved:
        return content

    def point(model: Any) -> None:
        for signature in model.signatureDefs:
            if (found := moved.get(_text(signature.signatureKey))) is not None:
                signature.outputs = [end.packed() for end in found]

    return _edited(content, point)


def _numbered(kind: str, public: list[str]) -> dict[str, str]:
    for name in public:
        if "\0" in name or not _encodes(name):
            raise StageFailed(
                f"{kind} name {name!r} cannot stand in a .tflite file, whose names are UTF-8 without NUL. Rename it in the model."
            )
        if public.count(name) > 1:
            raise StageFailed(
                f"two {kind}s are named {name!r}; a signature has each name once. Rename one in the model."
            )
    # So many digits that the names sort as the numbers do: TensorFlow sorts what goes in or out by name.
    digits = len(str(max(0, len(public) - 1)))
    return {f"{kind}_{i:0{digits}d}": name for i, name in enumerate(public)}


def _encodes(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _edited(content: bytes, edit: Callable[[Any], None]) -> bytes:
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    edit(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name or "")
