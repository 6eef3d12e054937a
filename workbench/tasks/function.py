"""A user's own function: `function(outputs, y)` returns figures by name."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from pydantic import Field

from workbench.errors import StageFailed
from workbench.tasks import own
from workbench.tasks.base import Array, BaseTask, Shape
from workbench.tasks.scores import AnyScore, Redrawn, mean, share
from workbench.values.figure import Better, Unit
from workbench.values.params import Params

# Metrics that are not a task's, which its figures may not hide.
TAKEN = ("size", "compressed", "sparsity", "latency", "agreement", "sqnr_db", "cosine")
NAMES = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
# Drawing samples again calls the function for each draw: so long at most, once there are enough draws for an interval of some kind.
SECONDS = 30.0
FEWEST = 40


class FunctionParams(Params):
    """Which function it is; made by Workbench from what the user names."""

    name: str = Field(description="name of the function")
    sha256: str = Field(description="hash of its source")


class Function(BaseTask[FunctionParams]):
    """A user's own function of all outputs and the labels.

    It returns a dict from a figure's name to one number per sample `(n)`, or to one number. Which way is better, and the unit, stand beside it,
    `(values, "low")`, `(values, "high", "share")`, or in the function's attribute `better`, a word or a dict by name; else more is better.
    Intervals are the bootstrap over samples; a plain number is worked out again for samples drawn again, in bounded time.
    """

    name = "function"
    help = "your own: path.py:function or module:function with --allow-code, a callable in Python; function(outputs, y) returns figures by name"
    primary = ""
    params = FunctionParams

    def reads(self, params: FunctionParams, output: str, outputs: Mapping[str, Shape]) -> tuple[str, ...]:
        """Return all outputs, the labelled one first."""
        return (output, *(o for o in outputs if o != output))

    def judge(self, params: FunctionParams, outputs: Mapping[str, Array], y: Array) -> Sequence[AnyScore]:
        """Return the figures that the function gives; raises StageFailed where it fails or gives something else."""
        called = _Called(params, _function(params), {n: np.asarray(v) for n, v in outputs.items()}, np.asarray(y))
        return [called.score(name, given) for name, given in called.whole.items()]

    def pack(self, params: FunctionParams) -> bytes | None:
        """Return the function as it goes to workers, None where this process has it not."""
        found = own.known(params.sha256)
        return found.packed if found else None

    def unpack(self, params: FunctionParams, packed: bytes) -> None:
        """Take the function that the user's process sent; raises StageFailed where it does not come up here."""
        try:
            own.receive(params.sha256, packed)
        except Exception as error:  # a user's module may raise anything
            raise StageFailed(
                f"task {params.name} does not come up in the worker: {type(error).__name__}: {error}"
            ) from error


def _function(params: FunctionParams) -> own.Own:
    found = own.known(params.sha256)
    if found is None:
        raise StageFailed(
            f"this process does not have the function {params.name}. Name it again: --task path.py:function."
        )
    return found


class _Given(NamedTuple):
    """What the function gave for one name."""

    values: Array
    better: Better
    unit: Unit | None


