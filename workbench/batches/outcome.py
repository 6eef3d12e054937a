"""What came of one run of a batch."""

from __future__ import annotations

from typing import Any, Literal

from workbench.values.base import Value


class BatchRun(Value):
    """What came of one run; `notebook` and `page` are relative to the batch's folder, `reused` where nothing had to be done."""

    id: str
    model: str
    data: str
    grid: str
    seed: int
    state: Literal["ok", "failed", "cancelled"]
    reused: bool = False
    seconds: float = 0.0
    error: str | None = None
    notebook: str | None = None
    page: str | None = None
    fingerprint: str = ""
    results: dict[str, Any] | None = None

    @property
    def passed(self) -> bool | None:
        """Whether the gate was passed; None where none was asked for, or nothing is known of it."""
        gate = (self.results or {}).get("gate")
        return None if gate is None else bool(gate["passed"])
