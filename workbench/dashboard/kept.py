"""What a saved notebook keeps of a dashboard: a static chart and a short table, read without a kernel."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

from workbench.dashboard.standing import Standing
from workbench.dashboard.state import DashboardState
from workbench.markup import macros
from workbench.views import units
from workbench.views.columns import Columns
from workbench.views.metric import Metric
from workbench.views.tradeoff import TradeoffInfo

MOST_ROWS = 25
MOST_RUNTIMES = 3
_QUALITY = ("accuracy", "rmse", "agreement")


class Snapshot(NamedTuple):
    """What a dashboard showed at one moment; it does not change with the dashboard."""

    header: dict[str, Any]
    limits: dict[str, Any]
    columns: Columns
    info: TradeoffInfo


class Kept:
    """The static output: shown beside the widget, which hides it while it lives, and brought up to date at a sweep's end."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._output = Standing(f"workbench-static-{key}")

    def show(self, snapshot: Snapshot, picture: bool = True) -> None:
        """Put it out in the cell that runs; without its picture, which takes longest, where that follows by `update`."""
        self._output.show(kept_bundle(snapshot, self.key, picture))

    def update(self, snapshot: Snapshot) -> None:
        """Change it wherever it was put out."""
        self._output.update(kept_bundle(snapshot, self.key))


def snapshot_of(state: DashboardState) -> Snapshot:
    """Return what a dashboard shows now; quick, while the picture of it takes its time."""
    return Snapshot(state.header(), state.limits(), state.columns, state.info)


def kept_bundle(snapshot: Snapshot, key: str, picture: bool = True) -> dict[str, str]:
    """Return the output as a MIME bundle of HTML and plain text."""
    words = snapshot.limits["words"] if snapshot.columns.ok else ""
    text = "\n".join(line for line in (_summary(snapshot.header), words) if line)
    return {"text/html": kept_html(snapshot, key, picture), "text/plain": text}


def kept_html(snapshot: Snapshot, key: str, picture: bool = True) -> str:
    """Return chart and table as HTML without scripts; a sentence while a sweep runs or where nothing has run.

    The picture is within it as a data: URI, so that it needs no file and no network.
    """
    header, limits, columns, info = snapshot
    lines = [_summary(header)]
    if header["error"] and header["error"] != "cancelled":
        lines.append(header["error"])
    if header["state"] == "running":
        lines.append("Chart and table are kept here when the sweep ends.")
    over = header["state"] != "running" and bool(columns.ok)
    return str(
        macros("workbench.dashboard", "kept.html.j2").kept(
            key,
            lines,
            limits["words"] if over else "",
            _picture(header["study"], info) if over and picture else None,
            _table(columns, info, limits["best"]["id"] if limits["best"] else "") if over else None,
        )
    )


def _picture(study: str, info: TradeoffInfo) -> dict[str, str]:
    from workbench.views.still import still_png

    data = base64.b64encode(still_png(info)).decode()
    alt = f"Trade-off chart of study {study}: {info.x.label} across, {info.y.label} up, {len(info.points)} variants."
    return {"alt": alt, "data": data}


def _summary(header: dict[str, Any]) -> str:
    counts = {state: n for state, n in header["counts"].items() if n}
    told = ", ".join(f"{n:,} {state}" for state, n in counts.items())
    variants = f"{header['trials']:,} variant{'' if header['trials'] == 1 else 's'}"
    about = f"{header['model']} on {header['dataset']}"
    state = {"empty": "nothing has run yet", "stopped": "stopped before its end", "done": "done"}.get(
        header["state"], header["state"]
    )
    return f"Study {header['study']} ({about}): {state}; {variants}{f' ({told})' if told else ''}."


def _table(columns: Columns, info: TradeoffInfo, best: str) -> dict[str, Any]:
    """Return head, rows and note of a table of the baseline, the best and the Pareto front, and of the others as far as there is room."""
    front = {info.points[i].id for i in info.front}
    kept = _chosen(columns, front, best, columns.values(info.x))
    metrics = _metrics(columns, info)
    rows = []
    for i in kept:
        trial = columns.trials[i]
        cells = [trial.recipe, *(units.text(columns.values(m)[i], m.unit) for m in metrics)]
        marks = (
            ("baseline", trial.baseline),
            ("Pareto front", trial.id in front),
            ("best", trial.id == best),
            (trial.state, trial.state != "ok"),
        )
        rows.append([*cells, ", ".join(name for name, holds in marks if holds)])
    left_out = len(columns.trials) - len(kept)
    more = "1 more variant is" if left_out == 1 else f"{left_out:,} more variants are"
    return {
        "head": ["Recipe", *(m.marked_title for m in metrics), ""],
        "rows": rows,
        "note": f"{more} left out here: the dashboard shows all where a kernel runs." if left_out else "",
    }


def _chosen(columns: Columns, front: set[str], best: str, xs: Sequence[float | None]) -> list[int]:
    """Return which trials are kept: the baseline first, the others by rising `x`, those without figures last."""

    def order(i: int) -> tuple[bool, bool, float]:
        x = xs[i]
        return not columns.trials[i].baseline, x is None, x or 0.0

    every = sorted(range(len(columns.trials)), key=order)
    must = [i for i in every if columns.trials[i].baseline or columns.trials[i].id == best]
    on_front = [i for i in every if columns.trials[i].id in front and i not in must]
    room = MOST_ROWS - len(must)
    if len(on_front) > room:
        # Spread over the front, since its ends say as much as its middle.
        on_front = [on_front[round(n * (len(on_front) - 1) / (room - 1))] for n in range(room)]
    kept = {*must, *on_front}
    kept.update([i for i in every if i not in kept][: MOST_ROWS - len(kept)])
    return [i for i in every if i in kept]


def _metrics(columns: Columns, info: TradeoffInfo) -> list[Metric]:
    known = columns.metrics
    quality = next((n for n in (columns.primary or "", *_QUALITY) if n in known), "")
    latencies = [m.name for m in known.values() if m.family == "latency" and m.name != "latency"][:MOST_RUNTIMES]
    names = ["size", "compressed", quality, f"{quality}_drop", *latencies, info.x.name, info.y.name]
    return [known[n] for n in dict.fromkeys(names) if n in known and n != "latency"]
