"""Verbs around many runs and their verdicts: `gate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from workbench.commands import flags
from workbench.commands.host import Host, pass_host
from workbench.commands.result import Block, Result, Row, Table
from workbench.files import write_atomic
from workbench.values.base import build
from workbench.values.params import describe
from workbench.values.settings import Gate
from workbench.views.gate import Verdict, junit_xml, suite_of, verdict

F = TypeVar("F", bound=Callable[..., Any])


def gate_options(function: F) -> F:
    """Add a flag per limit of a gate."""
    for spec in reversed(describe(Gate)):
        # A size may have a unit.
        shown = spec.model_copy(update={"kind": "str"}) if spec.name == "max_size" else spec
        function = flags.param_option(shown, f"gate__{spec.name}", "")(function)
    return function


@dataclass
class Judged(Result):
    """A verdict on one study, limit by limit."""

    value: Verdict
    study: str = field(kw_only=True)

    def blocks(self) -> Iterable[Block]:
        """Return the checks and the verdict in one line."""
        yield Table(
            [
                {"check": c.name, "limit": c.limit, "found": c.value, "state": c.state, "why": c.text}
                for c in self.value.checks
            ],
            f"Gate of {self.study}: {self.value.trial.recipe if self.value.trial else 'no variant'}",
        )
        yield verdict_line(self.value)

    def data(self) -> dict[str, Any]:
        """Return study, trial, verdict and checks."""
        trial = self.value.trial
        return {
            "study": self.study,
            "trial": trial.id if trial else None,
            "recipe": trial.recipe if trial else None,
            "passed": self.value.passed,
            "checks": self.rows(),
        }

    def rows(self) -> list[Row]:
        """Return one row per check."""
        return [c.to_json() for c in self.value.checks]


def verdict_line(found: Verdict) -> str:
    """Return a verdict in one line."""
    recipe = found.trial.recipe if found.trial else "no variant"
    if found.passed:
        return f"passed: {recipe} keeps all limits"
    states = [c.state for c in found.checks]
    words = [
        f"{n} {w}" for n, w in ((states.count("fail"), "not kept"), (states.count("missing"), "not measured")) if n
    ]
    return f"not passed: of {len(states)} limits {' and '.join(words)} by {recipe}"


@click.command()
@click.argument("study")
@click.option("--trial", metavar="RECIPE", help="the variant to judge  [default: the smallest that keeps all limits]")
@gate_options
@click.option("--junit", metavar="FILE.xml", help="write the verdict as JUnit XML too")
@flags.store_option
@flags.format_option
@pass_host
def gate(
    host: Host, study: str, trial: str | None, junit: str | None, store: str | None, form: str, **values: Any
) -> Judged:
    """Say whether a variant of STUDY keeps all limits; exit 0 when it does, 1 when it does not or a figure is missing."""
    limits = build(Gate, flags.collect(values, ["gate"]).get("gate", {}), "gate")
    opened = host.study(study, store)
    found = verdict(opened.trials, limits, opened.trial(trial) if trial else None)
    if junit:
        write_atomic(Path(junit), junit_xml([suite_of(opened.name, found)]))
    notes = (f"wrote {junit}",) if junit else ()
    return Judged(found, form, notes, int(not found.passed), study=opened.name)
