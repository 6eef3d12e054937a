"""The verbs, and the group that loads a verb's module when it is called."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import click

from workbench.files import check_current_folder

COMMANDS = {
    "demo": ("workbench.commands.sweeping:demo", "The bundled model and data, a sweep, a report; the first thing to run."),
    "sweep": ("workbench.commands.sweeping:sweep", "Try every recipe of a grid on a model."),
    "preflight": ("workbench.commands.preflighting:preflight", "Tell what techniques can do with a model's layers, and what they will leave."),
    "calibration-sweep": ("workbench.commands.calibrating:calibration_sweep", "Try numbers of calibration samples and draws against quality."),
    "studies": ("workbench.commands.asking:studies", "List the studies in the store."),
    "show": ("workbench.commands.asking:show", "Show a study's trials."),
    "pareto": ("workbench.commands.asking:pareto", "Show the trials that no other beats in two metrics."),
    "best": ("workbench.commands.asking:best", "Name the smallest trial that keeps the constraints."),
    "inspect": ("workbench.commands.files:inspect", "Show what a .tflite file holds."),
    "bench": ("workbench.commands.running:bench", "Measure one .tflite file."),
    "compare": ("workbench.commands.running:compare", "Measure one .tflite file on many runtimes side by side."),
    "export": ("workbench.commands.files:export", "Write a trial's file with labels, card and what runs it."),
    "report": ("workbench.commands.files:report", "Write a study as one HTML file, its notebook beside it."),
    "notebook": ("workbench.commands.files:notebook", "Copy out a notebook that comes along: reports, comparisons, a tour."),
    "batch": ("workbench.commands.batching:batch", "Run a notebook over many models, datasets, grids and seeds."),
    "gate": ("workbench.commands.batching:gate", "Say whether a variant keeps the limits for shipping; exit 0 or 1."),
    "lineage": ("workbench.commands.tracing:lineage", "Tell where a trial comes from: sources, executions, files."),
    "store": ("workbench.commands.storing:store", "Look after the store: info, check, rm, gc, tag, note."),
    "doctor": ("workbench.commands.running:doctor", "Say what works here, and what is missing and how to get it."),
}  # fmt: skip


class Verbs(click.Group):
    """A group of verbs given as `name: (module:attribute, one line)`; `loading` guards the import of a verb's module."""

    def __init__(
        self,
        places: Mapping[str, tuple[str, str]],
        what: str = "command",
        loading: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.places, self.what, self.loading = places, what, loading

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which they are explained."""
        return list(self.places)

    def get_command(self, ctx: click.Context | None, name: str) -> click.Command | None:
        """Return a verb, its module loaded, or None."""
        if name not in self.places:
            return None
        module, attribute = self.places[name][0].split(":")
        with self.loading():
            command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            command = command(name)
        assert isinstance(command, click.Command)
        return command

    def descend(self, words: Sequence[str]) -> tuple[list[str], click.Command | None]:
        """Return the words at the beginning of a line that name a verb, one within a group of verbs too, and the verb itself."""
        path: list[str] = []
        found: click.Command | None = self
        while isinstance(found, Verbs) and len(path) < len(words) and words[len(path)] in found.places:
            found = found.get_command(None, words[len(path)])
            path.append(words[len(path)])
        return path, found if path else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; raises WorkbenchError with the nearest for an unknown one, or where there is no folder to work in."""
        if not ctx.resilient_parsing and not {*args} & {*ctx.help_option_names}:
            check_current_folder()
        if args and args[0] not in self.places and not args[0].startswith("-"):
            from workbench.errors import unknown

            raise unknown(self.what, args[0], self.places, f"`{ctx.command_path} --help` explains them.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.places.items()])
