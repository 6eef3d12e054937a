"""The ship gate: whether a variant keeps its limits, limit by limit, and the same as JUnit XML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from workbench.errors import WorkbenchError
from workbench.recipes.grammar import measured_text, parse_runtime, runtime_text
from workbench.values.base import Value
from workbench.values.settings import Gate
from workbench.values.trial import Measurement, Trial
from workbench.views.columns import Columns
from workbench.views.metric import Kind
from workbench.views.metrics import measurement_of
from workbench.views.runtimes import coverage_text, place_text
from workbench.views.units import size_text, text

State = Literal["pass", "fail", "missing"]
# 0.9911 - 0.9811 is 0.010000000000000009, yet it is a drop of one point.
_ROUNDING = 1e-9


class Check(Value):
    """One limit: `limit` and `value` as texts for people, `bound` and `found` as numbers (None: no such figure)."""

    name: str
    limit: str
    value: str
    state: State
    text: str
    bound: float | None = None
    found: float | None = None


class Verdict(Value):
    """Whether a variant keeps every limit; without one that does, `trial` is the one that comes nearest."""

    passed: bool
    checks: tuple[Check, ...]
    trial: Trial | None = None


class Found(NamedTuple):
    """A figure of a trial, or why there is none; `text` says it in words."""

    value: float | None
    text: str


def verdict(trials: Sequence[Trial], gate: Gate, trial: Trial | None = None) -> Verdict:
    """Hold a trial against a gate; without a trial the smallest variant that keeps all limits is looked for.

    A figure that is missing is a check of state `missing`, which is not passed. Where no variant passes, the one with
    the fewest checks not passed stands for all, of these the smallest. Raises WorkbenchError for a gate
    without limits and for an unknown runtime.
    """
    if not gate.limits:
        raise WorkbenchError(
            "the gate has no limits. Give at least one of max_size, max_drop, max_latency_ms, min_delegated."
        )
    columns = Columns(trials)
    runtime = chosen_runtime(columns, gate)
    if trial is not None:
        return _verdict(columns, trial, gate, runtime)
    fit = [t for t in columns.trials if t.state == "ok" and t.size is not None]
    if not fit:
        return _nobody(gate, len(columns.trials))
    best: tuple[tuple[int, int, float], Verdict] | None = None
    for one in sorted(fit, key=_order):
        found = _verdict(columns, one, gate, runtime)
        if found.passed:
            return found
        states = [check.state for check in found.checks]
        rank = (len(states) - states.count("pass"), states.count("missing"), _order(one)[0])
        if best is None or rank < best[0]:
            best = rank, found
    assert best is not None
    return best[1]


def chosen_runtime(columns: Columns, gate: Gate) -> str | None:
    """Return the text of the runtime that limits of time and operators are about: the gate's, else the first measured."""
    if gate.runtime is not None:
        spec = parse_runtime(gate.runtime)
        return runtime_text(spec.name, spec.options)
    return next(iter(columns.runtimes()), None)


def _order(trial: Trial) -> tuple[float, float]:
    accuracy = trial.quality.accuracy if trial.quality else None
    return float(trial.size.file) if trial.size else 0.0, -(accuracy or 0.0)


def _nobody(gate: Gate, count: int) -> Verdict:
    words = "the study has no trials" if not count else f"none of {count} trials has a file that runs"
    checks = [_check(name, limit, Found(None, f"not known: {words}")) for name, limit in gate.limits.items()]
    return Verdict(passed=False, checks=tuple(checks))


def _verdict(columns: Columns, trial: Trial, gate: Gate, runtime: str | None) -> Verdict:
    checks = []
    if trial.state != "ok":
        reason = f": {trial.error}" if trial.error else ""
        checks.append(
            Check(name="runs", limit="ok", value=trial.state, state="fail", text=f"the trial is {trial.state}{reason}")
        )
    for name, limit in gate.limits.items():
        checks.append(_check(name, limit, _FIGURES[name](columns, trial, runtime)))
    return Verdict(passed=all(c.state == "pass" for c in checks), checks=tuple(checks), trial=trial)


def _check(name: str, limit: float, found: Found) -> Check:
    write = _WRITE[name]
    state: State = "missing"
    if found.value is not None:
        kept = found.value >= limit - _ROUNDING if name.startswith("min_") else found.value <= limit + _ROUNDING
        state = "pass" if kept else "fail"
    words = found.text
    if state == "fail":
        words += f", {'less' if name.startswith('min_') else 'more'} than {write(limit)}"
    value = "–" if found.value is None else write(found.value)
    return Check(name=name, limit=write(limit), value=value, state=state, text=words, bound=limit, found=found.value)


