"""Workbench: an optimization workbench for TensorFlow Lite (LiteRT).

Importing this package loads neither TensorFlow nor dask nor plotly; every name is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from workbench.api import batch, bench, compare, inspect, load_dataset, load_model, preflight, sweep
    from workbench.engine.engine import Engine
    from workbench.errors import WorkbenchError
    from workbench.handle import RunningSweep
    from workbench.report.sections import Report
    from workbench.study import Study, open_study

_WHERE = {
    "sweep": "workbench.api",
    "open_study": "workbench.study",
    "load_model": "workbench.api",
    "load_dataset": "workbench.api",
    "inspect": "workbench.api",
    "preflight": "workbench.api",
    "batch": "workbench.api",
    "bench": "workbench.api",
    "compare": "workbench.api",
    "Engine": "workbench.engine.engine",
    "Report": "workbench.report.sections",
    "RunningSweep": "workbench.handle",
    "Study": "workbench.study",
    "WorkbenchError": "workbench.errors",
}
__all__ = [
    "Engine",
    "Report",
    "RunningSweep",
    "Study",
    "WorkbenchError",
    "batch",
    "bench",
    "compare",
    "inspect",
    "load_dataset",
    "load_model",
    "open_study",
    "preflight",
    "sweep",
]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Make `%wb` available: `%load_ext workbench`."""
    from workbench.notebook import load

    load(shell)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        import importlib

        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
