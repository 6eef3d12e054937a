"""A lineage as a drawing: SVG in layers from left to right, each node right of those that it was made from."""

from __future__ import annotations

import html
from typing import NamedTuple

from workbench.lineage.trace import Lineage, Node

WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE = 236, 58, 56, 18, 12
# Okabe and Ito's palette, which colour-blind readers tell apart; each kind has a shape of its own besides.
COLOURS = {
    "model": "#009e73",
    "dataset": "#56b4e9",
    "execution": "#0072b2",
    "file": "#e69f00",
    "measurement": "#d55e00",
}
MOST_LETTERS = 32
ROUND = {"execution": 4, "file": 0, "measurement": 4, "model": 26, "dataset": 26}


class _Place(NamedTuple):
    x: float
    y: float


def svg(lineage: Lineage) -> str:
    """Return the drawing; texts are escaped, and whole ones are in each box's title."""
    layers = _layers(lineage)
    columns: dict[int, list[Node]] = {}
    for node in lineage.nodes:
        columns.setdefault(layers[node.id], []).append(node)
    tallest = max((len(c) for c in columns.values()), default=1)
    height = 2 * EDGE + tallest * (HEIGHT + GAP_Y) - GAP_Y
    width = 2 * EDGE + (max(columns, default=0) + 1) * (WIDTH + GAP_X) - GAP_X
    places: dict[str, _Place] = {}
    for layer, nodes in columns.items():
        top = (height - len(nodes) * (HEIGHT + GAP_Y) + GAP_Y) / 2
        for row, node in enumerate(nodes):
            places[node.id] = _Place(EDGE + layer * (WIDTH + GAP_X), top + row * (HEIGHT + GAP_Y))
    parts = [_line(places[e.start], places[e.end], e.role) for e in lineage.edges]
    parts += [_box(n, places[n.id]) for n in lineage.nodes]
    title = html.escape(f"Lineage of {lineage.recipe} in study {lineage.study}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="system-ui, sans-serif" style="max-width:100%;height:auto;background:#fff">'
        f"<title>{title}</title>{''.join(parts)}</svg>"
    )


def _layers(lineage: Lineage) -> dict[str, int]:
    """Return for each node the length of the longest way to it; nodes come after what they were made from."""
    found: dict[str, int] = {}
    for node in lineage.nodes:
        found[node.id] = max((found[e.start] + 1 for e in lineage.before(node.id)), default=0)
    return found


def _box(node: Node, at: _Place) -> str:
    colour = COLOURS[node.kind]
    words = [node.kind if node.kind != "execution" else str(node.detail.get("kind") or node.kind)]
    if seconds := node.detail.get("seconds"):
        words.append(f"{seconds:.3g} s")
    if machine := node.detail.get("machine"):
        words.append(str(machine))
    whole = "\n".join(f"{k}: {v}" for k, v in {"": node.title, **node.detail}.items() if v not in (None, "", {}, []))
    lines = (
        f'<text x="{at.x + 12}" y="{at.y + 24}" font-size="13" font-weight="600" fill="#111">{_cut(node.title)}</text>'
        f'<text x="{at.x + 12}" y="{at.y + 43}" font-size="11" fill="#444">{_cut(", ".join(words), MOST_LETTERS + 6)}</text>'
    )
    return (
        f"<g><title>{html.escape(whole.lstrip(': '))}</title>"
        f'<rect x="{at.x}" y="{at.y}" width="{WIDTH}" height="{HEIGHT}" rx="{ROUND[node.kind]}" fill="#fff" stroke="{colour}" stroke-width="2"/>'
        f"{lines}</g>"
    )


def _line(start: _Place, end: _Place, role: str) -> str:
    x, y = start.x + WIDTH, start.y + HEIGHT / 2
    to_x, to_y = end.x, end.y + HEIGHT / 2
    bend = max(GAP_X / 2, (to_x - x) / 2)
    path = f"M{x},{y} C{x + bend},{y} {to_x - bend},{to_y} {to_x},{to_y}"
    return f'<path d="{path}" fill="none" stroke="#888" stroke-width="1.3"><title>{html.escape(role)}</title></path>'


def _cut(text: str, most: int = MOST_LETTERS) -> str:
    return html.escape(text if len(text) <= most else f"{text[: most - 1]}…")
