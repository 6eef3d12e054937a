"""The ship gate: whether a variant keeps its limits, limit by limit, and the same as JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from workbench.errors import WorkbenchError
from workbench.recipes.grammar import parse_runtime
from workbench.values.base import Value
from workbench.values.limits import Limits
from workbench.values.trial import Trial
from workbench.views.columns import Columns
from workbench.views.holding import Holder, LimitCheck
from workbench.views.pareto import smallest


class GateVerdict(Value):
    """Whether a variant keeps every limit; without one that does, `trial` is the one that comes nearest.

    `why` says how the trial was chosen, where none was named.
    """

    passed: bool
    checks: tuple[LimitCheck, ...]
    trial: Trial | None = None
    why: str = ""


def verdict(trials: Sequence[Trial] | Columns, limits: Limits, trial: Trial | None = None) -> GateVerdict:
    """Hold a trial against limits; without a trial the smallest variant that keeps all of them is looked for.

    A figure that is missing is a check of state `missing`, which is not passed. Where no variant passes, the one with
    the fewest checks not passed stands for all, of these the smallest. Raises WorkbenchError where nothing is limited
    and for an unknown runtime or figure.
    """
    if not limits.bounds:
        raise WorkbenchError(
            "the gate has no limits. Give at least one of max_size, max_compressed, max_drop, max_latency_ms, max_memory, min_delegated, figures."
        )
    limits.check_runtimes(parse_runtime)
    columns = Columns.of(trials)
    holder = Holder(columns, limits)
    if trial is not None:
        return _verdict(holder, trial)
    found = [(i, columns.trials[i]) for i in columns.ok if columns.trials[i].size is not None]
    if not found:
        count = len(columns.trials)
        words = "the study has no trials" if not count else f"none of {count} trials has a file that runs"
        return GateVerdict(passed=False, checks=tuple(holder.unknown(words)), why=f"no trial was named, and {words}")
    fit = holder.fitting()
    if fit:
        chosen = smallest(columns, fit, columns.metrics.get("latency"))
        assert chosen is not None
        why = f"no trial was named: the smallest of the {len(fit):,} that keep every limit, of {len(found):,} that run"
        return _verdict(holder, columns.trials[chosen], why)
    nearest = smallest(columns, _fewest(holder, found), columns.metrics.get("latency"))
    assert nearest is not None
    trial = columns.trials[nearest]
    missed = sum(v is None or v > 0 for v in holder.beyond(trial).values())
    why = (
        f"no trial was named, and none of {len(found):,} that run keeps every limit: "
        f"the one that misses fewest ({missed} of {len(holder.held)}), of these the smallest"
    )
    return _verdict(holder, trial, why)


def _fewest(holder: Holder, found: Sequence[tuple[int, Trial]]) -> list[int]:
    """Return the positions of the trials that miss the fewest limits, of these those that lack the fewest figures."""

    def missed(trial: Trial) -> tuple[int, int]:
        beyond = holder.beyond(trial).values()
        return sum(v is None or v > 0 for v in beyond), sum(v is None for v in beyond)

    ranks = {i: missed(trial) for i, trial in found}
    fewest = min(ranks.values())
    return [i for i, rank in ranks.items() if rank == fewest]


def _verdict(holder: Holder, trial: Trial, why: str = "") -> GateVerdict:
    checks = holder.checks(trial)
    if trial.state != "ok":
        reason = f": {trial.error}" if trial.error else ""
        words = f"the trial is {trial.state}{reason}"
        checks.insert(0, LimitCheck(name="runs", limit="ok", value=trial.state, state="fail", text=words))
    return GateVerdict(passed=all(c.state == "pass" for c in checks), checks=tuple(checks), trial=trial, why=why)


class Suite(NamedTuple):
    """A verdict for JUnit: whose it is, the variant's recipe (None: there is none), and the checks."""

    name: str
    recipe: str | None
    checks: Sequence[LimitCheck]


def suite_of(name: str, found: GateVerdict) -> Suite:
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
