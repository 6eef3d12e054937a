"""What a stage would leave behind in its worker, which goes on to the next one."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator

from workbench.compat.tensorflow import gradients

# Under this prefix TensorFlow files the gradient of each custom-gradient function that is traced.
_TRACED = "CustomGradient-"
# Objects of modules are set aside again when so much more was imported.
_MORE_MODULES = 1.05
_modules_aside = 0


@contextlib.contextmanager
def none_left() -> Iterator[None]:
    """Give back, when the body has ended, what TensorFlow and cycles of objects would keep for ever."""
    held = gradients()
    known = set(held)
    try:
        yield
    finally:
        # Each holds the graph that it was traced in, with the whole model: 15 MB a training of the smallest one.
        held = gradients()
        for name in [n for n in held if n not in known and n.startswith(_TRACED)]:
            del held[name]
        _collect()


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Search for no cycles while large packages are imported, and set what came of it aside.

    What a package builds as it is imported stays, and the search goes through all of it again and again: a quarter of
    TensorFlow's import, and half a second at the first search after it.
    """
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        _set_aside()
        if searched:
            gc.enable()


def _collect() -> None:
    """Search for cycles now: models and graphs are full of them, and their size is in memory that the search cannot count.

    What was imported never goes. It is set aside, which makes the search a matter of milliseconds.
    """
    gc.collect()
    if len(sys.modules) > _MORE_MODULES * _modules_aside:
        _set_aside()


def _set_aside() -> None:
    global _modules_aside
    gc.freeze()
    _modules_aside = len(sys.modules)
