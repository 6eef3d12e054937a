"""Draws the trade-off chart with Plotly, whose import takes a while: it is imported where a chart is drawn."""

from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go

from workbench.views.figure import figure_of
from workbench.views.tradeoff import TradeoffInfo

TEMPLATE = "plotly_white"


def draw(info: TradeoffInfo) -> go.Figure:
    """Return the figure that `figure_of` describes, on a white page."""
    figure = go.Figure(figure_of(info))
    figure.update_layout(template=TEMPLATE)
    return figure


def drawn_json(info: TradeoffInfo) -> dict[str, Any]:
    """Return the figure as JSON-shaped data; of a crowd Plotly does not look at each point, which takes longer than all else."""
    if not info.crowded:
        found: dict[str, Any] = json.loads(draw(info).to_json())
        return found
    plain = go.Figure(layout={"template": TEMPLATE})
    figure = figure_of(info)
    return {**figure, "layout": {**figure["layout"], "template": json.loads(plain.to_json())["layout"]["template"]}}
