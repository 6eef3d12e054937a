"""One registry for all kinds of parts: by name, built-ins and entry points through the same door.

Built-ins are listed like entry points, as `module:attribute`, and loaded on first use. An entry
point that fails to load is kept with its reason, so that `workbench doctor` can show it; it never
breaks the others.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from workbench.errors import PartLeftOut, WorkbenchError, unknown

if TYPE_CHECKING:
    from workbench.data.base import DatasetReader
    from workbench.engine.proposers.base import Proposer
    from workbench.runtimes.base import Backend
    from workbench.sources.base import Source
    from workbench.targets.base import Target
    from workbench.tasks.base import BaseTask
    from workbench.techniques.base import Technique

T = TypeVar("T")
# One for all kinds: loading a part may ask for another, of any kind, in the same thread.
_LOCK = threading.RLock()

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
# Files of Keras 3 end as those of tf_keras do, so it is asked first; it looks who wrote them.
BUILTIN_SOURCES = {
    "keras3": "workbench.sources.keras3.source:Keras3",
    "keras": "workbench.sources.keras_source:Keras",
    "savedmodel": "workbench.sources.saved_model_source:SavedModel",
    "tflite": "workbench.sources.tflite_source:TFLite",
}
# Annotated folders may have subfolders, so they are asked before folders of classes.
BUILTIN_DATASETS = {
    "digits": "workbench.data.bundled_sets:Digits",
    "fashion": "workbench.data.bundled_sets:Fashion",
    "npz": "workbench.data.npz:Npz",
    "csv": "workbench.data.table:CsvTable",
    "coco": "workbench.data.coco:Coco",
    "hf": "workbench.data.hugging_face:HuggingFace",
    "tfds": "workbench.data.tfds:Tfds",
    "keras": "workbench.data.keras_sets:KerasSets",
    "tfrecord": "workbench.data.tfrecord:TFRecord",
    "folder": "workbench.data.images:ClassFolder",
}

BUILTIN_PROPOSERS = {
    "grid": "workbench.engine.proposers.grid:GridProposer",
    "random": "workbench.engine.proposers.optuna_search:Random",
    "tpe": "workbench.engine.proposers.optuna_search:Tpe",
    "nsga2": "workbench.engine.proposers.optuna_search:Nsga2",
}


@dataclass
class Registry(Generic[T]):
    """Named classes of one kind, instantiated once on first use, whichever thread asks first."""

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
        with _LOCK:
            sources = self._sources()
            if name not in sources:
                raise unknown(self.what, name, sources, "`workbench doctor` lists them all.")
            if name not in self._loaded:
                source = sources[name]
                self._loaded[name] = _attribute(source)() if isinstance(source, str) else self._stranger(source)
            return self._loaded[name]

    def all(self) -> dict[str, T]:
        """Return every plug-in that loads; one that does not is skipped with a warning and kept in `broken()`."""
        with _LOCK:
            for name in self.names():
                if name in self._broken:
                    continue
                try:
                    self.get(name)
                except Exception as error:  # a stranger's code may raise anything
                    self._broken[name] = (
                        str(error) if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
                    )
                    warnings.warn(f"{self.what} {name!r} is left out: {self._broken[name]}", PartLeftOut, stacklevel=2)
            return {n: self._loaded[n] for n in self.names() if n in self._loaded}

    def broken(self) -> dict[str, str]:
        """Return the names that failed to load, with the reason."""
        with _LOCK:
            self.all()
            return dict(self._broken)

    def named(self, text: str) -> tuple[T | None, str]:
        """Return what `NAME:REST` names and the rest; None and the whole text where no name of this kind stands before a colon.

        Raises WorkbenchError where what is named cannot be loaded.
        """
        name, colon, rest = text.partition(":")
        return (self.get(name), rest) if colon and name in self._sources() else (None, text)

    def first(self, fits: Callable[[T], bool], told: str) -> T | None:
        """Return the first built-in that fits, else the one stranger that does, None where nothing does.

        A stranger whose answer is an error does not fit, with a warning. Raises WorkbenchError where several strangers fit what
        is `told`.
        """
        for name in self.builtins:
            if fits(built_in := self.get(name)):
                return built_in
        found = {n: part for n, part in self.all().items() if n not in self.builtins and self._fits(n, part, fits)}
        if len(found) > 1:
            choices = " or ".join(f"{name}:{told}" for name in sorted(found))
            raise WorkbenchError(f"{told!r} can be read by {len(found)} {self.what}s. Say by which: {choices}.")
        return next(iter(found.values()), None)

    @contextlib.contextmanager
    def blamed(self, name: str, told: str) -> Iterator[None]:
        """Turn what a stranger's code raises about what is `told` into a message that names it; what it says itself passes."""
        try:
            yield
        except (WorkbenchError, MemoryError):
            raise
        except Exception as error:
            if name in self.builtins:
                raise
            if isinstance(error, OSError) and error.strerror and error.filename is not None:
                # What a user named is not there, or cannot be read: nobody's mistake but the user's.
                raise WorkbenchError(
                    f"{str(error.filename)!r} cannot be read by {self.what} {name!r}: {error.strerror}."
                ) from None
            raise WorkbenchError(
                f"{self.what} {name!r} failed on {told!r}: {type(error).__name__}: {str(error)[:300]}. Tell whoever wrote it."
            ) from error

    def _fits(self, name: str, part: T, fits: Callable[[T], bool]) -> bool:
        try:
            return bool(fits(part))
        except Exception as error:  # a stranger's code may raise anything
            warnings.warn(
                f"{self.what} {name!r} is passed over: {type(error).__name__}: {error}", PartLeftOut, stacklevel=3
            )
            return False

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
        lacking = [name for name in _declared(type(made)) if not hasattr(made, name)]
        if lacking:
            raise WorkbenchError(
                f"{self.what} {point.name!r} ({point.value}) has no {' and no '.join(lacking)}, which {self.base.replace(':', '.')} asks for"
            )
        if (own := getattr(made, "name", point.name)) != point.name:
            raise WorkbenchError(
                f"{self.what} {point.name!r} ({point.value}) calls itself {own!r}. Give its entry point and its attribute `name` the same name."
            )
        return made

    def _sources(self) -> dict[str, Any]:
        with _LOCK:
            if self._names is None:
                found: dict[str, Any] = dict(self.builtins)
                for point in entry_points(group=self.group):
                    if point.name in self.builtins:
                        warnings.warn(
                            f"{self.what} {point.name!r} of {point.value} hides behind the built-in of that name",
                            PartLeftOut,
                            stacklevel=2,
                        )
                        continue
                    found[point.name] = point
                self._names = found
            return self._names


def _declared(kind: type) -> list[str]:
    """Return the public attributes that our base classes of a class declare, with a value or without."""
    ours = [c for c in kind.__mro__ if c.__module__.startswith("workbench.")]
    return [n for c in reversed(ours) for n in inspect.get_annotations(c) if not n.startswith("_")]


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
sources: Registry[Source] = Registry("source", "workbench.sources", "workbench.sources.base:Source", BUILTIN_SOURCES)
datasets: Registry[DatasetReader[Any]] = Registry(
    "dataset", "workbench.datasets", "workbench.data.base:DatasetReader", BUILTIN_DATASETS
)
proposers: Registry[Proposer[Any]] = Registry(
    "proposer", "workbench.proposers", "workbench.engine.proposers.base:Proposer", BUILTIN_PROPOSERS
)


def kinds() -> dict[str, Registry[Any]]:
    """Return the registries of this module by what is in them."""
    return {found.what: found for found in globals().values() if isinstance(found, Registry)}
