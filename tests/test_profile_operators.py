"""Time by operator: what LiteRT's profiler tells, which operator of the file it belongs to, and where it is kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import to_tflite
from trials import make_trial, measured

from workbench.api import bench
from workbench.flatbuffer.reader import read_model
from workbench.flatbuffer.records import Graph, Operator
from workbench.runtimes.litert_profile import _places
from workbench.store.store import Store, runtime_key
from workbench.values.trial import Measurement, OpProfile, OpTime
from workbench.views.runtimes import node_data, profile_rows


@pytest.fixture(scope="module")
def layered_tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four convolutions, pooling and a dense layer, each long enough for a clock of microseconds."""
    import tf_keras

    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(4)
    image = layers.Input((48, 48, 8), batch_size=1, name="image")
    x: Any = image
    for _ in range(4):
        x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Dense(6, activation="softmax")(layers.Flatten()(x))
    return to_tflite(tf_keras.Model(image, x), tmp_path_factory.mktemp("layered") / "layered.tflite")


def operators_of(path: Path) -> list[str]:
    (graph,) = read_model(path.read_bytes(), path.name).graphs
    return [o.name for o in graph.operators]


def benched(path: Path, runtime: str) -> Measurement:
    (made,) = bench(path, [runtime], budget=0.5, half_width=0.5, profile=True)
    assert (made.state, made.error) == ("ok", None)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["xnnpack", "builtin"])
def test_the_operators_times_add_up_to_the_inference(layered_tflite: Path, runtime: str) -> None:
    """Within what other work on the machine does to a mean of times; an operator's time in another unit is a thousandfold off."""
    shares = []
    for _ in range(3):
        made = benched(layered_tflite, runtime)
        assert made.profile is not None
        assert made.latency_ms is not None
        assert made.profile.kind == "measured"
        assert made.profile.invocations is not None
        assert made.profile.invocations >= 10
        shares.append(made.profile.total_ms / made.latency_ms.median)
        if 0.2 < shares[-1] < 50:
            return
    pytest.fail(f"the sum of the operators over the median is {shares}")


