"""Verbs that only a notebook has: what is worked on (`model`, `data`), and the chart (`dashboard`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from workbench import api
from workbench.commands import flags
from workbench.commands.result import Block, Result, Row, Said, Table
from workbench.data.dataset import Dataset
from workbench.notebook.session import NotebookFrontEnd
from workbench.sources.glance import glance
from workbench.sources.identify import identify
from workbench.store.store import Store
from workbench.views.units import size_text


@dataclass
class Facts(Result):
    """Something named, in pairs of what and how much."""

    title: str = ""
    facts: dict[str, str] | None = None

    def blocks(self) -> Iterable[Block]:
        """Return one table."""
        return [Table(self.rows(), self.title)]

    def data(self) -> Any:
        """Return the pairs."""
        return self.facts

    def rows(self) -> list[Row]:
        """Return one row per pair."""
        return [{"fact": k, "value": v} for k, v in (self.facts or {}).items()]


@click.command()
@click.argument("model")
@click.option(
    "--allow-code",
    is_flag=True,
    help="let the model file run code: Lambda layers, classes of its own, operators on files",
)
@flags.store_option
@click.pass_obj
def model(session: NotebookFrontEnd, model: str, allow_code: bool, store: str | None) -> Facts:
    """Name the MODEL to optimize: a .keras, .h5 or float .tflite file, a SavedModel folder, or a variable with a model of tf_keras or Keras 3."""
    named = session.named(model)
    info = identify(named, Store(store).root / "models" if not isinstance(named, (str, Path)) else Path(), allow_code)
    seen = glance(info)
    facts = {"kind": info.kind, "SHA-256": info.sha256[:12], **({"opened by": info.source} if info.source else {})}
    path = Path(info.path)
    if path.is_file():
        facts["file"] = f"{path.name}, {size_text(path.stat().st_size)}"
    if seen is not None:
        if seen.parameters is not None:
            facts["parameters"] = f"{seen.parameters:,}"
        for what, tensors in (("input", seen.inputs), ("output", seen.outputs)):
            for tensor in tensors:
                facts[f"{what} {tensor.name}"] = f"{_shape(tensor.shape)} {tensor.dtype}".strip()
    session.model, session.current = model, None
    return Facts(named, title=f"Model {info.name}", facts=facts)


@click.command()
@click.argument("data")
@click.pass_obj
def data(session: NotebookFrontEnd, data: str) -> Facts:
    """Name the DATA: digits, fashion, a .npz or .csv file, a folder of class subfolders of images, or a variable with arrays."""
    dataset: Dataset = api.load_dataset(session.named(data))
    facts = {}
    for name, split in dataset.splits().items():
        for key, array in split.inputs.items():
            where = f"{name} {key}" if len(split.inputs) > 1 else name
            facts[where] = (
                f"{len(split):,} samples of {_shape(array.shape[1:])} {array.dtype}, values {array.min():g} to {array.max():g}"
            )
    facts["calibration from"] = dataset.calibration_from
    names = dataset.class_names
    for output, info in dataset.label_infos.items():
        facts[f"labels {output}".strip()] = info.text
    if names:
        facts["classes"] = f"{len(names)}: {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}"
    if dataset.notes:
        facts["notes"] = "; ".join(dataset.notes)
    session.data, session.current = data, None
    return Facts(dataset, title=f"Data {dataset.name}", facts=facts)


@click.command()
@click.argument("study")
@flags.store_option
@click.pass_obj
def dashboard(session: NotebookFrontEnd, study: str, store: str | None) -> Said:
    """Show the live trade-off chart of STUDY."""
    return Said(session.study(study, store).dashboard())


def _shape(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("?" if d is None else str(d) for d in shape) + ")"
