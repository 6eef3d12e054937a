"""The graph of what was done: executions, the files that they made, and the machines that they ran on."""

from __future__ import annotations

from typing import Any, Literal

from workbench.values.base import Count, Value


class Artifact(Value):
    """A file (or folder) made by an execution, addressed by the SHA-256 of its content."""

    path: str
    sha256: str
    kind: str


class Machine(Value):
    """What something ran on. `id` is the digest of processor, cores, system and `name`; `memory` in bytes, None where it is not known.

    `name` is what its owner calls it (`WORKBENCH_MACHINE`): two machines of one make are told apart by nothing else.
    """

    id: str
    processor: str
    cores: Count
    system: str
    memory: Count | None = None
    name: str = ""

    @property
    def title(self) -> str:
        """What people call it: its name, else its processor with its cores."""
        return self.name or f"{self.processor}, {self.cores} core{'' if self.cores == 1 else 's'}"


class Execution(Value):
    """One piece of work that was done; its key is the digest of all that its result hangs on.

    `inputs` are keys of executions by role; `sources` what came from outside by role: the SHA-256 of a model or a dataset.
    `tools` are versions by package as its process had them, `threads` how many it used, `machine` the id of where it ran,
    `started` ISO 8601 in UTC, `seconds` its busy time. What layout 1 did not record is empty.
    """

    key: str
    kind: str
    label: str = ""
    state: Literal["ok", "failed"] = "ok"
    inputs: dict[str, str] = {}
    sources: dict[str, str] = {}
    settings: dict[str, Any] = {}
    tools: dict[str, str] = {}
    threads: Count | None = None
    machine: str = ""
    started: str = ""
    seconds: float = 0.0
    outputs: tuple[Artifact, ...] = ()
