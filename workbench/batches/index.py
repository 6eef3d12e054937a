"""What a batch leaves beside its runs: `index.html`, which links them, `results.csv`, `results.json` and `gate.xml`."""

from __future__ import annotations

import csv
import functools
import io
import json
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from workbench.batches.outcome import BatchRun
from workbench.compat.rfc3987_syntax import grammars_when_needed
from workbench.files import write_atomic
from workbench.markup import template
from workbench.values.figure import Unit
from workbench.views.gate import Suite, junit_xml
from workbench.views.holding import LimitCheck
from workbench.views.units import duration, text

Row = dict[str, Any]
KEYS = ("run", "model", "data", "grid", "seed")
# Okabe and Ito's colours, which colour-blind people tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#b8a800")
ACCURACY = {"name": "accuracy", "title": "Accuracy", "unit": "share", "drop": "accuracy_drop", "drop_unit": "points"}
# What all runs have, whatever their labels mean.
AGREEMENT = {"name": "agreement", "title": "Agreement with the baseline", "unit": "share"}
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")


def rows_of(runs: Sequence[BatchRun]) -> list[Row]:
    """Return every row of every run, with the same columns in each; what a run does not know is None."""
    found = [
        {"run": r.id, "model": r.model, "data": r.data, "grid": r.grid, "seed": r.seed, **row}
        for r in runs
        for row in (r.results or {}).get("rows", ())
    ]
    columns = dict.fromkeys(key for row in found for key in row)
    return [{**columns, **row} for row in found]


def write_index(folder: Path, template: str, runs: Sequence[BatchRun], gated: Sequence[str] = ()) -> Path:
    """Write index, results and the gates' verdicts (`gated` are the runs that were asked for one), and return the index."""
    rows = rows_of(runs)
    data = {"template": template, "runs": [r.to_json() for r in runs]}
    write_atomic(folder / "results.csv", _csv(rows).encode())
    write_atomic(folder / "results.json", json.dumps(data, indent=1, ensure_ascii=False).encode())
    if gated:
        write_atomic(folder / "gate.xml", junit_xml([_suite(r) for r in runs if r.id in gated]))
    path = folder / "index.html"
    write_atomic(path, index_html(template, runs, gated).encode())
    return path


def index_html(template: str, runs: Sequence[BatchRun], gated: Sequence[str] = ()) -> str:
    """Return the page that links all runs, with a chart of the best of each; it opens offline."""
    with grammars_when_needed():
        from nbformat import v4

    from workbench.report.page import page_html
    from workbench.report.section import MIME

    counts: Row = {**Counter(r.state for r in runs), "template": template}
    counts["gates"] = sum(r.passed is not None or r.id in gated for r in runs)
    counts["passed"] = sum(r.passed is True for r in runs)
    for state in ("ok", "failed", "cancelled"):
        counts.setdefault(state, 0)
    told = [{**told_of(r), "gated": r.id in gated} for r in runs]
    parts = _parts()
    cells = [
        v4.new_markdown_cell(f"# Batch of {len(runs)} run{'' if len(runs) == 1 else 's'}"),
        _shown(str(parts.summary(told, counts, sum(r["variants"] for r in told)))),
    ]
    figure = figure_of(runs)
    if figure is not None:
        words = f"Best variant of each run: file size against {figure['layout']['yaxis']['title']['text']}"
        note = "The filled mark is the best variant of a run, the open one at the other end of its line the float baseline. Click a run's name below for its report."
        cells += [
            v4.new_markdown_cell(f"## Best of each run\n\n{note}"),
            _shown(f'<span alt="{words}"></span>', {MIME: {"figure": figure}}),
        ]
    cells += [v4.new_markdown_cell("## Runs"), _shown(str(parts.table(told, counts["gates"] > 0)))]
    troubled = [t for t in told if t["problem"]]
    if troubled:
        cells += [v4.new_markdown_cell("## What did not work"), _shown(str(parts.problems(troubled)))]
    return page_html(v4.new_notebook(cells=cells), "Batch")


