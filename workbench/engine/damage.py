"""What was damaged in the store while a sweep works: told as it is found, and results that stand on it not counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from workbench.data.materialize import stored_sha256
from workbench.engine.events import Event, Listener
from workbench.engine.plan import Stage
from workbench.errors import WorkbenchError
from workbench.store.intact import DAMAGED, News
from workbench.store.rows import files_of
from workbench.store.store import Store
from workbench.values.base import Value
from workbench.values.graph import Artifact
from workbench.values.preflight import Surveyed
from workbench.values.source import DatasetInfo, Signature
from workbench.values.trial import Census, Quality, Size
from workbench.values.warning import Warning_


class Evaluated(Value):
    """What an evaluation returns of a file."""

    file: Artifact
    size: Size
    census: Census
    quality: Quality
    warnings: tuple[Warning_, ...]


def usable(stage: Stage, result: dict[str, Any]) -> bool:
    """Whether a stored result is what a stage of this kind returns; another version, or a hand, may have written it."""
    data = result.get("data", {})
    try:
        if stage.kind == "evaluate":
            Evaluated.model_validate(data)
        elif stage.kind == "describe":
            return bool(Signature.model_validate(data).inputs)
        elif stage.kind == "survey":
            return len(Surveyed.model_validate(data).chains) == len(stage.payload["chains"])
    except ValidationError:
        return False
    conversion = data.get("conversion")
    return stage.kind == "describe" or (result["artifact"] is not None and isinstance(conversion, (str, type(None))))


def stands(store: Store, result: dict[str, Any]) -> bool:
    """Whether all files that a stage's result stands on are intact; what is not is set aside."""
    return store.intact(*(Artifact.model_validate(a) for a in files_of(result)))


def check_data(store: Store, info: DatasetInfo) -> None:
    """Raise WorkbenchError where a stored dataset is not what was put there any more; it is set aside."""
    folder = store.data / info.sha256
    if not store.keeps(folder, info.sha256, lambda path: stored_sha256(path, info.inputs, info.class_names)):
        raise WorkbenchError(
            f"the arrays of dataset {info.name!r} were damaged or removed in {str(folder)!r} while the sweep ran. "
            "Finished work is kept; run the same command again, which writes them anew."
        )


class DamageTeller:
    """Passes on what is set aside in a store, by this process or a worker, to a listener."""

    def __init__(self, root: Path, listener: Listener) -> None:
        self._news = News(root)
        self._folder = root / DAMAGED
        self._listener = listener

    def tell(self, phase: Literal["prepare", "build", "measure"]) -> None:
        """Pass on what was set aside since the last time."""
        for line in self._news.told():
            words = f"damaged in the store: {line}. Set aside in {self._folder}; made again where it is needed"
            self._listener(Event("damaged", phase, words))


Tell = Callable[[Literal["prepare", "build", "measure"]], None]
