"""What a grid means before it runs: how many recipes and stages, and roughly how long."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from workbench.engine.choosing import most_trials
from workbench.engine.plan import Stage
from workbench.engine.planning import make_plan
from workbench.engine.pool import available_cores, threads_per_worker
from workbench.recipes.grid import Grid, expand
from workbench.registry import datasets
from workbench.sources.identify import identify
from workbench.store.reader import Reader
from workbench.values.source import DatasetInfo, ModelInfo
from workbench.values.task import TaskSpec

# Starting workers and importing TensorFlow, on 2 cores.
START_SECONDS = 8.0
# Default budget of timing per trial and runtime (see `Measure`), and what opening files and comparing outputs adds.
MEASURE_SECONDS, AROUND_SECONDS = 1.0, 0.3


class Forecast(NamedTuple):
    """Recipes of a grid, stages by kind (each distinct one once), how many are in the store, and rough seconds.

    `basis` says where the seconds come from. `left_out` counts combinations that do not go together. Of a search `tried` recipes are
    the most; which ones, and so which stages, is not known before: seconds are for its share of the grid's.
    """

    recipes: int
    tried: int
    left_out: int
    stages: dict[str, int]
    found: int
    measurements: int
    seconds: float
    basis: str

    @property
    def trainings(self) -> int:
        """Trained stages, each of which serves all recipes that begin with it."""
        return self.stages.get("train", 0)


def forecast(
    model: Any, data: Any, grid: Grid, store: Reader, jobs: int | None = None, allow_code: bool = False
) -> Forecast:
    """Return what a sweep would do; raises WorkbenchError for a grid that does not fit the model.

    Seconds are the median ones of each kind of stage in this store's studies of the model, else rough ones; neither
    knows how fast other data trains.
    """
    info = identify(model, store.models, allow_code)
    expansion = expand(grid, info.kind)
    dataset, tasks = _dataset(info, data, store)
    plan = make_plan(expansion.recipes, info, dataset, grid, tasks or {}, threads_per_worker(jobs or available_cores()))
    done = set() if tasks is None else set(store.stages(plan.stages))
    seconds = _seconds_by_kind(info, store)
    todo = [s for k, s in plan.stages.items() if k not in done]
    work = sum(_cost(s, seconds) for s in todo)
    runtimes = 0 if grid.measure.skip else max(1, len(grid.runtimes))
    # The baseline comes with them.
    tried = most_trials(grid.search, len(plan.ends) - 1) + 1
    work *= tried / len(plan.ends)
    measurements = tried * runtimes
    per_runtime = grid.measure.budget if grid.measure.budget is not None else MEASURE_SECONDS * tried
    timing = runtimes * (per_runtime + AROUND_SECONDS * tried)
    return Forecast(
        recipes=len(plan.ends),
        tried=tried,
        left_out=len(expansion.dropped),
        stages=dict(Counter(s.kind for s in plan.stages.values())),
        found=len(done),
        measurements=measurements,
        seconds=(START_SECONDS if todo else 0.0) + work / (jobs or available_cores()) + timing,
        basis="stages of this model in the store" if seconds else "rough figures, for a small model",
    )


def _dataset(model: ModelInfo, data: Any, store: Reader) -> tuple[DatasetInfo, dict[str, TaskSpec] | None]:
    """Return the dataset as a study of the same model knows it, with its tasks; else one that only serves to count, and None."""
    path = isinstance(data, (str, Path))
    name = Path(datasets.named(str(data).partition("?")[0])[1]).stem if path else getattr(data, "name", "")
    for record in reversed(store.studies()):
        if record.model.sha256 == model.sha256 and record.dataset.name == name:
            return record.dataset, record.tasks
    return DatasetInfo(name=name, sha256="", splits={}, inputs={}), None


def _seconds_by_kind(model: ModelInfo, store: Reader) -> dict[str, float]:
    found: dict[str, list[float]] = defaultdict(list)
    for record in store.studies():
        if record.model.sha256 == model.sha256:
            for profile in store.profiles(record.name):
                for stage in profile.stages:
                    found[stage.kind].append(stage.busy_s)
    return {kind: statistics.median(times) for kind, times in found.items()}


def _cost(stage: Stage, seconds: dict[str, float]) -> float:
    return seconds.get(stage.kind, stage.cost)
