"""The trade-off chart as a small picture, for pages where nothing runs; drawn with Matplotlib, imported on use."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.views import units
from workbench.views.figure import TITLES, group_of, groups_of, stair
from workbench.views.marks import colours_of, symbols_of
from workbench.views.metric import Metric
from workbench.views.tradeoff import Point, TradeoffInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Matplotlib's nearest to Plotly's symbols.
MARKERS: dict[str, Any] = {
    "circle": "o",
    "triangle-down": "v",
    "square": "s",
    "diamond": "D",
    "pentagon": "p",
    "triangle-up": "^",
    "cross": "P",
    "star": "*",
    "hexagram": (6, 1, 0),
    "x": "X",
    "hourglass": (4, 1, 0),
    "bowtie": (4, 1, 45),
    "star-square": (8, 1, 0),
    "hexagon": "h",
    "star-diamond": "d",
    "octagon": "8",
}
LIGHT = {"paper": "#ffffff", "ink": "#444444", "grid": "#e4e9f0", "outline": "#00000090"}
DARK = {"paper": "#111111", "ink": "#dddddd", "grid": "#333333", "outline": "#ffffff90"}
_DPI = 100
# Symbols of the same nominal size look as large as each other only with these factors.
_LARGER = {"star": 1.6, "hexagram": 1.5, "hourglass": 1.5, "bowtie": 1.5, "star-square": 1.4, "pentagon": 1.2}


def still_png(info: TradeoffInfo, width_px: int = 800, height_px: int = 460, dark: bool = False) -> bytes:
    """Return the chart as a PNG of so many pixels, in the same colours and symbols as the live one."""
    # Not `pyplot`, which would choose a backend for the whole process, the user's notebook included.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    look = DARK if dark else LIGHT
    figure = Figure(
        figsize=(width_px / _DPI, height_px / _DPI), dpi=_DPI, facecolor=look["paper"], layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    frame(axes, look)
    _label_axes(axes, info, look)
    if info.points:
        _draw(axes, info, look)
        _legends(axes, info, look)
    else:
        axes.text(0.5, 0.5, "No variant has run yet", transform=axes.transAxes, ha="center", color=look["ink"], size=12)
        axes.set_xticks([])
        axes.set_yticks([])
    content = io.BytesIO()
    figure.savefig(content, format="png", facecolor=look["paper"], metadata={"Software": None})
    return _smaller(content.getvalue())


def frame(axes: Axes, look: dict[str, str]) -> None:
    """Give axes the looks of every still picture: a grid below, lines at the left and the bottom only."""
    axes.set_facecolor(look["paper"])
    axes.grid(True, color=look["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=look["ink"], labelsize=8, which="both")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(look["ink"])


def _label_axes(axes: Axes, info: TradeoffInfo, look: dict[str, str]) -> None:
    axes.set_xlabel(_plain(_label(info.x)), color=look["ink"], size=9)
    axes.set_ylabel(_plain(_label(info.y)), color=look["ink"], size=9)
    if info.note:
        axes.set_title(_plain(info.note), color=look["ink"], size=8, loc="left")


def _draw(axes: Axes, info: TradeoffInfo, look: dict[str, str]) -> None:
    for axis, metric, log, figures in (
        ("x", info.x, info.x_log, [p.x for p in info.points]),
        ("y", info.y, info.y_log, [p.y for p in info.points]),
    ):
        side = axes.xaxis if axis == "x" else axes.yaxis
        if log:
            getattr(axes, f"set_{axis}scale")("log")
            _log_ticks(side, [v for v in figures if v is not None and math.isfinite(v)])
        side.set_major_formatter(_formatter(metric))
    front = [info.points[i] for i in info.front if _finite(info.points[i])]
    axes.step(
        [p.x or 0.0 for p in front],
        [p.y or 0.0 for p in front],
        where="post" if stair(info.x) == "hv" else "pre",
        color=look["ink"],
        linewidth=1,
        linestyle=":",
        zorder=2,
    )
    hues, shapes = groups_of(info, info.colour), groups_of(info, info.symbol)
    colours, symbols = colours_of(info.colour, hues), symbols_of(info.symbol, shapes)
    size = 6.5 if len(info.points) <= 120 else 4.5 if not info.crowded else 3.0
    groups: dict[tuple[str, str], list[Point]] = {}
    for p in info.points:
        if _finite(p):
            groups.setdefault((group_of(p, info.colour), group_of(p, info.symbol)), []).append(p)
    for (hue, shape), points in groups.items():
        colour, filled = colours[hue]
        xs, ys = [p.x or 0.0 for p in points], [p.y or 0.0 for p in points]
        if not info.crowded:
            _whiskers(axes, points, colour)
        symbol = symbols[shape]
        axes.plot(
            xs,
            ys,
            linestyle="none",
            marker=MARKERS[symbol],
            markersize=size * _LARGER.get(symbol, 1.0),
            markerfacecolor=colour if filled else "none",
            markeredgecolor=look["outline"] if filled else colour,
            markeredgewidth=(0.6 if size > 3 else 0.2) if filled else 1.4,
            zorder=3,
        )
    for p in info.points:
        if p.is_baseline and _finite(p):
            x, y = p.x or 0.0, p.y or 0.0
            axes.plot([x], [y], "o", markersize=14, markerfacecolor="none", markeredgecolor=look["ink"], zorder=4)
            # Towards the middle, so that it is not cut off.
            axes.annotate("baseline", (x, y), xytext=(0, 10), textcoords="offset points", ha="center", size=8, weight="bold", color=look["ink"])  # fmt: skip
    axes.margins(0.07, 0.1)


def _whiskers(axes: Axes, points: Sequence[Point], colour: str) -> None:
    for p in points:
        x, y = p.x or 0.0, p.y or 0.0
        if p.x_interval:
            axes.hlines(y, *p.x_interval, color=colour, linewidth=0.8, zorder=2)
        if p.y_interval:
            axes.vlines(x, *p.y_interval, color=colour, linewidth=0.8, zorder=2)


def _legends(axes: Axes, info: TradeoffInfo, look: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    hues, shapes = groups_of(info, info.colour), groups_of(info, info.symbol)
    colours, symbols = colours_of(info.colour, hues), symbols_of(info.symbol, shapes)

    def mark(text: str, marker: Any, face: str, edge: str) -> Line2D:
        return Line2D(
            [], [], linestyle="none", marker=marker, markersize=6, markerfacecolor=face, markeredgecolor=edge, label=_plain(text)
        )  # fmt: skip

    handles = [Line2D([], [], linestyle=":", color=look["ink"], linewidth=1, label="Pareto front")]
    handles += [
        mark(hue, "o", colour if filled else "none", look["outline"] if filled else colour)
        for hue, (colour, filled) in ((h, colours[h]) for h in hues)
    ]
    first = axes.legend(
        handles=handles, title=TITLES[info.colour], loc="upper left", bbox_to_anchor=(1.01, 1.0), **_text(look)
    )
    first.get_title().set_color(look["ink"])
    axes.add_artist(first)
    # Clipped to the axes, it would not be given room beside them.
    first.set_clip_on(False)
    second = axes.legend(
        handles=[mark(shape, MARKERS[symbols[shape]], look["ink"], look["ink"]) for shape in shapes],
        title=TITLES[info.symbol],
        loc="lower left",
        bbox_to_anchor=(1.01, 0.0),
        **_text(look),
    )
    second.get_title().set_color(look["ink"])


def _text(look: dict[str, str]) -> dict[str, Any]:
    return {
        "fontsize": 8,
        "title_fontsize": 8,
        "labelcolor": look["ink"],
        "frameon": False,
        "borderaxespad": 0.0,
        "alignment": "left",
    }


def _log_ticks(side: Any, figures: Sequence[float]) -> None:
    """Put numbers on more than the powers of ten where the figures span few of them."""
    from matplotlib.ticker import LogLocator, NullFormatter

    if figures and max(figures) < 1000 * min(figures):
        side.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    side.set_minor_formatter(NullFormatter())


def _formatter(metric: Metric) -> Any:
    """Return what writes a tick: the axis names no unit where the tick does."""
    from matplotlib.ticker import FuncFormatter

    def text(value: float, _position: int | None = None) -> str:
        if metric.unit in ("share", "points"):
            return f"{100 * value:.4g} %"
        return units.text(value, "bytes") if metric.unit == "bytes" else f"{value:.4g}"

    return FuncFormatter(text)


def _label(metric: Metric) -> str:
    return metric.marked_title if metric.unit in ("bytes", "share") else metric.label


def _plain(text: str) -> str:
    """Return text in which Matplotlib finds no formula."""
    return text.replace("$", r"\$")


def _finite(point: Point) -> bool:
    return all(v is not None and math.isfinite(v) for v in (point.x, point.y))


def _smaller(png: bytes) -> bytes:
    """Return the picture with 256 colours, those of the marks among them: a third of the bytes."""
    from PIL import Image

    content = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        # By coverage: the median cut would give the few points of a rare colour that of a neighbour.
        few = image.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(content, "png", optimize=True)
    return min(png, content.getvalue(), key=len)
