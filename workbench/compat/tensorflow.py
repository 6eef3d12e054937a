"""TensorFlow: freezing, its registries of operators and gradients, and the flat form in which a restored function is called."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from workbench.compat.library import Library

TENSORFLOW = Library("tensorflow", ">=2.21,<2.22")


def frozen(function: Any, keep_control_flow: bool = False) -> Any:
    """Return a concrete function whose variables are constants; loops stay operators with functions with `keep_control_flow`.

    `convert_variables_to_constants_v2` has no public name. If it goes, `tf.lite`'s own freezing (in `from_concrete_functions`)
    shows what has replaced it.
    """
    with TENSORFLOW.inside("convert_variables_to_constants_v2"):
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(function, lower_control_flow=not keep_control_flow)


def is_operator(name: str) -> bool:
    """Whether TensorFlow has an operator of that name, those without a Python function included.

    `op_def_registry` is private; `tf.raw_ops` leaves out hidden operators, so it must not take its place: a function of a
    SavedModel that is called like one would go unnoticed.
    """
    with TENSORFLOW.inside("op_def_registry"):
        from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(name) is not None


def saved_model_message() -> Any:
    """Return an empty protocol buffer of `saved_model.pb`; its module is generated, and no public one holds it."""
    with TENSORFLOW.inside("saved_model_pb2"):
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    return SavedModel()


def gradients() -> dict[str, Any]:
    """Return TensorFlow's registry of gradients by name, to take some out of it; empty before TensorFlow's import.

    The registry has no public way to forget. Without it each trained model stays in memory, and nothing else is wrong: so
    where it is gone, this is empty, and the canary tells.
    """
    ops = sys.modules.get("tensorflow.python.framework.ops")
    found: dict[str, Any] = getattr(getattr(ops, "gradient_registry", None), "_registry", {})
    return found


class Flat(NamedTuple):
    """A restored function by position: the keywords of its inputs, and what calls it with tensors in their order."""

    keywords: list[str]
    function: Any

    def __call__(self, *inputs: Any) -> dict[str, Any]:
        """Return the outputs by name."""
        call = TENSORFLOW.attribute(self.function, "_call_flat")
        found: dict[str, Any] = call(list(inputs), self.function.captured_inputs)
        return found


def flat(function: Any) -> Flat:
    """Return a SavedModel's signature to be called by position.

    The public call takes keywords only, and so neither an input named `self` nor two whose names differ in what is no letter.
    `_arg_keywords` and `_call_flat` are what it does inside; `function_type` and its `_call_flat` in TensorFlow's
    `concrete_function.py` show what has replaced them.
    """
    import tensorflow as tf

    return Flat([tf.compat.as_str(k) for k in TENSORFLOW.attribute(function, "_arg_keywords")], function)


def kept_with(function: Any, owner: Any) -> Any:
    """Return a restored function that its object lives as long as.

    TensorFlow lets the object's variables go with it, and a function without them runs but cannot be traced into another.
    """
    function._workbench_keep = owner
    return function