def told_of(run: BatchRun) -> Row:
    """Return a run as the table shows it."""
    results = run.results or {}
    best, base = _row(results, "best"), _row(results, "baseline")
    gate = results.get("gate")
    return {
        "id": run.id,
        "model": run.model,
        "data": run.data,
        "seed": run.seed,
        "state": run.state,
        "seconds": duration(run.seconds) if run.seconds else "",
        "page": run.page,
        "notebook": run.notebook,
        "variants": len(results.get("rows", ())),
        "gate": None if gate is None else {"passed": gate["passed"], "words": _gate_words(gate)},
        "best": _figures(best, base, _quality(results)),
        "problem": run.error,
    }


def figure_of(runs: Sequence[BatchRun]) -> dict[str, Any] | None:
    """Return the chart as Plotly's JSON: for each run the best variant and the baseline, size against the figure that they are judged by.

    Where runs are judged by different ones it is the agreement with each one's baseline. None where no run has both.
    """
    models = list(dict.fromkeys(r.model for r in runs))
    datasets = list(dict.fromkeys(r.data for r in runs))
    points = []
    quality = _common([_quality(r.results or {}) for r in runs if r.results])
    name, unit = quality["name"], quality["unit"]
    for run in runs:
        best, base = (_row(run.results or {}, name) for name in ("best", "baseline"))
        if best and best.get("size_bytes") and best.get(name) is not None:
            points.append((run, best, base if base and base.get(name) is not None else None))
    if not points:
        return None
    traces: list[dict[str, Any]] = []
    for model in models:
        colour = COLOURS[models.index(model) % len(COLOURS)]
        mine = [p for p in points if p[0].model == model]
        lines: Row = {"x": [], "y": []}
        for _, best, base in mine:
            if base is not None:
                lines["x"] += [base["size_bytes"], best["size_bytes"], None]
                lines["y"] += [base[name], best[name], None]
        common = {"type": "scatter", "legendgroup": model, "hoverlabel": {"align": "left"}}
        traces.append(
            {
                **common,
                **lines,
                "mode": "lines",
                "showlegend": False,
                "hoverinfo": "skip",
                "line": {"color": colour, "width": 1},
                "opacity": 0.5,
            }
        )
        bases = [(r, b) for r, _, b in mine if b is not None]
        traces.append(
            {
                **common,
                "mode": "markers",
                "showlegend": False,
                "x": [b["size_bytes"] for _, b in bases],
                "y": [b[name] for _, b in bases],
                "text": [_hover(r, b, "float baseline", quality) for r, b in bases],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"color": colour, "size": 9, "symbol": [f"{_symbol(r, datasets)}-open" for r, _ in bases]},
            }
        )
        traces.append(
            {
                **common,
                "mode": "markers",
                "name": model,
                "x": [b["size_bytes"] for _, b, _ in mine],
                "y": [b[name] for _, b, _ in mine],
                "text": [_hover(r, b, "best", quality) for r, b, _ in mine],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"color": colour, "size": 12, "symbol": [_symbol(r, datasets) for r, _, _ in mine]},
            }
        )
    sizes = [row["size_bytes"] for _, best, base in points for row in (best, base) if row]
    figures = [row[name] for _, best, base in points for row in (best, base) if row]
    wide = max(sizes) > 10 * min(sizes)
    axis = {"zeroline": False, "automargin": True}
    return {
        "data": traces,
        "layout": {
            "height": 460,
            "margin": {"l": 70, "r": 20, "t": 20, "b": 60},
            # Above, not beside: names can be long.
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "hovermode": "closest",
            "xaxis": {
                **axis,
                "title": {"text": "File size (bytes)", "standoff": 8},
                "type": "log" if wide else "linear",
                "tickformat": "~s",
                **({"dtick": "D2"} if wide else {"rangemode": "tozero"}),
            },
            "yaxis": {
                **axis,
                "title": {"text": quality["title"]},
                "tickformat": ".1%" if unit == "share" else "",
                "range": _span(figures, unit),
            },
        },
    }


def _span(figures: Sequence[float], unit: str) -> list[float]:
    """Return the range of an axis, of shares at least one point high: equal figures are no reason to show 150 %."""
    low, high = min(figures), max(figures)
    room = max(0.1 * (high - low), 0.005 if unit == "share" else 0.01 * abs(high) or 0.01)
    return [low - room, high + room]


