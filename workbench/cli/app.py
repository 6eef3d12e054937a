"""The command group of the command line, and how a verb's result is printed there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

import workbench
from workbench.cli.loading import loading
from workbench.cli.output import print_table
from workbench.cli.progress import TerminalProgress
from workbench.cli.streams import takes_unicode
from workbench.commands.group import COMMANDS, Verbs
from workbench.commands.host import FrontEnd
from workbench.commands.result import Result, Table, ascii_text, csv_text
from workbench.engine.options import SweepOptions
from workbench.handle import RunningSweep
from workbench.names import printable, shell, without_password

if TYPE_CHECKING:
    from workbench.engine.engine import Engine

HELP = """Optimize TensorFlow Lite models: try, check, measure, choose.

The store is .workbench in the current folder; --store or WORKBENCH_STORE name another.
Exit status: 0 done, 1 a run failed, 2 bad usage, 3 the output could not be written.
"""


class Terminal(FrontEnd):
    """The command line: a sweep is waited for, its progress drawn on stderr."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = arguments

    @property
    def command(self) -> str:
        """The line as it was typed, but for passwords: it is kept with what it makes."""
        return shell(["workbench", *map(without_password, self.arguments)])

    def confirm(self, question: str) -> bool:
        """Ask on the terminal, where there is one."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return super().confirm(question)
        return click.confirm(printable(question), err=True)

    def sweep(
        self, model: Any, data: Any, grid: Any, options: SweepOptions, engine: Engine | None = None
    ) -> RunningSweep:
        """Run to the end."""
        from workbench import api

        with TerminalProgress() as progress:
            return api.start_sweep(model, data, grid, options, listener=progress, command=self.command, engine=engine)


app = click.version_option(workbench.__version__, prog_name="workbench")(
    Verbs(
        COMMANDS,
        loading=loading,
        name="workbench",
        help=HELP,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
)


def run(arguments: Sequence[str]) -> int:
    """Run one command, print its result and return the exit status; click's and Workbench's errors are the caller's."""
    found = app(list(arguments), prog_name="workbench", obj=Terminal(arguments), standalone_mode=False)
    # Help and version end in a number.
    return print_result(found) if isinstance(found, Result) else int(found or 0)


def print_result(found: Result) -> int:
    """Print a result in the form asked for, its notes on stderr, and return the exit status."""
    if found.form == "json":
        written = str if takes_unicode(sys.stdout) else ascii_text
        for text in found.texts():
            sys.stdout.write(written(text))
        print()
    elif found.form == "csv":
        print(csv_text(found.rows()), end="")
    else:
        for block in found.blocks():
            if isinstance(block, Table):
                print_table(block.rows, block.title, block.empty)
            else:
                print(printable(str(block)))
    for note in found.said():
        print(f"workbench: {printable(note)}", file=sys.stderr)
    return found.code