@pytest.mark.slow
@pytest.mark.parametrize("file", ["layered_tflite", "small_tflite", "small_int8_tflite", "two_input_tflite"])
def test_builtins_operators_are_the_files(file: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(file)
    profile = benched(path, "builtin").profile
    assert profile is not None
    expected = operators_of(path)
    by_index = {o.index: o.name for o in profile.operators}
    assert len(by_index) == len(profile.operators)
    assert by_index == dict(enumerate(expected))
    assert {o.place for o in profile.operators} == {"LiteRT"}
    assert all(o.label for o in profile.operators)


@pytest.mark.parametrize("file", ["layered_tflite", "small_tflite", "small_int8_tflite"])
def test_xnnpacks_operators_keep_the_files_order(file: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(file)
    profile = benched(path, "xnnpack").profile
    assert profile is not None
    indices = [o.index for o in profile.operators]
    known = [i for i in indices if i is not None]
    assert known == indices, [(o.index, o.name) for o in profile.operators]
    assert known == sorted(known)
    assert set(known) == set(range(len(operators_of(path))))
    assert "XNNPACK" in {o.place for o in profile.operators}


def test_reference_tells_no_times(small_tflite: Path) -> None:
    assert benched(small_tflite, "reference").profile is None


def test_nothing_is_profiled_unasked(small_tflite: Path) -> None:
    (made,) = bench(small_tflite, ["xnnpack"], budget=0.1, half_width=0.9)
    assert (made.state, made.profile) == ("ok", None)


# ---- what is made of it


def profile_of(*operators: tuple[int | None, str, float]) -> OpProfile:
    made = tuple(OpTime(index=i, name=n, label=f"net/{n};{n}", place="LiteRT", ms=ms) for i, n, ms in operators)
    return OpProfile(source="a test", invocations=3, operators=made)


def test_node_data_is_keyed_by_the_operators_place() -> None:
    profile = profile_of((0, "CONV_2D", 2.0), (1, "Add", 0.5), (1, "Clamp", 0.25), (None, "Copy", 9.0))
    found = node_data(profile, "main")
    assert list(found) == ["main"]
    assert found["main"]["results"] == {"0": {"value": 2.0}, "1": {"value": 0.75}}
    gradient = found["main"]["gradient"]
    assert [g["stop"] for g in gradient] == [0, 1]
    assert all(g["bgColor"].startswith("#") for g in gradient)
    assert json.loads(json.dumps(found)) == found


def test_the_command_writes_node_data(small_tflite: Path, tmp_path: Path) -> None:
    out = tmp_path / "times.json"
    command = [sys.executable, "-m", "workbench", "bench", str(small_tflite), "--runtime", "builtin"]
    done = subprocess.run(
        [*command, "--budget", "0.2", "--node-data", str(out)],
        capture_output=True, text=True, timeout=600, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = json.loads(out.read_text())
    assert list(written) == ["main"]
    results = written["main"]["results"]
    assert [int(i) for i in results] == list(range(len(operators_of(small_tflite))))
    assert all(set(r) == {"value"} and r["value"] >= 0 for r in results.values())
    assert "Operators on builtin" in done.stdout


def test_rows_begin_with_the_longest() -> None:
    profile = profile_of((0, "ADD", 1.0), (1, "CONV_2D", 3.0), (2, "MUL", 0.0))
    rows = profile_rows(profile)
    assert [(r["operator"], r["index"], r["share"]) for r in rows] == [
        ("CONV_2D", 1, "75.0%"),
        ("ADD", 0, "25.0%"),
        ("MUL", 2, "0.0%"),
    ]
    assert rows[0]["layer"] == "CONV_2D"
    assert profile_rows(profile, 1) == rows[:1]
    assert profile_rows(OpProfile(source="none")) == []


# ---- whose operator it is


def graph_of(*names: str) -> Graph:
    return Graph((), tuple(Operator(n, (), (), (False, False)) for n in names), (), ())


CONV, DENSE = "Convolution (NHWC, F32) IGEMM", "Fully Connected (NC, F32) GEMM"


@pytest.mark.parametrize(
    ("names", "file", "own", "expected"),
    [
        ([CONV, "Softmax (NC, F32)"], ["CONV_2D", "SOFTMAX"], [], [0, 1]),
        ([CONV, CONV, DENSE], ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"], [], [0, 1, 2]),
        # Split into a sum and its clamp, a transposition before a product.
        (["Add (ND, F32)", "Clamp (NC, F32)", CONV], ["ADD", "CONV_2D"], [], [0, 0, 1]),
        # LiteRT's own kernel ran the second.
        ([CONV, DENSE], ["CONV_2D", "GATHER", "FULLY_CONNECTED"], [1], [0, 2]),
        ([], ["GATHER"], [0], []),
    ],
)
def test_places_that_can_be_told(names: list[str], file: list[str], own: list[int], expected: list[int]) -> None:
    assert list(_places(names, graph_of(*file), set(own))) == expected


@pytest.mark.parametrize(
    ("names", "file"),
    [
        (["Brand New Kernel", CONV], ["CONV_2D"]),  # begins with nothing of the file
        ([CONV], ["CONV_2D", "FULLY_CONNECTED"]),  # one operator is never met
        ([DENSE, CONV], ["CONV_2D", "FULLY_CONNECTED"]),  # another order
        ([CONV, "Anything"], ["CONV_2D", "AN_UNKNOWN_OPERATOR"]),
        ([CONV], []),
    ],
)
def test_where_names_and_file_do_not_go_together_no_place_is_guessed(names: list[str], file: list[str]) -> None:
    assert list(_places(names, graph_of(*file), set())) == [None] * len(names)


# ---- in the store


def test_profiles_are_kept_apart_from_trials(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    profile = profile_of((0, "CONV_2D", 2.0), (None, "Copy", 0.5))
    made = measured("xnnpack", 2.5, {"threads": 1}).model_copy(update={"profile": profile})
    plain = measured("builtin", 3.5, {"threads": 1})
    trial = make_trial(measurements=(made, plain))
    store.save_trial("s", trial, "key", 0)
    for measurement in trial.measurements:
        store.save_measurement("s", trial.id, measurement, "key", np.arange(3))
    again = Store(store.root)
    key = (trial.id, runtime_key("xnnpack", {"threads": 1}), "")
    assert again.op_profiles("s") == {key: profile}
    assert again.op_profiles("other") == {}
    (found,) = again.trials("s")
    assert [m.runtime for m in found.measurements] == ["xnnpack", "builtin"]
    assert [m.profile for m in found.measurements] == [None, None]
    assert found.measurements[0] == made.model_copy(update={"profile": None})

    newer = profile_of((0, "CONV_2D", 1.0))
    again.save_measurement("s", trial.id, made.model_copy(update={"profile": newer}), "key", None)
    assert Store(store.root).op_profiles("s") == {key: newer}
