"""A user's own function as task: what it may return, its intervals, what it is known by, and how it reaches other processes."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.errors import StageFailed, WorkbenchError
from workbench.evaluate.quality import quality
from workbench.recipes.task import choose_tasks, parse_tasks
from workbench.tasks import intervals, own
from workbench.tasks.function import Function, FunctionParams
from workbench.values.figure import Figure
from workbench.values.labels import label_info

Array = np.ndarray[Any, Any]
MARGIN = 0.5
PATH = list(sys.path)


def judged(function: Any, outputs: dict[str, Array], y: Array, baseline: dict[str, Array]) -> tuple[Figure, ...]:
    shapes = {n: v.shape[1:] for n, v in outputs.items()}
    tasks = choose_tasks({"": label_info(y)}, shapes, parse_tasks(function))
    return quality(outputs, baseline, {next(iter(outputs)): y}, tasks, 1).figures


def within(outputs: dict[str, Array], y: Array) -> dict[str, Any]:
    error = np.abs(outputs["o"][:, 0] - y)
    return {
        "near": error < MARGIN,
        "error": (error, "low"),
        "rmse": (np.sqrt((error**2).mean()), "low"),
        "correlation": np.corrcoef(outputs["o"][:, 0], y)[0, 1],
    }


def data(count: int = 200) -> tuple[dict[str, Array], Array, dict[str, Array]]:
    draw = np.random.default_rng(0)
    y = draw.normal(size=count)
    outputs, base = ({"o": (y + s * draw.normal(size=count))[:, None]} for s in (0.5, 0.3))
    return outputs, y, base


def test_numbers_per_sample_and_numbers_have_intervals_and_paired_changes() -> None:
    outputs, y, base = data()
    near, error, rmse, correlation = judged(within, outputs, y, base)
    said, truth = outputs["o"][:, 0], y
    errors, before = np.abs(said - truth), np.abs(base["o"][:, 0] - truth)
    assert [near.name, near.unit, near.better] == ["near", "share", "high"]
    assert near.value == (errors < 0.5).mean()
    assert (near.low, near.high) == pytest.approx(intervals.wilson((errors < 0.5).sum(), 200))
    assert [error.better, error.unit] == ["low", "number"]
    assert error.value == pytest.approx(errors.mean())
    # The usual interval of a mean, which the bootstrap comes near.
    half = 1.96 * errors.std() / np.sqrt(200)
    assert (error.low, error.high) == pytest.approx((errors.mean() - half, errors.mean() + half), abs=0.25 * half)
    assert error.change is not None
    half = 1.96 * (errors - before).std() / np.sqrt(200)
    middle = (errors - before).mean()
    assert (error.change.low, error.change.high) == pytest.approx((middle - half, middle + half), abs=0.25 * half)
    # The delta method's standard error of a root of a mean.
    value = np.sqrt((errors**2).mean())
    half = 1.96 * (errors**2).std() / np.sqrt(200) / (2 * value)
    assert rmse.value == pytest.approx(value)
    assert (rmse.low, rmse.high) == pytest.approx((value - half, value + half), abs=0.35 * half)
    assert rmse.change is not None
    assert rmse.change.low > 0
    assert rmse.loss == rmse.change
    # Fisher's interval of a correlation.
    expected = np.tanh(np.arctanh(np.corrcoef(said, truth)[0, 1]) + np.array([-1.96, 1.96]) / np.sqrt(197))
    assert (correlation.low, correlation.high) == pytest.approx(tuple(expected), abs=0.03)


def test_direction_may_be_an_attribute_and_outputs_are_all() -> None:
    def both(outputs: dict[str, Array], y: Array) -> dict[str, float]:
        assert list(outputs) == ["a", "b"]
        return {"gap": float(np.abs(outputs["a"] - outputs["b"]).mean()), "sum": float(y.sum())}

    both.better = {"gap": "low"}  # type: ignore[attr-defined]
    draw = np.random.default_rng(1)
    outputs = {"a": draw.normal(size=(30, 2)), "b": draw.normal(size=(30, 2))}
    gap, total = judged(both, outputs, draw.normal(size=(30, 2)), outputs)
    assert (gap.better, total.better) == ("low", "high")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (3.0, "returned float, no dict"),
        ({}, "returned dict"),
        ({"a": "b"}, "gives a as str"),
        ({"a": np.zeros(3)}, "not one number, nor one for each of 10 samples"),
        ({"a": np.nan}, "not finite"),
        ({"a": np.full(10, np.inf)}, "not finite"),
        ({"size": 1.0}, "names a figure 'size'"),
        ({"a b": 1.0}, "names a figure 'a b'"),
        ({"a_drop": 1.0}, "a_drop"),
        ({"a": (1.0, "up")}, "says that 'up' is better for a. Allowed: low, high"),
        ({"a": (1.0, "low", "metre")}, "says 'metre' is the unit of a"),
        ({"a": [1, [2]]}, "gives a as list"),
    ],
)
def test_what_is_returned_is_checked(returned: Any, message: str) -> None:
    outputs, y, base = data(10)
    with pytest.raises(StageFailed) as error:
        judged(lambda outputs, y: returned, outputs, y, base)
    assert message in str(error.value)


def test_what_the_function_raises_is_told_with_its_place() -> None:
    outputs, y, base = data(10)

    def broken(outputs: dict[str, Array], y: Array) -> dict[str, float]:
        return {"a": outputs["nowhere"].mean()}

    with pytest.raises(StageFailed, match=r"task broken failed: KeyError: 'nowhere' \(test_own_tasks.py:\d+\)"):
        judged(broken, outputs, y, base)


def test_draws_in_which_the_function_fails_are_left_out_unless_they_are_most() -> None:
    outputs, y, base = data(20)

    def rarely(outputs: dict[str, Array], y: Array) -> dict[str, float]:
        if len(set(y[y > np.sort(data(20)[1])[-4]])) == 0:
            raise ValueError("only one class")
        return {"a": float(y.mean())}

    (figure,) = judged(rarely, outputs, y, base)
    assert figure.low < figure.value < figure.high

    def never_again(outputs: dict[str, Array], y: Array) -> dict[str, float]:
        if len(np.unique(y)) < 20:
            raise ValueError("twice the same")
        return {"a": float(y.mean())}

    with pytest.raises(StageFailed, match=r"more than half of 200 draws of samples give no number.*twice the same"):
        judged(never_again, outputs, y, base)


def test_drawing_again_is_bounded_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.tasks.function.SECONDS", 0.0)
    outputs, y, base = data(20)
    calls = []

    def counted(outputs: dict[str, Array], y: Array) -> dict[str, float]:
        calls.append(1)
        return {"a": float(y.mean()), "b": float(y.max())}

    judged(counted, outputs, y, base)
    assert len(calls) == 2 * (1 + 40)


FILE = """
import numpy as np
from beside import SCALE

