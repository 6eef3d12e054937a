"""Operators that LiteRT does not define: which a file holds, and what to say where nothing here runs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.flatbuffer.opening import read_file
from workbench.flatbuffer.reader import read_model
from workbench.flatbuffer.records import Model

# What TensorFlow's own operators are called in a file that was converted with SELECT_TF_OPS.
SELECT = "Flex"
_SHOWN = 8


def custom_operators(model: Model) -> dict[str, int]:
    """Return the custom operators of all graphs by name, with how often they are there."""
    return dict(sorted(Counter(o.name for g in model.graphs for o in g.operators if o.custom).items()))


def told(names: Mapping[str, int]) -> str:
    """Return custom operators as a sentence names them: `'Foo' (2), 'Bar'`."""
    parts = [repr(n) if times == 1 else f"{n!r} ({times})" for n, times in names.items()]
    return ", ".join(parts[:_SHOWN]) + (f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else "")


def reason(path: Path) -> str | None:
    """Return why a file that does not open may not, where it holds custom operators, and what to do; None where it holds none.

    It is asked after a runtime has refused a file: some have kernels for some of them.
    """
    try:
        names = custom_operators(read_model(read_file(path), path.name))
    except WorkbenchError:
        return None
    if not names:
        return None
    theirs = {n: times for n, times in names.items() if n.startswith(SELECT)}
    own = {n: times for n, times in names.items() if n not in theirs}
    parts = []
    if own:
        parts.append(
            f"it holds custom operators, {told(own)}, whose kernels come with the application that they were made for. "
            "Replace them by operators of LiteRT in the model and convert it again, or run it on a `delegate:` that has them"
        )
    if theirs:
        parts.append(
            f"it holds operators of TensorFlow itself (Select TF), {told(theirs)}, for which this interpreter has no kernels. "
            "Replace them in the model, or convert it again without SELECT_TF_OPS to see which layer asks for them"
        )
    return "; ".join(parts)
