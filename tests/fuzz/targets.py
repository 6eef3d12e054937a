"""What is tried on every mutated file: each gives a result or a WorkbenchError, in bounded time.

A target is one more line in `TARGETS`: the ending of its files, and functions that take a path.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError

Target = Callable[[Path], Any]


def census(path: Path) -> Any:
    """Do what `workbench inspect` does, its printing included."""
    from workbench.cli.app import print_result
    from workbench.commands.files import Inspection
    from workbench.flatbuffer.census import read_census, read_sizes

    found = Inspection(read_census(path), "table", file=str(path), size=read_sizes(path))
    return print_result(found), print_result(Inspection(found.value, "json", file=str(path), size=found.size))


def checks(path: Path) -> Any:
    from workbench.flatbuffer import check_census, read_census

    found = read_census(path)
    return [
        check_census(found, scheme=s, sparsity_target=0.5, clusters=16) for s in ("int8", "float16", "int4-block32")
    ]


def source(path: Path) -> Any:
    """Do what a sweep does to its model before a worker has it."""
    from workbench.sources.glance import glance
    from workbench.sources.identify import identify

    return glance(identify(str(path), path.parent))


def facts_for_runtimes(path: Path) -> Any:
    from workbench.runtimes.compiled import _file_order, count_operators
    from workbench.runtimes.ethos_u import _check_quantized

    found = _file_order(path, ["a"], ["b"]), count_operators(path)
    _check_quantized(path)
    return found


def dataset(path: Path) -> Any:
    from workbench.data.load import load_dataset

    return load_dataset(str(path))


def misbehave(path: Path) -> Any:
    """Do what none may, so that the counting can be checked."""
    word = path.read_text()
    if word == "crash":
        os.abort()
    if word == "hang":
        time.sleep(1e6)
    if word == "refuse":
        raise WorkbenchError("no such thing")
    return 1 // len(word)


TARGETS: dict[str, tuple[Target, ...]] = {
    ".tflite": (census, checks, source, facts_for_runtimes),
    ".h5": (source,),
    ".keras": (source,),
    ".npz": (dataset,),
    ".csv": (dataset,),
    ".misbehave": (misbehave,),
}


def bench(path: Path) -> Any:
    """Run the file as `workbench bench` does: LiteRT may crash on it, which is a failed measurement with a reason."""
    import workbench
    from workbench.measure import hosts

    hosts.OPEN_SECONDS = hosts.ANSWER_SECONDS = 10.0
    (found,) = workbench.bench(path, "builtin", budget=0.02)
    if found.state == "failed" and (not found.error or "Traceback" in found.error):
        raise AssertionError(f"a failed measurement without a reason in words: {found.error!r}")
    return found.state
