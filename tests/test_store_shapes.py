"""JSON of a wrong shape in the store: a row that cannot be read is left out and named, or refused in words; never a traceback."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import store_study
from trials import make_profile, make_record, make_study, make_trial, measured

import workbench
from workbench.cli.app import run
from workbench.data.load import bundled
from workbench.engine.damage import usable
from workbench.engine.plan import Stage
from workbench.errors import WorkbenchError
from workbench.store.reader import Reader, runtime_key
from workbench.store.rows import MOST_LETTERS, read_stage
from workbench.store.store import Store
from workbench.values.graph import Execution
from workbench.values.profile import Profile, StageTime
from workbench.values.source import Signature, TensorInfo

TRIALS = [t for t in make_study() if "prune" not in t.recipe]
Json = dict[str, Any]
# Raw content of a cell, or what makes it from the right one.
Shape = bytes | Callable[[Json], Any]


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def deep_inside(right: Json) -> bytes:
    return json.dumps({**right, "extra": 0}).encode().replace(b'"extra": 0', b'"extra": ' + nested(100_000))


def half(right: Json) -> bytes:
    text = json.dumps(right).encode()
    return text[: len(text) // 2]


SHAPES: dict[str, Shape] = {
    "empty": b"",
    "blank": b"  ",
    "not JSON": b"what?",
    "null": b"null",
    "number": b"17",
    "text": b'"text"',
    "array": b"[]",
    "object without keys": b"{}",
    "array of arrays": b"[[], [[]]]",
    "partially written": half,
    "nested a hundred thousand deep": nested(100_000),
    "nested deep inside": deep_inside,
    "number of 5000 digits": b"1" * 5000,
    "NaN": b"NaN",
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "not UTF-8 at all": b"\xff\xfe\x00\x80",
    "null byte": b'{"a": "\x00"}',
    "lone surrogate": b'{"name": "\\ud800"}',
    "extra key": lambda right: {**right, "since_a_later_version": 1},
    "missing key": lambda right: dict(list(right.items())[1:]),
    "every value null": lambda right: dict.fromkeys(right),
    "every value a text": lambda right: dict.fromkeys(right, "x"),
    "every value an array": lambda right: {k: [] for k in right},
    "every value an object": lambda right: {k: {"a": 1} for k in right},
    "every value a huge number": lambda right: dict.fromkeys(right, 10**400),
    "every value NaN": lambda right: dict.fromkeys(right, float("nan")),
}


def shaped(shape: Shape, right: Json) -> bytes:
    made = shape if isinstance(shape, bytes) else shape(right)
    return made if isinstance(made, bytes) else json.dumps(made).encode()


shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def put(store: Path, table: str, column: str, where: str, content: bytes) -> None:
    """Write a cell as a hand or another program does, whatever the content."""
    db = sqlite3.connect(store / "store.db")
    done = db.execute(f"update {table} set {column} = cast(? as text) where {where}", (content,))
    assert done.rowcount == 1
    db.commit()
    db.close()


def cell(store: Path, table: str, column: str, where: str) -> Json:
    db = sqlite3.connect(store / "store.db")
    found: Json = json.loads(db.execute(f"select {column} from {table} where {where}").fetchone()[0])
    db.close()
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store_study(tmp_path / "store", "digits-sweep", TRIALS)
    store_study(tmp_path / "store", "other", TRIALS[:2])
    return tmp_path / "store"


def said(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a verb: its exit status, what it printed, and what it said beside that."""
    try:
        code = run([*words, "--store", str(folder)])
    except WorkbenchError as error:
        told = capsys.readouterr()
        return 2, told.out, f"{told.err}{error}"
    told = capsys.readouterr()
    return code, told.out, told.err


VERBS = (
    ("show", "digits-sweep"),
    ("show", "digits-sweep", "--format", "json"),
    ("show", "digits-sweep", "--format", "csv"),
    ("pareto", "digits-sweep"),
    ("best", "digits-sweep"),
    ("gate", "digits-sweep", "--max-drop", "0.5"),
)


# ---- studies


@shapes
def test_a_study(folder: Path, shape: Shape, capsys: pytest.CaptureFixture[str]) -> None:
    put(
        folder,
        "studies",
        "record",
        "name = 'other'",
        shaped(shape, cell(folder, "studies", "record", "name = 'other'")),
    )
    code, out, err = said(folder, capsys, "studies")
    assert code == 0
    assert "digits-sweep" in out
    assert "study 'other' cannot be read and is left out: " in err
    for verb in ("show", "pareto", "best", "gate", "report"):
        code, _, err = said(folder, capsys, verb, "other", *(["--max-size", "1MB"] if verb == "gate" else []))
        assert code == 2
        assert "study 'other' cannot be read: " in err
        assert "sweep under another --study" in err
        assert len(err) < 3 * MOST_LETTERS + 300
    assert said(folder, capsys, "show", "digits-sweep")[0] == 0


