"""The cells of a template, run in this process on a study that no store holds: what a kernel would show, in no time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import nbformat

from workbench.report import templates
from workbench.report.sections import Report
from workbench.values.study import StudyRecord
from workbench.values.trial import OpProfile, Trial


@dataclass
class Told:
    """A study as a report needs it."""

    record: StudyRecord
    trials: list[Trial]
    profiles: dict[tuple[str, str], OpProfile] = field(default_factory=dict)

    def op_profiles(self) -> dict[tuple[str, str], OpProfile]:
        """The time of operators."""
        return self.profiles


def executed(name: str, study: Told, **options: Any) -> Any:
    """Return a template whose cells that show a part of `report` have shown it; those that open the study show its summary."""
    notebook = nbformat.read(templates.find(name), as_version=4)
    report = Report(study, **options)
    for cell in notebook.cells:
        if cell.cell_type != "code" or "parameters" in cell.metadata.get("tags", ()):
            continue
        last = cell.source.strip().splitlines()[-1]
        assert last.startswith("report."), last
        data, metadata = eval(last, {"report": report})._repr_mimebundle_()
        cell.outputs = [nbformat.v4.new_output("display_data", data, metadata=metadata)]
    return notebook
