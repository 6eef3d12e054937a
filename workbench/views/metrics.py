"""The closed set of metrics by which a trial can be charted, compared and sorted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from workbench.errors import unknown
from workbench.recipes.grammar import measured_text
from workbench.values.figure import Unit
from workbench.values.trial import Measurement, Size, Trial
from workbench.views import quality
from workbench.views.metric import Interval, Kind, Metric, Place, baseline_of
from workbench.views.runtimes import memory_bytes, memory_part, place_text


def metrics_for(trials: Sequence[Trial]) -> dict[str, Metric]:
    """Return the metrics of which at least one trial has a figure, by name: size, quality, then each runtime.

    Before the first figure these are all that need no runtime, and those of classification. A runtime's
    estimates are metrics of their own (`estimated_latency@NAME`), apart from what was measured.
    """
    baseline = baseline_of(trials)
    plain = {**_SIZES, **quality.metrics_of(trials), **_CENSUS}
    found = {n: m for n, m in plain.items() if any(m.value(t, baseline) is not None for t in trials)}
    if not found:
        found = {**_SIZES, **quality.EXPECTED, **_CENSUS}
    seen = _seen(trials)
    places, runtimes = _places(seen), _runtimes(seen)
    if runtimes and runtimes[0][1] == "measured":
        runtime = runtimes[0][0]
        found["latency"] = _latency(runtime, "measured", _note(runtime, "measured", places), "latency")
    for runtime, kind in runtimes:
        note = _note(runtime, kind, places)
        metrics = [_latency(runtime, kind, note), _ratio(runtime, kind, note)]
        part = next((s.part for s in seen if s.ok and s.place[:2] == (runtime, kind) and s.part), None)
        if part:
            metrics.append(_memory(runtime, kind, part))
        for metric in (*metrics, _peak(runtime, kind)):
            if any(metric.value(t, baseline) is not None for t in trials):
                found[metric.name] = metric
    return found


def find_metric(name: str, trials: Sequence[Trial]) -> Metric:
    """Return the metric of that name.

    Raises WorkbenchError with the nearest and the allowed names. One that needs no runtime, and plain
    `latency`, are found before the first figure is there too.
    """
    return known_metric(name, metrics_for(trials))


def known_metric(name: str, found: Mapping[str, Metric]) -> Metric:
    """Return the metric of that name among those found, as `find_metric` does."""
    if name in found:
        return found[name]
    if name == "latency":
        return Metric("latency", "Latency", "ms", "low", lambda trial, baseline: None, True)
    plain = {**_SIZES, **quality.KNOWN, **_CENSUS}
    if name in plain:
        return plain[name]
    raise unknown("metric", name, found)


def measurement_of(trial: Trial, runtime: str, kind: Kind = "measured") -> Measurement | None:
    """Return the trial's last good measurement on a runtime given as text, or None."""
    return next((m for m in _newest_of(trial, runtime, kind) if m.state == "ok"), None)


def outcome_of(trial: Trial, place: Place) -> Measurement | None:
    """Return the trial's last good measurement at a place, else the last skipped or failed one there, or None."""
    good = measurement_of(trial, place.runtime, place.kind)
    if good:
        return good if place_text(good) == place.text else None
    return next(_newest_of(trial, place.runtime, place.kind), None)


def places_of(trials: Sequence[Trial]) -> list[Place]:
    """Return where trials were run or tried, measured before estimated.

    One runtime is two places where some of its times are a software device's and others are not.
    """
    return _places(_seen(trials))


class _Seen(NamedTuple):
    """A kind of measurement: its place, whether it ran, and the part of memory it tells of."""

    place: Place
    ok: bool
    part: str | None
    elsewhere: bool


def _seen(trials: Sequence[Trial]) -> list[_Seen]:
    """Return each kind of measurement once, in order of appearance; texts are made once per kind, not per trial."""
    found: dict[tuple[Any, ...], _Seen] = {}
    for trial in trials:
        for m in trial.measurements:
            part = memory_part(m)
            key = (m.runtime, repr(m.options), m.place, m.kind, m.clock, m.software, m.state == "ok", part, m.elsewhere)
            if key not in found:
                found[key] = _Seen(Place(measured_text(m), m.kind, place_text(m)), m.state == "ok", part, m.elsewhere)
    return list(found.values())


def _places(seen: Sequence[_Seen]) -> list[Place]:
    good = dict.fromkeys(s.place for s in seen if s.ok)
    tried: dict[tuple[str, Kind], list[Place]] = {}
    for s in seen:
        tried.setdefault(s.place[:2], []).append(s.place)
    # What did not run cannot know its device, so it makes a place only where nothing ran.
    found = [p for key, places in tried.items() for p in ([g for g in good if g[:2] == key] or places[:1])]
    return sorted(found, key=lambda place: place.kind == "estimated")


