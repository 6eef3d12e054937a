"""A lineage as a drawing: SVG in layers from top to bottom, each box below those that it was made from.

A file is a line in the box of the execution that made it, so that a chain of twelve is six boxes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from workbench.lineage.graph import Lineage, Node
from workbench.markup import macros

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 300, 74, 36, 44, 12
# Okabe and Ito's palette, which colour-blind readers tell apart; the words say the kind besides.
COLOURS = {
    "model": "#009e73",
    "dataset": "#56b4e9",
    "execution": "#0072b2",
    "file": "#e69f00",
    "measurement": "#d55e00",
}
ROUND = {"model": 30, "dataset": 30}
MOST_LETTERS, MOST_SMALL = 36, 46


class _Place(NamedTuple):
    x: float
    y: float


class _Arrow(NamedTuple):
    start: str
    end: str
    role: str


def svg(lineage: Lineage) -> str:
    """Return the drawing; texts are escaped, and whole ones are in each box's title."""
    nodes = {n.id: n for n in lineage.nodes}
    # A file stands in the box of who made it; one that nobody is known to have made has a box of its own.
    maker = {e.end: e.start for e in lineage.edges if nodes[e.end].kind == "file"}
    boxes = [n for n in lineage.nodes if n.id not in maker]
    arrows = [_Arrow(maker.get(e.start, e.start), e.end, e.role or "file") for e in lineage.edges if e.end not in maker]
    layers = _layers(boxes, arrows)
    rows: dict[int, list[Node]] = {}
    for node in boxes:
        rows.setdefault(layers[node.id], []).append(node)
    widest = max((len(r) for r in rows.values()), default=1)
    # Lines that pass by have room at the right, and as much at the left.
    width = 2 * MARGIN + widest * (WIDTH + GAP_X) + GAP_X
    height = 2 * MARGIN + (max(rows, default=0) + 1) * (HEIGHT + GAP_Y) - GAP_Y
    places: dict[str, _Place] = {}
    for layer, row in rows.items():
        left = (width - len(row) * (WIDTH + GAP_X) + GAP_X) / 2
        for number, node in enumerate(row):
            places[node.id] = _Place(left + number * (WIDTH + GAP_X), MARGIN + layer * (HEIGHT + GAP_Y))
    files = {made: [nodes[f].title for f, by in maker.items() if by == made] for made in maker.values()}
    return str(
        macros("workbench.lineage", "drawing.svg.j2").drawing(
            f"Lineage of {lineage.recipe} in study {lineage.study}",
            width,
            height,
            [_box(n, places[n.id], files.get(n.id, [])) for n in boxes],
            [_line(places[a.start], places[a.end], a.role) for a in arrows],
            WIDTH,
            HEIGHT,
        )
    )


def _layers(boxes: list[Node], arrows: list[_Arrow]) -> dict[str, int]:
    """Return for each box the length of the longest way to it; boxes come after what they were made from."""
    found: dict[str, int] = {}
    for node in boxes:
        found[node.id] = max((found[a.start] + 1 for a in arrows if a.end == node.id), default=0)
    return found


def _box(node: Node, at: _Place, files: list[str]) -> dict[str, Any]:
    words: list[str] = [node.kind if node.kind in ("model", "dataset", "file") else ""]
    if seconds := node.detail.get("seconds"):
        words.append(f"{seconds:.3g} s")
    if latency := node.detail.get("latency ms"):
        words.append(f"median {latency[1]:.3g} ms")
    if machine := node.detail.get("machine"):
        words.append(f"on {machine}")
    whole = "\n".join(
        f"{k}: {v}" for k, v in {"name": node.title, **node.detail}.items() if v not in (None, "", {}, [])
    )
    # By how far below the box's top, size, colour, weight and words.
    lines = [
        (24, 14, "#111", 600, _cut(node.title, MOST_LETTERS)),
        (43, 11.5, "#444", 400, _cut(", ".join(w for w in words if w), MOST_SMALL)),
        (61, 11.5, "#8a5a00", 400, _cut(f"makes {', '.join(files)}" if files else "", MOST_SMALL)),
    ]
    return {
        "at": at,
        "whole": whole,
        "round": ROUND.get(node.kind, 5),
        "colour": COLOURS[node.kind],
        "lines": lines,
    }


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _line(start: _Place, end: _Place, role: str) -> dict[str, str]:
    x, y, to_x, to_y = start.x + WIDTH / 2, start.y + HEIGHT, end.x + WIDTH / 2, end.y
    bend = GAP_Y * 0.8
    # One that passes by a layer goes around at the right of its boxes.
    aside = 0.0 if to_y - y <= GAP_Y else WIDTH / 2 + GAP_X / 2
    if aside:
        path = (
            f"M{x},{y} C{x},{y + bend} {x + aside},{y + bend / 2} {x + aside},{y + 2 * bend} "
            f"L{x + aside},{to_y - 2 * bend} C{x + aside},{to_y - bend / 2} {to_x},{to_y - bend} {to_x},{to_y}"
        )
    else:
        path = f"M{x},{y} C{x},{y + bend} {to_x},{to_y - bend} {to_x},{to_y}"
    return {"role": role, "path": path, "head": f"M{to_x - 4},{to_y - 8} L{to_x},{to_y} L{to_x + 4},{to_y - 8}"}
