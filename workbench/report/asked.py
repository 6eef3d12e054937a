"""What was asked of a study, and how to ask it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.data.load import SETS
from workbench.names import command, file_stem, shell
from workbench.recipes.grid import Grid, grid_dict
from workbench.store.place import DEFAULT_STORE
from workbench.values.study import StudyRecord
from workbench.views.listing import facts

# What is told of the settings even where it is the default.
_ALWAYS = {"train": ("epochs", "batch_size", "seed"), "calibration": ("samples",)}


def grid_of(record: StudyRecord) -> Grid | None:
    """Return the grid of a record, or None where what is stored is none (a record of an older version)."""
    stored = {k: v for k, v in record.grid.items() if k != "dropped"}
    try:
        return Grid.model_validate(stored) if stored else None
    except ValueError:
        return None


def grid_text(record: StudyRecord) -> str:
    """Return the grid as a YAML file that asks for the same, or nothing where none is known."""
    import yaml

    grid = grid_of(record)
    data: Mapping[str, Any] = grid_dict(grid) if grid is not None else record.grid
    if not data:
        return ""
    return yaml.safe_dump(dict(data), sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)


def asked(record: StudyRecord) -> list[tuple[str, str]]:
    """Return the techniques, runtimes and settings that were asked for, as pairs of a name and a text."""
    grid = grid_of(record)
    if grid is None:
        return []
    data = grid_dict(grid)
    found = [("data", note) for note in record.dataset.notes]
    found += [(f"task of {o}", f"{t.name}: {t.why}") for o, t in record.tasks.items() if t.why]
    for name, value in data.items():
        if isinstance(value, list):
            found.append((name, ", ".join(_yes(str(v)) for v in value)))
    for name in ("train", "calibration", "measure", "search", "limits", "constraints"):
        settings = getattr(grid, name).to_json()
        shown = {k: v for k, v in settings.items() if k in _ALWAYS.get(name, ()) or k in data.get(name, {})}
        if name == "train" and not any(axis in grid.axes for axis in ("prune", "cluster", "qat")) and not grid.recipes:
            # Nothing is trained; the seed is that of the calibration draw.
            shown = {"seed": settings["seed"], **data.get("train", {})}
        if shown:
            found.append((name, ", ".join(f"{key.replace('_', ' ')} {_yes(value)}" for key, value in facts(shown))))
    return found


def grid_file(record: StudyRecord) -> str | None:
    """Return the name of the grid file that belongs beside the report: of a study that no command line made, else None."""
    if record.command.startswith("workbench ") or grid_of(record) is None:
        return None
    return f"{file_stem(record.name)}.grid.yaml"


def again(record: StudyRecord, location: str) -> tuple[str, str]:
    """Return the command line that makes study and report again, and a sentence that goes before it."""
    elsewhere = [] if location in ("", str(Path(DEFAULT_STORE).resolve())) else ["--store", location]
    page = ["--out", f"{file_stem(record.name)}.html"]
    report = f"workbench {shell(command('report', [record.name], [*page, *elsewhere]))}"
    if record.command.startswith("workbench demo"):
        return (
            record.command,
            "One command runs sweep and report again; what is in the store is found there, not redone.",
        )
    if record.command.startswith("workbench "):
        words = "One line runs sweep and report again; what is in the store is found there, not redone."
        return f"{record.command} \\\n  && {report}", words
    file = grid_file(record)
    if file is None:
        return "", "The study was started from Python; run the same grid on the same model and dataset."
    where = "a notebook" if record.command.startswith("%") else "Python"
    words = f"The study was started from {where}; this line does the same, with the grid below as `{file}`; `workbench report` writes that file beside its page."
    data = record.dataset.name if record.dataset.name in SETS else "DATA"
    if data == "DATA":
        words += (
            f" `DATA` stands for the dataset {record.dataset.name!r}, which was handed over as arrays or by a path."
        )
    options = ["--data", data, "--grid", file, "--study", record.name, *elsewhere]
    sweep = f"workbench {shell(command('sweep', [record.model.told], options))}"
    return f"{sweep} \\\n  && {report}", words


def _yes(text: str) -> str:
    return {"True": "yes", "False": "no"}.get(text, text)
