"""What a small `.tflite` can ask of its readers is bounded: parts that are shared until they seem endless, and odd files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import wired

from workbench.errors import WorkbenchError
from workbench.flatbuffer import read_census, read_sizes
from workbench.flatbuffer.budget import Budget, Spent
from workbench.flatbuffer.reader import read_model
from workbench.sources.glance import glance
from workbench.values.source import ModelInfo

SIZE = 1000
# Of a processor that this process has alone or shares: most of a minute is many times what all the files together take.
CPU_SECONDS, MEGABYTES = 60, 700
# One child reads every file and says a line of each: its largest memory is that of the largest. `ru_maxrss` would be its
# parent's, which a process takes over when it begins.
CHILD = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (%d, %d))
import wired
from workbench.errors import WorkbenchError
from workbench.flatbuffer import read_census
from workbench.measure.host import _memory
for make in (*wired.REFUSED, *wired.READ):
    data = make(%d)
    try:
        said = [t.bytes for t in read_census(data).tensors]
    except WorkbenchError as error:
        said = str(error)
    print(json.dumps([make.__name__, len(data), said, _memory("VmHWM") >> 20]), flush=True)
"""


@pytest.fixture(scope="module")
def told() -> dict[str, list[object]]:
    """Return what the census says of each file: its bytes, what was said or found, and the memory of the process."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", CHILD % (CPU_SECONDS, CPU_SECONDS, SIZE)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {name: rest for name, *rest in rows} | {"": [done.stderr]}


@pytest.mark.parametrize("make", wired.REFUSED, ids=lambda f: f.__name__)
def test_a_file_that_shares_its_parts_without_end_is_refused(make: wired.Making, told: dict[str, list[object]]) -> None:
    """Tables, strings and vectors count each time they are read."""
    assert make.__name__ in told, f"killed at {CPU_SECONDS} s of processor time, or {told['']}"
    _, said, megabytes = told[make.__name__]
    reason = "dimensions" if make is wired.a_shape_of_many_dimensions else "its tables point to one another"
    assert isinstance(said, str)
    assert reason in said
    assert "Convert the model again" in said
    assert isinstance(megabytes, int)
    assert megabytes < MEGABYTES


@pytest.mark.parametrize("make", wired.READ, ids=lambda f: f.__name__)
def test_a_file_that_shares_as_writers_do_is_read(make: wired.Making, told: dict[str, list[object]]) -> None:
    """One constant of thousands of tensors is one constant, looked at once."""
    assert make.__name__ in told, f"killed at {CPU_SECONDS} s of processor time, or {told['']}"
    size, said, megabytes = told[make.__name__]
    assert isinstance(said, list)
    assert isinstance(size, int)
    assert 0 < sum(said) < size
    assert isinstance(megabytes, int)
    assert megabytes < MEGABYTES


def test_all_doors_are_bounded(tmp_path: Path) -> None:
    """A sweep's look at its source reads the same way as the census."""
    path = tmp_path / "endless.tflite"
    path.write_bytes(wired.many_tensors_in_many_graphs(3000))
    info = ModelInfo(name="endless", kind="tflite", path=str(path), sha256="0" * 64)
    for read in (lambda: glance(info), lambda: read_census(path), lambda: read_model(path.read_bytes(), path.name)):
        with pytest.raises(WorkbenchError, match=r"endless\.tflite.*its tables point to one another"):
            read()


def test_a_budget_is_spent_to_its_end() -> None:
    """The last of it may be spent, and what asks first and is refused costs nothing."""
    budget = Budget(10, times=2, always=5)
    budget.spend(20)
    assert not budget.allows(6)
    assert budget.allows(5)
    with pytest.raises(Spent):
        budget.spend(1)


def test_what_real_files_take_of_their_budget(
    small_tflite: Path, small_int8_tflite: Path, two_input_tflite: Path
) -> None:
    """Files that converters write are far from the bound: each part is read about once, as their own bytes say."""
    from workbench.flatbuffer.reader import _Bounded, _Reader

    for path in (small_tflite, small_int8_tflite, two_input_tflite):
        reader = _Reader(_Bounded(path.read_bytes()))
        before = reader.structure.left, reader.constants.left
        reader.model()
        taken = [b - left for b, left in zip(before, (reader.structure.left, reader.constants.left), strict=True)]
        assert sum(taken) <= path.stat().st_size


@pytest.mark.parametrize("read", [read_census, read_sizes])
def test_odd_files_are_refused_at_once(read: object, tmp_path: Path) -> None:
    """Nothing is waited for, and nothing is read that would not end or not fit."""
    assert callable(read)
    pipe, huge = tmp_path / "pipe.tflite", tmp_path / "huge.tflite"
    os.mkfifo(pipe)
    with huge.open("wb") as file:
        file.truncate(1 << 43)
    link = tmp_path / "link.tflite"
    link.symlink_to("/dev/zero")
    circle = tmp_path / "circle.tflite"
    circle.symlink_to(circle)
    for path, said in (
        (pipe, "is no regular file"),
        (huge, "is larger than this machine's memory"),
        (link, "is no regular file"),
        (Path("/dev/null"), "is no regular file"),
        (circle, "cannot be read"),
        (tmp_path, "is a folder"),
        (tmp_path / "none.tflite", "does not exist"),
        (tmp_path / ("long" * 100), "cannot be read"),
        (Path("zero\0byte.tflite"), "cannot be read"),
        (pipe / "below.tflite", "cannot be read"),
    ):
        with pytest.raises(WorkbenchError, match=said):
            read(path)
