"""One registry: techniques, runtimes, tasks and targets by name, built-ins and entry points through the same door.

Built-ins are listed like entry points, as `module:attribute`, and loaded on first use. An entry
point that fails to load is kept with its reason, so that `workbench doctor` can show it; it never
breaks the others.
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from workbench.errors import WorkbenchError, unknown

if TYPE_CHECKING:
    from workbench.engine.proposers.base import Proposer
    from workbench.runtimes.base import Backend
    from workbench.targets.base import Target
    from workbench.tasks.base import BaseTask
    from workbench.techniques.base import Technique

T = TypeVar("T")

BUILTIN_TECHNIQUES = {
    "prune": "workbench.techniques.prune:Prune",
    "cluster": "workbench.techniques.cluster:Cluster",
    "qat": "workbench.techniques.qat:Qat",
    "quantize": "workbench.techniques.quantize:Quantize",
}
BUILTIN_RUNTIMES = {
    "xnnpack": "workbench.runtimes.litert:Xnnpack",
    "builtin": "workbench.runtimes.litert:Builtin",
    "reference": "workbench.runtimes.litert:Reference",
    "gpu": "workbench.runtimes.gpu:Gpu",
    "openvino": "workbench.runtimes.openvino:OpenVino",
    "npu": "workbench.runtimes.npu:Npu",
    "micro": "workbench.runtimes.micro:Micro",
    "delegate": "workbench.runtimes.delegate:Delegate",
    **{
        f"ethos-{name}": f"workbench.runtimes.ethos_u:{name.upper().replace('-', '_')}"
        for name in (
            *("u55-32", "u55-64", "u55-128", "u55-256", "u65-256", "u65-512"),
            *("u85-128", "u85-256", "u85-512", "u85-1024", "u85-2048"),
        )
    },
}

BUILTIN_TASKS = {
    "classification": "workbench.tasks.classification:Classification",
    "multi-label": "workbench.tasks.multilabel:MultiLabel",
    "segmentation": "workbench.tasks.segmentation:Segmentation",
    "regression": "workbench.tasks.regression:Regression",
    "detection": "workbench.tasks.detection:Detection",
    "function": "workbench.tasks.function:Function",
    "none": "workbench.tasks.none:Nothing",
}

BUILTIN_TARGETS = {
    "python": "workbench.targets.python:Python",
    "c": "workbench.targets.c:CArray",
}

BUILTIN_PROPOSERS = {
    "grid": "workbench.engine.proposers.grid:Grid",
    "random": "workbench.engine.proposers.optuna_search:Random",
    "tpe": "workbench.engine.proposers.optuna_search:Tpe",
    "nsga2": "workbench.engine.proposers.optuna_search:Nsga2",
}


@dataclass
class Registry(Generic[T]):
    """Named classes of one kind, instantiated once on first use."""

    what: str
    group: str
    base: str
    builtins: dict[str, str]
    _loaded: dict[str, T] = field(default_factory=dict)
    _broken: dict[str, str] = field(default_factory=dict)
    _names: dict[str, Any] | None = None

    def names(self) -> list[str]:
        """Return all names, built-ins first."""
        return list(self._sources())

    def get(self, name: str) -> T:
        """Return the plug-in of that name.

        Raises WorkbenchError for an unknown name (with the nearest) or one that failed to load.
        """
        sources = self._sources()
        if name not in sources:
            raise unknown(self.what, name, sources, "`workbench doctor` lists them all.")
        if name not in self._loaded:
            source = sources[name]
            self._loaded[name] = _attribute(source)() if isinstance(source, str) else self._stranger(source)
        return self._loaded[name]

    def all(self) -> dict[str, T]:
        """Return every plug-in that loads; one that does not is skipped with a warning and kept in `broken()`."""
        for name in self.names():
            if name in self._broken:
                continue
            try:
                self.get(name)
            except Exception as error:  # a stranger's code may raise anything
                self._broken[name] = (
                    str(error) if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
                )
                warnings.warn(f"{self.what} {name!r} is left out: {self._broken[name]}", stacklevel=2)
        return {n: self._loaded[n] for n in self.names() if n in self._loaded}

    def broken(self) -> dict[str, str]:
        """Return the names that failed to load, with the reason."""
        self.all()
        return dict(self._broken)

    def _stranger(self, point: EntryPoint) -> T:
        try:
            made: T = point.load()()
        except Exception as error:  # a stranger's code may raise anything
            raise WorkbenchError(
                f"{self.what} {point.name!r} ({point.value}) could not be loaded: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(made, _attribute(self.base)):
            raise WorkbenchError(
                f"{self.what} {point.name!r} ({point.value}) is no subclass of {self.base.replace(':', '.')}"
            )
        return made

    def _sources(self) -> dict[str, Any]:
        if self._names is None:
            found: dict[str, Any] = dict(self.builtins)
            for point in entry_points(group=self.group):
                if point.name in self.builtins:
                    warnings.warn(
                        f"{self.what} {point.name!r} of {point.value} hides behind the built-in of that name",
                        stacklevel=2,
                    )
                    continue
                found[point.name] = point
            self._names = found
        return self._names


def _attribute(place: str) -> Any:
    module, attribute = place.split(":")
    return getattr(importlib.import_module(module), attribute)


techniques: Registry[Technique[Any]] = Registry(
    "technique", "workbench.techniques", "workbench.techniques.base:Technique", BUILTIN_TECHNIQUES
)
runtimes: Registry[Backend[Any]] = Registry(
    "runtime", "workbench.runtimes", "workbench.runtimes.base:Backend", BUILTIN_RUNTIMES
)
tasks: Registry[BaseTask[Any]] = Registry("task", "workbench.tasks", "workbench.tasks.base:BaseTask", BUILTIN_TASKS)
targets: Registry[Target[Any]] = Registry(
    "target", "workbench.targets", "workbench.targets.base:Target", BUILTIN_TARGETS
)
proposers: Registry[Proposer[Any]] = Registry(
    "proposer", "workbench.proposers", "workbench.engine.proposers.base:Proposer", BUILTIN_PROPOSERS
)
