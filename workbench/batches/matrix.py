"""The batch file: a matrix of models, datasets, grids and seeds over one notebook, checked whole before anything runs."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench import registry
from workbench.engine.request import check_runtimes, make_grid
from workbench.errors import WorkbenchError, shown, unknown
from workbench.files import kind_of
from workbench.names import file_stem
from workbench.recipes.document import check_plain, load_document
from workbench.recipes.grammar import parse_runtime
from workbench.recipes.grid import Grid, expand, grid_dict, load_grid, parse_grid, parse_runtimes
from workbench.registry import Registry
from workbench.sources.identify import BUNDLED, identify
from workbench.values.base import Value, digest
from workbench.values.limits import SPELLINGS, read_limits
from workbench.values.settings import MOST_SEED
from workbench.values.source import SourceKind

KEYS = ("template", "matrix", "parameters", "gate", "gates", "runtimes", "store")
AXES = {"models": "model", "datasets": "data", "grids": "grid", "seeds": "seed"}
# A name for each, a row in its index.
MOST_RUNS = 10_000
# What the batch itself says to each run.
OWN = (*AXES.values(), "study", "store", "runtimes", "gate")


class PlannedRun(Value):
    """One run: its id, the notebook's parameters, and whether its sweep measures; `inputs` are the hashes of what goes in."""

    id: str
    model: str
    data: str
    grid: str
    seed: int
    parameters: dict[str, Any]
    measures: bool
    inputs: dict[str, str] = {}


class Matrix(Value):
    """A checked batch: the notebook, where its work is kept (None: the batch's own folder), and its runs."""

    template: str
    store: str | None = None
    runs: tuple[PlannedRun, ...]


def load_matrix(source: str | Path | Mapping[str, Any]) -> Matrix:
    """Return the checked batch of a YAML file or a mapping; files named in it are looked for beside it, then here.

    Raises WorkbenchError for the first thing that is wrong, with the nearest and the allowed names.
    """
    if isinstance(source, Mapping):
        return read_matrix(source, Path.cwd())
    path = Path(source)
    data = load_document(path, "batch file")
    if not isinstance(data, dict):
        raise WorkbenchError(f"batch file {str(source)!r} is a mapping with the keys {', '.join(KEYS)}.")
    return read_matrix(data, path.resolve().parent)


def read_matrix(data: Mapping[str, Any], folder: Path) -> Matrix:
    """Return the checked batch that a mapping describes; `folder` is where files it names are looked for first."""
    check_plain(dict(data), "the batch")
    _known("batch key", data, KEYS)
    matrix = data.get("matrix")
    if not isinstance(matrix, Mapping):
        raise WorkbenchError("a batch needs `matrix:` with the lists models, datasets, grids and seeds.")
    _known("matrix key", matrix, AXES)
    template, takes = _template(data.get("template", "sweep_report"), folder)
    for axis, parameter in AXES.items():
        if axis in matrix and parameter not in takes:
            raise WorkbenchError(
                f"the notebook {Path(template).stem!r} takes no {parameter!r}, so {axis!r} has no use. It takes: {', '.join(takes)}."
            )
    common = _common(data.get("parameters"), takes)
    models = _models(_values(matrix, "models", None), folder)
    datasets = _datasets(_values(matrix, "datasets", ["digits"]), folder)
    runtimes = parse_runtimes(data["runtimes"]) if data.get("runtimes") else None
    grids = _grids(_values(matrix, "grids", [{}]), folder, runtimes)
    seeds = _seeds(_values(matrix, "seeds", [])) if "seeds" in matrix else [None]
    gates = _gates(data, list(models))
    count = len(models) * len(datasets) * len(grids) * len(seeds)
    if count > MOST_RUNS:
        raise WorkbenchError(
            f"the batch stands for {count:,} runs (models {len(models):,} x datasets {len(datasets):,} x grids {len(grids):,} x seeds {len(seeds):,}). Allowed: at most {MOST_RUNS:,}."
        )
    for m, model in models.items():
        for g, grid in grids.items():
            try:
                expand(grid, model[2])
            except WorkbenchError as error:
                raise WorkbenchError(f"grid {g!r} does not fit model {m!r}: {error}") from None
    runs = []
    for (m, model), (d, dataset), (g, grid), seed in itertools.product(
        models.items(), datasets.items(), grids.items(), seeds
    ):
        chosen = grid.train.seed if seed is None else seed
        parameters = {**common, "model": model[0], "data": dataset[0], "grid": grid_dict(grid), "seed": chosen}
        if gates.get(m) is not None and "gate" in takes:
            parameters["gate"] = gates[m]
        inputs = {"model": model[1], "data": dataset[1], "grid": digest(grid.to_json())}
        runs.append(
            PlannedRun(
                id=_slug(f"{m}-{d}-{g}-{chosen}"),
                model=m,
                data=d,
                grid=g,
                seed=chosen,
                parameters={k: v for k, v in parameters.items() if k in takes},
                measures=not grid.measure.skip,
                inputs=inputs,
            )
        )
    counts = Counter(run.id for run in runs)
    # Different names can be one text once they are fit for a file.
    runs = [run if counts[run.id] == 1 else run.model_copy(update={"id": _apart(run)}) for run in runs]
    store = data.get("store")
    return Matrix(template=template, store=None if store is None else _place(str(store), folder), runs=tuple(runs))


