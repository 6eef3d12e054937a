"""How a sweep is run, beside its model, data and grid: one value that goes from whoever asks to the engine."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.store.store import Store


@dataclass(frozen=True)
class SweepOptions:
    """What `workbench.sweep` takes as keywords; None is the default of each.

    Raises WorkbenchError for what is not allowed whatever else is asked for.
    """

    runtimes: Any = None
    study: str | None = None
    store: str | Path | Store | None = None
    jobs: int | None = None
    cluster_address: str | None = None
    cluster_security: Any = None
    allow_code: bool = False
    retry_failed: bool = False
    task: Any = None
    seed: int | None = None
    signature: str | None = None

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise WorkbenchError(f"jobs {self.jobs} is too small. Allowed: 1 and up.")

    def given(self) -> dict[str, Any]:
        """Return those that are not the default, as keywords."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None and value is not False}
