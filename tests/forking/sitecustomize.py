"""Has a process that tests start, a kernel or a command, take forked nurseries too: with this folder on its import path it does.

For tests to which it does not matter how a worker's process came to be.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

POOL = "workbench.engine.pool"


class Installing(Loader):
    """Loads the module of the pools as it is, and changes where they take nurseries from."""

    def __init__(self, usual: Any) -> None:
        self.usual = usual

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        found: ModuleType | None = self.usual.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        self.usual.exec_module(module)
        sys.path.append(str(Path(__file__).parents[1]))
        import nurseries

        nurseries.install()
        sys.path.pop()


class Finder(MetaPathFinder):
    """Finds the module of the pools, once."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != POOL:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None:
            spec.loader = Installing(spec.loader)
        return spec


sys.meta_path.insert(0, Finder())
