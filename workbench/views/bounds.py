"""Limits and their bounds as text."""

from __future__ import annotations

from workbench.values.figure import Unit
from workbench.values.limits import Bound, Limits
from workbench.views.units import size_text, text


def limits_text(limits: Limits) -> str:
    """Return limits in words, or nothing."""
    parts = []
    for bound in limits.bounds:
        where = f" on {bound.of or limits.runtime}" if bound.of or limits.runtime else ""
        if bound.kind == "size":
            parts.append(f"at most {size_text(bound.value)}")
        elif bound.kind == "compressed":
            parts.append(f"at most {size_text(bound.value)} compressed")
        elif bound.kind == "drop":
            parts.append(f"{bound.of or 'loss'} {'drop ' if bound.of else ''}at most {_points_text(bound)}")
        elif bound.kind == "latency_ms":
            parts.append(f"at most {bound.value:g} ms{where}")
        elif bound.kind == "memory":
            parts.append(f"at most {size_text(bound.value)} of memory{where}")
        elif bound.kind == "coverage":
            parts.append(f"at least {100 * bound.value:g} % of operators taken{where}")
        else:
            parts.append(f"{bound.of} no worse than {bound.value:g}")
    strictly = ["held by the end of the 95 % interval"] if parts and limits.strict else []
    return ", ".join([*parts, *strictly])


def _points_text(bound: Bound) -> str:
    if bound.value > 1:
        return f"{bound.value:g}"
    points = 100 * bound.value
    return f"{points:g} point{'' if points == 1 else 's'}"


def bound_text(bound: Bound, value: float, unit: Unit | None) -> str:
    """Return a figure as it stands beside its bound; `unit` is the metric's, None where there is none."""
    if bound.kind in ("size", "compressed", "memory"):
        return size_text(value)
    if bound.kind == "latency_ms":
        return text(value, "ms")
    if bound.kind == "coverage":
        return text(value, "share")
    if bound.kind == "drop" and unit in (None, "points"):
        return f"{text(value, 'points')} points"
    return text(value, unit or "number")