class _Called:
    """A function with the outputs and labels that it is called with, again for samples drawn again."""

    def __init__(self, params: FunctionParams, function: own.Own, outputs: dict[str, Array], y: Array) -> None:
        self._name, self._function, self._outputs, self._y = params.name, function, outputs, y
        self.whole = self._call(None)
        self._last: tuple[Array, dict[str, Array]] | None = None

    def score(self, name: str, given: _Given) -> AnyScore:
        """Return one figure: a mean over samples, or a number that is worked out again."""
        title, values = name.replace("_", " ").capitalize(), given.values
        if values.ndim:
            if values.dtype.kind == "b" and given.better == "high":
                return share(name, title, values)
            unit = given.unit or ("share" if values.dtype.kind == "b" else "number")
            return mean(name, title, unit, given.better, values)
        unit = given.unit or "number"
        return Redrawn(name, title, unit, given.better, len(self._y), float(values), lambda d: self._redrawn(d)[name])

    def _redrawn(self, draws: Array) -> dict[str, Array]:
        """Return every plain number for samples drawn again; draws in which the function fails have none."""
        if self._last is None or self._last[0] is not draws:
            names = [n for n, g in self.whole.items() if not g.values.ndim]
            rows: list[list[float]] = []
            reason, begin = "", time.monotonic()
            for index in draws:
                if len(rows) >= FEWEST and time.monotonic() - begin > SECONDS:
                    break
                try:
                    found = self._call(index)
                    rows.append([float(found[n].values) if n in found else np.nan for n in names])
                except (StageFailed, TypeError) as error:
                    # Samples drawn again may lack a class, which some figures do not stand.
                    reason = str(error)
                    rows.append([np.nan] * len(names))
            table = np.array(rows)
            if (np.isnan(table).mean(axis=0) > 0.5).any():
                raise StageFailed(
                    f"task {self._name}: more than half of {len(rows)} draws of samples give no number, so there is no interval. {reason} "
                    "Return one number per sample instead, where the figure is a mean of them."
                )
            self._last = draws, dict(zip(names, table.T, strict=True))
        return self._last[1]

    def _call(self, index: Array | None) -> dict[str, _Given]:
        """Return what the function gives for all samples, or those drawn; raises StageFailed for what is not understood."""
        outputs = self._outputs if index is None else {n: v[index] for n, v in self._outputs.items()}
        y = self._y if index is None else self._y[index]
        try:
            found = self._function(outputs, y)
        except Exception as error:  # a user's function may raise anything
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise StageFailed(
                f"task {self._name} failed: {type(error).__name__}: {str(error)[:300]} ({Path(place.filename).name}:{place.lineno})"
            ) from error
        if not isinstance(found, Mapping) or not found:
            raise self._wrong(f"returned {type(found).__name__}{'' if isinstance(found, Mapping) else ', no dict'}")
        return {str(n): self._given(str(n), v, len(y)) for n, v in found.items()}

    def _given(self, name: str, value: Any, count: int) -> _Given:
        if not NAMES.fullmatch(name) or name in TAKEN or name.endswith("_drop"):
            raise self._wrong(
                f"names a figure {name!r:.80}. Allowed: letters, digits, _ and -, but not {', '.join(TAKEN)} or ..._drop"
            )
        told = getattr(self._function.function, "better", "high")
        better: Any = told.get(name, "high") if isinstance(told, Mapping) else told
        unit: Any = None
        if isinstance(value, tuple) and len(value) in (2, 3) and isinstance(value[1], str):
            value, better, unit = (*value, None)[:3]
        if better not in get_args(Better):
            raise self._wrong(f"says that {better!r:.80} is better for {name}. Allowed: low, high")
        if unit is not None and unit not in get_args(Unit):
            raise self._wrong(f"says {unit!r:.80} is the unit of {name}. Allowed: {', '.join(get_args(Unit))}")
        try:
            values = np.asarray(value)
        except ValueError:
            values = np.asarray(None)
        if values.dtype.kind not in "biuf" or values.shape not in ((), (count,)):
            raise self._wrong(
                f"gives {name} as {type(value).__name__} of shape {values.shape}, not one number, nor one for each of {count} samples"
            )
        if values.ndim and not np.isfinite(values).all():
            raise self._wrong(f"gives values of {name} that are not finite (NaN or infinity)")
        if not values.ndim and not np.isfinite(values):
            raise self._wrong(f"gives {name} as {values}, which is not finite")
        return _Given(values, better, unit)

    def _wrong(self, what: str) -> StageFailed:
        return StageFailed(
            f"task {self._name} {what}. It returns a dict from a figure's name to numbers, or to (numbers, 'low' or 'high')."
        )
