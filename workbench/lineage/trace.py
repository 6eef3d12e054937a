"""The graph behind one trial, read from the store: sources, executions, files, measurements."""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import Any

from workbench.lineage.draw import svg
from workbench.lineage.graph import Edge, Lineage, Node
from workbench.recipes.grammar import measured_text
from workbench.store.reader import Reader
from workbench.values.graph import Artifact, Execution, Machine
from workbench.values.study import StudyRecord
from workbench.values.trial import Measurement, Trial


class ShownLineage(Lineage):
    """A lineage that a notebook shows drawn."""

    def _repr_html_(self) -> str:
        return svg(self)


def trace(store: Reader, record: StudyRecord, trial: Trial) -> ShownLineage:
    """Return the lineage of a trial of a study; what the store does not have is left out and said in the notes."""
    builder = _Builder(record, trial, store.machines())
    key = store.trial_keys(record.name).get(trial.id, "")
    pending, known = [key] if key else [], {}
    while pending:
        found = store.executions(pending)
        builder.missing |= {k for k in pending if k not in found}
        known.update(found)
        wanted = {i for e in found.values() for i in e.inputs.values()}
        pending = sorted(wanted - known.keys() - builder.missing)
    # Files are known before those that read them are added. Two may make the same: a scheme that changes nothing hands on its input.
    given = {sha256 for e in known.values() for sha256 in e.sources.values()}
    for execution in known.values():
        # An evaluation names the file that it is about; of the baseline's it keeps the outputs.
        for output in execution.outputs if execution.kind != "evaluate" or len(execution.inputs) == 1 else ():
            same = output.sha256 in builder.made.values() or output.sha256 in given
            builder.made[execution.key] = f"{output.sha256}:{execution.key[:12]}" if same else output.sha256
    for execution in known.values():
        builder.add(execution)
    builder.finish(key, known.get(key))
    return builder.lineage()


class _Builder:
    def __init__(self, record: StudyRecord, trial: Trial, machines: dict[str, Machine]) -> None:
        self.record, self.trial, self.machines = record, trial, machines
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str, str], Edge] = {}
        self.made: dict[str, str] = {}
        self.missing: set[str] = set()
        self.notes: list[str] = []

    def add(self, execution: Execution) -> None:
        detail = {
            "kind": execution.kind,
            "settings": _settings(execution),
            "tools": execution.tools,
            "threads": execution.threads,
            "machine": self._machine(execution.machine),
            "started": execution.started,
            "seconds": round(execution.seconds, 3),
        }
        self.nodes[execution.key] = Node(
            id=execution.key, kind="execution", title=execution.label or execution.kind, detail=detail
        )
        for role, parent in execution.inputs.items():
            # What was made is between who made it and who reads it, where it is a file.
            self._edge(self.made.get(parent, parent), execution.key, role)
        for role, sha256 in execution.sources.items():
            self._source(role, sha256)
            self._edge(sha256, execution.key, role)
        made = self.made.get(execution.key)
        if made is not None:
            self._file(execution.outputs[0], made)
            self._edge(execution.key, made, "")

    def finish(self, key: str, end: Execution | None) -> None:
        if end is None or not (end.inputs or end.sources):
            self.notes.append(
                "the store of layout 1 did not record what this trial was made from; sweep it again to have it recorded"
            )
            self._source("model", self.record.model.sha256)
            self._source("dataset", self.record.dataset.sha256)
        if self.missing:
            self.notes.append(f"{len(self.missing)} executions are no longer in the store (`workbench store gc`)")
        artifact = self.trial.artifact
        if artifact is None:
            self.notes.append(f"the trial is {self.trial.state} and has no file")
            return
        file = self.made.get(end.inputs.get("file", "") if end else "", artifact.sha256)
        self._file(artifact, file)
        for m in self.trial.measurements:
            name = f"measurement:{measured_text(m)}:{m.machine}"
            self.nodes[name] = Node(
                id=name, kind="measurement", title=f"measure on {measured_text(m)}", detail=self._of(m)
            )
            self._edge(file, name, "file")

    def lineage(self) -> ShownLineage:
        graph: dict[str, list[str]] = {n: [] for n in self.nodes}
        for edge in self.edges.values():
            if edge.start in graph and edge.end in graph:
                graph[edge.end].append(edge.start)
        return ShownLineage(
            study=self.record.name,
            trial=self.trial.id,
            recipe=self.trial.recipe,
            nodes=tuple(self.nodes[n] for n in TopologicalSorter(graph).static_order()),
            edges=tuple(e for e in self.edges.values() if e.start in graph and e.end in graph),
            notes=tuple(self.notes),
        )

    def _of(self, m: Measurement) -> dict[str, Any]:
        latency = m.latency_ms
        return {
            "state": m.state,
            "machine": self._machine(m.machine),
            "tools": m.environment.get("versions", {}),
            "latency ms": None if latency is None else [latency.low, latency.median, latency.high],
        }

    def _source(self, role: str, sha256: str) -> None:
        record = self.record
        model = role == "model"
        same = sha256 == (record.model.sha256 if model else record.dataset.sha256)
        name = (record.model.name if model else record.dataset.name) if same else sha256[:12]
        detail: dict[str, Any] = {"sha256": sha256}
        if same and model:
            detail["path"] = record.model.path
        if same and not model:
            detail["splits"] = record.dataset.splits
        self.nodes[sha256] = Node(id=sha256, kind="model" if model else "dataset", title=name, detail=detail)

    def _file(self, artifact: Artifact, id_: str) -> None:
        detail = {"sha256": artifact.sha256, "path": artifact.path}
        title = f"{artifact.sha256[:12]}.{artifact.kind}"
        self.nodes.setdefault(id_, Node(id=id_, kind="file", title=title, detail=detail))

    def _machine(self, id_: str) -> str:
        found = self.machines.get(id_)
        return found.title if found else id_

    def _edge(self, start: str, end: str, role: str) -> None:
        self.edges[start, end, role] = Edge(start=start, end=end, role=role)


def _settings(execution: Execution) -> dict[str, Any]:
    """Return the settings of an execution without what its inputs, sources and label say already."""
    told = {*execution.sources, "version", "before", "recipe", "scheme", "kind"}
    return {k: v for k, v in execution.settings.items() if k not in told}
