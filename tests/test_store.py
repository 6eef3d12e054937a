"""The store on real SQLite files and folders: what goes in comes out, also with several processes and after a move."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trials import make_many, make_record, make_study, make_trial, measured

from workbench.errors import WorkbenchError
from workbench.files import file_sha256, tree_sha256, write_atomic
from workbench.store.artifacts import Artifacts
from workbench.store.store import Store, runtime_key
from workbench.values.bulk import uncollected
from workbench.values.graph import Artifact, Execution
from workbench.values.trial import Latency, Measurement, Trial

# ---- studies, trials, measurements


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def save(store: Store, study: str, trials: list[Trial]) -> None:
    store.save_trials(study, [(t, f"key-{t.id}", i) for i, t in enumerate(trials)])
    for trial in trials:
        for measurement in trial.measurements:
            store.save_measurement(study, trial.id, measurement, "key", np.arange(3))


def here(store: Store, trial: Trial) -> Trial:
    """The trial with its artifact where this store keeps it."""
    if trial.artifact is None:
        return trial
    path = store.artifacts.path(trial.artifact.sha256, trial.artifact.kind)
    return trial.model_copy(update={"artifact": trial.artifact.model_copy(update={"path": str(path)})})


def test_a_whole_study_comes_back(store: Store) -> None:
    record, trials = make_record(), make_study()
    assert {t.state for t in trials} >= {"ok", "failed"}
    store.save_study(record)
    save(store, record.name, trials)
    again = Store(store.root)
    assert again.study(record.name) == record
    assert again.studies() == [record]
    assert again.trials(record.name) == [here(store, t) for t in trials]
    assert again.trial_keys(record.name) == {t.id: f"key-{t.id}" for t in trials}
    assert again.counts() == {record.name: {s: sum(t.state == s for t in trials) for s in {t.state for t in trials}}}


def test_trials_keep_the_order_in_which_they_were_asked_for(store: Store) -> None:
    trials = make_many(40)
    store.save_trials("s", [(t, "k", 40 - i) for i, t in enumerate(trials)])
    assert [t.id for t in store.trials("s")] == [t.id for t in reversed(trials)]


def test_a_trial_is_replaced_not_added(store: Store) -> None:
    pending = Trial(id="1", recipe="int8", steps=make_trial("int8").steps)
    store.save_trial("s", pending, "old", 0)
    store.save_trial("s", pending.model_copy(update={"state": "failed", "error": "it broke"}), "new", 3)
    (found,) = store.trials("s")
    assert (found.state, found.error) == ("failed", "it broke")
    assert store.trial_keys("s") == {"1": "new"}


def test_saving_a_trial_keeps_its_measurements(store: Store) -> None:
    trial = make_trial("int8", measurements=[measured("xnnpack", 0.2)])
    save(store, "s", [trial])
    store.save_trial("s", trial.model_copy(update={"measurements": ()}), "k", 0)
    assert store.trials("s")[0].measurements == trial.measurements


def test_studies_do_not_mix(store: Store) -> None:
    trial = make_trial("int8", measurements=[measured("xnnpack", 0.2)])
    save(store, "one", [trial])
    store.save_trial("two", trial, "k", 0)
    assert len(store.trials("one")[0].measurements) == 1
    assert store.trials("two")[0].measurements == ()
    assert store.trials("three") == []


def test_studies_come_oldest_first(store: Store) -> None:
    for name, started in (("b", "2026-02-01"), ("a", "2026-03-01"), ("c", "2026-01-01")):
        store.save_study(make_record(name, started=started))
    assert [s.name for s in store.studies()] == ["c", "b", "a"]
    store.save_study(make_record("c", started="2026-04-01", command="again"))
    assert [(s.name, s.command == "again") for s in store.studies()] == [("b", False), ("a", False), ("c", True)]


def test_an_unknown_study_names_the_nearest(store: Store) -> None:
    store.save_study(make_record("digits"))
    with pytest.raises(WorkbenchError) as caught:
        store.study("digit")
    assert "unknown study 'digit'. Did you mean 'digits'? Allowed: digits." in str(caught.value)
    assert str(store.root) in str(caught.value)


@given(samples=st.lists(st.integers(0, 2**62), min_size=1, max_size=50))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_raw_samples_come_back_exactly(store: Store, samples: list[int]) -> None:
    store.save_measurement("s", "t", measured("xnnpack", 1.0), "k", np.array(samples, dtype=np.int64))
    found = store.samples_ns("s", "t", runtime_key("xnnpack", {}))
    assert found.tolist() == samples


def test_measurements_of_one_trial_by_runtime_and_options(store: Store) -> None:
    made = [
        measured("xnnpack", 1.0, {"threads": 1}),
        measured("xnnpack", 0.6, {"threads": 2}),
        measured("reference", 9.0),
    ]
    trial = make_trial("int8", measurements=made)
    save(store, "s", [trial])
    assert store.trials("s")[0].measurements == tuple(made)
    again = measured("xnnpack", 0.5, {"threads": 2})
    store.save_measurement("s", trial.id, again, "newer", None)
    assert store.trials("s")[0].measurements == (made[0], made[2], again)
    assert store.measurement_keys("s", "")[trial.id, runtime_key("xnnpack", {"threads": 2})] == "newer"
    assert store.measurement_keys("s", "")[trial.id, runtime_key("xnnpack", {"threads": 1})] == "key"
    assert store.samples_ns("s", trial.id, runtime_key("xnnpack", {"threads": 2})).size == 0
    assert store.samples_ns("s", trial.id, runtime_key("xnnpack", {"threads": 1})).tolist() == [0, 1, 2]
    assert store.samples_ns("s", trial.id, "nowhere").size == 0


def test_the_runtime_key_does_not_depend_on_the_order_of_options() -> None:
    assert runtime_key("x", {"b": 1, "a": "ü"}) == runtime_key("x", {"a": "ü", "b": 1}) == 'x{"a":"ü","b":1}'


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), 0.1, 1e-300, 5e-324])
def test_every_number_comes_back(store: Store, number: float) -> None:
    latency = Latency(median=number, low=number, high=number, p90=number, samples=1)
    store.save_trial("s", Trial(id="t", recipe="int8", steps=()), "k", 0)
    store.save_measurement("s", "t", Measurement(runtime="xnnpack", latency_ms=latency), "k", None)
    assert store.trials("s")[0].measurements[0].latency_ms == latency


def test_names_with_any_letters(store: Store) -> None:
    name = "Größe 'x'; DROP TABLE studies; -- 鳥"
    store.save_study(make_record(name))
    store.save_trial(name, make_trial("int8"), "k", 0)
    assert [s.name for s in store.studies()] == [name]
    assert len(store.trials(name)) == 1


# ---- stages


def test_a_finished_stage_is_found_while_its_artifact_is_there(store: Store) -> None:
    artifact = store.artifacts.put_bytes(b"model", "tflite")
    result = {"artifact": artifact.to_json(), "data": {"conversion": "frozen"}, "seconds": 1.5}
    store.save_execution(Execution(key="k", kind="freeze", seconds=1.5), result)
    assert store.stage("k") == result
    Path(artifact.path).unlink()
    assert store.stage("k") is None
    assert store.artifacts.put_bytes(b"model", "tflite") == artifact
    assert store.stage("k") == result


def test_a_stage_without_artifact_is_found(store: Store) -> None:
    store.save_execution(Execution(key="k", kind="describe", seconds=0.1), {"artifact": None, "data": {"inputs": []}})
    assert store.stage("k") == {"artifact": None, "data": {"inputs": []}}
    assert store.stage("other") is None


def test_a_folder_that_was_deleted_is_made_again(store: Store) -> None:
    folder = store.artifacts.scratch()
    (folder / "saved_model.pb").write_bytes(b"graph")
    artifact = store.artifacts.put_folder(folder, "savedmodel")
    store.save_execution(Execution(key="k", kind="freeze", seconds=1.0), {"artifact": artifact.to_json()})
    assert store.stage("k") is not None
    shutil.rmtree(artifact.path)
    assert store.stage("k") is None


def test_many_stages_are_asked_for_at_once(store: Store) -> None:
    for i in range(0, 1200, 100):
        store.save_execution(Execution(key=f"k{i}", kind="finish", seconds=0.0), {"artifact": None, "i": i})
    found = store.stages(f"k{i}" for i in range(1200))
    assert {k: r["i"] for k, r in found.items()} == {f"k{i}": i for i in range(0, 1200, 100)}


# ---- artifacts


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_a_file_is_named_by_its_content(store: Store, data: bytes) -> None:
    one, other = store.artifacts.put_bytes(data, "tflite"), store.artifacts.put_bytes(data, "tflite")
    assert one == other
    path = Path(one.path)
    assert path.name == f"{one.sha256}.tflite"
    assert path.read_bytes() == data
    assert file_sha256(path) == one.sha256
    assert not list(store.artifacts.folder.glob("partial-*"))


def test_equal_content_is_one_file_and_other_content_another(store: Store) -> None:
    for data in (b"a", b"a", b"b"):
        store.artifacts.put_bytes(data, "bin")
    store.artifacts.put_bytes(b"a", "h5")
    assert len(list(store.artifacts.folder.iterdir())) == 3


def test_an_artifact_may_be_read_by_others(store: Store) -> None:
    path = Path(store.artifacts.put_bytes(b"a", "bin").path)
    assert path.stat().st_mode & 0o777 == 0o644


def make_tree(store: Store, files: dict[str, bytes]) -> Path:
    folder = store.artifacts.scratch()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_folders_are_moved_in_by_content(store: Store) -> None:
    files = {"saved_model.pb": b"graph", "variables/variables.index": b"index"}
    first = make_tree(store, files)
    one = store.artifacts.put_folder(first, "savedmodel")
    assert not first.exists()
    second = make_tree(store, files)
    assert store.artifacts.put_folder(second, "savedmodel") == one
    assert not second.exists()
    moved = store.artifacts.put_folder(
        make_tree(store, {"saved_model.pb": b"graph", "variables/other.index": b"index"}), "savedmodel"
    )
    changed = store.artifacts.put_folder(make_tree(store, {**files, "saved_model.pb": b"grapf"}), "savedmodel")
    assert len({one.sha256, moved.sha256, changed.sha256}) == 3
    assert sorted(p.relative_to(one.path).as_posix() for p in Path(one.path).rglob("*") if p.is_file()) == sorted(files)
    assert tree_sha256(Path(one.path)) == one.sha256


def test_a_write_that_fails_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        WorkbenchError, match=r"artifact of 3 bytes cannot be written into .*No space left on device.*--store"
    ):
        store.artifacts.put_bytes(b"abc", "tflite")
    assert list(store.artifacts.folder.iterdir()) == []


def test_a_place_below_a_file_cannot_hold_artifacts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkbenchError, match="cannot be written into"):
        Artifacts(tmp_path / "file" / "artifacts").put_bytes(b"a", "bin")


def test_what_killed_processes_left_is_swept(store: Store) -> None:
    kept = store.artifacts.put_bytes(b"a", "bin")
    old_folder, new_folder = make_tree(store, {"a/b": b"x"}), store.artifacts.scratch()
    old_file = store.artifacts.folder / "partial-old"
    old_file.write_bytes(b"half")
    for path in (old_folder, old_file):
        os.utime(path, (1, 1))
    store.artifacts.sweep(time.time() - 100)
    assert {p.name for p in store.artifacts.folder.iterdir()} == {Path(kept.path).name, new_folder.name}


# ---- where the store is


def test_a_moved_store_finds_its_artifacts(tmp_path: Path) -> None:
    store = Store(tmp_path / "old")
    artifact = store.artifacts.put_bytes(b"model", "tflite")
    trial = make_trial("int8").model_copy(update={"artifact": artifact})
    save(store, "s", [trial])
    store.save_execution(Execution(key="k", kind="finish", seconds=1.0), {"artifact": artifact.to_json()})
    store.close()
    (tmp_path / "old").rename(tmp_path / "new")
    moved = Store(tmp_path / "new")
    (found,) = moved.trials("s")
    assert found.artifact is not None
    assert Path(found.artifact.path).read_bytes() == b"model"
    assert Path(found.artifact.path).is_relative_to(tmp_path / "new")
    assert moved.stage("k") is not None
    assert not (tmp_path / "old").exists()


def test_the_place_is_given_or_set_or_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBENCH_STORE", raising=False)
    assert Store().root == tmp_path / ".workbench"
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "set"))
    assert Store().root == tmp_path / "set"
    assert Store("given").root == tmp_path / "given"


def test_a_database_elsewhere_with_its_artifacts_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_ARTIFACTS", str(tmp_path / "files"))
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    store = Store(url)
    store.save_study(make_record())
    assert (store.location, store.root) == (url, tmp_path / "files")
    assert (tmp_path / "elsewhere.db").is_file()
    assert not (tmp_path / "files" / "store.db").exists()
    assert [s.name for s in Store(url).studies()] == ["digits-sweep"]


def below_a_file(path: Path) -> str:
    (path / "file").write_text("x")
    return str(path / "file" / "store")


def a_file(path: Path) -> str:
    (path / "file").write_text("x")
    return str(path / "file")


def damaged(path: Path) -> str:
    (path / "store").mkdir()
    (path / "store" / "store.db").write_bytes(b"no database" * 1000)
    return str(path / "store")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (below_a_file, "Not a directory"),
        (a_file, "File exists"),
        (damaged, "file is not a database"),
        (lambda path: "/proc/workbench", "No such file or directory"),
        (lambda path: f"sqlite:///{path}/nowhere/store.db", "unable to open database file"),
        (lambda path: "nosuchdatabase://host/db", "nosuchdatabase"),
    ],
)
def test_places_that_cannot_be_used(make: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_ARTIFACTS", str(tmp_path / "files"))
    place = make(tmp_path)
    with pytest.raises(WorkbenchError) as caught:
        Store(place)
    message = str(caught.value)
    assert message.startswith(f"store {place!r} cannot be opened for writing: ")
    assert said in message
    assert "--store or WORKBENCH_STORE" in message


def test_a_database_whose_driver_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_ARTIFACTS", str(tmp_path / "files"))
    if importlib.util.find_spec("MySQLdb"):
        pytest.skip("the driver is here")
    with pytest.raises(WorkbenchError, match="needs the Python package 'MySQLdb', which is not installed"):
        Store("mysql+mysqldb://host/db")


def test_a_store_of_another_version_is_refused(store: Store) -> None:
    with sqlite3.connect(store.root / "store.db") as db:
        db.execute("update layout set version = 999")
    db.close()
    with pytest.raises(WorkbenchError, match="has layout 999"):
        Store(store.root)


def test_a_database_that_breaks_later_is_a_message(store: Store) -> None:
    store.close()
    for path in store.root.glob("store.db*"):
        path.unlink()
    (store.root / "store.db").write_bytes(b"no database" * 1000)
    with pytest.raises(WorkbenchError, match="cannot be read: file is not a database"):
        store.studies()
    with pytest.raises(WorkbenchError, match="cannot be written: file is not a database"):
        store.save_study(make_record())


# ---- several processes

WRITER = """
import sys
import numpy as np
from workbench.store.store import Store
from workbench.values.graph import Execution
from workbench.values.trial import Measurement, Trial