def test_a_record_under_another_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, "studies", "record", "name = 'other'", make_record("third").model_dump_json().encode())
    assert "its record is that of 'third'" in said(folder, capsys, "studies")[2]


def test_a_sweep_does_not_write_over_a_study_that_it_cannot_read(folder: Path) -> None:
    put(folder, "studies", "record", "name = 'other'", b"{}")
    with pytest.raises(WorkbenchError, match="study 'other' cannot be read"):
        workbench.sweep(bundled("digits_cnn.h5"), "digits", {"quantize": ["float32"]}, study="other", store=folder)
    assert cell(folder, "studies", "record", "name = 'other'") == {}


# ---- trials


@shapes
def test_a_trial(folder: Path, shape: Shape, capsys: pytest.CaptureFixture[str]) -> None:
    bad = TRIALS[1]
    where = f"study = 'digits-sweep' and id = '{bad.id}'"
    put(folder, "trials", "trial", where, shaped(shape, cell(folder, "trials", "trial", where)))
    for verb in VERBS:
        code, out, err = said(folder, capsys, *verb)
        assert code == 0, err
        assert f"trial '{bad.id}' of study 'digits-sweep' cannot be read and is left out: " in err
        assert "the same sweep again makes it" in err
        assert len(err) < 3 * MOST_LETTERS + 300
        if verb == VERBS[1]:
            assert {t["id"] for t in json.loads(out)["trials"]} == {t.id for t in TRIALS} - {bad.id}
    code, _, err = said(folder, capsys, "export", "digits-sweep", bad.id, "--out", str(folder / "out"))
    assert code == 2
    assert f"unknown trial '{bad.id}'" in err


@pytest.mark.parametrize(
    "change",
    [
        {"id": "another"},
        {"artifact": {"path": "x", "sha256": "../../../etc/passwd", "kind": "tflite"}},
        {"artifact": {"path": "x", "sha256": "a" * 64, "kind": "../x"}},
        {"state": "finished"},
        {"steps": [{"technique": 7, "params": {}}]},
        {"warnings": [{"kind": "no such kind", "seen": "", "advice": ""}]},
        {"size": {"file": 10**30, "gzip": 1}},
        {"size": {"file": "large", "gzip": 1}},
        {"census": {"weights": {"int8": 10**400}}},
        {"quality": {"samples": 1, "task": 7}},
        {"measurements": {}},
    ],
    ids=str,
)
def test_a_trial_with_one_thing_wrong(folder: Path, change: Json, capsys: pytest.CaptureFixture[str]) -> None:
    where = f"study = 'digits-sweep' and id = '{TRIALS[1].id}'"
    right = cell(folder, "trials", "trial", where)
    put(folder, "trials", "trial", where, json.dumps({**right, **change}).encode())
    code, _, err = said(folder, capsys, "show", "digits-sweep")
    assert code == 0
    assert "cannot be read and is left out: " in err


def test_many_that_cannot_be_read_are_not_all_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for trial in TRIALS:
        put(folder, "trials", "trial", f"study = 'digits-sweep' and id = '{trial.id}'", b"{}")
    code, _, err = said(folder, capsys, "show", "digits-sweep")
    assert code == 0
    assert len(err.splitlines()) == 6
    assert f"{len(TRIALS) - 5} more like this; `workbench store check` lists all" in err
    code, out, _ = said(folder, capsys, "store", "check", "--format", "json")
    assert code == 1
    assert sum(f["state"] == "unreadable" for f in json.loads(out)["findings"]) == len(TRIALS)
    # What is in order again is not told any more.
    store = Reader(folder)
    assert store.trials("digits-sweep") == []
    for trial in TRIALS:
        text = trial.model_copy(update={"measurements": ()}).model_dump_json().encode()
        put(folder, "trials", "trial", f"study = 'digits-sweep' and id = '{trial.id}'", text)
    assert len(store.trials("digits-sweep")) == len(TRIALS)
    assert store.notes() == ()


def leaves(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in JSON, the whole left out."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    found = [(*path, k) for k, _ in inner]
    return found + [p for k, v in inner for p in leaves(v, (*path, k))]


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(data))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1e308,
        -1e308,
        float("nan"),
        float("inf"),
        2**62,
        -(2**63),
        10**19,
        "",
        "x",
        "ä\n\t",
        [],
        [1],
        {},
        {"a": 1},
    ]
)
WHOLE = make_trial("int8", measurements=[measured("xnnpack", 0.2), measured("micro", 3.0)])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "store"
    store_study(folder, "digits-sweep", [make_trial("float32"), WHOLE])
    return folder


