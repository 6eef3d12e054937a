"""Draws the trade-off chart with Plotly, whose import takes a while: it is imported where a chart is drawn."""

from __future__ import annotations

import plotly.graph_objects as go

from workbench.views.figure import figure_of
from workbench.views.tradeoff import TradeoffInfo


def draw(info: TradeoffInfo) -> go.Figure:
    """Return the figure that `figure_of` describes, on a white page."""
    figure = go.Figure(figure_of(info))
    figure.update_layout(template="plotly_white")
    return figure
