"""The figures of tasks, and of agreement with the float baseline, as metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workbench.values.figure import Better, Figure, Unit
from workbench.values.trial import Quality, Trial
from workbench.views.metric import Interval, Metric

Value = Callable[[Trial, Trial | None], float | None]


def metrics_of(trials: Sequence[Trial]) -> dict[str, Metric]:
    """Return a metric for each figure that any trial has, its loss against the baseline beside each output's first, then agreement."""
    seen: dict[str, Figure] = {}
    first: set[str] = set()
    plain = False
    # Trials of one study share the sets of their figures: each set is looked at once.
    known: set[tuple[str, ...]] = set()
    for trial in trials:
        if trial.quality is None:
            continue
        keys = tuple(f.key for f in trial.quality.figures)
        plain = plain or not keys
        if keys not in known:
            known.add(keys)
            outputs: set[str] = set()
            for figure in trial.quality.figures:
                seen.setdefault(figure.key, figure)
                if figure.output not in outputs:
                    outputs.add(figure.output)
                    first.add(figure.key)
    found: dict[str, Metric] = dict(KNOWN) if plain else {}
    for key, figure in seen.items():
        found[key] = _metric(figure)
        if key in first:
            found[f"{key}_drop"] = _drop(figure)
    # Those that every trial has come last.
    return {**{n: m for n, m in found.items() if n not in _AGREEMENT}, **_AGREEMENT}


def primary_of(trials: Sequence[Trial]) -> str | None:
    """Return the key of the figure that is charted and limited first, the baseline's where it has one; None without labels."""
    ordered = sorted((t for t in trials if t.quality), key=lambda t: not t.baseline)
    for trial in ordered:
        if trial.quality and trial.quality.primary:
            return trial.quality.primary.key
    # Records from before figures had intervals.
    return next((n for n in ("accuracy", "rmse") if any(getattr(t.quality, n) is not None for t in ordered)), None)


def drop_of(trials: Sequence[Trial], key: str) -> Metric | None:
    """Return what is lost of a task's figure against the baseline, in the direction that is worse for it; None where no trial has it."""
    for trial in trials:
        figure = trial.quality.figure(key) if trial.quality else None
        if figure:
            return _drop(figure)
    old = KNOWN.get(key)
    if old is None or key not in _FIELDS or all(old.value(t, None) is None for t in trials):
        return None
    unit: Unit = "points" if old.unit == "share" else old.unit
    title = f"{old.title} {'drop' if old.better == 'high' else 'rise'} from baseline"
    return Metric(f"{key}_drop", title, unit, "low", _loss(key, key, old.better), interval=_loss_interval(key))


def figure_names(trials: Sequence[Trial]) -> list[str]:
    """Return the keys of all tasks' figures that any trial has, in order of appearance."""
    found = dict.fromkeys(f.key for t in trials if t.quality for f in t.quality.figures)
    old = (n for n in _FIELDS if any(t.quality and getattr(t.quality, n) is not None for t in trials))
    return list(found or dict.fromkeys(old))


def _metric(figure: Figure) -> Metric:
    key, name = figure.key, figure.name
    title = f"{figure.title} of {figure.output}" if figure.output else figure.title
    return Metric(key, title, figure.unit, figure.better, _value(key, name), interval=_interval(key))


def _drop(figure: Figure) -> Metric:
    key = figure.key
    title = f"{figure.title} of {figure.output}" if figure.output else figure.title
    word = "drop" if figure.better == "high" else "rise"
    unit = "points" if figure.unit == "share" else figure.unit
    return Metric(
        f"{key}_drop",
        f"{title} {word} from baseline",
        unit,
        "low",
        _loss(key, figure.name, figure.better),
        interval=_loss_interval(key),
    )


def _value(key: str, name: str) -> Value:
    def value(trial: Trial, baseline: Trial | None) -> float | None:
        return None if trial.quality is None else _read(trial.quality, key, name)

    return value


def _read(quality: Quality, key: str, name: str) -> float | None:
    """Return a figure's value; records from before figures had intervals keep a few of them in fields."""
    if quality.figures:
        found = quality.figure(key)
        return found.value if found else None
    old: float | None = getattr(quality, name) if name in _FIELDS and key == name else None
    return old


def _interval(key: str) -> Callable[[Trial], Interval | None]:
    def interval(trial: Trial) -> Interval | None:
        found = trial.quality.figure(key) if trial.quality else None
        return (found.low, found.high) if found else None

    return interval


def _loss(key: str, name: str, better: Better = "high") -> Value:
    def loss(trial: Trial, baseline: Trial | None) -> float | None:
        if trial.quality is None or baseline is None or baseline.quality is None:
            return None
        found = trial.quality.figure(key)
        if found and found.loss:
            return found.loss.value
        before, after = _read(baseline.quality, key, name), _read(trial.quality, key, name)
        if before is None or after is None:
            return None
        return after - before if better == "low" else before - after

    return loss


def _loss_interval(key: str) -> Callable[[Trial], Interval | None]:
    def interval(trial: Trial) -> Interval | None:
        found = trial.quality.figure(key) if trial.quality else None
        return (found.loss.low, found.loss.high) if found and found.loss else None

    return interval


def _field(pick: Callable[[Quality], float | None]) -> Value:
    return lambda trial, baseline: None if trial.quality is None else pick(trial.quality)


# What layout 1 kept of quality, in fields of their own.
_FIELDS = ("accuracy", "top5", "mae", "rmse")
_AGREEMENT: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("agreement", "Agreement with baseline", "share", "high", _field(lambda q: q.agreement)),
        Metric("sqnr_db", "Signal to quantization noise", "db", "high", _field(lambda q: q.sqnr_db)),
    )
}
# The metrics that can be asked for before the first figure is there; those of classification are expected.
EXPECTED: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("accuracy", "Accuracy", "share", "high", _value("accuracy", "accuracy"), interval=_interval("accuracy")),
        Metric(
            "accuracy_drop",
            "Accuracy drop from baseline",
            "points",
            "low",
            _loss("accuracy", "accuracy"),
            interval=_loss_interval("accuracy"),
        ),
        Metric("top5", "Top-5 accuracy", "share", "high", _value("top5", "top5"), interval=_interval("top5")),
    )
} | _AGREEMENT
KNOWN: dict[str, Metric] = {
    **EXPECTED,
    **{
        m.name: m
        for m in (
            Metric("mae", "Mean absolute error", "number", "low", _value("mae", "mae"), interval=_interval("mae")),
            Metric(
                "rmse", "Root mean square error", "number", "low", _value("rmse", "rmse"), interval=_interval("rmse")
            ),
        )
    },
}
