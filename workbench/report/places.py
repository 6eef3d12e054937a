"""One study on several runtimes, for `compare_runtimes`: bars, a table of variants by runtime, and sentences."""

from __future__ import annotations

import json

from workbench.report.picture import canvas, log_across, shown
from workbench.report.section import Section, nothing, rendered
from workbench.report.sections import Report
from workbench.values.trial import Measurement, Trial
from workbench.views import units
from workbench.views.columns import Columns
from workbench.views.comparison import MEASURED, OTHER, Bar, comparison_bars, draw_comparison
from workbench.views.metrics import outcome_of


def chart(report: Report, trial: Trial | None) -> Section:
    """One variant's latency on every runtime, as bars with their 95 % intervals."""
    found = _measurements(report, trial) if trial else []
    bars = [b for b in comparison_bars(found) if b.ms is not None]
    if trial is None or not bars:
        return nothing("No runtime told a time of it.")
    figure, (axes,) = canvas(1000, 130 + 46 * len(bars))
    ms = [b.ms or 0.0 for b in bars]
    whiskers = [[m - b.low for m, b in zip(ms, bars, strict=True)], [b.high - m for m, b in zip(ms, bars, strict=True)]]
    drawn = axes.barh(
        [b.place for b in bars],
        ms,
        xerr=whiskers,
        color=[MEASURED if b.device_time else OTHER for b in bars],
        height=0.6,
    )
    axes.bar_label(drawn, [f"{m:.3g} ms" for m in ms], padding=6, fontsize=8)
    axes.margins(x=0.15)
    axes.invert_yaxis()
    log = max(ms) > 20 * min(ms)
    if log:
        log_across(axes)
    axes.set_xlabel("Latency of one inference (ms)", size=9)
    live = json.loads(draw_comparison(comparison_bars(found), "").to_json())
    live["layout"].pop("title", None)
    live["layout"].pop("template", None)
    live["layout"]["margin"] = {"l": 20, "r": 20, "t": 50, "b": 60}
    live["layout"]["height"] = 170 + 46 * len(found)
    for note in live["layout"].get("annotations", ()):
        note["font"].pop("color")
    scale = " The axis is logarithmic: a step of equal length is an equal factor." if log else ""
    alt = f"Bars of the latency of {trial.recipe}: " + ", ".join(
        f"{b.place} {m:.3g} ms" for b, m in zip(bars, ms, strict=True)
    )
    return shown(figure, alt, f"The variant is `{trial.recipe}`.{scale}", live)


def table(report: Report) -> Section:
    """Every variant's latency on every runtime, with its 95 % interval; what failed or was skipped says so."""
    columns = Columns(report.trials)
    places = columns.places
    if not places:
        return nothing("Nothing was measured.")
    lines = []
    for trial in report.trials:
        if trial.state != "ok":
            continue
        line = [(trial.recipe, "baseline" if trial.baseline else "")]
        for place in places:
            line.append(_cell(outcome_of(trial, place)))
        lines.append(line)
    head = ("Recipe", *(p.runtime + (f" ({p.note})" if p.note else "") for p in places))
    return Section(rendered("cells", head=head, lines=lines, label="Latency by runtime", note=""))


def findings(report: Report) -> Section:
    """Which runtime is the fastest for the baseline and for the variant to ship, where the intervals tell them apart."""
    baseline, best = Columns(report.trials).baseline, report.choice()[0]
    sentences = [_sentence(report, t) for t in dict.fromkeys(t.id for t in (baseline, best) if t)]
    told = [s for s in sentences if s]
    return Section(rendered("sentences", sentences=told)) if told else nothing("No two runtimes have measured times.")


def _sentence(report: Report, trial_id: str) -> str:
    trial = next(t for t in report.trials if t.id == trial_id)
    bars: list[Bar] = [b for b in comparison_bars(_measurements(report, trial)) if b.ms is not None and b.device_time]
    if len(bars) < 2:
        return ""
    first, second, *_ = ordered = sorted(bars, key=lambda b: b.ms or 0.0)
    start = f"`{trial.recipe}`: {first.place} takes {units.text(first.ms, 'ms')}"
    if first.high >= second.low:
        return f"{start}, and {second.place} {units.text(second.ms, 'ms')}; their intervals overlap, so neither is called faster."
    others = ", ".join(
        f"{b.place} {units.text((b.ms or 0.0) / (first.ms or 1.0), 'ratio')} as long" for b in ordered[1:]
    )
    return f"{start} and is the fastest; {others}."


def _measurements(report: Report, trial: Trial) -> list[Measurement]:
    found = (outcome_of(trial, place) for place in Columns(report.trials).places)
    return [m for m in found if m is not None]


def _cell(m: Measurement | None) -> tuple[str, str]:
    if m is None:
        return "–", ""
    if m.latency_ms is None:
        return m.state if m.state != "ok" else "–", ""
    latency = m.latency_ms
    return units.text(latency.median, "ms"), f"{units.digits(latency.low)} to {units.digits(latency.high)}"
