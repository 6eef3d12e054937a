"""A user's process that does all that Workbench can: `python process_state.py MODEL.tflite FOLDER`, for test_left_as_it_was.py.

It prints, as JSON, what of the process was otherwise during the sweep and what was otherwise afterwards.
"""

from __future__ import annotations

import asyncio
import copy
import faulthandler
import gc
import json
import locale
import logging
import multiprocessing
import os
import resource
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import dask
import distributed  # noqa: F401  # sets up logging as it comes, which is its own doing
import matplotlib as mpl
import nbconvert.exporters.html  # noqa: F401  # as above, and filters warnings
import numpy as np
import optuna
import papermill  # noqa: F401  # as above
import plotly.io

import workbench

State = dict[str, Any]


def of_logging() -> State:
    """What was set of every logger there is, the root too."""
    named = {n: log for n, log in logging.Logger.manager.loggerDict.items() if isinstance(log, logging.Logger)}
    return {
        f"logger {name}": (
            log.level,
            log.propagate,
            log.disabled,
            [(id(h), h.level, list(h.filters)) for h in log.handlers],
        )
        for name, log in {"": logging.getLogger(), **named}.items()
    } | {"logging": (logging.Logger.manager.disable, logging.raiseExceptions, id(logging.getLogRecordFactory()))}


def of_libraries() -> State:
    return {
        "dask": copy.deepcopy(dask.config.config),
        "optuna": optuna.logging.get_verbosity(),
        "matplotlib": dict(mpl.rcParams.copy()),
        "plotly": (plotly.io.templates.default, plotly.io.renderers.default),
        "numpy errors": np.geterr(),
        "numpy printing": np.get_printoptions(),
    }


def of_python() -> State:
    umask = os.umask(0)
    os.umask(umask)
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": umask,
        "sys.path": list(sys.path),
        "sys.argv": list(sys.argv),
        "streams": [id(s) for s in (sys.stdin, sys.stdout, sys.stderr)],
        "hooks": [id(h) for h in (sys.excepthook, sys.displayhook, threading.excepthook, sys.unraisablehook)],
        "limits": (sys.getrecursionlimit(), sys.getswitchinterval(), threading.stack_size()),
        "resources": (resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_NOFILE), os.nice(0)),
        "cores": os.sched_getaffinity(0),
        "signals": {s.name: signal.getsignal(s) for s in signal.valid_signals() if isinstance(s, signal.Signals)},
        "faulthandler": faulthandler.is_enabled(),
        "locale": locale.setlocale(locale.LC_ALL),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "event loops": type(asyncio.get_event_loop_policy()).__qualname__,
        "collector": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count() > 0, len(gc.callbacks)),
        "warnings": (list(warnings.filters), id(warnings.showwarning)),
        # Python's own draws are left out: dask takes one for each result that it fetches.
        "numpy random": repr(np.random.get_state()),
    }


def state() -> State:
    """All of it, as the whole process has it."""
    return {**of_logging(), "filters": filters(), **of_libraries(), **of_python()}


def filters() -> dict[str, int]:
    """How many filters each logger has."""
    named = {n: log for n, log in logging.Logger.manager.loggerDict.items() if isinstance(log, logging.Logger)}
    return {name: len(log.filters) for name, log in named.items() if log.filters}


def changed(before: State, after: State) -> list[str]:
    """Say what is otherwise; loggers of modules that were imported meanwhile are no change."""
    return [f"{n}: {str(v)[:300]} became {str(after[n])[:300]}" for n, v in before.items() if after[n] != v]


def as_a_user() -> None:
    """Set what a user may have set, otherwise than it is by itself."""
    logging.getLogger("distributed").setLevel(logging.DEBUG)
    logging.getLogger("tornado").setLevel(logging.WARNING)
    logging.getLogger("papermill").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.INFO)
    dask.config.set({"distributed.scheduler.allowed-failures": 7, "distributed.worker.memory.spill": 0.5})
    mpl.rcParams["figure.dpi"] = 77
    plotly.io.templates.default = "simple_white"
    plotly.io.renderers.default = "json"
    np.random.seed(5)
    np.seterr(under="warn")
    gc.set_threshold(900, 11, 12)
    gc.freeze()
    os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)
    os.umask(0o027)


TASK = """
def close(outputs, y):
    import beside_the_task  # as it is called, not as its module runs
    return {"close": beside_the_task.share(next(iter(outputs.values())), y)}
"""
BESIDE = "def share(values, y):\n    return values.argmax(1) == y\n"
GRID = {
    "quantize": ["float32", "float16", "dynamic", "int8", "int8-float-io", "int16x8"],
    "search": {"strategy": "tpe", "trials": 3},
    "measure": {"budget": 0.2, "samples": 10},
}


def main(model: Path, folder: Path) -> None:
    os.chdir(folder)
    Path("task.py").write_text(TASK)
    Path("beside_the_task.py").write_text(BESIDE)
    draw = np.random.default_rng(0)
    x, y = draw.random((40, 8, 8, 1), dtype=np.float32), draw.integers(0, 6, 40)
    np.savez("data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    as_a_user()
    before = state()
    own = {**of_logging(), "dask": before["dask"], "optuna": before["optuna"]}
    during: set[str] = set()

    def look(_: object) -> None:
        during.update(changed(own, {**of_logging(), **of_libraries()}))

    options: Any = {"store": "store", "study": "one", "task": "task.py:close", "allow_code": True, "jobs": 1}
    study = workbench.sweep(model, "data.npz", GRID, listener=look, **options)
    assert all(t.state == "ok" and t.measurements for t in study.trials), study.trials
    study.dashboard().embed().close()
    study.report("report.html")
    grid = {"quantize": ["float32"], "measure": {"skip": True}}
    batch = workbench.batch({"matrix": {"models": [str(model)], "datasets": ["data.npz"], "grids": [grid]}}, "batch", 1)
    assert [r.state for r in batch.runs] == ["ok"]
    workbench.open_study("one", "store").best(max_drop=0.5)
    print(json.dumps({"during": sorted(during), "after": changed(before, state())}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
