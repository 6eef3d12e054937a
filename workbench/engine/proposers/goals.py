"""What searches go by: file size and the primary figure, both to be small, and by how much limits are missed."""

from __future__ import annotations

import math
from typing import NamedTuple

from workbench.values.limits import Limits
from workbench.values.trial import Trial
from workbench.views.columns import Columns
from workbench.views.holding import Holder
from workbench.views.pareto import losses_of


class Goals(NamedTuple):
    """Bytes of the file, and the primary figure (agreement where there are no labels), turned so that less is better."""

    size: float
    loss: float


def goals_of(trial: Trial) -> Goals | None:
    """Return both goals of a trial, None where it is not ok or was not evaluated."""
    if trial.state != "ok" or trial.size is None or trial.quality is None:
        return None
    (loss,) = losses_of(Columns([trial]))
    return None if loss is None else Goals(float(trial.size.file), loss)


def violations(trial: Trial, baseline: Trial, limits: Limits) -> dict[str, float]:
    """Return by how much each limit on size and quality is missed; positive means missed, endless where there is no file.

    Nothing is measured while building, so limits of a runtime say nothing yet; neither does quality that nobody evaluated.
    """
    built = Limits(size=limits.size, compressed=limits.compressed, drop=limits.drop, figures=limits.figures)
    strict = built.model_copy(update={"strict": limits.strict})
    columns = Columns([baseline] if trial.id == baseline.id else [baseline, trial])
    beyond = Holder(columns, strict).beyond(trial)
    missing = {b.name: math.inf if b.kind in ("size", "compressed") else 0.0 for b in built.bounds}
    return {name: missing[name] if over is None else over for name, over in beyond.items()}
