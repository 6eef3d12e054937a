"""The command line: a leaf that nobody imports; what the verbs do is in `workbench.commands`."""

from __future__ import annotations

import gc
import os
import sys
from typing import TextIO


def main() -> None:
    """Run the command line; exit 0 done, 1 a run failed, 2 bad usage, 3 the output could not be written, 130 interrupted."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from workbench.cli.streams import ended, name_files_in_utf8, steady

    name_files_in_utf8()
    steady()
    code = ended(_run())
    # The search for cycles at a process's end would go through all that was read, for nothing.
    gc.freeze()
    sys.exit(code)


def _run() -> int:
    from workbench.cli.loading import INTERRUPTED, INTERRUPTED_CODE, loading

    with loading():
        from workbench.cli.app import run
        from workbench.errors import Cancelled, WorkbenchError

        _say_warnings()
    try:
        return run(sys.argv[1:])
    except WorkbenchError as error:
        return _fail(str(error), 2)
    except (KeyboardInterrupt, Cancelled):
        return _fail(INTERRUPTED, INTERRUPTED_CODE)
    except Exception as error:
        import click

        if isinstance(error, click.Abort):
            return _fail(INTERRUPTED, INTERRUPTED_CODE)
        if not isinstance(error, click.ClickException):
            raise
        error.show()
        return 2


def _say_warnings() -> None:
    """Print our own warnings as all else that is said, without the line of code that they come from."""
    import warnings

    from workbench.errors import PartLeftOut, UnprotectedCluster

    show = warnings.showwarning

    def say(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, (PartLeftOut, UnprotectedCluster)):
            print(f"workbench: {message}", file=sys.stderr)
        else:
            show(message, category, filename, lineno, file, line)

    warnings.showwarning = say


def _fail(message: str, code: int) -> int:
    print(f"workbench: {message}", file=sys.stderr)
    return code