def _size(columns: Columns, trial: Trial, runtime: str | None) -> Found:
    if trial.size is None:
        return Found(None, "not known: there is no file")
    return Found(float(trial.size.file), f"the file has {size_text(trial.size.file)}")


def _drop(columns: Columns, trial: Trial, runtime: str | None) -> Found:
    before, after = (t.quality.accuracy if t and t.quality else None for t in (columns.baseline, trial))
    if after is None:
        return Found(
            None, "not known: accuracy was not evaluated (the data has no class labels, or the trial did not run)"
        )
    if before is None:
        return Found(None, "not known: the float baseline has no accuracy to compare with")
    return Found(before - after, f"accuracy {text(after, 'share')} after {text(before, 'share')} of the float baseline")


def _latency(columns: Columns, trial: Trial, runtime: str | None) -> Found:
    measured = _measurement(columns, trial, runtime)
    if not isinstance(measured, Measurement):
        return Found(None, measured)
    if measured.latency_ms is None:
        return Found(None, f"not measured: {place_text(measured)} gave no time")
    latency = measured.latency_ms
    spread = f" ({latency.low:.3g} to {latency.high:.3g})" if latency.samples else ""
    return Found(latency.median, f"median {text(latency.median, 'ms')}{spread} on {place_text(measured)}")


def _delegated(columns: Columns, trial: Trial, runtime: str | None) -> Found:
    measured = _measurement(columns, trial, runtime)
    if not isinstance(measured, Measurement):
        return Found(None, measured)
    taken = coverage_text(measured)
    if taken is None or not measured.ops_total or measured.ops_delegated is None:
        return Found(None, f"not known: {place_text(measured)} does not tell which operators it took")
    return Found(measured.ops_delegated / measured.ops_total, f"operators that {place_text(measured)} took: {taken}")


def _measurement(columns: Columns, trial: Trial, runtime: str | None) -> Measurement | str:
    """Return the trial's good measurement on a runtime (an estimate where nothing else is there), or why there is none."""
    if runtime is None:
        return "not measured: the study has measured nothing"
    kinds: tuple[Kind, ...] = ("measured", "estimated")
    for kind in kinds:
        found = measurement_of(trial, runtime, kind)
        if found is not None:
            return found
    for m in reversed(trial.measurements):
        if measured_text(m) == runtime:
            return f"not measured: {m.state} on {runtime}" + (f": {m.error}" if m.error else "")
    others = ", ".join([*columns.runtimes(), *columns.runtimes("estimated")]) or "none"
    return f"not measured on {runtime}; measured are: {others}"


def _points(value: float) -> str:
    return f"{text(value, 'points')} points"


_FIGURES: dict[str, Callable[[Columns, Trial, str | None], Found]] = {
    "max_size": _size,
    "max_drop": _drop,
    "max_latency_ms": _latency,
    "min_delegated": _delegated,
}
_WRITE: dict[str, Callable[[float], str]] = {
    "max_size": size_text,
    "max_drop": _points,
    "max_latency_ms": lambda value: text(value, "ms"),
    "min_delegated": lambda value: text(value, "share"),
}


class Suite(NamedTuple):
    """A verdict for JUnit: whose it is, the variant's recipe (None: there is none), and the checks."""

    name: str
    recipe: str | None
    checks: Sequence[Check]


def suite_of(name: str, found: Verdict) -> Suite:
    """Return a verdict under a name."""
    return Suite(name, found.trial.recipe if found.trial else None, found.checks)


def junit_xml(suites: Sequence[Suite]) -> bytes:
    """Return verdicts as JUnit XML: a test case per check, `failure` where it is not kept, `error` where its figure is missing."""
    from xml.etree import ElementTree as tree

    root = tree.Element("testsuites", name="workbench gate")
    totals = {"tests": 0, "failures": 0, "errors": 0}
    for name, recipe, checks in suites:
        states = [check.state for check in checks]
        counts = {"tests": len(states), "failures": states.count("fail"), "errors": states.count("missing")}
        totals = {key: totals[key] + count for key, count in counts.items()}
        suite = tree.SubElement(root, "testsuite", {"name": name, **{k: str(v) for k, v in counts.items()}})
        for check in checks:
            case = tree.SubElement(
                suite, "testcase", classname=f"{name}.{recipe or 'no variant'}", name=f"{check.name} {check.limit}"
            )
            kind = {"fail": "failure", "missing": "error"}.get(check.state)
            if kind:
                tree.SubElement(case, kind, message=_legal(check.text), type=check.state)
            else:
                tree.SubElement(case, "system-out").text = _legal(check.text)
    for key, count in totals.items():
        root.set(key, str(count))
    tree.indent(root)
    written: bytes = tree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _legal(words: str) -> str:
    """Return text without the control characters that XML refuses."""
    return "".join(c for c in words if c in "\t\n" or ord(c) >= 32)
