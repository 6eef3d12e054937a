"""A plan: a tree of stages, which recipes with an equal prefix share.

A stage's key is the hash of all that goes into it: its kind, parameters, settings, the versions of its tools, its threads where
their number changes bits, and the keys of the stages before it. Two recipes with an equal prefix so have one stage for it, in this run and in any
later one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from workbench.measure.environment import versions
from workbench.values.base import digest
from workbench.values.recipe import Recipe
from workbench.values.trial import TrialSettings

# Goes up when the same stage gives another result than before.
VERSION = 6
# What the stages are made with beside techniques and sources, which name their own (`Technique.tools`, `Source.tools`).
TOOLS = {
    "freeze": ("tensorflow", "tf-keras"),
    "convert": ("tensorflow", "tf-keras"),
    "import": (),
    "calibrate": ("litert-quantizer", "ai-edge-litert"),
    "evaluate": ("ai-edge-litert", "numpy"),
}
# Kinds whose result hangs on the number of threads (`tests/test_threads.py` measures it).
THREADED = frozenset({"train"})
# The beginning of a key that names a trial.
TRIAL_DIGITS = 12
# Rough seconds by kind, to start the longest chains first; real times replace them in the ETA.
COST = {
    "open": 2.0,
    "describe": 1.0,
    "survey": 2.0,
    "train": 15.0,
    "freeze": 1.0,
    "convert": 2.0,
    "import": 0.1,
    "calibrate": 1.0,
    "finish": 0.3,
    "evaluate": 0.5,
}
# Schemes for which kernels are slow, as a multiple of the usual cost of running the file.
SLOW_TO_RUN = {"int16x8": 8.0, "int4-dynamic": 2.0, "int4-weight-only": 2.0}


@dataclass(frozen=True)
class Stage:
    """One unit of work: its key, kind, a label for people, its payload, and the stages it starts from by role."""

    key: str
    kind: str
    label: str
    payload: dict[str, Any]
    parents: dict[str, str]
    identity: dict[str, Any] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    threads: int | None = None

    @property
    def sources(self) -> dict[str, str]:
        """The SHA-256 of what it reads from outside, by role."""
        return {role: str(self.identity[role]) for role in ("model", "dataset") if role in self.identity}

    @property
    def cost(self) -> float:
        """Rough seconds of the stage."""
        factor = SLOW_TO_RUN.get(self.payload.get("scheme", ""), 1.0) if self.kind == "evaluate" else 1.0
        return COST[self.kind] * factor

    @property
    def needs_tensorflow(self) -> bool:
        """Whether the stage imports TensorFlow."""
        return self.kind == "train" or "tensorflow" in self.tools or "saved_model" in self.parents


class Rank(NamedTuple):
    """Whether a stage needs a training or is one, and the cost of the longest chain that begins with it."""

    trained: bool
    training: bool
    chain: float

    def place(self, trainings_wait: bool) -> tuple[bool, bool, float]:
        """Return the place in the queue, the least first.

        What needs no training is there within seconds, as is what a converter says of the model. Then what was trained is
        finished before more is while many `trainings_wait`; of the last ones, and among equals, the longest chain comes first,
        so that what is short keeps all workers busy to the end.
        """
        return self.trained, trainings_wait and self.training, -self.chain


@dataclass
class Plan:
    """All stages by key, and for each trial its recipe, its settings and the stage that ends it; `threads` is what a worker may use.

    `survey` is the stage whose answer is told before anything is trained: trainings wait for its end, however it ends.
    """

    threads: int = 1
    stages: dict[str, Stage] = field(default_factory=dict)
    recipes: dict[str, Recipe] = field(default_factory=dict)
    settings: dict[str, TrialSettings] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    baseline: str = ""
    survey: str = ""

    def add(
        self,
        kind: str,
        label: str,
        identity: dict[str, Any],
        payload: dict[str, Any],
        parents: dict[str, str] | None = None,
        tools: tuple[str, ...] | None = None,
    ) -> str:
        """Add a stage unless an equal one is there, and return its key; `tools` names packages where its kind does not say which."""
        parents = parents or {}
        found = versions(TOOLS[kind] if tools is None else tools)
        threads = self.threads if kind in THREADED else None
        key = digest(
            {
                "version": VERSION,
                "kind": kind,
                "identity": identity,
                "parents": parents,
                "tools": found,
                "threads": threads,
            }
        )
        if key not in self.stages:
            self.stages[key] = Stage(key, kind, label, {**identity, **payload}, parents, identity, found, threads)
        return key

    def chain(self, *keys: str) -> list[Stage]:
        """Return stages and all that they start from, at any distance, each once."""
        found: dict[str, Stage] = {}
        stack = list(keys)
        while stack:
            key = stack.pop()
            if key not in found:
                found[key] = self.stages[key]
                stack.extend(self.stages[key].parents.values())
        return list(found.values())

    def ranks(self) -> dict[str, Rank]:
        """Return what decides the order of the stages."""
        children: dict[str, list[str]] = {k: [] for k in self.stages}
        for stage in self.stages.values():
            for parent in stage.parents.values():
                children[parent].append(stage.key)
        cost: dict[str, float] = {}
        # Stages are added after their parents, so the reverse order meets children first.
        for key in reversed(self.stages):
            cost[key] = self.stages[key].cost + max((cost[c] for c in children[key]), default=0.0)
        trained: dict[str, bool] = {}
        for key, stage in self.stages.items():
            trained[key] = stage.kind == "train" or any(trained[p] for p in stage.parents.values())
        return {key: Rank(trained[key], self.stages[key].kind == "train", cost[key]) for key in self.stages}
