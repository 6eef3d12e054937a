"""Draws the trade-off chart with Plotly; only `tradeoff_figure` imports this.

The report changes the axes of the figure made here in the browser. What it needs for that is on the
traces: `meta.role` (`points`, `baseline`, `front`, `legend`), `meta.ids` (one trial id per point), and
for a dark page `meta.outlined` and `meta.ink` (what is drawn in the colour of outlines and of text).
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from workbench.values.recipe import SCHEMES
from workbench.views.metrics import Interval, Metric
from workbench.views.tradeoff import Point, TradeoffInfo

# Okabe and Ito's colours that colour-blind people can tell apart; close kin share one and differ in fill.
COLOURS: dict[str, tuple[str, bool]] = {
    "float32": ("#7f7f7f", True),
    "float16": ("#56b4e9", True),
    "dynamic": ("#e69f00", True),
    "weight-only-int8": ("#f0e442", True),
    "int8": ("#0072b2", True),
    "int8-float-io": ("#0072b2", False),
    "int16x8": ("#cc79a7", True),
    "int4-dynamic": ("#d55e00", True),
    "int4-weight-only": ("#d55e00", False),
    "int4-block32": ("#009e73", True),
}
OTHER_COLOUR = ("#7f7f7f", False)
SYMBOLS = {
    "none": "circle",
    "prune": "triangle-down",
    "cluster": "square",
    "qat": "diamond",
    "prune+cluster": "pentagon",
    "prune+qat": "triangle-up",
    "cluster+qat": "cross",
    "prune+cluster+qat": "star",
}
OTHER_SYMBOLS = ("hexagram", "x", "hourglass", "bowtie", "star-square", "hexagon", "star-diamond", "octagon")
INK = "#444444"
MARKER = 10
CROWDED = 120
MIN_HEIGHT = 460


def draw(info: TradeoffInfo) -> go.Figure:
    """Return the figure: front, one trace per scheme, the baseline's ring, and the two legends."""
    schemes = sorted(
        {p.scheme for p in info.points}, key=lambda s: (SCHEMES.index(s) if s in SCHEMES else len(SCHEMES), s)
    )
    groups = sorted(
        {p.techniques for p in info.points}, key=lambda g: (list(SYMBOLS).index(g) if g in SYMBOLS else len(SYMBOLS), g)
    )
    symbols = _symbols(groups)
    traces = [_front(info)] if info.points else []
    traces += [
        _points(
            s, [p for p in info.points if p.scheme == s], symbols, MARKER if len(info.points) <= CROWDED else MARKER - 3
        )
        for s in schemes
    ]
    traces += [_baseline([p for p in info.points if p.is_baseline])] if any(p.is_baseline for p in info.points) else []
    traces += [_scheme_entry(s) for s in schemes]
    traces += [_group_entry(g, symbols[g]) for g in groups]
    figure = go.Figure(traces)
    # Two legends share the right side: schemes hang from the top, techniques stand on the bottom.
    entries = len(schemes) + len(groups) + 4
    figure.update_layout(
        template="plotly_white",
        height=max(MIN_HEIGHT, 130 + 21 * entries),
        margin={"l": 70, "r": 20, "t": 40, "b": 60},
        font={"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13},
        hoverlabel={"align": "left"},
        hovermode="closest",
        legend={
            "title": {"text": "Scheme"},
            "x": 1.01,
            "y": 1,
            "yanchor": "top",
            "itemsizing": "constant",
            "tracegroupgap": 0,
        },
        legend2={
            "title": {"text": "Techniques"},
            "x": 1.01,
            "y": 0,
            "yanchor": "bottom",
            "itemclick": False,
            "itemdoubleclick": False,
        },
        xaxis=axis(info.x, info.x_log),
        yaxis=axis(info.y, info.y_log),
        annotations=[_note(info.note), *([] if info.points else [_empty()])],
    )
    return figure


def axis(metric: Metric, log: bool) -> dict[str, Any]:
    """Return a metric's axis: title with unit, tick format, type."""
    formats = {"bytes": "~s", "share": ".2~%", "points": ".2~%"}
    return {
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


def _points(scheme: str, points: list[Point], symbols: dict[str, str], size: int) -> go.Scatter:
    colour, filled = COLOURS.get(scheme, OTHER_COLOUR)
    xs, ys = [_drawn(p.x) for p in points], [_drawn(p.y) for p in points]
    return go.Scatter(
        x=xs,
        y=ys,
        mode="markers",
        name=html.escape(scheme),
        legendgroup=scheme,
        showlegend=False,
        error_x=whiskers(xs, [p.x_interval for p in points]),
        error_y=whiskers(ys, [p.y_interval for p in points]),
        marker={
            "color": colour,
            "size": size,
            "symbol": [symbols[p.techniques] + ("" if filled else "-open") for p in points],
            "line": _outline(colour, filled),
        },
        selected={"marker": {"size": 2 * MARKER}},
        unselected={"marker": {"opacity": 0.35}},
        customdata=[[p.id, _hover(p)] for p in points],
        hovertemplate="%{customdata[1]}<extra></extra>",
        meta={"role": "points", "ids": [p.id for p in points], "outlined": filled},
    )


def _baseline(points: list[Point]) -> go.Scatter:
    return go.Scatter(
        x=[_drawn(p.x) for p in points],
        y=[_drawn(p.y) for p in points],
        mode="markers+text",
        name="baseline",
        text=["<b>baseline</b>"] * len(points),
        textposition="top center",
        textfont={"color": INK},
        marker={"symbol": "circle-open", "size": 2 * MARKER, "color": INK, "line": {"width": 2, "color": INK}},
        cliponaxis=False,
        hoverinfo="skip",
        meta={"role": "baseline", "ids": [p.id for p in points]},
    )


def _front(info: TradeoffInfo) -> go.Scatter:
    front = [info.points[i] for i in info.front]
    return go.Scatter(
        x=[_drawn(p.x) for p in front],
        y=[_drawn(p.y) for p in front],
        mode="lines",
        name="Pareto front",
        line={"color": INK, "width": 1.5, "dash": "dot", "shape": stair(info.x)},
        connectgaps=False,
        hoverinfo="skip",
        meta={"role": "front", "ids": [p.id for p in front]},
    )


def _scheme_entry(scheme: str) -> go.Scatter:
    colour, filled = COLOURS.get(scheme, OTHER_COLOUR)
    marker = {
        "color": colour,
        "size": MARKER,
        "symbol": "circle" if filled else "circle-open",
        "line": _outline(colour, filled),
    }
    meta = {"role": "legend", "outlined": filled}
    return go.Scatter(
        x=[None], y=[None], mode="markers", name=html.escape(scheme), legendgroup=scheme, marker=marker, meta=meta
    )


def _group_entry(group: str, symbol: str) -> go.Scatter:
    marker = {"color": INK, "size": MARKER, "symbol": symbol}
    return go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        name=html.escape(group),
        legend="legend2",
        marker=marker,
        meta={"role": "legend", "ink": True},
    )


def _outline(colour: str, filled: bool) -> dict[str, Any]:
    return {"width": 1, "color": "rgba(0,0,0,0.55)"} if filled else {"width": 2, "color": colour}


def _symbols(groups: list[str]) -> dict[str, str]:
    others = [g for g in groups if g not in SYMBOLS]
    return {**SYMBOLS, **{g: OTHER_SYMBOLS[i % len(OTHER_SYMBOLS)] for i, g in enumerate(others)}}


def _hover(point: Point) -> str:
    lines = [f"<b>{html.escape(point.recipe)}</b>{' (baseline)' if point.is_baseline else ''}"]
    lines += [html.escape(line) for line in point.figures]
    if point.warnings:
        lines.append(f"{point.warnings} warning{'s' if point.warnings > 1 else ''}")
    return "<br>".join(lines)


def _note(text: str) -> dict[str, Any]:
    """Return the line above the chart; it is there, empty, also when there is nothing to say, for the report to fill."""
    where = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "yshift": 8}
    return {**where, "text": html.escape(text), "showarrow": False, "font": {"size": 12}, "name": "note"}


def _empty() -> dict[str, Any]:
    where = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5}
    return {**where, "text": "No variant has run yet", "showarrow": False, "font": {"size": 16}, "name": "empty"}


def _drawn(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
