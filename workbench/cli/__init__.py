"""The command line: a leaf that nobody imports; what the verbs do is in `workbench.commands`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; exit 0 done, 1 a run failed, 2 bad usage, 130 interrupted."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from workbench.cli.loading import INTERRUPTED, INTERRUPTED_CODE, loading

    with loading():
        from workbench.cli.app import run
        from workbench.errors import Cancelled, WorkbenchError

    try:
        sys.exit(run(sys.argv[1:]))
    except WorkbenchError as error:
        _fail(str(error), 2)
    except (KeyboardInterrupt, Cancelled):
        _fail(INTERRUPTED, INTERRUPTED_CODE)
    except BrokenPipeError:
        os._exit(1)
    except Exception as error:
        import click

        if isinstance(error, click.Abort):
            _fail(INTERRUPTED, INTERRUPTED_CODE)
        if not isinstance(error, click.ClickException):
            raise
        error.show()
        sys.exit(2)


def _fail(message: str, code: int) -> None:
    # A message may name a file whose name is no text.
    print(f"workbench: {message.encode('utf-8', 'backslashreplace').decode()}", file=sys.stderr)
    sys.exit(code)
