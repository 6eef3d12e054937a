"""The chart of one file on many runtimes: bars of latency with whiskers. Only `draw_comparison` imports plotly."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from workbench.values.trial import Measurement
from workbench.views.runtimes import agreement_text, coverage_text, place_text

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito's blue and orange; what is no time of a device is hatched too, so that colour alone decides nothing.
MEASURED, OTHER, INK = "#0072b2", "#e69f00", "#444444"
ROW_PIXELS = 46


class Bar(NamedTuple):
    """One runtime: its text, milliseconds with their interval (None where there is no time), and lines for people."""

    place: str
    ms: float | None
    low: float
    high: float
    device_time: bool
    lines: tuple[str, ...]


def comparison_bars(measurements: Sequence[Measurement]) -> list[Bar]:
    """Return a bar per measurement in the order given; one without a time keeps its place, with the reason."""
    bars = []
    for m in measurements:
        latency = m.latency_ms
        lines = [line for line in (coverage_text(m), agreement_text(m), m.device) if line]
        if latency is None:
            lines = [f"{m.state}: {m.error}" if m.error else "no time: the device is not here", *lines]
        device_time = m.kind == "measured" and m.clock == "device" and not m.software
        figures = (latency.median, latency.low, latency.high) if latency else (None, 0.0, 0.0)
        bars.append(Bar(place_text(m), figures[0], figures[1], figures[2], device_time, tuple(lines)))
    return bars


def draw_comparison(bars: Sequence[Bar], title: str) -> go.Figure:
    """Return the chart; the axis is logarithmic where the times span a factor of 20."""
    import plotly.graph_objects as go

    known = [b.ms for b in bars if b.ms]
    log = bool(known) and max(known) > 20 * min(known)
    figure = go.Figure()
    for name, device_time, colour, pattern in (
        ("measured on the device named", True, MEASURED, ""),
        ("estimated, host time or software device", False, OTHER, "/"),
    ):
        chosen = [b for b in bars if b.ms is not None and b.device_time is device_time]
        if not chosen:
            continue
        figure.add_bar(
            y=[html.escape(b.place) for b in chosen],
            x=[b.ms for b in chosen],
            orientation="h",
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern, "fgcolor": INK, "fgopacity": 0.3, "size": 7}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [b.high - (b.ms or 0) for b in chosen],
                "arrayminus": [(b.ms or 0) - b.low for b in chosen],
            },
            hovertext=["<br>".join(html.escape(line) for line in b.lines) for b in chosen],
            hoverinfo="y+text",
        )
    notes = [
        {
            "x": 0, "xref": "paper", "xanchor": "left", "y": html.escape(b.place), "showarrow": False,
            "text": html.escape(_short(b.lines[0])), "font": {"color": INK, "size": 12},
        }
        for b in bars
        if b.ms is None
    ]  # fmt: skip
    # Beyond the whisker, which a bar's own text would stand on.
    times = [
        {
            "x": math.log10(b.high) if log else b.high, "xanchor": "left", "xshift": 6, "y": html.escape(b.place),
            "text": f"{b.ms:.3g} ms", "showarrow": False, "font": {"color": INK, "size": 13},
        }
        for b in bars
        if b.ms is not None
    ]  # fmt: skip
    figure.update_layout(
        template="plotly_white",
        title={"text": html.escape(title), "font": {"size": 16}},
        height=max(400, 190 + ROW_PIXELS * len(bars)),
        margin={"l": 20, "r": 90, "t": 90, "b": 60},
        bargap=0.35,
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        xaxis={
            "title": {"text": "Latency of one inference (ms)"},
            **({"type": "log", "dtick": 1} if log else {"type": "linear", "rangemode": "tozero"}),
        },
        yaxis={
            "automargin": True,
            "categoryorder": "array",
            "categoryarray": [html.escape(b.place) for b in reversed(bars)],
            "range": [-0.5, len(bars) - 0.5],
            "type": "category",
        },
        annotations=[*notes, *times],
        showlegend=True,
    )
    return figure


def _short(text: str, most: int = 90) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