def score(outputs, y):
    return {"scaled": (np.abs(next(iter(outputs.values())).reshape(len(y), -1).mean(1) - y) * SCALE, "low")}

not_a_function = 3
"""


def written(folder: Path, text: str = FILE, scale: int = 2) -> Path:
    (folder / "mine.py").write_text(text)
    (folder / "beside.py").write_text(f"SCALE = {scale}\n")
    return folder / "mine.py"


def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this were another process."""
    for name in [n for n in sys.modules if n == "beside" or n.startswith("_workbench_task_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(own, "_known", {})
    monkeypatch.setattr(sys, "path", list(PATH))


def test_a_file_is_refused_unless_code_is_allowed_and_does_not_run_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh(monkeypatch)
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef f(outputs, y): return {{}}\n")
    for text in (f"{trap}:f", f"kind={trap}:f", "os.path:join"):
        with pytest.raises(WorkbenchError, match="--allow-code"):
            parse_tasks(text)
    assert not (tmp_path / "ran").exists()
    assert parse_tasks(f"{trap}:f", allow_code=True)[""].name == "function"
    assert (tmp_path / "ran").exists()


def test_a_file_is_known_by_its_content_and_what_it_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sha(**change: Any) -> str:
        fresh(monkeypatch)
        return str(parse_tasks(f"{written(tmp_path, **change)}:score", allow_code=True)[""].options["sha256"])

    first = sha()
    assert sha() == first
    assert sha(text=FILE.replace("* SCALE", "* SCALE * 2")) != first
    assert sha(scale=3) != first
    (tmp_path / "elsewhere").mkdir()
    fresh(monkeypatch)
    moved = written(tmp_path / "elsewhere")
    assert parse_tasks(f"{moved}:score", allow_code=True)[""].options["sha256"] == first


def test_a_module_is_found_as_python_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh(monkeypatch)
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("FACTOR = 5\n")
    (package / "scoring.py").write_text("from .helper import FACTOR\ndef f(outputs, y): return {'a': FACTOR * y}\n")
    monkeypatch.chdir(tmp_path)
    spec = parse_tasks("pack.scoring:f", allow_code=True)[""]
    found = own.known(spec.options["sha256"])
    assert found is not None
    np.testing.assert_array_equal(found.function({}, np.ones(2))["a"], [5, 5])
    for name in [n for n in sys.modules if n.partition(".")[0] == "pack"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("nowhere.py:f", "there is no file"),
        ("{file}:missing", "missing is not there"),
        ("{file}:not_a_function", "not_a_function is no function"),
        ("{file}:", "is no function. Write path.py:function"),
        ("no_such_module_here:f", "there is no module no_such_module_here"),
        ("itertools:chain", "no module itertools with Python source"),
        ("a b:f", "no name of a module"),
        ("{bad}:f", "ZeroDivisionError while its module ran"),
        ("{syntax}:f", "SyntaxError"),
        ("function", "is named as path.py:function"),
        ("clasification:x", "there is no module clasification"),
    ],
)
def test_what_is_no_function_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, message: str) -> None:
    fresh(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text("1 / 0\n")
    (tmp_path / "syntax.py").write_text("def f(:\n")
    text = task.format(file=written(tmp_path), bad=tmp_path / "bad.py", syntax=tmp_path / "syntax.py")
    with pytest.raises(WorkbenchError) as error:
        parse_tasks(text, allow_code=True)
    assert message in str(error.value)


def test_a_lambda_is_known_by_what_it_does() -> None:
    def sha(function: Any) -> str:
        return own.from_callable(function).sha256

    def made(limit: float) -> Any:
        return lambda outputs, y: {"a": (y > limit)}

    def nested(outputs: Any, y: Any) -> Any:
        return {"a": float(sum(v > MARGIN for v in y))}

    assert sha(made(1)) == sha(made(1))
    assert sha(made(1)) != sha(made(2))
    assert sha(lambda outputs, y: {"a": y}) == sha(lambda outputs, y: {"a": y})
    assert sha(lambda outputs, y: {"a": y}) != sha(lambda outputs, y: {"b": y})
    assert sha(lambda outputs, y, k=1: {"a": y}) != sha(lambda outputs, y, k=2: {"a": y})
    before = sha(nested), sha(within)
    global MARGIN
    MARGIN = 0.6
    try:
        assert sha(nested) != before[0]
        assert sha(within) != before[1]
    finally:
        MARGIN = 0.5
    assert (sha(nested), sha(within)) == before


SESSION = """
import sys
from workbench.tasks import own
threshold = 0.5
def helper(v): return v > threshold
def f(outputs, y): return {"a": helper(y)}
print(own.from_callable(f).sha256)
"""


def test_a_notebooks_function_is_the_same_in_another_session() -> None:
    def sha(text: str) -> str:
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert sha(SESSION) == sha("\n\n" + SESSION)
    assert sha(SESSION) != sha(SESSION.replace("0.5", "0.7"))
    assert sha(SESSION) != sha(SESSION.replace("v >", "v <"))


class Scorer:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, outputs: dict[str, Array], y: Array) -> dict[str, Array]:
        return {"a": y * self.factor}

    def method(self, outputs: dict[str, Array], y: Array) -> dict[str, Array]:
        return {"a": y * self.factor}


