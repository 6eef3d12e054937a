"""What trained techniques can do with a model's layers, before anything is trained: `preflight`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import click

from workbench.commands import flags
from workbench.commands.host import FrontEnd, pass_host
from workbench.commands.result import Block, Result, Row, Table
from workbench.commands.sweeping import make_grid
from workbench.values.preflight import Can, Preflight, StepPreflight
from workbench.views.units import size_text

SHOWN = 5


@dataclass
class Preflighted(Result):
    """A model's layers, and what asked techniques leave of them."""

    value: Preflight

    def blocks(self) -> Iterable[Block]:
        """Return the table of layers with the reasons below it, then what each technique will leave."""
        found = self.value
        if found.layers:
            yield Table([_layer_row(row) for row in self.rows()], f"Layers of {found.model}")
            yield f"{len(found.layers)} layers, {found.weights:,} weights, {size_text(found.bytes)}. - : the layer has nothing for that technique.\n"
            yield from _reasons(found)
        yield Table(
            [_step_row(s) for s in found.steps],
            "What asked techniques leave untouched",
            "nothing that trains was asked for",
        )
        yield from found.notes

    def data(self) -> dict[str, Any]:
        """Return the layers, and what is left by technique."""
        found = self.value.to_json()
        for step, value in zip(found["steps"], self.value.steps, strict=True):
            step["share"] = value.share
        return found

    def rows(self) -> list[Row]:
        """Return one row per layer; "" where it has nothing for a technique to do."""
        return [
            {
                "layer": layer.layer,
                "kind": layer.kind,
                "weights": layer.weights,
                "bytes": layer.bytes,
                **{
                    key: value
                    for name in _COLUMNS
                    for key, value in ((name, getattr(layer, name).state), (f"{name}_why", getattr(layer, name).why))
                },
            }
            for layer in self.value.layers
        ]


_COLUMNS = ("prunable", "clusterable", "quantizable")


@click.command()
@click.argument("model")
@click.option(
    "--grid", "grid_file", metavar="FILE", help="YAML file with the lists to ask about; instead of the technique flags"
)
@flags.technique_options
@flags.store_option
@click.option(
    "--allow-code",
    is_flag=True,
    help="let the model file run code: Lambda layers, classes of its own, operators on files",
)
@flags.format_option
@pass_host
def preflight(host: FrontEnd, model: str, grid_file: str | None, form: str, **values: Any) -> Preflighted:
    """Tell which layers of MODEL can be pruned, clustered and quantized, why others cannot, and what techniques will leave untouched.

    Without technique flags or a grid each technique is asked about by itself. Nothing is trained; what was found is kept in the store.
    """
    given = grid_file or any(value for name, value in values.items() if name.startswith("axis_"))
    asked = make_grid(host, grid_file, values) if given else None
    return Preflighted(host.preflight(host.named(model), asked, values["store"], values["allow_code"]), form)


def _layer_row(row: Row) -> Row:
    """Return a row for people: the reasons stand below the table, once each."""
    shown = {k: v for k, v in row.items() if not k.endswith("_why")}
    return {**shown, "bytes": size_text(row["bytes"]), **{name: row[name] or "-" for name in _COLUMNS}}


def _reasons(found: Preflight) -> Iterable[str]:
    """Return each reason why layers cannot, with their names."""
    for column in _COLUMNS:
        by_reason: dict[tuple[str, str], list[str]] = {}
        for layer in found.layers:
            can: Can = getattr(layer, column)
            if can.state in _SAID:
                by_reason.setdefault((can.state, can.why), []).append(layer.layer)
        for (state, why), names in by_reason.items():
            yield f"{_SAID[state]} {column}: {_named(names)} ({why})"


_SAID = {"no": "not", "part": "only in part"}


def _step_row(step: StepPreflight) -> Row:
    if step.error:
        said = f"fails: {step.error}"
    elif not step.known:
        said = "only running it tells"
    else:
        said = _named(list(dict.fromkeys(item.layer for item in step.left))) or "nothing"
    share = "-" if step.error or not step.known else f"{step.share:.1%}".replace("%", " %")
    return {
        "technique": step.technique,
        "in": _named(list(step.asked), 3),
        "share of weights": share,
        "untouched": said,
    }


def _named(names: list[str], most: int = SHOWN) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
