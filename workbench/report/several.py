"""Several studies together, for `compare_models`: one chart and one table over all, every figure from their trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from workbench.report.picture import COLOURS, canvas, log_across, shown
from workbench.report.section import Section, nothing, rendered
from workbench.report.sections import Report, results_section
from workbench.values.trial import Trial
from workbench.views import units
from workbench.views.columns import Columns
from workbench.views.figure import axis
from workbench.views.metric import Metric

# What all studies have, whatever their labels mean.
AGREEMENT = "agreement"
# The ticks of a logarithmic axis of bytes.
_STEPS = [m * 10**e for e in range(1, 12) for m in (1, 2, 5)]


class _Point(NamedTuple):
    x: float
    y: float
    trial: Trial


def chart(reports: Sequence[Report]) -> Section:
    """Every variant of every study: file size against the figure that all are judged by, a colour per study.

    Where they are judged by different ones, or a dataset has no labels, it is the agreement with each study's own baseline.
    """
    columns = [Columns(r.trials) for r in reports]
    judged = {c.primary for c in columns}
    quality = (next(iter(judged)) if len(judged) == 1 else None) or AGREEMENT
    points = [_points(c, quality) for c in columns] if all(quality in c.metrics for c in columns) else []
    if not any(points):
        return nothing("No figures are known of all of these studies, so there is nothing to chart.")
    metric = columns[0].metrics[quality]
    title = metric.title
    sizes = [p.x for group in points for p in group]
    log = max(sizes) > 10 * min(sizes)
    figure, (axes,) = canvas(1000, 480)
    if log:
        log_across(axes)
    for i, (report, group) in enumerate(zip(reports, points, strict=True)):
        for baseline in (False, True):
            mine = [p for p in group if p.trial.baseline is baseline]
            axes.plot(
                [p.x / 1000 for p in mine],
                [100 * p.y if metric.unit == "share" else p.y for p in mine],
                "D" if baseline else "o",
                markersize=8,
                color=_colour(i),
                markerfacecolor="none" if baseline else _colour(i),
                label="" if baseline else name_of(report).replace("$", r"\$"),
            )
    axes.set_xlabel("File size (kB)", size=9)
    axes.set_ylabel(metric.label, size=9)
    axes.legend(fontsize=8, frameon=False)
    alt = f"Scatter chart of {sum(map(len, points))} variants of {len(reports)} studies: file size against {title.lower()}."
    return shown(
        figure,
        alt,
        "An open diamond is a study's float baseline.",
        _live(reports, points, (columns[0].metrics["size"], metric), log),
    )


def table(reports: Sequence[Report]) -> Section:
    """One line per study: the variant to ship beside the baseline that it came from."""
    lines = []
    for report in reports:
        columns, (best, why, _) = Columns(report.trials), report.choice()
        base = columns.baseline
        counts = [t.state for t in report.trials]
        states = f"{counts.count('ok')} ok" + (f", {counts.count('failed')} failed" if "failed" in counts else "")
        line = [(name_of(report), report.record.name), (best.recipe if best else "–", why), (states, "")]
        for metric in _metrics(columns):
            now = metric.value(best, base) if metric and best else None
            was = metric.value(base, base) if metric and base else None
            was_text = f"baseline {units.text(was, metric.unit)}" if metric and was is not None else ""
            # What a study is judged by is its own, and is named with it.
            name = f"{metric.title}; " if metric and metric.name == columns.primary else ""
            line.append((units.text(now, metric.unit) if metric else "–", f"{name}{was_text}".rstrip("; ")))
        lines.append(line)
    head = ("Model and data", "Best variant", "Variants", "File size", "Quality", "Agreement", "Latency")
    note = "Latency is that on each study's first runtime."
    return Section(rendered("cells", head=head, lines=lines, label="Studies", note=note))


def results(reports: Sequence[Report]) -> Section:
    """All rows of all studies as data; each row names its study, model and dataset."""
    each = [r.results_data() for r in reports]
    rows = [
        {"study": one["study"], "model": one["model"], "dataset": one["dataset"], **row}
        for one in each
        for row in one["rows"]
    ]
    studies = [{k: v for k, v in one.items() if k != "rows"} for one in each]
    return results_section({"studies": studies, "rows": rows})


def each(reports: Sequence[Report], part: Callable[[Report], Section]) -> Section:
    """One part of every study below the study's name, such as `Report.findings`; studies that have nothing to tell there are left out."""
    found = [(report, part(report)) for report in reports]
    told = [rendered("heading", name=name_of(r)) + section.body for r, section in found if not section.empty]
    return Section("".join(told)) if told else next((section for _, section in found), nothing("There is no study."))


def name_of(report: Report) -> str:
    """Return what a study is of, in words."""
    return f"{report.record.model.name} on {report.record.dataset.name}"


def _metrics(columns: Columns) -> list[Metric | None]:
    return [columns.metrics.get(name) for name in ("size", columns.primary or "", AGREEMENT, "latency")]


def _points(columns: Columns, quality: str) -> list[_Point]:
    sizes, qualities = (columns.values(columns.metrics[name]) for name in ("size", quality))
    found = zip(sizes, qualities, columns.trials, strict=True)
    points = [_Point(x, y, t) for x, y, t in found if x is not None and y is not None and t.state == "ok"]
    # The legend takes the symbol of the first.
    return sorted(points, key=lambda p: p.trial.baseline)


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _live(
    reports: Sequence[Report], points: Sequence[Sequence[_Point]], metrics: tuple[Metric, Metric], log: bool
) -> dict[str, Any]:
    import html

    traces = []
    for i, (report, group) in enumerate(zip(reports, points, strict=True)):
        name = html.escape(name_of(report))
        words = [
            f"<b>{html.escape(p.trial.recipe)}</b><br>{name}<br>{units.size_text(p.x)}, {units.text(p.y, metrics[1].unit)}"
            for p in group
        ]
        marker = {
            "color": _colour(i),
            "size": 10,
            "symbol": ["diamond-open" if p.trial.baseline else "circle" for p in group],
        }
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [p.x for p in group],
                "y": [p.y for p in group],
                "text": words,
                "hovertemplate": "%{text}<extra></extra>",
                "marker": marker,
            }
        )
    layout = {
        "height": 480,
        "margin": {"l": 60, "r": 20, "t": 30, "b": 60},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "showlegend": True,
        "xaxis": axis(metrics[0], log) | ({"tickmode": "array", "tickvals": _STEPS} if log else {}),
        "yaxis": axis(metrics[1], False),
    }
    return {"data": traces, "layout": layout}
