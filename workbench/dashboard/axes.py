"""What is chosen for the trade-off chart, and what can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.errors import WorkbenchError, unknown
from workbench.views.columns import Columns
from workbench.views.figure import TITLES
from workbench.views.metric import Metric
from workbench.views.tradeoff import (
    Colour,
    Symbol,
    TradeoffInfo,
    across,
    default_axes,
    log_possible,
    shared_runtimes,
    tradeoff_info,
)

COLOURS: tuple[Colour, ...] = ("scheme", "techniques")
SYMBOLS: tuple[Symbol, ...] = ("techniques", "scheme", "runtime")


class Axes:
    """The chart's axes, colours and symbols; what nobody chose follows from the figures that there are."""

    def __init__(self) -> None:
        self.x: str | None = None
        self.y: str | None = None
        self.x_log: bool | None = None
        self.y_log: bool | None = None
        self.colour: Colour = "scheme"
        self.symbol: Symbol = "techniques"

    def choose(
        self,
        columns: Columns,
        x: str | None = None,
        y: str | None = None,
        x_log: bool | None = None,
        y_log: bool | None = None,
        colour: str | None = None,
        symbol: str | None = None,
    ) -> None:
        """Change what is given; another metric takes the kind of axis that serves it.

        Raises WorkbenchError for an unknown name, and for symbols by runtime where no axis has several of them.
        """
        new_x, new_y = (self._given(columns, name) for name in (x, y))
        if colour is not None and colour not in COLOURS:
            raise unknown("colour", colour, COLOURS)
        if symbol is not None and symbol not in SYMBOLS:
            raise unknown("symbol", symbol, SYMBOLS)
        now_x, now_y = self._names(columns, new_x, new_y)
        if symbol == "runtime" and not self._shared(columns, now_x, now_y):
            raise WorkbenchError(
                "symbol 'runtime' needs an axis that several runtimes have figures of. Choose one, e.g. a latency, first."
            )
        if new_x is not None and new_x != self._names(columns)[0]:
            self.x_log = None
        if new_y is not None and new_y != self._names(columns)[1]:
            self.y_log = None
        self.x, self.y = new_x or self.x, new_y or self.y
        self.x_log = self.x_log if x_log is None else x_log
        self.y_log = self.y_log if y_log is None else y_log
        self.colour = self.colour if colour is None else colour
        self.symbol = self.symbol if symbol is None else symbol

    def info(self, columns: Columns) -> TradeoffInfo:
        """Return what the chart shows of these trials."""
        x, y = self._names(columns)
        return tradeoff_info(columns, x, y, self.x_log, self.y_log, self.colour, self.symbol)

    def choices(self, columns: Columns, info: TradeoffInfo) -> dict[str, Any]:
        """Return the metrics, colours and symbols to choose from, and what is chosen.

        Where each runtime has points of its own, their figures are one metric, named by its family.
        """
        spread = info.symbol == "runtime"
        x, y = self._names(columns)
        several = bool(self._shared(columns, x, y))
        symbols = [s for s in SYMBOLS if s != "runtime" or several]
        return {
            "metrics": [{"name": m.name, "label": m.label} for m in _offered(columns, spread)],
            "x": info.x.name if spread else x,
            "y": info.y.name if spread else y,
            "x_log": info.x_log,
            "y_log": info.y_log,
            "x_log_possible": log_possible([p.x for p in info.points]),
            "y_log_possible": log_possible([p.y for p in info.points]),
            "colour": info.colour,
            "colours": [{"name": c, "label": TITLES[c]} for c in COLOURS],
            "symbol": info.symbol,
            "symbols": [{"name": s, "label": TITLES[s]} for s in symbols],
        }

    def _given(self, columns: Columns, name: str | None) -> str | None:
        """Return the metric's own name: a family (plain `latency` too) stands for its first runtime."""
        if name is None:
            return None
        first = next((m.name for m in columns.metrics.values() if m.family == name and m.name != "latency"), None)
        return first or columns.metric(name).name

    def _names(self, columns: Columns, x: str | None = None, y: str | None = None) -> tuple[str, str]:
        """Return the axes; one that is not chosen, or of which no trial has a figure any more, is the usual one."""
        usual_x, usual_y = default_axes(columns)
        x, y = x or self.x, y or self.y
        return x if x in columns.metrics else usual_x, y if y in columns.metrics else usual_y

    def _shared(self, columns: Columns, x: str, y: str) -> Sequence[tuple[str, str]]:
        return shared_runtimes(columns, columns.metric(x), columns.metric(y))


def _offered(columns: Columns, spread: bool) -> list[Metric]:
    """Return the metrics to choose from; where each runtime has points of its own, a family is one."""
    found: dict[str, Metric] = {}
    for metric in columns.metrics.values():
        if metric.name != "latency":
            shown = across(columns, metric) if spread else metric
            found.setdefault(shown.name, shown)
    return list(found.values())
