"""What a lineage is made of: sources, executions, files and measurements, and what went from one into another."""

from __future__ import annotations

from typing import Any, Literal

from workbench.values.base import Value

NodeKind = Literal["model", "dataset", "execution", "file", "measurement"]


class Node(Value):
    """A thing or a piece of work. `id` is the SHA-256 of a source or file (`SHA:KEY` for one more of the same), the key of an execution, or `measurement:...`."""

    id: str
    kind: NodeKind
    title: str
    detail: dict[str, Any] = {}


class Edge(Value):
    """What went from one node into another; `role` is what it was there."""

    start: str
    end: str
    role: str = ""


class Lineage(Value):
    """All that a trial hangs on, each node after those that it was made from; `notes` say what was not recorded."""

    study: str
    trial: str
    recipe: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    notes: tuple[str, ...] = ()

    def before(self, node: str) -> list[Edge]:
        """Return what went into a node."""
        return [e for e in self.edges if e.end == node]

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat row per node, in order."""
        titles = {n.id: n.title for n in self.nodes}
        return [
            {
                "what": n.kind,
                "name": n.title,
                "from": ", ".join(titles.get(e.start, e.start[:12]) for e in self.before(n.id)),
                "settings": _flat(n.detail.get("settings")),
                "tools": ", ".join(f"{t} {v}" for t, v in n.detail.get("tools", {}).items()),
                "machine": n.detail.get("machine", ""),
                "started": n.detail.get("started", ""),
                "seconds": n.detail.get("seconds"),
                "id": n.id,
            }
            for n in self.nodes
        ]


def _flat(data: Any) -> str:
    if not isinstance(data, dict):
        return ""
    return ", ".join(f"{k}={_short(v)}" for k, v in data.items() if v not in (None, [], {}, ""))


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + _flat(value) + "}"
    return "[" + ", ".join(map(_short, value)) + "]" if isinstance(value, list) else str(value)
