"""A stage as a worker sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench import registry
from workbench.data.dataset import Split
from workbench.data.rows import whole
from workbench.recipes import grammar
from workbench.store.artifacts import FOLDER, Artifacts
from workbench.techniques.base import KerasTechnique
from workbench.values.graph import Artifact
from workbench.values.recipe import Step
from workbench.values.source import ModelInfo
from workbench.values.task import TaskSpec


@dataclass
class Job:
    """A stage as a worker sees it: what to do, with the artifacts of the stages before it."""

    kind: str
    payload: dict[str, Any]
    inputs: dict[str, Artifact]
    root: Path
    threads: int = 1
    notes: list[str] = field(default_factory=list)
    temporary: list[Path] = field(default_factory=list)

    @property
    def artifacts(self) -> Artifacts:
        """The store's artifacts."""
        return Artifacts(self.root / FOLDER)

    @property
    def source(self) -> ModelInfo:
        """The model source."""
        return ModelInfo.model_validate(self.payload["source"])

    @property
    def source_path(self) -> Path:
        """The file or folder of the source's kind: the source itself, or what a stage made of it."""
        return self.path("source") if "source" in self.inputs else Path(self.source.path)

    def scratch(self) -> Path:
        """Return a new empty folder that goes when the stage ends, unless it was moved into the store."""
        self.temporary.append(self.artifacts.scratch())
        return self.temporary[-1]

    def path(self, role: str) -> Path:
        """Return the file or folder of an earlier stage by its role."""
        return self.artifacts.path(self.inputs[role].sha256, self.inputs[role].kind)

    def data(self) -> Path:
        """Return the folder of the dataset."""
        return self.root / "data" / str(self.payload["dataset"])

    def tasks(self) -> dict[str, TaskSpec]:
        """Return the task of each output of the model, in their order; what a task needs in this process was sent with the stage."""
        for output, packed in self.payload.get("packed", {}).items():
            spec = next(t for t in self.payload["tasks"] if t["output"] == output)
            task = registry.tasks.get(spec["name"])
            task.unpack(task.params.model_validate(spec["options"]), packed)
        return {
            t["output"]: TaskSpec(name=t["name"], options=t["options"], reads=tuple(t["reads"]))
            for t in self.payload["tasks"]
        }

    def labels(self, split: Split) -> dict[str, Any]:
        """Return a split's labels by output name, rows of a file where they are too many."""
        first = next(iter(self.tasks()), "")
        return {name or first: whole(v) for name, v in split.targets.items()}

    def before(self) -> tuple[Step, ...]:
        """Return the steps before this one."""
        return tuple(Step.model_validate(s) for s in self.payload["before"])

    def keras_path(self) -> Path | None:
        """Return the Keras file that this stage starts from: the last trained step's, or the source itself."""
        if "keras" in self.inputs:
            return self.path("keras") if self.inputs["keras"].kind in ("h5", "keras") else None
        path = self.source_path
        return path if self.source.kind == "keras" and not path.is_dir() else None

    def scopes(self) -> list[Any]:
        """Return the scopes in which the Keras file of this stage loads."""
        found = (
            [grammar.resolve(s)[0] for s in self.before()]
            if "keras" in self.inputs and "before" in self.payload
            else []
        )
        return [t.scope() for t in found if isinstance(t, KerasTechnique)]
