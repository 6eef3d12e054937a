"""No code from a Keras file: whether the configuration of a model holds anything but data and Keras's own parts.

Which parts those are depends on who reads the file, tf_keras or Keras 3: a `Vocabulary` each. Keras makes objects of a configuration in several ways: classes and functions by name, by module and name (which is then
imported), from the registry of custom objects, marshalled byte code, TensorFlow symbols by name, attributes by name. All
begin at a dict that names a class, at a few keys whose text names a function, or at a layer that calls what it is told. So
everything in a configuration is walked, wherever it stands, and each of these is held against lists of what is allowed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from workbench.errors import WorkbenchError
from workbench.sources import allowed_classes as classes
from workbench.sources import allowed_functions as functions
from workbench.sources.allowed_classes import words

SWITCH = "If you trust the model, allow it with --allow-code (Python: allow_code=True)."

# Dicts that carry data under the name of a class.
_DATA = words("TensorShape __tuple__ __ellipsis__ __bytes__ __tensor__ __numpy__ CompositeTensor")
_SPECS = words("TensorSpec RaggedTensorSpec SparseTensorSpec")
_SPEC_MODULES = frozenset(
    f"tensorflow.python.{path}"
    for path in ("framework.tensor", "framework.tensor_spec", "framework.sparse_tensor", "ops.ragged.ragged_tensor")
)
# What says where an object lies; never without the name of a class beside it.
_PLACES = ("module", "registered_name", "spec_name", "__passive_serialization__")
_REGISTERED = frozenset({"Custom>CustomScaleLayer"})
_CODE_STARTS = (b"\xe3", b"\x63")  # a marshalled code object, with and without the flag that it may be referred to


class Vocabulary(NamedTuple):
    """The names that a file may use: whose they are, outermost models, layers, all classes, functions, and the modules of both.

    `looked_up` are keys whose text is looked up as a function or class, by their last word; `registered` are names of the
    registry of custom objects that are the library's own.
    """

    owner: str
    models: frozenset[str]
    layers: frozenset[str]
    classes: frozenset[str]
    functions: frozenset[str]
    modules: frozenset[str]
    looked_up: dict[str, frozenset[str]]
    data: frozenset[str] = _DATA
    registered: frozenset[str] = frozenset()


TF_KERAS = Vocabulary(
    owner="tf_keras",
    models=classes.MODELS,
    layers=classes.LAYERS | classes.CALLERS,
    classes=classes.CLASSES,
    functions=classes.FUNCTIONS,
    modules=classes.MODULES,
    looked_up={
        "activation": classes.ACTIVATIONS | classes.LAYERS,
        "initializer": classes.INITIALIZERS,
        "regularizer": classes.REGULARIZERS,
        "constraint": classes.CONSTRAINTS,
        "fn": classes.FUNCTIONS,
    },
    registered=_REGISTERED,
)


class Fault(NamedTuple):
    """What a configuration must not hold: the name of the layer it stands in ("" outside of layers), and what it is."""

    layer: str
    what: str


class _Place(NamedTuple):
    """A value still to be looked at, the key it stands under, and the layer it stands in."""

    value: Any
    key: str
    layer: str


def fault_of(config: Any, known: Vocabulary = TF_KERAS) -> str:
    """Return the first thing in a model's configuration that is not allowed, with the layer it stands in, or nothing."""
    for fault in faults(config, known):
        return f"{fault.what} (layer {shown(fault.layer)})" if fault.layer else fault.what
    return ""


def refuse(subject: str, fault: str) -> None:
    """Raise WorkbenchError for a fault, if there is one; `subject` names the model in the message."""
    if fault:
        raise WorkbenchError(f"{subject} has {fault}. {SWITCH}")


def faults(config: Any, known: Vocabulary = TF_KERAS) -> Iterator[Fault]:
    """Yield what is not allowed in a model's configuration, in the order of the file."""
    name = config.get("class_name") if isinstance(config, dict) else None
    if not isinstance(name, str) or name not in known.models:
        yield Fault("", f"an outermost object of class {shown(name)}, which is no model of {known.owner}")
        return
    # The outermost model is never compiled when it is loaded, so its own losses and metrics are of no account.
    config = {k: v for k, v in config.items() if k != "compile_config"}
    # A stack of our own: a file may nest deeper than Python's calls.
    places = [_Place(config, "", "")]
    while places:
        place = places.pop()
        if isinstance(place.value, dict):
            yield from _in_dict(place, known)
            places.extend(reversed(_inside_dict(place, known)))
        elif isinstance(place.value, (list, tuple)):
            yield from _in_list(place)
            places.extend(reversed([_Place(v, place.key, place.layer) for v in _decoded(place.value)]))
        elif isinstance(place.value, str):
            yield from _in_text(place, known)
        elif not (place.value is None or isinstance(place.value, (bool, int, float))):
            yield Fault(place.layer, f"a value of type {type(place.value).__name__} at {shown(place.key)}")


def _in_text(place: _Place, known: Vocabulary) -> Iterator[Fault]:
    allowed = known.looked_up.get(place.key.rpartition("_")[2])
    if allowed is not None and place.value not in allowed:
        yield Fault(place.layer, f"{shown(place.value)} as {place.key!r}, which is none of {known.owner}'s own")


def _in_list(place: _Place) -> Iterator[Fault]:
    value = place.value
    if (
        len(value) == 3
        and isinstance(value[0], str)
        and all(v is None or isinstance(v, (list, tuple, dict)) for v in value[1:])
        and _is_code(value[0])
    ):
        yield Fault(place.layer, f"Python byte code at {shown(place.key)}, which loading it would run")


def _is_code(text: str) -> bool:
    try:
        return base64.b64decode(text, validate=False).startswith(_CODE_STARTS)
    except (binascii.Error, ValueError):
        return text.encode("raw_unicode_escape").startswith(_CODE_STARTS)