def scaled(outputs: dict[str, Array], y: Array, factor: float) -> dict[str, Array]:
    return {"a": y * factor}


@pytest.mark.parametrize(
    "function",
    [Scorer(3.0), Scorer(3.0).method, functools.partial(scaled, factor=3.0), lambda outputs, y: {"a": y * 3}],
)
def test_every_kind_of_callable_works_where_this_file_is_not(function: Any, tmp_path: Path) -> None:
    packed = own.from_callable(function).packed
    (tmp_path / "packed").write_bytes(packed)
    code = f"import pickle, numpy as np; f = pickle.load(open({str(tmp_path / 'packed')!r}, 'rb')); print(f({{}}, np.ones(2))['a'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "[3. 3.]", done.stderr


def test_what_cannot_be_carried_is_told(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(WorkbenchError, match="cannot be carried to the workers"):
        parse_tasks(lambda outputs, y: {"a": file.tell()})


def test_a_file_works_where_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker elsewhere has the text of the module, and beside it what lies in the same folder there."""
    fresh(monkeypatch)
    text = FILE.replace("from beside import SCALE", "SCALE = 2")
    spec = parse_tasks(f"{written(tmp_path, text)}:score", allow_code=True)[""]
    params = FunctionParams.model_validate(spec.options)
    packed = Function().pack(params)
    assert packed is not None
    (tmp_path / "mine.py").unlink()
    fresh(monkeypatch)
    y = np.arange(4.0)
    with pytest.raises(StageFailed, match="does not have the function score"):
        Function().judge(params, {"o": y[:, None]}, y)
    Function().unpack(params, packed)
    (score,) = Function().judge(params, {"o": y[:, None] + 1}, y)
    assert score.value == 2
    assert isinstance(pickle.loads(packed), own.FunctionSource)


def test_a_module_that_fails_in_the_worker_fails_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh(monkeypatch)
    spec = parse_tasks(f"{written(tmp_path)}:score", allow_code=True)[""]
    params = FunctionParams.model_validate(spec.options)
    packed = Function().pack(params)
    assert packed is not None
    (tmp_path / "beside.py").unlink()
    fresh(monkeypatch)
    with pytest.raises(StageFailed, match="does not come up in the worker: ModuleNotFoundError"):
        Function().unpack(params, packed)
