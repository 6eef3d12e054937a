"""`Report`: a study's parts, each as something that a cell of a notebook shows."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Protocol

from workbench.names import shell
from workbench.report.asked import again, asked, grid_file, grid_text
from workbench.report.chart import chart_data, chart_info
from workbench.report.findings import PACKING_NOTE, asked_limits, findings, smallest_of, tolerance
from workbench.report.layers import LayerTable, layer_table
from workbench.report.many import PAGE, table_data
from workbench.report.packing import MANY, packed
from workbench.report.section import Section, nothing, rendered
from workbench.report.timing import timed
from workbench.values.bulk import uncollected
from workbench.values.limits import Limits, read_limits
from workbench.values.study import StudyRecord
from workbench.values.trial import OpProfile, Trial
from workbench.views.bounds import limits_text
from workbench.views.card import trial_card
from workbench.views.columns import Columns
from workbench.views.gate import GateVerdict, verdict
from workbench.views.listing import facts, failures, listing, runtimes, warnings
from workbench.views.pareto import best as best_of
from workbench.views.picks import Pick
from workbench.views.picks import picks as picks_of
from workbench.views.table import rows

STATES = ("ok", "failed", "skipped", "running", "pending")
STILL_PX = (1000, 520)
CHECKS = {
    "max_size": "File size at most",
    "max_compressed": "Compressed size at most",
    "max_drop": "Loss against the baseline at most",
    "max_latency_ms": "Median latency at most",
    "max_memory": "Memory at most",
    "min_delegated": "Operators taken by the runtime, at least",
    "runs": "The variant runs",
}


class StudyLike(Protocol):
    """What a report needs of a study; `workbench.Study` is one."""

    @property
    def record(self) -> StudyRecord: ...  # noqa: D102
    @property
    def trials(self) -> list[Trial]: ...  # noqa: D102
    def op_profiles(self) -> dict[tuple[str, str], OpProfile]: ...  # noqa: D102


class Report:
    """A study as it is at this moment, part by part; every figure is computed from its trials.

    Each method returns a `Section`, which a notebook shows as its cell's last line. `gate` holds limits such as `{"max_size": "100KB"}`.

    >>> report = workbench.Report(study)  # doctest: +SKIP
    >>> report.chart()  # doctest: +SKIP
    """

    def __init__(self, study: StudyLike, gate: Mapping[str, Any] | None = None) -> None:
        self.record = study.record
        self.trials = study.trials
        self._study = study
        self._columns = Columns(self.trials)
        self._gate = dict(gate or {})
        self._store: str = getattr(getattr(study, "store", None), "location", "")

    def summary(self) -> Section:
        """What the study is: model, dataset, what was asked for, and how its variants ended."""
        body = rendered(
            "summary",
            record=self.record,
            started=re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*", r"\1 \2 UTC", self.record.started),
            counts=self._counts(),
            total=len(self.trials),
            asked=asked(self.record),
        )
        return Section(body)

    def findings(self) -> Section:
        """What was found, in sentences."""
        found = findings(self.record, self._columns)
        counts = self._counts()
        return Section(rendered("findings", findings=found, note=PACKING_NOTE, counts=counts, total=len(self.trials)))

    @uncollected()
    def chart(self, x: str | None = None, y: str | None = None) -> Section:
        """The trade-off of two metrics (size and accuracy where nothing else is said): a picture here, alive in the page."""
        from workbench.views.still import still_png

        info = chart_info(self._columns, x, y)
        data = chart_data(self._columns, x, y, info) if info else None
        if info is None or data is None:
            return nothing("No variant has run, so there is nothing to chart.")
        if len(data["ids"]) > MANY:
            # What the page's own HTML needs of it stays.
            labels = [{"label": m["label"]} for m in data["metrics"]]
            data = {"x": data["x"], "y": data["y"], "metrics": labels, "packed": packed(data)}
        still = base64.b64encode(still_png(info, *STILL_PX)).decode()
        return Section(rendered("chart", still=still, count=len(info.points)), {"chart": data})

    @uncollected()
    def table(self) -> Section:
        """All variants with their figures."""
        if not self.trials:
            return nothing("This study has no trials yet.")
        table, total = listing(self._columns, self._rows), len(self.trials)
        if total <= MANY:
            return Section(rendered("table", table=table, total=total, study=""))
        first = table._replace(lines=table.lines[:PAGE])
        body = rendered("table", table=first, total=total, study=shell(["show", self.record.name]))
        return Section(body, {"table": {"packed": packed(table_data(table))}})

    def best(self) -> Section:
        """The variant to ship beside the baseline: the smallest that keeps what was asked for, or that loses next to nothing."""
        trial, why, missed = self.choice()
        if trial is None:
            return nothing(why)
        card = trial_card(trial, self._columns, self.record, self._store)
        taken = card.code.get("cli", "")
        return Section(rendered("best", card=card, why=why, taken=taken, missed=missed, picks=self.picks()))

    def gate(self, **limits: Any) -> Section:
        """The verdict of the ship gate: each limit with what was found; limits given here replace the report's."""
        found = self._verdict(limits or self._gate)
        if found is None:
            return nothing("No gate was asked for.")
        return Section(
            rendered(
                "gate",
                verdict=found,
                words=_gate_words(found),
                names={c.name: _check_name(c.name) for c in found.checks},
            )
        )

    @uncollected()
    def runtimes(self) -> Section:
        """What each runtime is and did: operators taken, agreement with the reference kernels, problems."""
        used = runtimes(self._columns)
        if not used:
            return nothing("Nothing was measured.")
        return Section(rendered("runtimes", runtimes=used))

    def operators(self) -> Section:
        """Where the time of the variants that matter goes, operator by operator, where it was asked for."""
        found = timed(self._columns, self._study.op_profiles())
        if not found:
            return nothing("Operators were not timed; `measure: {profile: true}` in the grid asks for it.")
        return Section(rendered("operators", timed=found))

    def layers(self, trial: str | None = None) -> Section:
        """The weight tensors of a variant (the best unless named by id or recipe): type, bytes, zeros, distinct values."""
        chosen = self.choice()[0] if trial is None else self._named(trial)
        table: LayerTable | None = layer_table(chosen, self._columns.baseline) if chosen else None
        if chosen is None or table is None:
            return nothing("There is no file to look into.")
        return Section(rendered("layers", recipe=chosen.recipe, **table._asdict()))

    def failures(self) -> Section:
        """The variants that failed or were skipped, with the reason."""
        found = [f for f in failures(self._columns) if f.place is None]
        if not found:
            return nothing("Every variant that was tried could be made and run.")
        return Section(rendered("failures", failures=found))

    def warnings(self) -> Section:
        """What was seen that is not as it should be, and what to try."""
        found = warnings(self.trials)
        if not found:
            return nothing("There are no warnings.")
        return Section(rendered("warnings", warnings=found))

    def reproduce(self) -> Section:
        """The command that makes study and report again, with the hashes of what went in and the grid."""
        commands, words = again(self.record, self._store)
        body = rendered(
            "reproduce",
            record=self.record,
            commands=commands,
            words=words,
            grid=grid_text(self.record),
            grid_file=grid_file(self.record),
        )
        return Section(body)

    def environment(self) -> Section:
        """The machine and the versions at the time of the sweep."""
        found = facts(self.record.environment)
        if not found:
            return nothing("Nothing is known of the machine.")
        return Section(rendered("environment", environment=found))

    @uncollected()
    def results(self) -> Section:
        """All rows as data, for whoever runs many notebooks: `application/vnd.workbench+json` under the key `results`.

        Of more than 1,000 variants `packed_rows` stands in the place of `rows`: their JSON, gzip, base64.
        """
        return results_section(self.results_data())

    def results_data(self) -> dict[str, Any]:
        """Return what `results` shows, as data."""
        trial, _, _ = self.choice()
        held = self._verdict(self._gate)
        record = self.record
        return {
            "study": record.name,
            "model": record.model.name,
            "model_sha256": record.model.sha256,
            "dataset": record.dataset.name,
            "dataset_sha256": record.dataset.sha256,
            "store": self._store,
            "counts": self._counts(),
            "best": None if trial is None else trial.id,
            "picks": [p.row() for p in self.picks()],
            "baseline": None if self._columns.baseline is None else self._columns.baseline.id,
            "quality": _quality_json(self._columns),
            "gate": None if held is None else _gate_json(held),
            "rows": self._rows,
        }

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        return rows(self._columns)

    def _counts(self) -> dict[str, int]:
        found: Counter[str] = Counter(t.state for t in self.trials)
        return {state: found[state] for state in STATES}

    def _named(self, name: str) -> Trial | None:
        return next((t for t in self.trials if name in (t.id, t.recipe) and t.state == "ok"), None)

    def picks(self) -> list[Pick]:
        """Return what to ship by size, by time, by quality and balanced: of those that keep what was asked for, else of those good enough."""
        asked = asked_limits(self.record)
        found = picks_of(self._columns, asked) if asked is not None else []
        return found or picks_of(self._columns, tolerance(self._columns)[0] or Limits())

    def choice(self) -> tuple[Trial | None, str, str]:
        """Return the variant to ship or None, why it is that one, and what it misses."""
        limits, words = asked_limits(self.record), tolerance(self._columns)[1]
        found = smallest_of(self._columns)
        if limits is not None:
            kept, asked = best_of(self._columns, limits), limits_text(limits)
            if kept is not None:
                return kept, f"the smallest that keeps {asked}", ""
            return found, f"the smallest {words}".strip(), f"No variant keeps the constraints asked for ({asked})."
        if found is None:
            return None, "No variant is good enough to be named.", ""
        return found, f"the smallest {words}".strip(), ""

    def _verdict(self, limits: Mapping[str, Any]) -> GateVerdict | None:
        return verdict(self._columns, read_limits(limits, "gate")) if limits else None