def _known(what: str, data: Mapping[str, Any], allowed: Any) -> None:
    for key in data:
        if key not in allowed:
            raise unknown(what, str(key), allowed)


def _template(name: Any, folder: Path) -> tuple[str, list[str]]:
    """Return a notebook by name or path, and the parameters that it takes."""
    from workbench.report import templates

    text = str(name)
    near = folder / text
    source = templates.find(near if text.endswith(".ipynb") and near.is_file() else text)
    takes = templates.parameters_of(templates.read(source))
    return str(source if text.endswith(".ipynb") else text), takes


def _common(given: Any, takes: Sequence[str]) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise WorkbenchError(f"`parameters` is a mapping of the notebook's parameters, not {shown(given)}.")
    for key in given:
        if key in OWN:
            raise WorkbenchError(
                f"parameter {key!r} is set by the batch itself: `matrix`, `runtimes`, `gates` and `store` say what it is."
            )
        if key not in takes:
            raise unknown("parameter", str(key), [t for t in takes if t not in OWN])
    return dict(given)


def _values(matrix: Mapping[str, Any], axis: str, default: list[Any] | None) -> list[tuple[str | None, Any]]:
    """Return an axis as pairs of a name (None: to be found) and a value: a list, one value, or a mapping of names to values."""
    value = matrix.get(axis, default)
    if value is None:
        raise WorkbenchError(f"`matrix` needs {axis!r}, a list.")
    if axis != "grids" and isinstance(value, Mapping):
        found: list[tuple[str | None, Any]] = [(str(k), v) for k, v in value.items()]
    elif axis == "grids" and isinstance(value, Mapping) and not _is_grid(value):
        found = [(str(k), v) for k, v in value.items()]
    else:
        found = [(None, v) for v in (value if isinstance(value, (list, tuple)) else [value])]
    if not found:
        raise WorkbenchError(f"`matrix` has an empty list {axis!r}; give it a value or leave it out.")
    return found


def _is_grid(value: Mapping[str, Any]) -> bool:
    """Whether a mapping is a grid rather than names with grids: no value of it is a file or a grid itself."""
    return not value or not all(isinstance(v, (str, Mapping)) for v in value.values())


def _models(values: Sequence[tuple[str | None, Any]], folder: Path) -> dict[str, tuple[str, str, SourceKind]]:
    """Return models by name: what the notebook is told, the hash of the content, and its kind."""
    found: dict[str, tuple[str, str, SourceKind]] = {}
    for name, value in values:
        told = str(value) if str(value) in BUNDLED else _place(str(value), folder, registry.sources)
        info = identify(told, folder)
        _add("model", found, name or info.name, (told, info.sha256, info.kind))
    return found