def _decoded(value: Any) -> list[Any]:
    """Return what stands in a list; a constant of a sparse or ragged tensor is JSON within text, and is read."""
    found = list(value)
    if len(found) == 2 and isinstance(found[0], dict) and "_TYPE" in found[0] and isinstance(found[1], str):
        try:
            return [json.loads(found[1])]
        except (ValueError, RecursionError):
            return [{"class_name": f"constant {found[1][:40]}"}]
    return found


def _in_dict(place: _Place, known: Vocabulary) -> Iterator[Fault]:
    value = place.value
    if "class_name" not in value:
        for key in _PLACES:
            if key in value:
                yield Fault(place.layer, f"{key} {shown(value[key])} without a class")
        return
    name, inner = value["class_name"], value.get("config")
    told = _told(name, value, known)
    if not told and name in _CHECKS:
        told = _CHECKS[name](inner if isinstance(inner, dict) else {})
    if told:
        yield Fault(_layer_of(value, place.layer), told)


def _layer_of(value: dict[str, Any], layer: str) -> str:
    inner = value.get("config")
    own = inner.get("name") if isinstance(inner, dict) else None
    return own if isinstance(own, str) else layer


def _told(name: Any, value: dict[str, Any], known: Vocabulary) -> str:
    """Return what is wrong with a dict that names a class, or nothing."""
    if not isinstance(name, str):
        return f"a class called {shown(name)}"
    if name in known.data:
        return ""
    if name in ("Lambda", "__lambda__"):
        what = "a Lambda layer" if name == "Lambda" else "a lambda function"
        return f"{what}, which is Python code that loading it would run"
    if name == "TypeSpec":
        spec = value.get("type_spec")
        allowed = isinstance(spec, str) and spec.removeprefix("tf.") in _SPECS
        return "" if allowed else f"a type of class {shown(spec)}"
    if name == "__typespec__":
        spec = value.get("spec_name")
        allowed = _is_one(spec, _SPECS) and _is_one(value.get("module"), _SPEC_MODULES)
        allowed = allowed and value.get("registered_name") is None
        return "" if allowed else f"a type of class {shown(value.get('module'))}, {shown(spec)}"
    if name == "function":
        return _function(value, known)
    if name not in known.classes | known.registered:
        return f"an object of class {shown(name)}, which is none of {known.owner}'s own"
    return _placed(value, name, known, "class")


def _function(value: dict[str, Any], known: Vocabulary) -> str:
    name = value.get("config")
    if not isinstance(name, str) or name not in known.functions:
        return f"a function called {shown(value.get('module'))}, {shown(name)}, which is none of {known.owner}'s own"
    return _placed(value, name, known, "function")


def _is_one(name: Any, allowed: frozenset[str]) -> bool:
    """Whether a value is one of these texts; JSON can have a list or an object where a text belongs."""
    return isinstance(name, str) and name in allowed


def _placed(value: dict[str, Any], name: str, known: Vocabulary, what: str) -> str:
    """Return what is wrong with where a class or function is said to lie, or nothing."""
    module, registered = value.get("module"), value.get("registered_name")
    modules = known.modules | {"builtins"} if what == "function" else known.modules
    if module is not None and not (isinstance(module, str) and module in modules):
        return f"a {what} {shown(name)} of module {shown(module)}, which loading it would import"
    if registered is not None and registered != name and not _is_one(registered, known.registered):
        return f"a {what} {shown(name)} registered as {shown(registered)}, which is none of {known.owner}'s own"
    return ""


def _operation(config: dict[str, Any]) -> str:
    symbol = config.get("function")
    if functions.is_function(symbol):
        return ""
    return f"a call of TensorFlow's {shown(symbol)}, which is not among the functions that only compute on tensors"


def _class_method(config: dict[str, Any]) -> str:
    called = (config.get("cls_symbol"), config.get("method_name"))
    if all(isinstance(name, str) for name in called) and called in functions.CLASS_METHODS:
        return ""
    return f"a call of TensorFlow's {shown(called[0])}, method {shown(called[1])}"


def _attribute(allowed: frozenset[str]) -> Callable[[dict[str, Any]], str]:
    def check(config: dict[str, Any]) -> str:
        name = config.get("attr_name")
        known = isinstance(name, str) and name in allowed
        return "" if known else f"a use of the attribute {shown(name)} of a tensor"

    return check


def _vocabulary(config: dict[str, Any]) -> str:
    words = config.get("vocabulary")
    return f"a vocabulary in the file {shown(words)}, which loading it would read" if isinstance(words, str) else ""


_CHECKS: dict[str, Callable[[dict[str, Any]], str]] = {
    "TFOpLambda": _operation,
    "SlicingOpLambda": _operation,
    "ClassMethod": _class_method,
    "InstanceProperty": _attribute(functions.PROPERTIES),
    "InstanceMethod": _attribute(functions.METHODS),
    "StringLookup": _vocabulary,
    "IntegerLookup": _vocabulary,
    "TextVectorization": _vocabulary,
}


def _inside_dict(place: _Place, known: Vocabulary) -> list[_Place]:
    value, layer = place.value, place.layer
    name = value.get("class_name")
    if isinstance(name, str) and name in known.layers:
        layer = _layer_of(value, layer)
    found = []
    for key, inner in value.items():
        if not isinstance(key, str):
            found.append(_Place(object(), repr(key), layer))
        # These were looked at with the class that they belong to.
        elif not (key in ("class_name", *_PLACES) and "class_name" in value):
            found.append(_Place(inner, key, layer))
    return found


def shown(value: Any) -> str:
    """Return a value for a message: no longer than a line, and nothing in it that a terminal would obey."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