def _symbol(run: BatchRun, datasets: Sequence[str]) -> str:
    return SYMBOLS[datasets.index(run.data) % len(SYMBOLS)]


def _quality(results: Row) -> Row:
    """Return the figure that a run's variants are judged by first; what ran before it was written down was judged by accuracy."""
    found: Row = results.get("quality", ACCURACY) or AGREEMENT
    return found


def _common(qualities: Sequence[Row]) -> Row:
    """Return the figure by which all runs are judged, or the agreement with their baselines where it is not one."""
    first = qualities[0] if qualities else _quality({})
    return first if all(q["name"] == first["name"] for q in qualities) else AGREEMENT


def _hover(run: BatchRun, row: Row, what: str, quality: Row) -> str:
    import html

    words = [f"<b>{html.escape(run.id)}</b>", f"{what}: {html.escape(str(row['recipe']))}"]
    return "<br>".join([*words, f"{text(row['size_bytes'], 'bytes')}, {text(row[quality['name']], quality['unit'])}"])


def _row(results: Row, which: str) -> Row | None:
    wanted = results.get(which)
    return next((r for r in results.get("rows", ()) if r.get("id") == wanted), None) if wanted else None


def _figures(best: Row | None, base: Row | None, quality: Row) -> Row:
    if best is None:
        return {
            "recipe": "",
            "size": "",
            "share": "",
            "quality": "",
            "lost": "",
            "judged": "",
            "latency": "",
            "ratio": "",
        }
    size, before = best.get("size_bytes"), (base or {}).get("size_bytes")
    figure, drop = best.get(quality["name"]), best.get(quality.get("drop", ""))
    latency = next((k for k in best if k.startswith("latency_ms@") and best[k] is not None), "")
    ratio = best.get(f"ratio@{latency.partition('@')[2]}")
    return {
        "recipe": best["recipe"],
        "size": text(size, "bytes"),
        "share": f"{size / before:.1%}" if size and before else "",
        "quality": text(figure, quality["unit"]),
        "lost": "" if drop is None else _lost(drop, quality["drop_unit"]),
        "judged": quality["title"],
        "latency": text(best[latency], "ms") if latency else "",
        "ratio": "" if ratio is None else f"{ratio:.2f}x on {latency.partition('@')[2]}",
    }


def _lost(drop: float, unit: Unit) -> str:
    words = text(drop, unit).replace("-", "−")
    return f"{words} {'points ' if unit == 'points' else ''}lost"


def _gate_words(gate: Row) -> str:
    kept = [c for c in gate["checks"] if c["state"] == "pass"]
    bad = [
        f"{c['name']} {'not measured' if c['state'] == 'missing' else 'not kept'}"
        for c in gate["checks"]
        if c not in kept
    ]
    return "; ".join(bad) or f"{len(kept)} limit{'' if len(kept) == 1 else 's'} kept"


def _suite(run: BatchRun) -> Suite:
    gate = (run.results or {}).get("gate")
    if gate is not None:
        return Suite(run.id, gate.get("recipe"), [LimitCheck.model_validate(c) for c in gate["checks"]])
    words = f"the run gave no verdict: {run.error or 'its notebook has none'}"
    return Suite(run.id, None, [LimitCheck(name="runs", limit="ok", value=run.state, state="missing", text=words)])


def _csv(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else list(KEYS), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in row.items()})
    return out.getvalue()


def _shown(body: str, more: Row | None = None) -> Any:
    from nbformat import v4

    data = {"text/html": f'<div class="workbench-report">{body}</div>', **(more or {})}
    return v4.new_code_cell(outputs=[v4.new_output("display_data", data)])


@functools.cache
def _parts() -> Any:
    from markupsafe import Markup

    from workbench.report.section import code

    def breaks(recipe: str) -> Markup:
        """A recipe may break after its plus signs only."""
        return Markup("+<wbr>").join(str(recipe).split("+"))

    source = resources.files("workbench.batches").joinpath("index.html.j2").read_text(encoding="utf-8")
    return template(source, code=code, breaks=breaks).module
