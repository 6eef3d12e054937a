"""Where the time of the variants that matter goes, operator by operator, as text ready for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from workbench.report.findings import fastest_of, smallest_of, tolerance
from workbench.values.trial import OpProfile, Trial
from workbench.views import units
from workbench.views.columns import Columns
from workbench.views.metrics import outcome_of
from workbench.views.runtimes import Row, profile_rows

LONGEST = 10
Profiles = Mapping[tuple[str, str], OpProfile]


class Timing(NamedTuple):
    """The longest operators of one trial on one runtime; `rest` tells of those left out."""

    place: str
    total: str
    source: str
    rows: tuple[Row, ...]
    rest: str
    layers: bool
    cycles: bool


class TimedTrial(NamedTuple):
    """A trial with why it is shown, and its timings by runtime."""

    recipe: str
    why: str
    timings: tuple[Timing, ...]


def timed(trials: Sequence[Trial] | Columns, profiles: Profiles) -> list[TimedTrial]:
    """Return the baseline, the smallest and the fastest good enough trial, each once and only where it has profiles."""
    if not profiles:
        return []
    columns = Columns.of(trials)
    words = tolerance(columns)[1]
    baseline, smallest, fastest = columns.baseline, smallest_of(columns), fastest_of(columns)
    chosen: dict[str, tuple[Trial, list[str]]] = {}
    for why, trial in (("baseline", baseline), ("smallest", smallest), ("fastest", fastest and fastest[1])):
        if trial:
            chosen.setdefault(trial.id, (trial, []))[1].append(why)
    found = []
    for trial, whys in chosen.values():
        timings = _timings(trial, columns, profiles)
        if timings:
            within = f" {words}" if words and whys != ["baseline"] else ""
            found.append(TimedTrial(trial.recipe, " and ".join(whys) + within, timings))
    return found


def _timings(trial: Trial, columns: Columns, profiles: Profiles) -> tuple[Timing, ...]:
    found = []
    for place in columns.places:
        profile, ran = profiles.get((trial.id, place.runtime)), outcome_of(trial, place)
        if profile and profile.operators and ran and ran.state == "ok" and ran.kind == profile.kind:
            found.append(_timing(place.text, profile))
    return tuple(found)


def _timing(place: str, profile: OpProfile) -> Timing:
    rows = profile_rows(profile)
    shown, left = rows[:LONGEST], rows[LONGEST:]
    short, total = sum(row["ms"] for row in left), profile.total_ms
    decimals = _decimals(rows[0]["ms"])
    rest = f"{len(left)} shorter operator{'' if len(left) == 1 else 's'}"
    if total:
        rest += f" in {units.text(short / total, 'share')} of the time"
    source = profile.source.rstrip(". ")
    return Timing(
        place=place,
        total=f"{units.text(total, 'ms')} in {len(rows)} operator{'' if len(rows) == 1 else 's'}",
        source=f"{source}; means of {profile.invocations:,} inferences." if profile.invocations else f"{source}.",
        rows=tuple({**row, "ms": f"{row['ms']:,.{decimals}f}"} for row in shown),
        rest=f"And {rest}." if left else "",
        layers=any(row["layer"] for row in shown),
        cycles=any("cycles" in row for row in shown),
    )


def _decimals(longest: float) -> int:
    """Return the decimals that give the longest time three digits; all in a table have as many, to be compared."""
    return min(6, max(1, 2 - math.floor(math.log10(longest)))) if longest > 0 else 3
