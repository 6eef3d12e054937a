"""The command group; a command's module is loaded when it is called."""

from __future__ import annotations

import importlib

import click

import workbench
from workbench.cli.loading import loading

COMMANDS = {
    "demo": ("workbench.cli.sweeping:demo", "The bundled model and data, a sweep, a report; the first thing to run."),
    "sweep": ("workbench.cli.sweeping:sweep", "Try every recipe of a grid on a model."),
    "studies": ("workbench.cli.asking:studies", "List the studies in the store."),
    "show": ("workbench.cli.asking:show", "Show a study's trials."),
    "pareto": ("workbench.cli.asking:pareto", "Show the trials that no other beats in two metrics."),
    "best": ("workbench.cli.asking:best", "Name the smallest trial that keeps the constraints."),
    "inspect": ("workbench.cli.files:inspect", "Show what a .tflite file holds."),
    "bench": ("workbench.cli.running:bench", "Measure one .tflite file."),
    "compare": ("workbench.cli.running:compare", "Measure one .tflite file on many runtimes side by side."),
    "export": ("workbench.cli.files:export", "Write a trial's file with labels, card and predict.py."),
    "report": ("workbench.cli.files:report", "Write a study as one HTML file."),
    "doctor": ("workbench.cli.running:doctor", "Say what works here, and what is missing and how to get it."),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name][0].split(":")
        with loading():
            command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from workbench.errors import unknown

            raise unknown("command", args[0], COMMANDS, "`workbench --help` explains them.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(workbench.__version__, prog_name="workbench")
def app() -> None:
    """Optimize TensorFlow Lite models: try, check, measure, choose.

    The store is .workbench in the current folder; --store or WORKBENCH_STORE name another.
    Exit status: 0 done, 1 a run failed, 2 bad usage.
    """
