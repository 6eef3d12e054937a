"""What a trial came to, in the few words of a table's cell."""

from __future__ import annotations

from typing import Any

# Of data that is made up, small and random on purpose.
OF_DATA = ("calibration-few-samples", "accuracy-dropped", "noisy-measurement")


def cell(trial: Any) -> str:
    """Return `ok`, `ok (KIND, ...)` with the warnings that count, `failed (NAME)` with the name of a known failure, or `failed: REASON`."""
    from workbench.values.explained import KNOWN

    if trial.state != "ok":
        error = " ".join(str(trial.error).split())
        known = [k.name for k in KNOWN if k.cause in error]
        return f"failed ({known[0]})" if known else f"failed: {error}"
    kinds = list(dict.fromkeys(w.kind for w in trial.warned if w.kind not in OF_DATA))
    return f"ok ({', '.join(kinds)})" if kinds else "ok"


def seen(trial: Any) -> list[str]:
    """Return what its warnings saw, for whoever looks into a cell."""
    return [f"{w.kind}: {w.seen}" for w in trial.warned] + ([str(trial.error)] if trial.error else [])