def _datasets(values: Sequence[tuple[str | None, Any]], folder: Path) -> dict[str, tuple[str, str]]:
    from workbench.batches.content import data_sha256

    found: dict[str, tuple[str, str]] = {}
    for name, value in values:
        told = str(value)
        text, mark, query = told.partition("?")
        _, path = registry.datasets.named(text)
        if kind_of(folder / path) != "nothing":
            told = f"{_place(text, folder, registry.datasets)}{mark}{query}"
        _add("dataset", found, name or Path(path).stem, (told, data_sha256(told)))
    return found


def _grids(values: Sequence[tuple[str | None, Any]], folder: Path, runtimes: Any) -> dict[str, Grid]:
    found: dict[str, Grid] = {}
    for position, (name, value) in enumerate(values, 1):
        if isinstance(value, (str, Path)):
            grid = load_grid(_place(str(value), folder))
            label = name or Path(value).stem
        else:
            grid = parse_grid(value or None)
            label = name or ("grid" if len(values) == 1 else f"grid{position}")
        checked = make_grid(grid, runtimes, None)
        if not checked.measure.skip:
            check_runtimes(checked.runtimes)
        _add("grid", found, label, checked)
    return found


def _seeds(values: Sequence[tuple[str | None, Any]]) -> list[int | None]:
    found: dict[int | None, None] = {}
    for _, value in values:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0 or value > MOST_SEED:
            raise WorkbenchError(f"seed {shown(value)} is no whole number of 0 and up, at most {MOST_SEED}.")
        found[value] = None
    return list(found)


def _gates(data: Mapping[str, Any], models: Sequence[str]) -> dict[str, dict[str, Any] | None]:
    """Return the limits of each model: `gate`, the same for all, and over it `gates`, by model."""
    common, special = data.get("gate"), data.get("gates")
    if (
        isinstance(special, Mapping)
        and special
        and not any(k in models for k in special)
        and any(k in SPELLINGS for k in special)
    ):
        # Limits right below `gates` hold for all.
        common, special = {**(common or {}), **special}, None
    for key, value in (("gate", common), ("gates", special)):
        if value is not None and not isinstance(value, Mapping):
            raise WorkbenchError(f"`{key}` is a mapping of limits such as {{max_size: 100KB}}, not {shown(value)}.")
    _known("model of gates", special or {}, models)
    found: dict[str, dict[str, Any] | None] = {}
    for model in models:
        mine = (special or {}).get(model) or {}
        if not isinstance(mine, Mapping):
            raise WorkbenchError(
                f"`gates: {model}` is a mapping of limits such as {{max_size: 100KB}}, not {shown(mine)}."
            )
        # Each by itself first, so that one spelling stands over another.
        limits = {**read_limits(common or {}, "gate").given(), **read_limits(mine, "gate").given()}
        gate = read_limits(limits, "gate")
        gate.check_runtimes(parse_runtime)
        if limits and not gate.bounds:
            raise WorkbenchError(
                "a gate needs a limit: max_size, max_compressed, max_drop, max_latency_ms, max_memory, min_delegated or figures."
            )
        found[model] = limits or None
    return found


def _place(text: str, folder: Path, names: Registry[Any] | None = None) -> str:
    """Return the whole path of a file beside the batch file, else of one here; a URL stays as it is, and a name of `names` before the path."""
    if "://" in text:
        return text
    said, path = names.named(text) if names else (None, text)
    near = folder / path
    place = str((Path(path) if kind_of(near) == "nothing" else near).resolve())
    return f"{said.name}:{place}" if said else place


def _add(what: str, found: dict[str, Any], name: str, value: Any) -> None:
    if name in found:
        if found[name] == value:
            return
        raise WorkbenchError(f"two {what}s have the name {name!r}. Name them apart: {{NAME: ...}} instead of a list.")
    found[name] = value


def _apart(run: PlannedRun) -> str:
    return f"{run.id}-{digest([run.model, run.data, run.grid, run.seed])[:6]}"


def _slug(text: str) -> str:
    return file_stem(re.sub(r"[^\w.-]+", "-", text).strip("-."))
