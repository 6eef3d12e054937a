"""The process that tries files: a line `PATH` or `bench PATH` comes in, a line of JSON goes out for each."""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import traceback
from pathlib import Path

from targets import TARGETS, bench

from workbench.errors import WorkbenchError

MEMORY = 8 << 30


def attempt(path: Path, native: bool) -> dict[str, str]:
    """Return what became of a file: `ok` or `refused` by the first target, or `traceback` of any with its text.

    In LiteRT it is `native` and the state of the measurement.
    """
    state = "ok"
    targets = (bench,) if native else TARGETS[path.suffix]
    for target in targets:
        try:
            # Like a file or a pipe in ASCII: what is printed must not depend on the place either.
            with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), "utf-8")):
                found = target(path)
            if native:
                state = f"native {found}"
        except WorkbenchError as error:
            if not str(error).strip() or len(str(error)) > 5000:
                return {"state": "traceback", "text": f"{target.__name__}: a message of {len(str(error))} characters"}
            state = "refused" if target is targets[0] else state
        except Exception:
            return {"state": "traceback", "text": f"{target.__name__}: {traceback.format_exc()}"}
    return {"state": state, "text": ""}


def main() -> None:
    answers = sys.stdout
    if "--native" not in sys.argv:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        found = attempt(Path(rest), True) if word == "bench" else attempt(Path(line.strip()), False)
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
