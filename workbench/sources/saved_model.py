"""No code from a SavedModel: whether its graph and functions hold anything but operators that compute.

The file is read with TensorFlow's own definition of it, before TensorFlow loads it; runs in workers.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from workbench.compat.tensorflow import is_operator, saved_model_message
from workbench.errors import WorkbenchError
from workbench.sources import trust
from workbench.sources.allowed_operators import FILE_ATTRIBUTES, OPERATORS, RESTORING, SAVING, TABLES

GRAPH = "saved_model.pb"
# Protocol buffers have no more; weights lie in other files.
GRAPH_BYTES = (2 << 30) - 1
_FILES = RESTORING | SAVING


def checked_copy(source: Path, folder: Path, whole: bool = False) -> Path:
    """Make `folder` a SavedModel like `source` that nobody else can change, check it, and return it.

    The graph is copied; variables and assets, which are data, are linked to unless it is to be `whole`. Nothing else comes along:
    another form of the graph beside it could be read in its place. Raises WorkbenchError for operators that are not among those that compute.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = (source / GRAPH).stat().st_size
    if size > GRAPH_BYTES:
        raise WorkbenchError(
            f"SavedModel {source.name!r} cannot be loaded: its {GRAPH} has {size} bytes, at most {GRAPH_BYTES} are possible."
        )
    shutil.copyfile(source / GRAPH, folder / GRAPH)
    for part in ("variables", "assets"):
        if whole and (source / part).is_dir():
            shutil.copytree(source / part, folder / part)
        elif (source / part).is_dir():
            (folder / part).symlink_to((source / part).resolve(), target_is_directory=True)
    check(folder, source.name)
    return folder


def check(folder: Path, name: str) -> None:
    """Raise WorkbenchError, which calls the model `name`, where a SavedModel is unreadable or holds what may not run."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]

    content = saved_model_message()
    try:
        content.ParseFromString((folder / GRAPH).read_bytes())
    except DecodeError as error:
        raise WorkbenchError(f"SavedModel {name!r} cannot be loaded: {GRAPH} is damaged ({error}).") from None
    for graph in content.meta_graphs:
        for fault in _Graph(graph).faults():
            trust.refuse(f"SavedModel {name!r}", fault)


class _Body(NamedTuple):
    """The main graph ("" as its name) or a function: nodes by name, and the names of the function's arguments."""

    name: str
    nodes: dict[str, Any]
    arguments: tuple[str, ...]

    def told(self, node: Any) -> str:
        where = f" of function {trust.shown(self.name)}" if self.name else ""
        return f"(node {trust.shown(node.name)}{where})"


