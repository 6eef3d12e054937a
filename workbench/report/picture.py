"""Pictures that a report draws itself: Matplotlib, imported on use, in the colours of the other charts."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

from workbench.report.section import Section, rendered
from workbench.views.still import LIGHT, frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
# Okabe and Ito's, the ones that read on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def canvas(width_px: int, height_px: int, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return an empty figure and its axes side by side, of equal scales."""
    # Not `pyplot`, which would choose a backend for the whole process, the user's notebook included.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor=LIGHT["paper"], layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, columns, sharex=True, squeeze=False)[0])
    for one in axes:
        frame(one, LIGHT)
    return figure, axes


def log_across(axes: Axes) -> None:
    """Make the axis across logarithmic, its ticks written as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def shown(figure: Figure, alt: str, note: str = "", live: dict[str, Any] | None = None) -> Section:
    """Return a figure as a section; `live` is the same as Plotly's JSON, for a page where scripts run."""
    content = io.BytesIO()
    figure.savefig(content, format="png", facecolor=LIGHT["paper"], metadata={"Software": None})
    still = base64.b64encode(content.getvalue()).decode()
    return Section(rendered("picture", still=still, alt=alt, note=note), {"figure": live} if live else None)