def results_section(results: dict[str, Any]) -> Section:
    """Return results as a section that only programs read; very many rows are packed, which `report.run` undoes."""
    count = len(results["rows"])
    words = f"{count} rows of results are kept in this notebook as data."
    if count > MANY:
        results = {**{k: v for k, v in results.items() if k != "rows"}, "packed_rows": packed(results["rows"])}
    return Section(rendered("nothing", words=words), {"results": results}, empty=True)


def _check_name(name: str) -> str:
    """Return what a check is about in words, with the figure or the runtime that it names."""
    limit, of = next(((n, name.removeprefix(n)) for n in CHECKS if name.startswith(n)), (name, ""))
    about = of.removesuffix("]").lstrip("[") if of.startswith("[") else of.lstrip("@")
    return CHECKS.get(limit, name) + (f" ({about})" if about else "")


def _gate_words(found: GateVerdict) -> str:
    recipe = f"`{found.trial.recipe}`" if found.trial else "No variant"
    if found.passed:
        return f"{recipe} is the smallest variant that keeps every limit."
    return f"No variant keeps every limit; {recipe} comes nearest." if found.trial else f"{recipe} runs."


def _quality_json(columns: Columns) -> dict[str, Any]:
    """Return the figure that variants are judged by first, and what is lost of it: the keys of rows, titles and units."""
    metric = columns.metrics.get(columns.primary or "agreement") or columns.metrics.get("agreement")
    if metric is None:
        return {}
    lost = columns.drop(metric.name)
    drop = {} if lost is None else {"drop": lost.name, "drop_unit": lost.unit}
    return {"name": metric.name, "title": metric.title, "unit": metric.unit, **drop}


def _gate_json(found: GateVerdict) -> dict[str, Any]:
    trial = found.trial
    checks = [check.to_json() for check in found.checks]
    named = {"trial": trial.id if trial else None, "recipe": trial.recipe if trial else None}
    return {"passed": found.passed, **named, "why": found.why, "checks": checks}
