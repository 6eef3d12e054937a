"""Which executions and files the trials of a store need: those that they came from, through all inputs.

What a trial's or study's row mentions by its hash is needed whether the rest of the row can be read or not.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from workbench.store.reader import Reader
from workbench.store.rows import Unreadable, files_of, read_stage, read_value, stays_inside
from workbench.store.tables import EXECUTIONS, STUDIES, TRIALS
from workbench.values.graph import Execution

OPEN = ("pending", "running", "failed")
_SHA256 = re.compile(r'"sha256":\s*"([0-9a-f]{64})"')
CHUNK = 500


class ExecutionNode(NamedTuple):
    """An execution as the graph has it: inputs by key, sources and files by hash and name; `ended` in seconds since 1970, None where that was not recorded."""

    kind: str
    inputs: frozenset[str]
    sources: frozenset[str]
    files: frozenset[str]
    ended: float | None


@dataclass
class Needed:
    """What is in the rows of a store: all executions, the keys of those that are kept, and hashes that studies and trials mention.

    `open` counts trials that are not finished, by study: for them everything made of the study's model is kept.
    """

    nodes: dict[str, ExecutionNode] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    trials: set[str] = field(default_factory=set)
    studies: set[str] = field(default_factory=set)
    open: dict[str, int] = field(default_factory=dict)

    def files(self) -> set[str]:
        """Return the names of the files of kept executions; those of trials are told by `trials`, by their hash."""
        return {name for key in self.kept for name in self.nodes[key].files}

    def sources(self) -> set[str]:
        """Return the hashes of models and datasets that studies and kept executions are made of."""
        return {*self.studies, *(s for key in self.kept for s in self.nodes[key].sources)}

    def freed(self) -> dict[str, ExecutionNode]:
        """Return the executions that nothing needs."""
        return {key: node for key, node in self.nodes.items() if key not in self.kept}


def find_needed(store: Reader, young: Callable[[ExecutionNode], bool]) -> Needed:
    """Return what the trials of a store need, and beside it what is `young`, or made of the model of a study that is not finished.

    Of a migrated store, whose executions have no inputs, those are kept whose files a trial has.
    """
    found = Needed()
    models = _studies(store, found)
    ends = _trials(store, found)
    found.nodes = dict(_nodes(store))
    children: dict[str, list[str]] = defaultdict(list)
    for key, node in found.nodes.items():
        for parent in node.inputs:
            children[parent].append(key)
    known = {sha256 for of_study in models.values() for sha256 in of_study}
    unfinished = {sha256 for study in found.open for sha256 in models.get(study, ())}
    roots = {key for key, node in found.nodes.items() if key in ends or young(node)}
    for key, node in found.nodes.items():
        if any(name.partition(".")[0] in found.trials for name in node.files) or (
            node.kind == "describe" and node.sources & known
        ):
            roots.add(key)
    made = _closure((k for k, n in found.nodes.items() if n.sources & unfinished), lambda k: children.get(k, ()))
    found.kept = _closure({*roots, *made} & found.nodes.keys(), lambda k: found.nodes[k].inputs & found.nodes.keys())
    return found


def _studies(store: Reader, found: Needed) -> dict[str, set[str]]:
    """Return the hashes that the record of each study mentions: of its model, and of its dataset."""
    models: dict[str, set[str]] = {}
    for name, text in store.database.rows(sa.select(STUDIES.c.name, sa.cast(STUDIES.c.record, sa.Text)))[0]:
        models[name] = _mentioned(text)
        found.studies |= models[name]
    return models


def _trials(store: Reader, found: Needed) -> set[str]:
    """Return the keys of the executions that trials end in."""
    ends: set[str] = set()
    # A study at a time: all texts of a large store would fill the memory.
    for (study,) in store.database.rows(sa.select(TRIALS.c.study).distinct())[0]:
        columns = (TRIALS.c.key, TRIALS.c.state, sa.cast(TRIALS.c.trial, sa.Text))
        for key, state, text in store.database.rows(sa.select(*columns).where(TRIALS.c.study == study))[0]:
            ends.add(key)
            found.trials |= _mentioned(text)
            if state in OPEN:
                found.open[study] = found.open.get(study, 0) + 1
    return ends


def _nodes(store: Reader) -> Iterator[tuple[str, ExecutionNode]]:
    text = sa.cast(EXECUTIONS.c.execution, sa.Text)
    bare: dict[str, ExecutionNode] = {}
    for key, kind, told in store.database.rows(sa.select(EXECUTIONS.c.key, EXECUTIONS.c.kind, text))[0]:
        node = _node(kind, told)
        if node.files:
            yield key, node
        else:
            bare[key] = node
    # What it made stands in its result too, where the rest cannot be read or says nothing of it.
    keys = list(bare)
    for start in range(0, len(keys), CHUNK):
        some = keys[start : start + CHUNK]
        query = sa.select(EXECUTIONS.c.key, sa.cast(EXECUTIONS.c.result, sa.Text)).where(EXECUTIONS.c.key.in_(some))
        results = {key: read_stage(result) for key, result in store.database.rows(query)[0]}
        for key in some:
            files = files_of(results.get(key) or {})
            yield key, bare[key]._replace(files=frozenset(f"{a['sha256']}.{a['kind']}" for a in files))


def _node(kind: str, text: Any) -> ExecutionNode:
    try:
        found = read_value(Execution, text)
    except Unreadable:
        return ExecutionNode(kind, frozenset(), frozenset(), frozenset(), None)
    return ExecutionNode(
        found.kind,
        frozenset(found.inputs.values()),
        frozenset(found.sources.values()),
        frozenset(f"{a.sha256}.{a.kind}" for a in found.outputs if stays_inside(a)),
        _ended(found),
    )


def _ended(execution: Execution) -> float | None:
    try:
        started = datetime.fromisoformat(execution.started.replace("Z", "+00:00"))
    except ValueError:
        return None
    if started.tzinfo is None:
        started = started.replace(tzinfo=UTC)
    return started.timestamp() + max(0.0, execution.seconds)


def _mentioned(text: Any) -> set[str]:
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return set(_SHA256.findall(text)) if isinstance(text, str) else set()


def _closure(start: Iterable[str], following: Callable[[str], Iterable[str]]) -> set[str]:
    """Return the keys that are reached from some, those themselves among them."""
    found: set[str] = set()
    stack = list(start)
    while stack:
        key = stack.pop()
        if key not in found:
            found.add(key)
            stack.extend(following(key))
    return found
