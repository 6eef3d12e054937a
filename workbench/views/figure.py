"""The trade-off chart as the plain data that Plotly draws from; nothing of Plotly is needed for it.

Report and dashboard change the figure made here in the browser. What they need for that is on the
traces: `meta.role` (`points`, `baseline`, `front`, `legend`), `meta.ids` (one trial id per point), and
for a dark page `meta.outlined` and `meta.ink` (what is drawn in the colour of outlines and of text).
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

from workbench.views.marks import INK, colours_of, darker, ordered, symbols_of
from workbench.views.metric import Interval, Metric
from workbench.views.tradeoff import Point, TradeoffInfo

MARKER = 10
CROWDED = 120
MIN_HEIGHT = 460
TITLES = {"scheme": "Scheme", "techniques": "Techniques", "runtime": "Runtime"}

Trace = dict[str, Any]


def figure_of(info: TradeoffInfo) -> dict[str, Any]:
    """Return data and layout: front, one trace per colour, the baseline's ring, and the two legends.

    More than a thousand points are drawn by WebGL, with short hovers and no whiskers. The layout names no template.
    """
    hues, shapes = groups_of(info, info.colour), groups_of(info, info.symbol)
    colours, symbols = colours_of(info.colour, hues), symbols_of(info.symbol, shapes)
    by_colour: dict[str, list[Point]] = {hue: [] for hue in hues}
    for point in info.points:
        by_colour[group_of(point, info.colour)].append(point)
    size = MARKER if len(info.points) <= CROWDED else MARKER - 3 if not info.crowded else MARKER - 5
    traces = [_front(info)] if info.points else []
    traces += [_points(hue, by_colour[hue], colours[hue], symbols, size, info) for hue in hues]
    baselines = [p for p in info.points if p.is_baseline]
    traces += [_baseline(baselines)] if baselines else []
    traces += [_colour_entry(hue, colours[hue]) for hue in hues]
    traces += [_symbol_entry(shape, symbols[shape]) for shape in shapes]
    # Two legends share the right side: colours hang from the top, symbols stand on the bottom.
    entries = len(hues) + len(shapes) + 4
    layout = {
        "height": max(MIN_HEIGHT, 130 + 21 * entries),
        "margin": {"l": 70, "r": 20, "t": 40, "b": 60},
        "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13},
        "hoverlabel": {"align": "left"},
        "hovermode": "closest",
        "legend": {
            "title": {"text": TITLES[info.colour]},
            "x": 1.01,
            "y": 1,
            "yanchor": "top",
            "itemsizing": "constant",
            "tracegroupgap": 0,
        },
        "legend2": {
            "title": {"text": TITLES[info.symbol]},
            "x": 1.01,
            "y": 0,
            "yanchor": "bottom",
            "itemclick": False,
            "itemdoubleclick": False,
        },
        "xaxis": axis(info.x, info.x_log, [p.x for p in info.points]),
        "yaxis": axis(info.y, info.y_log, [p.y for p in info.points]),
        "annotations": [_note(info.note), *([] if info.points else [_empty()])],
    }
    return {"data": traces, "layout": layout}


def group_of(point: Point, kind: str) -> str:
    """Return what a point is coloured or shaped by."""
    return str(getattr(point, kind))


def groups_of(info: TradeoffInfo, kind: str) -> list[str]:
    """Return the groups among the points, in the order of the legend."""
    return ordered(kind, [group_of(p, kind) for p in info.points])


def axis(metric: Metric, log: bool, figures: Sequence[float | None] = ()) -> dict[str, Any]:
    """Return a metric's axis: title with unit, tick format, type; with a range where all figures are one.

    Around a single figure Plotly shows one unit to each side: accuracies from -1 % to 199 %.
    """
    formats = {"bytes": "~s", "share": ".2~%", "points": ".2~%"}
    known = {v for v in figures if v is not None and math.isfinite(v)}
    around = {}
    if len(known) == 1 and not log and not metric.family:
        (value,) = known
        room = 0.1 * abs(value) or 0.01
        around = {"range": [value - room, value + room]}
    return {
        **around,
        "title": {"text": html.escape(metric.label)},
        "tickformat": formats.get(metric.unit, ""),
        "type": "log" if log else "linear",
        "automargin": True,
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
    }


def stair(x: Metric) -> str:
    """Return the shape of the front's line.

    The front is a stair: for a limit between two of its points the best found is the nearer one that keeps
    the limit. A straight line would promise what no variant gives.
    """
    return "hv" if x.better == "low" else "vh"


def whiskers(figures: Sequence[float | None], intervals: Sequence[Interval | None]) -> dict[str, Any]:
    """Return a trace's error bars from intervals (low, high); hidden where there is none."""
    pairs = [(v, i) if v is not None and i is not None else None for v, i in zip(figures, intervals, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": [p[1][1] - p[0] if p else None for p in pairs],
        "arrayminus": [p[0] - p[1][0] if p else None for p in pairs],
        "thickness": 1,
        "width": 3,
        "visible": any(pairs),
    }


def drawn(value: float | None) -> float | None:
    """Return the figure where an axis can show it."""
    return value if value is not None and math.isfinite(value) else None


def _points(
    hue: str, points: list[Point], look: tuple[str, bool], symbols: dict[str, str], size: int, info: TradeoffInfo
) -> Trace:
    colour, filled = look
    xs, ys = [drawn(p.x) for p in points], [drawn(p.y) for p in points]
    trace = {
        "type": "scattergl" if info.crowded else "scatter",
        "x": xs,
        "y": ys,
        "mode": "markers",
        "name": html.escape(hue),
        "legendgroup": hue,
        "showlegend": False,
        "marker": {
            "color": colour,
            "size": size,
            "symbol": [symbols[group_of(p, info.symbol)] + ("" if filled else "-open") for p in points],
            "line": _outline(colour, filled, info.crowded),
        },
        "selected": {"marker": {"size": 2 * MARKER}},
        "unselected": {"marker": {"opacity": 0.35}},
        "customdata": [(p.id, _hover(p)) for p in points],
        "hovertemplate": "%{customdata[1]}<extra></extra>",
        "meta": {"role": "points", "ids": [p.id for p in points], "outlined": filled and not info.crowded},
    }
    if not info.crowded:
        trace["error_x"] = whiskers(xs, [p.x_interval for p in points])
        trace["error_y"] = whiskers(ys, [p.y_interval for p in points])
    return trace


def _baseline(points: list[Point]) -> Trace:
    return {
        "type": "scatter",
        "x": [drawn(p.x) for p in points],
        "y": [drawn(p.y) for p in points],
        "mode": "markers+text",
        "name": "baseline",
        "text": ["<b>baseline</b>"] * len(points),
        "textposition": "top center",
        "textfont": {"color": INK},
        "marker": {"symbol": "circle-open", "size": 2 * MARKER, "color": INK, "line": {"width": 2, "color": INK}},
        "cliponaxis": False,
        "hoverinfo": "skip",
        "meta": {"role": "baseline", "ids": [p.id for p in points]},
    }


def _front(info: TradeoffInfo) -> Trace:
    front = [info.points[i] for i in info.front]
    return {
        "type": "scatter",
        "x": [drawn(p.x) for p in front],
        "y": [drawn(p.y) for p in front],
        "mode": "lines",
        "name": "Pareto front",
        "line": {"color": INK, "width": 1.5, "dash": "dot", "shape": stair(info.x)},
        "connectgaps": False,
        "hoverinfo": "skip",
        "meta": {"role": "front", "ids": [p.id for p in front]},
    }


def _colour_entry(hue: str, look: tuple[str, bool]) -> Trace:
    colour, filled = look
    return {
        "type": "scatter",
        "x": [None],
        "y": [None],
        "mode": "markers",
        "name": html.escape(hue),
        "legendgroup": hue,
        "marker": {
            "color": colour,
            "size": MARKER,
            "symbol": "circle" if filled else "circle-open",
            "line": _outline(colour, filled),
        },
        "meta": {"role": "legend", "outlined": filled},
    }


def _symbol_entry(shape: str, symbol: str) -> Trace:
    return {
        "type": "scatter",
        "x": [None],
        "y": [None],
        "mode": "markers",
        "name": html.escape(shape),
        "legend": "legend2",
        "marker": {"color": INK, "size": MARKER, "symbol": symbol},
        "meta": {"role": "legend", "ink": True},
    }


def _outline(colour: str, filled: bool, crowded: bool = False) -> dict[str, Any]:
    if not filled:
        return {"width": 2, "color": colour}
    # Where hundreds stand upon one another, black outlines would cover the colours.
    return {"width": 1, "color": darker(colour) if crowded else "rgba(0,0,0,0.55)"}


def _hover(point: Point) -> str:
    lines = [f"<b>{html.escape(point.recipe)}</b>{' (baseline)' if point.is_baseline else ''}"]
    lines += [html.escape(line) for line in point.figures]
    if point.warnings:
        lines.append(f"{point.warnings} warning{'s' if point.warnings > 1 else ''}")
    return "<br>".join(lines)


def _note(text: str) -> dict[str, Any]:
    """Return the line above the chart; it is there, empty, also when there is nothing to say, for the page to fill."""
    where = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "yshift": 8}
    return {**where, "text": html.escape(text), "showarrow": False, "font": {"size": 12}, "name": "note"}


def _empty() -> dict[str, Any]:
    where = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5}
    return {**where, "text": "No variant has run yet", "showarrow": False, "font": {"size": 16}, "name": "empty"}