def _newest_of(trial: Trial, runtime: str, kind: Kind) -> Iterator[Measurement]:
    for m in reversed(trial.measurements):
        # The name first: it is cheap, and begins the text.
        if m.kind == kind and runtime.startswith(m.runtime) and measured_text(m) == runtime:
            yield m


def _note(runtime: str, kind: Kind, places: Sequence[Place]) -> str:
    """Return what a time there is beside an estimate; `partly` where that holds for some trials only."""
    notes = [p.note.removeprefix("estimated").strip(", ") for p in places if p[:2] == (runtime, kind)]
    told = ", ".join(n for n in notes if n)
    return f"partly {told}" if told and not all(notes) else told


def _runtimes(seen: Sequence[_Seen]) -> list[tuple[str, Kind]]:
    """Return runtimes and kinds that gave figures, measured before estimated."""
    # Of several machines the study's last one comes first.
    ordered = sorted(seen, key=lambda s: s.elsewhere)
    pairs = dict.fromkeys((s.place.runtime, s.place.kind) for s in ordered if s.ok)
    return sorted(pairs, key=lambda pair: pair[1] == "estimated")


def _of_size(pick: Callable[[Size], int]) -> Callable[[Trial, Trial | None], float | None]:
    return lambda trial, baseline: None if trial.size is None else pick(trial.size)


def _sparsity(trial: Trial, baseline: Trial | None) -> float | None:
    return None if trial.census is None else trial.census.sparsity


def _latency(runtime: str, kind: Kind, note: str, name: str = "") -> Metric:
    return _of_runtime(
        "latency",
        runtime,
        kind,
        f"Latency on {runtime}",
        "ms",
        lambda m: m.latency_ms.median if m.latency_ms else None,
        lambda m: (m.latency_ms.low, m.latency_ms.high) if m.latency_ms else None,
        note,
        name,
    )


def _ratio(runtime: str, kind: Kind, note: str) -> Metric:
    return _of_runtime(
        "ratio",
        runtime,
        kind,
        f"Latency ratio on {runtime}",
        "ratio",
        lambda m: m.ratio.median if m.ratio else None,
        lambda m: (m.ratio.low, m.ratio.high) if m.ratio else None,
        note,
    )


def _peak(runtime: str, kind: Kind) -> Metric:
    return _of_runtime("peak", runtime, kind, f"Peak memory on {runtime}", "bytes", lambda m: m.peak_bytes)


def coverage(runtime: str, kind: Kind) -> Metric:
    """Return the share of operators that a runtime took; higher is better."""

    def share(m: Measurement) -> float | None:
        return m.ops_delegated / m.ops_total if m.ops_total and m.ops_delegated is not None else None

    found = _of_runtime("coverage", runtime, kind, f"Operators taken by {runtime}", "share", share)
    return replace(found, better="high")


def _memory(runtime: str, kind: Kind, part: str) -> Metric:
    title = "Arena" if part == "arena" else part
    return _of_runtime(
        "memory",
        runtime,
        kind,
        f"{title} on {runtime}",
        "bytes",
        lambda m: memory_bytes(m) if memory_part(m) == part else None,
    )


def _of_runtime(
    family: str,
    runtime: str,
    kind: Kind,
    title: str,
    unit: Unit,
    of_run: Callable[[Measurement], float | None],
    run_interval: Callable[[Measurement], Interval | None] = lambda m: None,
    note: str = "",
    name: str = "",
) -> Metric:
    def value(trial: Trial, baseline: Trial | None) -> float | None:
        m = measurement_of(trial, runtime, kind)
        return of_run(m) if m else None

    def interval(trial: Trial) -> Interval | None:
        m = measurement_of(trial, runtime, kind)
        return run_interval(m) if m else None

    return Metric(
        name or _name(family, runtime, kind),
        title,
        unit,
        "low",
        value,
        unit in ("ms", "ratio"),
        interval,
        kind == "estimated",
        note,
        runtime,
        f"estimated_{family}" if kind == "estimated" else family,
        of_run,
        run_interval,
    )


def _name(what: str, runtime: str, kind: Kind) -> str:
    return f"{'estimated_' if kind == 'estimated' else ''}{what}@{runtime}"


_SIZES: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("size", "File size", "bytes", "low", _of_size(lambda s: s.file)),
        Metric("compressed", "Compressed size", "bytes", "low", _of_size(lambda s: s.gzip)),
    )
}
_CENSUS: dict[str, Metric] = {"sparsity": Metric("sparsity", "Sparsity of kernels", "share", "high", _sparsity)}