root, me = sys.argv[1], sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
store = Store(root)
for i in range(40):
    store.artifacts.put_bytes(f"file {i}".encode(), "bin")
    store.save_execution(Execution(key=f"{me}-{i}", kind="finish", seconds=1.0), {"artifact": None})
    store.save_execution(Execution(key="shared", kind="finish", seconds=1.0), {"artifact": None, "by": me})
    store.save_trial("s", Trial(id=f"{me}-{i}", recipe="int8", steps=(), state="ok"), "k", i)
    store.save_measurement("s", f"{me}-{i}", Measurement(runtime="xnnpack"), "k", np.arange(i))
"""


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """The store does not exist when they begin: making it is a race too."""
    root = tmp_path / "store"
    names = ["a", "b", "c"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root), n],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in names
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    store = Store(root)
    expected = {f"{n}-{i}" for n in names for i in range(40)}
    assert {t.id for t in store.trials("s")} == expected
    assert store.counts() == {"s": {"ok": 120}}
    assert store.stages([*expected, "shared"]).keys() == {*expected, "shared"}
    assert all(store.samples_ns("s", f"{n}-39", runtime_key("xnnpack", {})).tolist() == list(range(39)) for n in names)
    files = sorted(store.artifacts.folder.iterdir())
    assert len(files) == 40
    assert all(p.stem == file_sha256(p) for p in files)


def test_a_killed_writer_leaves_a_whole_store(tmp_path: Path) -> None:
    root = tmp_path / "store"
    endless = WRITER.replace("range(40)", "range(10**9)")
    process = subprocess.Popen([sys.executable, "-c", endless, str(root), "a"], stdin=subprocess.DEVNULL)
    store = Store(root)
    deadline = time.monotonic() + 300
    while len(store.trials("s")) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    found = Store(root).trials("s")
    assert [t.id for t in found] == [f"a-{i}" for i in range(len(found))]
    assert len(found) >= 5
    Store(root).save_trial("s", Trial(id="after", recipe="int8", steps=()), "k", 10**9)
    assert len(store.trials("s")) == len(found) + 1
    with sqlite3.connect(root / "store.db") as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    db.close()


# ---- files written whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    for data in (b"one", b"another"):
        write_atomic(path, data)
        assert path.read_bytes() == data
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("name", ["file/below", "folder"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "full").write_text("x")
    with pytest.raises(WorkbenchError, match=re.escape(f"{str(tmp_path / name)!r} cannot be written: ")):
        write_atomic(tmp_path / name, b"data")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_the_hash_of_a_folder_is_of_names_and_contents(tmp_path: Path) -> None:
    def tree(**files: str) -> str:
        shutil.rmtree(tmp_path / "t", ignore_errors=True)
        for name, text in files.items():
            path = tmp_path / "t" / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tree_sha256(tmp_path / "t")

    base = tree(a="1", b__c="2")
    assert tree(b__c="2", a="1") == base
    assert (
        len(
            {base, tree(a="1", b__c="3"), tree(a="1", b__d="2"), tree(a="12", b__c=""), tree(a="1"), tree(a="1", c="2")}
        )
        == 6
    )


def test_an_artifact_is_a_value() -> None:
    artifact = Artifact(path="p", sha256="s", kind="k")
    assert Artifact.model_validate(artifact.to_json()) == artifact


@pytest.mark.parametrize("before", [True, False])
def test_the_search_for_cycles_is_held_back_and_comes_back_as_it_was(before: bool) -> None:
    was = gc.isenabled()
    try:
        gc.enable() if before else gc.disable()
        with contextlib.suppress(KeyError), uncollected():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() is before
        assert gc.get_freeze_count() == 0, "what is frozen would never be searched again"
    finally:
        gc.enable() if was else gc.disable()


def test_a_password_stays_out_of_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_ARTIFACTS", str(tmp_path))
    with pytest.raises(WorkbenchError) as caught:
        Store("nodialect://user:secret@127.0.0.1/db")
    assert "secret" not in str(caught.value)
    assert "user:***@" in str(caught.value)
