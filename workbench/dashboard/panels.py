"""The dashboard's other tabs: parallel coordinates, what failed, and where the study was run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from workbench.errors import WorkbenchError
from workbench.values.study import StudyRecord
from workbench.views import units
from workbench.views.columns import Columns
from workbench.views.listing import facts, failures
from workbench.views.marks import COLOURS, OTHER_COLOUR, ordered
from workbench.views.metric import Metric
from workbench.views.tradeoff import log_fits, scheme_of

# By what variants are chosen; latency and memory of each runtime follow.
_MAIN = ("size", "compressed", "accuracy", "mae", "rmse", "agreement", "sparsity")
_FAMILIES = ("latency", "estimated_latency", "memory", "estimated_memory")
MOST_AXES = 8
MOST_NAMED = 200


def parallel(columns: Columns) -> dict[str, Any]:
    """Return the parallel coordinates of the main metrics, coloured by scheme, and what is left out of them."""
    axes = _axes(columns)
    figures = [columns.values(m) for m in axes]
    drawn = [i for i in columns.ok if all(f[i] is not None and math.isfinite(f[i] or 0.0) for f in figures)]
    if len(drawn) < 2 or not axes:
        return {"figure": None, "note": "Two variants with figures are needed to draw this chart."}
    schemes = ordered("scheme", [scheme_of(columns.trials[i]) for i in drawn])
    numbers = {scheme: n for n, scheme in enumerate(schemes)}
    line = {
        "color": [numbers[scheme_of(columns.trials[i])] for i in drawn],
        "cmin": -0.5,
        "cmax": len(schemes) - 0.5,
        "colorscale": _bands([COLOURS.get(s, OTHER_COLOUR)[0] for s in schemes]),
        "showscale": True,
        "colorbar": {
            "title": {"text": "Scheme"},
            "tickmode": "array",
            "tickvals": list(range(len(schemes))),
            "ticktext": schemes,
            "thickness": 12,
        },
    }
    missing = len(columns.ok) - len(drawn)
    note = f"Not drawn: {missing} of {len(columns.ok)} variants, which lack a figure of these axes." if missing else ""
    trace = {
        "type": "parcoords",
        "line": line,
        "dimensions": [_dimension(m, [f[i] or 0.0 for i in drawn]) for m, f in zip(axes, figures, strict=True)],
        "meta": {"role": "parallel", "ids": [columns.trials[i].id for i in drawn]},
    }
    layout = {
        "height": 460,
        "margin": {"l": 70, "r": 40, "t": 70, "b": 30},
        "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 12},
    }
    return {"figure": {"data": [trace], "layout": layout}, "note": note}


def failed(columns: Columns) -> dict[str, Any]:
    """Return what did not work, by reason; of very many recipes the first ones are named and all are counted."""
    groups = [
        {
            "recipes": list(f.recipes[:MOST_NAMED]),
            "count": len(f.recipes),
            "what": f.what,
            "state": f.state,
            "reason": f.reason,
        }
        for f in failures(columns)
    ]
    return {"groups": groups}


def environment(record: StudyRecord) -> dict[str, Any]:
    """Return the machine, the command, the grid as YAML, the model and the dataset."""
    import yaml

    grid = yaml.safe_dump(record.grid, sort_keys=False, default_flow_style=None, allow_unicode=True)
    model, dataset = record.model, record.dataset
    return {
        "facts": [list(pair) for pair in facts(record.environment)],
        "command": record.command,
        "grid": grid if record.grid else "",
        "started": record.started,
        "model": {
            "name": model.name,
            "kind": model.kind,
            "path": model.path,
            "sha256": model.sha256,
            "parameters": record.signature.parameters,
        },
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "splits": dict(dataset.splits),
            "inputs": {name: list(shape) for name, shape in dataset.inputs.items()},
            "classes": len(dataset.class_names),
            "notes": "; ".join(dataset.notes),
        },
    }


def _axes(columns: Columns) -> list[Metric]:
    """Return the metrics to draw: those of which at least half of the variants have a figure that is not the same for all."""
    main = dict.fromkeys([*_MAIN[:2], columns.primary or "", *_MAIN[2:]])
    chosen = [columns.metrics[n] for n in main if n in columns.metrics]
    chosen += [m for f in _FAMILIES for m in columns.metrics.values() if m.family == f and m.name != "latency"]
    kept = []
    for metric in chosen:
        values = columns.values(metric)
        known = {v for i in columns.ok if (v := values[i]) is not None and math.isfinite(v)}
        count = sum(values[i] is not None for i in columns.ok)
        if len(known) > 1 and 2 * count >= len(columns.ok):
            kept.append(metric)
    return kept[:MOST_AXES]


def _dimension(metric: Metric, figures: Sequence[float]) -> dict[str, Any]:
    """Return one axis; Plotly has no logarithmic one here, so its ticks are written for the logarithms."""
    log = log_fits(metric, figures)
    values = [math.log10(v) for v in figures] if log else list(figures)
    low, high = min(values), max(values)
    at = [low + (high - low) * i / 4 for i in range(5)]
    return {
        "label": metric.label,
        "values": [float(f"{v:.6g}") for v in values],
        "range": [low, high],
        "tickvals": at,
        "ticktext": [units.text(10**v if log else v, metric.unit) for v in at],
    }


def _bands(colours: Sequence[str]) -> list[list[Any]]:
    """Return a colour scale of equal steps, one for each colour."""
    n = len(colours)
    return [[edge, c] for i, c in enumerate(colours) for edge in (i / n, (i + 1) / n)]


def missing_trial(trial: str, study: str) -> WorkbenchError:
    """Return the error for an id that the study does not have."""
    return WorkbenchError(f"study {study!r} has no trial {trial!r}. The table lists them all.")