@pytest.mark.slow
@given(data=st.data(), value=ODD)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
def test_any_value_anywhere_in_a_trial(
    kept: Path, data: st.DataObject, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever pydantic lets through, the views can show."""
    right = WHOLE.model_copy(update={"measurements": ()}).to_json()
    path = data.draw(st.sampled_from(leaves(right)))
    content = json.dumps(changed(right, path, value)).encode()
    put(kept, "trials", "trial", f"id = '{WHOLE.id}'", content)
    for verb in VERBS:
        assert said(kept, capsys, *verb)[0] in (0, 1, 2)


@pytest.mark.slow
@given(data=st.data(), value=ODD)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
def test_any_value_anywhere_in_a_measurement(
    kept: Path, data: st.DataObject, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    right = measured("xnnpack", 0.2).to_json()
    path = data.draw(st.sampled_from(leaves(right)))
    put(
        kept,
        "trials",
        "trial",
        f"id = '{WHOLE.id}'",
        WHOLE.model_copy(update={"measurements": ()}).model_dump_json().encode(),
    )
    where = f"trial = '{WHOLE.id}' and runtime like 'xnnpack%'"
    put(kept, "measurements", "measurement", where, json.dumps(changed(right, path, value)).encode())
    for verb in VERBS:
        assert said(kept, capsys, *verb)[0] in (0, 1, 2)


@pytest.mark.slow
@given(data=st.data(), value=ODD)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_value_anywhere_in_a_record(
    kept: Path, data: st.DataObject, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    right = make_record("digits-sweep").to_json()
    path = data.draw(st.sampled_from(leaves(right)))
    put(kept, "studies", "record", "name = 'digits-sweep'", json.dumps(changed(right, path, value)).encode())
    try:
        for verb in (("studies",), *VERBS):
            assert said(kept, capsys, *verb)[0] in (0, 1, 2)
    finally:
        put(kept, "studies", "record", "name = 'digits-sweep'", json.dumps(right).encode())


# ---- measurements and what belongs to them


@shapes
def test_a_measurement(folder: Path, shape: Shape, capsys: pytest.CaptureFixture[str]) -> None:
    bad = TRIALS[1]
    name = runtime_key("xnnpack", {})
    where = f"study = 'digits-sweep' and trial = '{bad.id}' and runtime = '{name}'"
    assert (bad.id, name) in Reader(folder).measurement_keys("digits-sweep", "")
    put(folder, "measurements", "measurement", where, shaped(shape, cell(folder, "measurements", "measurement", where)))
    for verb in VERBS:
        code, _, err = said(folder, capsys, *verb)
        assert code == 0, err
        assert f"the measurement of trial '{bad.id}' of study 'digits-sweep' on xnnpack" in err
        assert "the same sweep again measures it" in err
    (found,) = [t for t in Reader(folder).trials("digits-sweep") if t.id == bad.id]
    assert {m.runtime for m in found.measurements} == {m.runtime for m in bad.measurements} - {"xnnpack"}
    # So that a sweep measures it again.
    assert (bad.id, name) not in Reader(folder).measurement_keys("digits-sweep", "")


@shapes
def test_a_profile_and_the_time_of_operators(folder: Path, shape: Shape) -> None:
    store = Store(folder)
    time = StageTime(kind="train", label="t", worker="w", ready_s=0, started_s=0, ended_s=1, busy_s=1)
    for started in ("a", "b"):
        store.save_profile("digits-sweep", Profile(started=started, workers=2, stages=(time,)))
    for trial in TRIALS[:2]:
        store.save_measurement("digits-sweep", trial.id, measured("micro", 1.0, profile=make_profile()), "k", None)
    store.close()
    for table, where in (("profiles", "started = 'a'"), ("op_profiles", f"trial = '{TRIALS[0].id}'")):
        put(folder, table, "profile", where, shaped(shape, cell(folder, table, "profile", where)))
    study = workbench.open_study("digits-sweep", folder)
    assert [p.started for p in study.profiles] == ["b"]
    assert {trial for trial, _ in study.op_profiles()} == {TRIALS[1].id}
    assert len(study.notes()) == 2
    assert all("cannot be read and is left out: " in n for n in study.notes())


@pytest.mark.parametrize("raw", [b"", b"x", bytes(7), bytes(9), "text", 7, None])
def test_raw_samples(folder: Path, raw: Any) -> None:
    db = sqlite3.connect(folder / "store.db")
    db.execute("update measurements set samples_ns = ?", (raw,))
    db.commit()
    db.close()
    assert Reader(folder).samples_ns("digits-sweep", TRIALS[0].id, runtime_key("xnnpack", {})).size == 0


@pytest.mark.parametrize("at", ["yesterday", b"\xff", float("inf"), -1])
def test_when_it_was_measured(folder: Path, at: Any) -> None:
    db = sqlite3.connect(folder / "store.db")
    db.execute("update measurements set at = ? where runtime like 'xnnpack%'", (at,))
    db.commit()
    db.close()
    assert len(Reader(folder).trials("digits-sweep")) == len(TRIALS)


@pytest.mark.parametrize("column", ["state", "key", "study"])
def test_texts_that_are_not_utf8(folder: Path, column: str, capsys: pytest.CaptureFixture[str]) -> None:
    where = f"study = 'digits-sweep' and id = '{TRIALS[1].id}'"
    put(folder, "trials", column, where, b"\xff\xfe")
    for verb in (("studies",), *VERBS, ("store", "check")):
        assert said(folder, capsys, *verb)[0] in (0, 1)


# ---- stages


RESULT: Json = {"artifact": None, "data": {}, "notes": [], "seconds": 1.0, "pid": 7}


@shapes
def test_a_stage_of_a_wrong_shape_is_not_there(tmp_path: Path, shape: Shape) -> None:
    store = Store(tmp_path / "store")
    for key in "ab":
        store.save_execution(Execution(key=key, kind="finish", seconds=1.0), RESULT)
    put(store.root, "executions", "result", "key = 'a'", shaped(shape, RESULT))
    name = next(n for n, s in SHAPES.items() if s is shape)
    # One key more is nothing that a reader stumbles over.
    expected = {"a", "b"} if name == "extra key" else {"b"}
    assert store.stages("ab").keys() == Reader(store.root).stages("ab").keys() == expected
    store.save_execution(Execution(key="a", kind="finish", seconds=1.0), RESULT)
    assert store.stages("ab").keys() == {"a", "b"}


@pytest.mark.parametrize(
    "change",
    [
        {"artifact": "a"},
        {"artifact": {}},
        {"artifact": {"path": "p", "sha256": "a" * 63, "kind": "h5"}},
        {"artifact": {"path": "p", "sha256": "A" * 64, "kind": "h5"}},
        {"artifact": {"path": "p", "sha256": "../" + "a" * 61, "kind": "h5"}},
        {"artifact": {"path": "p", "sha256": "a" * 64, "kind": "../h5"}},
        {"artifact": {"path": "p", "sha256": "a" * 64, "kind": ""}},
        {"artifact": {"path": 7, "sha256": "a" * 64, "kind": "h5"}},
        {"artifact": [1]},
        {"data": []},
        {"data": None},
        {"data": {"file": {"sha256": 1}}},
        {"notes": "n"},
        {"notes": [1]},
        {"notes": None},
    ],
    ids=str,
)
def test_a_stage_with_one_thing_wrong(change: Json) -> None:
    assert read_stage(json.dumps(RESULT)) == RESULT
    assert read_stage(json.dumps({**RESULT, **change})) is None


def evaluation() -> Json:
    trial = make_trial("int8").to_json()
    return {
        "artifact": trial["artifact"],
        "data": {"file": trial["artifact"], **{k: trial[k] for k in ("size", "census", "quality", "warnings")}},
        "notes": [],
    }


@given(data=st.data(), value=st.sampled_from([None, "x", [], {"a": 1}, 10**400]))
@settings(max_examples=60)
def test_an_evaluation_that_would_make_no_trial_is_made_again(data: st.DataObject, value: Any) -> None:
    stage = Stage("k", "evaluate", "evaluate int8", {}, {})
    right = evaluation()
    assert usable(stage, right)
    path = data.draw(st.sampled_from([p for p in leaves(right["data"]) if len(p) == 1]))
    wrong = {**right, "data": changed(right["data"], path, value)}
    assert not usable(stage, wrong) or (path == ("warnings",) and value == [])


@pytest.mark.parametrize(
    "data", [{}, {"inputs": []}, {"inputs": [], "outputs": []}, {"outputs": None}, {"inputs": 7}], ids=str
)
def test_a_description_that_is_none_is_made_again(data: Json) -> None:
    stage = Stage("k", "describe", "read m", {}, {})
    tensor = TensorInfo(name="x", shape=(None, 4), dtype="float32")
    right = Signature(inputs=(tensor,), outputs=(tensor,)).to_json()
    assert usable(stage, {"artifact": None, "data": right})
    assert not usable(stage, {"artifact": None, "data": data})


@pytest.mark.parametrize("kind", ["train", "freeze", "convert", "import", "calibrate", "finish"])
def test_a_stage_without_its_file_is_made_again(kind: str) -> None:
    stage = Stage("k", kind, kind, {}, {})
    artifact = evaluation()["artifact"]
    assert usable(stage, {"artifact": artifact, "data": {"conversion": "frozen"}})
    assert not usable(stage, {"artifact": None, "data": {}})
    assert not usable(stage, {"artifact": artifact, "data": {"conversion": 7}})
