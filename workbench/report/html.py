"""Writes the report: findings, chart, table, failures, warnings and how to run it again, in one HTML file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from workbench.files import write_atomic
from workbench.report.chart import chart_data
from workbench.report.findings import PACKING_NOTE, findings
from workbench.report.timing import Profiles, timed
from workbench.values.study import StudyRecord
from workbench.values.trial import Trial
from workbench.views.listing import facts, failures, listing, runtimes, warnings


def write_report(record: StudyRecord, trials: Sequence[Trial], path: Path, profiles: Profiles | None = None) -> Path:
    """Write the report of a study as one HTML file that needs no network, and return its path.

    `profiles` hold the time of operators by trial id and runtime text, where that was asked for. The file is replaced as a whole or not at all. Folders on the way are made.
    """
    path = Path(path)
    write_atomic(path, render(record, trials, profiles).encode())
    return path


def render(record: StudyRecord, trials: Sequence[Trial], profiles: Profiles | None = None) -> str:
    """Return the report's HTML."""
    import jinja2
    import yaml

    chart = chart_data(trials)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["code"] = _code
    # A figure stays on one line with its unit.
    environment.filters["bound"] = lambda text: re.sub(r"(?<=\d) (?=[%A-Za-z])", "\u00a0", text)
    return environment.from_string(_resource("template.html.j2")).render(
        record=record,
        started=re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*", r"\1 \2 UTC", record.started),
        counts={
            state: sum(t.state == state for t in trials) for state in ("ok", "failed", "skipped", "running", "pending")
        },
        total=len(trials),
        findings=findings(record, trials),
        packing_note=PACKING_NOTE,
        chart=chart,
        chart_json=_script_json(chart),
        plotly=_plotly() if chart else "",
        table=listing(trials),
        runtimes=runtimes(trials),
        timed=timed(trials, profiles or {}),
        failures=[f for f in failures(trials) if f.place is None],
        warnings=warnings(trials),
        environment=facts(record.environment),
        grid=yaml.safe_dump(record.grid, sort_keys=False, default_flow_style=None, allow_unicode=True)
        if record.grid
        else "",
        style=_resource("style.css"),
        script=_resource("page.js"),
    )


def _code(text: str) -> Any:
    """Return text escaped, with what stands in backticks as code."""
    import markupsafe

    return markupsafe.Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(markupsafe.escape(text))))


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    source: str = get_plotlyjs()
    return source


def _script_json(data: Any) -> str:
    """Return JSON that can stand inside a script element: no `<`, `>` or `&` that could end it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _resource(name: str) -> str:
    return resources.files("workbench.report").joinpath(name).read_text(encoding="utf-8")