class _Graph:
    """A meta graph, with what calls what."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.main = _Body("", {n.name: n for n in graph.graph_def.node}, ())
        self.functions = {
            f.signature.name: _Body(
                f.signature.name, {n.name: n for n in f.node_def}, tuple(a.name for a in f.signature.input_arg)
            )
            for f in graph.graph_def.library.function
        }
        self._called = {f: {c for n in b.nodes.values() for c in self.calls(n)} for f, b in self.functions.items()}
        own = {f: {n.op for n in b.nodes.values()} & _FILES for f, b in self.functions.items()}
        self.touched = {f: frozenset().union(*(own[g] for g in self._closure([f]))) for f in self.functions}

    def bodies(self) -> Iterator[_Body]:
        yield self.main
        yield from self.functions.values()

    def calls(self, node: Any) -> list[str]:
        """Return the functions of the model that a node names, whichever way."""
        found = [node.op] if node.op in self.functions else []
        for value in node.attr.values():
            kind = value.WhichOneof("value")
            named = [value.func] if kind == "func" else list(value.list.func) if kind == "list" else []
            found += [f.name for f in named if f.name in self.functions]
        return found

    def _closure(self, functions: Iterable[str]) -> set[str]:
        """Return functions with all that they call."""
        todo = list(functions)
        found = set(todo)
        while todo:
            new = self._called[todo.pop()] - found
            found |= new
            todo += new
        return found

    def files(self, node: Any) -> frozenset[str]:
        """Return the operators on files that a node is or reaches."""
        return frozenset({node.op} & _FILES).union(*(self.touched[f] for f in self.calls(node)))

    def faults(self) -> Iterator[str]:
        """Yield what the graph holds that may not run, with the node that holds it."""
        for body in self.bodies():
            if body.name and is_operator(body.name):
                yield f"a function that is called like the operator {trust.shown(body.name)}"
            for node in body.nodes.values():
                yield from self._operator(body, node)
        yield from self._savers()
        yield from self._assets()

    def _operator(self, body: _Body, node: Any) -> Iterator[str]:
        if node.op in FILE_ATTRIBUTES:
            attribute, allowed = FILE_ATTRIBUTES[node.op]
            value = node.attr[attribute].s.decode(errors="replace")
            if value and not value.startswith(allowed):
                yield f"an operator {trust.shown(node.op)} on the file {trust.shown(value)} {body.told(node)}"
        elif node.op not in self.functions and node.op not in OPERATORS | _FILES | TABLES:
            yield f"an operator {trust.shown(node.op)}, which is not among those that only compute on tensors {body.told(node)}"

    # ---- savers

    def _savers(self) -> Iterator[str]:
        """Yield operators on files that anything but the saver reaches, or that save where the saver restores."""
        saver = self.graph.saver_def
        saving, restoring = self._behind([saver.save_tensor_name]), self._behind([saver.restore_op_name])
        for name, node in self.main.nodes.items():
            files = self.files(node)
            if not files or (name in saving and name not in restoring):
                continue
            if name not in restoring or files & SAVING:
                yield self._reached(files, self.main, node)
        for name in self._behind(self._run()):
            if self.files(self.main.nodes[name]):
                yield self._reached(self.files(self.main.nodes[name]), self.main, self.main.nodes[name])
        own = self._closure(f for n in saving | restoring for f in self.calls(self.main.nodes[n]))
        for name, files in self.touched.items():
            if files and (name not in own or name in self.graph.object_graph_def.concrete_functions):
                yield f"a function {trust.shown(name)} that reaches {', '.join(sorted(files))}, which is for the saver alone"

    def _reached(self, files: Iterable[str], body: _Body, node: Any) -> str:
        return f"a use of {', '.join(sorted(files))}, which is for the saver alone {body.told(node)}"

    def _run(self) -> list[str]:
        """Return the tensors and nodes that are run when the model is loaded or used."""
        found = [t.name for s in self.graph.signature_def.values() for t in s.outputs.values()]
        for key, collection in self.graph.collection_def.items():
            if key.endswith(("main_op", "init_op", "train_op")):
                found += collection.node_list.value
        return found

    def _behind(self, tensors: Iterable[str]) -> set[str]:
        """Return the nodes of the main graph that tensors or nodes need."""
        todo = [_node_of(t) for t in tensors]
        found: set[str] = set()
        while todo:
            name = todo.pop()
            if name in self.main.nodes and name not in found:
                found.add(name)
                todo += [_node_of(i) for i in self.main.nodes[name].input]
        return found

    # ---- tables of words

    def _assets(self) -> Iterator[str]:
        for asset in self.graph.asset_file_def:
            name = PurePosixPath(asset.filename)
            if name.is_absolute() or ".." in name.parts:
                yield f"an asset {trust.shown(asset.filename)} outside of its own folder"
        for body in self.bodies():
            for node in body.nodes.values():
                if node.op in TABLES and not self._is_asset(body, node.input[1], set()):
                    yield f"an operator {trust.shown(node.op)} on a file that is none of its own assets {body.told(node)}"

    def _is_asset(self, body: _Body, tensor: str, seen: set[tuple[str, str]]) -> bool:
        """Whether a tensor can be nothing but the name of one of the model's own assets."""
        name = _node_of(tensor)
        if (body.name, name) in seen:
            return True
        seen.add((body.name, name))
        if name in body.arguments and ":" not in tensor:
            return self._is_asset_argument(body, body.arguments.index(name), seen)
        node = body.nodes.get(name)
        if node is not None and node.op == "Identity":
            return self._is_asset(body, node.input[0], seen)
        if node is not None and node.op == "ReadVariableOp" and body is self.main:
            return self._is_asset_variable(_node_of(node.input[0]), seen)
        assets = {_node_of(a.tensor_info.name) for a in self.graph.asset_file_def}
        return body is self.main and name in assets and node is not None and node.op in ("Const", "Placeholder")

    def _is_asset_variable(self, name: str, seen: set[tuple[str, str]]) -> bool:
        """Whether a variable of the main graph is set to nothing but the name of an asset."""
        shared = [_shared(n) for b in self.bodies() for n in b.nodes.values() if n.op == "VarHandleOp"]
        if name not in self.main.nodes or shared.count(_shared(self.main.nodes[name])) != 1:
            return False
        users = [n for n in self.main.nodes.values() if name in {_node_of(i) for i in n.input if not i.startswith("^")}]
        return all(
            n.op in ("ReadVariableOp", "VarIsInitializedOp")
            or (n.op == "AssignVariableOp" and self._is_asset(self.main, n.input[1], seen))
            for n in users
        )

    def _is_asset_argument(self, body: _Body, index: int, seen: set[tuple[str, str]]) -> bool:
        callers = [(b, n) for b in self.bodies() for n in b.nodes.values() if body.name in self.calls(n)]
        for caller, node in callers:
            inputs = [i for i in node.input if not i.startswith("^")]
            # Only plain calls hand their inputs on in order.
            if node.op not in ("PartitionedCall", "StatefulPartitionedCall", body.name) or index >= len(inputs):
                return False
            if not self._is_asset(caller, inputs[index], seen):
                return False
        concrete = self.graph.object_graph_def.concrete_functions
        if body.name not in concrete:
            return True
        # What a function has captured follows its own arguments.
        bound = list(concrete[body.name].bound_inputs)
        place = index - (len(body.arguments) - len(bound))
        return place >= 0 and self.graph.object_graph_def.nodes[bound[place]].WhichOneof("kind") == "asset"


def _shared(variable: Any) -> str:
    """Return the name by which a variable's handles find one another."""
    return str(variable.attr["shared_name"].s.decode(errors="replace") or variable.name)


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").split(":")[0]
