"""`store info|rm|gc|tag|note`: what is taken out of a store is what no trial needs, and nothing else, whoever is killed or at work."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from trials import make_record, make_trial

import workbench
from workbench.cli import app
from workbench.commands.group import COMMANDS
from workbench.data.materialize import stored_sha256
from workbench.engine.events import Event
from workbench.errors import Cancelled, WorkbenchError
from workbench.store import cleaning, intact
from workbench.store.check import GRAVE, check_store
from workbench.store.cleaning import ABANDONED_SECONDS, LEFT, YOUNG_SECONDS, compact, find_garbage, free, remove_study
from workbench.store.reader import Reader
from workbench.store.store import Store
from workbench.store.tables import CHECKED, EXECUTIONS, STUDIES, TRIALS
from workbench.store.tagging import change_tags, parse_tags, read_written, write_note
from workbench.store.use import alone, in_use
from workbench.values.graph import Artifact, Execution

ROOT = Path(__file__).parents[1]
FROZEN = Path(__file__).parent / "frozen"
LONG_AGO = time.time() - 3 * ABANDONED_SECONDS
MODEL, DATA = "a" * 64, "b" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def save(
    store: Store,
    key: str,
    kind: str = "train",
    inputs: dict[str, str] | None = None,
    when: float = LONG_AGO,
    **more: Any,
) -> Artifact:
    """An execution that made a file of its key's bytes; returns the file."""
    content = more.pop("content", key.encode() * 100)
    artifact = store.artifacts.put_bytes(content, more.pop("suffix", "tflite"))
    started = datetime.fromtimestamp(when, UTC).isoformat()
    done = Execution(key=key, kind=kind, label=key, inputs=inputs or {}, started=started, outputs=(artifact,), **more)
    store.save_execution(done, {"artifact": artifact.to_json(), "data": {}})
    os.utime(artifact.path, (when, when))
    return artifact


def save_trial(store: Store, study: str, recipe: str, end: str, file: Artifact | None, state: Any = "ok") -> None:
    """A trial that ends in an execution, with that file."""
    trial = make_trial(recipe, state=state).model_copy(update={"artifact": file})
    store.save_trial(study, trial, end, 0)
    for measurement in trial.measurements:
        store.save_measurement(study, trial.id, measurement, "key", np.zeros((2, 50), dtype="<i8"))


def save_study(store: Store, name: str = "first", recipe: str = "int8", **changes: Any) -> dict[str, Artifact]:
    """A study of one trial, made in three executions; those of every study of that recipe are the same."""
    store.save_study(make_record(name, **changes))
    made = {"train": save(store, f"train {recipe}", sources={"model": MODEL, "dataset": DATA}, suffix="h5")}
    made["finish"] = save(store, f"finish {recipe}", "finish", {"keras": f"train {recipe}"})
    made["evaluate"] = save(store, f"evaluate {recipe}", "evaluate", {"file": f"finish {recipe}"}, suffix="npz")
    save_trial(store, name, recipe, f"evaluate {recipe}", made["finish"])
    return made


def keys(store: Reader) -> set[str]:
    return {row.key for row in store.database.rows(sa.select(EXECUTIONS.c.key))[0]}


def there(store: Reader) -> set[str]:
    """The names of all files and folders in the parts of a store that are cleaned."""
    folders = (store.artifacts.folder, store.data, store.models)
    return {p.relative_to(store.root).as_posix() for f in folders if f.exists() for p in f.iterdir()}


def name(artifact: Artifact) -> str:
    return f"artifacts/{Path(artifact.path).name}"


def collect(store: Store) -> set[str]:
    """Free what nothing needs, as `store gc` does; returns what went."""
    before = there(store)
    with alone(store.place, "the test"):
        assert free(store, find_garbage(store)) == []
    return before - there(store)


def age(folder: Path, seconds: float = 2 * ABANDONED_SECONDS) -> None:
    """Make everything in a store as old as that: its files, and what it says of when it was done."""
    for path in folder.rglob("*"):
        if path.name != "store.db" and path.parent != folder:
            os.utime(path, (time.time() - seconds,) * 2)
    started = datetime.fromtimestamp(time.time() - seconds, UTC).isoformat()
    db = sqlite3.connect(folder / "store.db")
    db.execute("UPDATE executions SET execution = json_set(execution, '$.started', ?)", (started,))
    db.commit()
    db.close()


def asked(folder: Path, query: str) -> list[Any]:
    db = sqlite3.connect(folder / "store.db")
    found = db.execute(query).fetchall()
    db.close()
    return found


def grave(store: Reader) -> list[Any]:
    found = check_store(store, lambda folder, info: stored_sha256(folder, info.inputs, info.class_names))
    return [f for f in found.findings if f.state in GRAVE]


def call(*words: object) -> Any:
    """Run a verb as the command line does, and return its result."""
    host = app.Terminal([str(w) for w in words])
    return app.app([str(w) for w in words], prog_name="workbench", obj=host, standalone_mode=False)


# ---- what gc frees


def test_what_a_trial_was_made_from_is_kept(store: Store) -> None:
    made = save_study(store)
    other = save(store, "train of nobody", sources={"model": MODEL}, suffix="h5")
    child = save(store, "finish of nobody", "finish", {"keras": "train of nobody", "calibration": "train int8"})
    assert collect(store) == {name(other), name(child)}
    assert keys(store) == {"train int8", "finish int8", "evaluate int8"}
    assert {name(a) for a in made.values()} <= there(store)
    assert grave(store) == []
    assert collect(store) == set()


def test_what_two_studies_share_goes_with_the_last(store: Store) -> None:
    made = save_study(store, "first")
    save_study(store, "second")
    remove_study(store, "first")
    assert collect(store) == set()
    remove_study(store, "second")
    assert collect(store) == {name(a) for a in made.values()}
    assert keys(store) == set()


def test_a_file_that_a_kept_execution_made_too_is_kept(store: Store) -> None:
    made = save_study(store)
    twin = save(store, "finish again", "finish", content=b"finish int8" * 100)
    assert twin.sha256 == made["finish"].sha256
    assert collect(store) == set()
    assert "finish again" in keys(store), "whose file a trial has is kept, as of a store of layout 1"


def test_a_trials_file_is_kept_though_its_execution_made_another_since(store: Store) -> None:
    """As a training that gives other bits the second time, asked for by another study."""
    before = save_study(store)["finish"]
    after = save(store, "finish int8", "finish", {"keras": "train int8"}, content=b"other bits")
    assert collect(store) == set()
    assert {name(before), name(after)} <= there(store)


@pytest.mark.parametrize("text", ["no json", "[]", '{"unknown": 1}'])
def test_rows_that_cannot_be_read_protect_what_they_mention(store: Store, text: str) -> None:
    made = save_study(store)
    (store.data / DATA).mkdir(parents=True)
    os.utime(store.data / DATA, (LONG_AGO, LONG_AGO))
    with store.engine.begin() as db:
        db.exec_driver_sql("UPDATE executions SET execution = ? WHERE key = 'evaluate int8'", (text,))
        db.exec_driver_sql("UPDATE trials SET trial = substr(trial, 1, length(trial) - 1)")
        db.exec_driver_sql("UPDATE studies SET record = record || 'x'")
    assert Reader(store.root).trials("first") == [], "it cannot be read"
    gone = collect(store)
    assert not {name(made["finish"]), name(made["evaluate"]), f"data/{DATA}"} & gone


def test_datasets_and_models_go_with_their_last_study(store: Store) -> None:
    made = save_study(store)
    for sha256 in (DATA, "d" * 64):
        (store.data / sha256).mkdir(parents=True)
        (store.data / sha256 / "x_test.npy").write_bytes(b"1234")
    store.models.mkdir()
    for sha256 in (MODEL, "e" * 64):
        (store.models / f"{sha256}.h5").write_bytes(b"model")
        (store.models / f"{sha256}.h5.sha256").write_text(f"{sha256}  x\n")
    for path in (*store.data.iterdir(), *store.models.iterdir()):
        os.utime(path, (LONG_AGO, LONG_AGO))
    odd = {f"data/{'d' * 64}", f"models/{'e' * 64}.h5", f"models/{'e' * 64}.h5.sha256"}
    assert collect(store) == odd
    remove_study(store, "first")
    files = {name(a) for a in made.values()}
    assert collect(store) == {f"data/{DATA}", f"models/{MODEL}.h5", f"models/{MODEL}.h5.sha256", *files}


def test_names_that_no_store_gives_are_left_alone(store: Store) -> None:
    for folder in (store.artifacts.folder, store.data, store.models):
        folder.mkdir(exist_ok=True)
        (folder / "notes of mine.txt").write_text("mine")
        os.utime(folder / "notes of mine.txt", (LONG_AGO, LONG_AGO))
    assert collect(store) == set()


def test_a_link_is_removed_and_not_what_it_leads_to(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    link = store.artifacts.folder / f"{'c' * 64}.savedmodel"
    link.symlink_to(outside)
    os.utime(link, (LONG_AGO, LONG_AGO), follow_symlinks=False)
    assert collect(store) == {f"artifacts/{link.name}"}
    assert (outside / "precious").read_text() == "mine"


def test_what_was_read_of_a_studys_model_is_kept(store: Store) -> None:
    """It has no file, and without it the next sweep would load the model once more."""
    save_study(store)
    for key, model in (("describe", MODEL), ("describe another", "f" * 64)):
        store.save_execution(
            Execution(key=key, kind="describe", sources={"model": model}), {"artifact": None, "data": {}}
        )
    collect(store)
    assert "describe" in keys(store)
    assert "describe another" not in keys(store)


def test_what_was_known_to_be_intact_is_forgotten_with_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intact, "SETTLED_NS", 0)
    kept = save_study(store)["finish"]
    gone = save(store, "of nobody")
    for artifact in (kept, gone):
        assert store.intact(artifact)
    store._save_checked({"artifacts/long gone.tflite": "stamp"})
    collect(store)
    assert {r.name for r in store.database.rows(sa.select(CHECKED.c.name))[0]} == {name(kept)}


# ---- what is too young, or in work


@pytest.mark.parametrize(("seconds", "goes"), [(YOUNG_SECONDS - 60, False), (YOUNG_SECONDS + 60, True)])
def test_what_was_made_within_an_hour_is_kept_with_what_it_was_made_from(
    store: Store, seconds: float, goes: bool
) -> None:
    save(store, "train", suffix="h5")
    save(store, "finish", "finish", {"keras": "train"}, when=time.time() - seconds)
    assert bool(collect(store)) is goes
    assert keys(store) == (set() if goes else {"train", "finish"})


@pytest.mark.parametrize(("seconds", "goes"), [(ABANDONED_SECONDS - 60, False), (ABANDONED_SECONDS + 60, True)])
@pytest.mark.parametrize("named", ["file", "scratch", "dataset"])
def test_what_no_row_refers_to_is_kept_for_a_day(store: Store, named: str, seconds: float, goes: bool) -> None:
    if named == "file":
        path = Path(store.artifacts.put_bytes(b"not in a row yet", "tflite").path)
    elif named == "scratch":
        path = store.artifacts.scratch()
        (path / "variables").write_bytes(b"half")
    else:
        path = store.data / ("c" * 64)
        path.mkdir(parents=True)
    os.utime(path, (time.time() - seconds,) * 2)
    found = find_garbage(store)
    assert (len(found.items), found.kept) == ((1, 0) if goes else (0, 1))
    assert collect(store) == ({path.relative_to(store.root).as_posix()} if goes else set())


@pytest.mark.parametrize("state", ["pending", "running", "failed"])
def test_while_trials_are_unfinished_all_that_was_made_of_their_model_is_kept(store: Store, state: str) -> None:
    """What they will be made from is not known yet: a stage that was found in the store has no row of this sweep."""
    save_study(store)
    begun = save(store, "train prune", sources={"model": MODEL}, suffix="h5")
    more = save(store, "freeze prune", "freeze", {"keras": "train prune"})
    other = save(store, "train another", sources={"model": "f" * 64}, suffix="h5")
    save_trial(store, "first", "prune:0.5+int8", "evaluate to come", None, state)
    assert collect(store) == {name(other)}
    assert find_garbage(store).open == {"first": 1}
    save_trial(store, "first", "prune:0.5+int8", "evaluate to come", None, "skipped")
    assert collect(store) == {name(begun), name(more)}


HOLDING = """
import sys, time
from pathlib import Path
from workbench.store.use import in_use
with in_use(Path(sys.argv[1]), lambda: False, lambda: None):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_nothing_is_deleted_while_another_process_works_in_the_store(store: Store) -> None:
    save_study(store)
    save(store, "of nobody")
    before = there(store), keys(store)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(store.root)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    for words in (("store", "gc"), ("store", "rm", "first", "--yes")):
        with pytest.raises(WorkbenchError, match="is in use: a sweep works in it"):
            call(*words, "--store", store.root)
    assert len(call("store", "gc", "--dry-run", "--store", store.root).rows()) == 1, "looking is allowed"
    assert (there(store), keys(store)) == before
    assert Reader(store.root).study_names() == {"first"}
    holder.kill()
    holder.wait()
    assert call("store", "gc", "--store", store.root).code == 0, "who was killed holds nothing"
    assert keys(store) == {"train int8", "finish int8", "evaluate int8"}


def test_a_sweep_waits_for_who_deletes_and_can_be_cancelled_meanwhile(store: Store) -> None:
    told: list[str] = []
    with alone(store.place, "the test"), pytest.raises(Cancelled):  # noqa: SIM117
        with in_use(store.root, lambda: len(told) > 0, lambda: told.append("waits")):
            pytest.fail("it is not held yet")
    assert told == ["waits"]
    with (
        in_use(store.root, lambda: False, lambda: told.append("never")),
        in_use(store.root, lambda: False, lambda: None),
    ):
        pass
    assert told == ["waits"]


def test_who_deletes_holds_the_store_alone(store: Store) -> None:
    with alone(store.place, "the test"), pytest.raises(WorkbenchError, match="`store gc` deleted nothing"):
        call("store", "gc", "--store", store.root)


KILLED = """
import os, signal, sys
from pathlib import Path
left = int(sys.argv[2])
def counted(of, name):
    original = getattr(of, name)
    def wrapped(*arguments, **options):
        global left
        if str(sys.argv[1]) in str(arguments[0]) or name == "unlink":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)
    setattr(of, name, wrapped)
from workbench.store import cleaning, intact
from workbench.store.cleaning import find_garbage, free
from workbench.store.store import Store
store = Store(sys.argv[1])
found = find_garbage(store)
counted(os, "unlink"), counted(os, "rename"), counted(os, "rmdir")
assert free(store, found) == []
"""


@pytest.mark.slow
def test_a_gc_that_is_killed_anywhere_leaves_nothing_damaged_or_missing(store: Store) -> None:
    save_study(store)
    for n in range(2):
        folder = store.artifacts.scratch()
        for part in ("saved_model.pb", "fingerprint.pb"):
            (folder / part).write_bytes(b"%d" % n)
        made = store.artifacts.put_folder(folder, "savedmodel")
        store.save_execution(
            Execution(key=f"freeze {n}", kind="freeze", outputs=(made,)), {"artifact": made.to_json(), "data": {}}
        )
        save(store, f"train {n}", suffix="h5")
    age(store.root)
    kept = there(store) - {i.name for i in find_garbage(store).items}
    assert len(kept) == 3
    killed = 0
    for _ in range(40):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(store.root), "2"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        seen = Reader(store.root)
        assert grave(seen) == []
        assert kept <= there(seen)
        assert len(seen.trials("first")) == 1
        seen.close()
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        killed += 1
    assert killed >= 3
    assert there(store) == kept


def test_a_folder_that_was_half_deleted_goes_at_once(store: Store) -> None:
    left = store.artifacts.folder / f"{LEFT}{'c' * 64}.savedmodel"
    left.mkdir()
    (left / "saved_model.pb").write_bytes(b"half")
    assert collect(store) == {f"artifacts/{left.name}"}


def test_what_cannot_be_removed_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = save(store, "of nobody")

    def fail(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(cleaning, "_remove", fail)
    found = call("store", "gc", "--store", store.root)
    assert found.code == 1
    assert any("cannot be removed" in n and Path(gone.path).name in n for n in found.said())


def test_a_folder_that_two_databases_share_is_not_cleaned(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = save_study(store)
    monkeypatch.setenv("WORKBENCH_ARTIFACTS", str(store.root))
    other = Store(f"sqlite:///{tmp_path}/other.db")
    for opened in (other, store):
        with pytest.raises(WorkbenchError, match="belong to other databases too"):
            free(opened, find_garbage(opened))
    assert {name(a) for a in made.values()} <= there(store)
    (tmp_path / "other.db").unlink()
    assert collect(store) == set(), "whose database is gone needs nothing"


# ---- a migrated store


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store of layout 1, made by the version that wrote it; two of its trials were swept again with other settings."""
    folder = tmp_path / "old"
    with zipfile.ZipFile(FROZEN / "layout1.zip") as archive:
        archive.extractall(folder)
    for path in folder.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    return folder


def test_gc_of_a_migrated_store_keeps_all_figures(old: Path) -> None:
    before = [t.to_json() for t in Reader(old).trials("tiny")]
    samples = {t["id"]: Reader(old).samples_ns("tiny", t["id"], 'xnnpack{"threads":1}').tolist() for t in before}
    looked = call("store", "gc", "--dry-run", "--store", old).data()
    assert not (old / "store.layout1.db").exists(), "looking migrates nothing"
    freed = call("store", "gc", "--store", old).data()
    assert (freed["bytes"], freed["executions"], freed["files"]) == (
        looked["bytes"],
        looked["executions"],
        looked["files"],
    )
    assert freed["bytes"] > 30_000
    seen = Reader(old)
    assert [t.to_json() for t in seen.trials("tiny")] == before
    assert {i: seen.samples_ns("tiny", i, 'xnnpack{"threads":1}').tolist() for i in samples} == samples
    assert any(samples.values())
    assert grave(seen) == []
    for trial in seen.trials("tiny"):
        assert trial.artifact is not None
        assert Path(trial.artifact.path).is_file()
    assert set(seen.trial_keys("tiny").values()) <= keys(seen)


# ---- a real sweep


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_gc_during_and_after_a_real_sweep_loses_nothing(
    small_tflite: Path, warm_engine: workbench.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each event of a sweep that finds old files of a removed study; by a lock, and where the file system has none."""
    draw = np.random.default_rng(1)
    data = tmp_path / "images.npz"
    x = draw.random((60, 8, 8, 1), dtype=np.float32)
    np.savez(data, x_train=x, y_train=draw.integers(0, 6, 60), x_test=x[:30], y_test=draw.integers(0, 6, 30))
    folder = tmp_path / "store"
    grid = {"quantize": ["float32", "int8"], "measure": {"skip": True}}

    def sweep(study: str, listener: Any = lambda e: None, **more: Any) -> Any:
        options = {"store": folder, "study": study, "engine": warm_engine, "listener": listener}
        return workbench.sweep(small_tflite, data, {**grid, **more}, **options)

    assert [t.state for t in sweep("first").trials] == ["ok", "ok"]
    call("store", "rm", "first", "--yes", "--store", folder)
    age(folder)
    assert len(find_garbage(Reader(folder)).items) >= 4
    refused: list[str] = []

    def gc(_: Event) -> None:
        with pytest.raises(WorkbenchError, match="in use"):
            call("store", "gc", "--store", folder)
        refused.append("yes")

    second = sweep("second", gc)
    assert [t.state for t in second.trials] == ["ok", "ok"]
    assert len(refused) > 3
    assert second.profiles[-1].reused, "what the removed study left was found"

    call("store", "rm", "second", "--yes", "--store", folder)
    age(folder)
    ran: list[str] = []

    def lockless(event: Event) -> None:
        # Before its trials are in the store nothing says what a sweep is about to use.
        if event.phase != "prepare":
            store = Store(folder)
            free(store, find_garbage(store))
            store.close()
            ran.append(event.kind)

    third = sweep("third", lockless, quantize=["float32", "int8", "dynamic"])
    assert [t.state for t in third.trials] == ["ok", "ok", "ok"]
    assert len(ran) > 3
    age(folder)
    had = there(Store(folder))
    call("store", "gc", "--store", folder)
    assert grave(Reader(folder)) == []
    assert {Path(t.artifact.path).is_file() for t in third.trials} == {True}
    again = sweep("third", quantize=["float32", "int8", "dynamic"])
    assert not again.profiles[-1].stages, "all that a finished study needs to be swept again is there"
    assert there(Store(folder)) <= had


# ---- rm


def test_rm_takes_all_rows_of_a_study_and_no_other(store: Store) -> None:
    save_study(store, "first")
    save_study(store, "second")
    said = call("store", "rm", "first", "--yes", "--store", store.root)
    assert said.lines[0] == "removed study 'first': 1 trial, 1 measurement"
    assert "`workbench store gc` can free 0 B" in said.lines[1]
    for table in ("studies", "trials", "measurements", "op_profiles", "profiles"):
        column = "name" if table == "studies" else "study"
        assert {r[0] for r in asked(store.root, f"SELECT {column} FROM {table}")} <= {"second"}
    assert len(Reader(store.root).trials("second")) == 1
    said = call("store", "rm", "second", "--yes", "--store", store.root)
    size = sum(Path(p).stat().st_size for p in store.artifacts.folder.iterdir())
    assert size == find_garbage(store).bytes > 0
    assert f"can free {size / 1000:.2f} kB" in said.lines[1]


def test_rm_of_an_unknown_study_names_the_nearest_and_makes_no_store(store: Store, tmp_path: Path) -> None:
    save_study(store, "digits-first")
    with pytest.raises(WorkbenchError, match=r"unknown study 'digits-frist'\. Did you mean 'digits-first'\?"):
        call("store", "rm", "digits-frist", "--yes", "--store", store.root)
    for words in (("rm", "x", "--yes"), ("tag", "x", "good"), ("note", "x", "text"), ("note", "x")):
        with pytest.raises(WorkbenchError, match="unknown study 'x'"):
            call("store", *words, "--store", tmp_path / "none")
    call("store", "gc", "--store", tmp_path / "none")
    call("store", "info", "--store", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_rm_where_nobody_can_be_asked_wants_yes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    save_study(store)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(WorkbenchError, match="Nobody can be asked here; say it with --yes"):
        call("store", "rm", "first", "--store", store.root)
    assert store.study_names() == {"first"}


@pytest.mark.parametrize("answer", [True, False])
def test_rm_asks_on_a_terminal(store: Store, monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    save_study(store)
    asked: list[str] = []

    def confirm(self: Any, question: str) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr(app.Terminal, "confirm", confirm)
    assert call("store", "rm", "first", "--store", store.root).code == int(not answer)
    assert "Remove study 'first' with 1 trial" in asked[0]
    assert store.study_names() == (set() if answer else {"first"})


@pytest.mark.parametrize("left", ["record", "trials"])
def test_a_study_that_cannot_be_read_whole_can_be_removed(store: Store, left: str) -> None:
    save_study(store)
    with store.engine.begin() as db:
        if left == "record":
            db.exec_driver_sql("UPDATE studies SET record = 'x'")
        else:
            db.execute(sa.delete(STUDIES))
    call("store", "rm", "first", "--yes", "--store", store.root)
    assert store.database.rows(sa.select(TRIALS.c.id), sa.select(STUDIES.c.name)) == [[], []]


# ---- the database


def test_the_database_gives_back_what_a_study_took(store: Store) -> None:
    save_study(store)
    trial = store.trials("first")[0]
    samples = np.random.default_rng(0).integers(0, 2**40, (4, 100_000))
    store.save_measurement("first", trial.id, trial.measurements[0], "key", samples)
    assert compact(store) == (0, ""), "nothing is empty yet"
    remove_study(store, "first")
    store.engine.dispose()
    before = (store.root / "store.db").stat().st_size
    reading = sqlite3.connect(store.root / "store.db", isolation_level=None)
    reading.execute("BEGIN IMMEDIATE")
    freed, why = compact(store)
    assert freed == 0
    assert "which another process uses" in why
    reading.close()
    found = call("store", "gc", "--store", store.root)
    assert found.database > 3_000_000
    assert (store.root / "store.db").stat().st_size < before - 3_000_000
    assert Reader(store.root).study_names() == set()


# ---- info


def test_info_tells_what_is_there(store: Store) -> None:
    made = save_study(store)
    save(store, "of nobody", suffix="h5")
    (store.data / DATA).mkdir(parents=True)
    (store.data / DATA / "x_test.npy").write_bytes(b"12345")
    change_tags(store, "first", ["good"])
    write_note(store, "first", "as shipped")
    told = call("store", "info", "--store", store.root, "--format", "json").data()
    assert told["store"] == str(store.root)
    assert told["layout"] == 2
    sizes = {
        e: (store.root / f"store.db{e}").stat().st_size for e in ("", "-wal") if (store.root / f"store.db{e}").exists()
    }
    assert told["database"] == sum(sizes.values())
    assert told["studies"] == [
        {
            "study": "first",
            "trials": 1,
            "ok": 1,
            "failed": 0,
            "started": make_record().started,
            "tags": ["good"],
            "note": "as shipped",
        }
    ]
    files = {(f["part"], f["kind"]): (f["files"], f["bytes"]) for f in told["files"]}
    h5 = Path(made["train"].path).stat().st_size + len(b"of nobody") * 100
    assert files["artifacts", "h5"] == (2, h5)
    assert files["data", "dataset"] == (1, 5)
    assert told["garbage"]["bytes"] == 900
    assert (told["garbage"]["files"], told["garbage"]["executions"]) == (1, 1)
    json.dumps(told)


def test_info_reads_a_store_that_nobody_may_write(store: Store) -> None:
    save_study(store)
    store.close()
    for path in (store.root / "store.db", store.root):
        path.chmod(path.stat().st_mode & ~0o222)
    before = sorted(os.listdir(store.root))
    try:
        assert call("store", "info", "--store", store.root).data()["studies"][0]["study"] == "first"
        assert call("store", "gc", "--dry-run", "--store", store.root).rows() == []
    finally:
        store.root.chmod(0o755)
    assert sorted(os.listdir(store.root)) == before


def test_info_of_a_store_of_layout_1_says_so(old: Path) -> None:
    told = call("store", "info", "--store", old).data()
    assert told["layout"] == 1
    assert [m["title"] for m in told["machines"]] == ["AMD EPYC, 2 cores"]


# ---- tags and notes


def test_tags_are_put_on_and_taken_off(store: Store) -> None:
    save_study(store)
    call("store", "tag", "first", "shipped", "v1.2,keep", "--store", store.root)
    study = workbench.open_study("first", store.root)
    assert (study.tags, study.note) == (("keep", "shipped", "v1.2"), "")
    call("store", "tag", "first", "shipped", "--remove", "--store", store.root)
    assert study.tags == ("keep", "v1.2")
    with pytest.raises(WorkbenchError, match=r"unknown tag 'kep'\. Did you mean 'keep'\?"):
        call("store", "tag", "first", "kep", "--remove", "--store", store.root)


@pytest.mark.parametrize("wrong", ["-x", "a!b", "x" * 51, "\udcff", "a\x00b"])
def test_what_is_no_tag_is_refused(wrong: str) -> None:
    with pytest.raises(WorkbenchError, match=r"cannot be used. Allowed: 1 to 50 letters"):
        parse_tags([wrong])


def test_no_tag_at_all_is_refused() -> None:
    with pytest.raises(WorkbenchError, match="no tag is given"):
        parse_tags([" ,"])


def test_a_note_is_written_shown_and_removed(store: Store) -> None:
    save_study(store)
    call("store", "note", "first", "two\nlines", "--store", store.root)
    assert workbench.open_study("first", store.root).note == "two\nlines"
    assert call("store", "note", "first", "--store", store.root).value == "two\nlines"
    call("store", "note", "first", "", "--store", store.root)
    assert workbench.open_study("first", store.root).note == ""
    with pytest.raises(WorkbenchError, match="the note has 10,001 characters"):
        call("store", "note", "first", "x" * 10_001, "--store", store.root)


def test_tags_and_note_stay_when_a_study_is_swept_again(store: Store) -> None:
    save_study(store)
    change_tags(store, "first", ["good"])
    write_note(store, "first", "as shipped")
    store.save_study(make_record("first", command="again"))
    assert read_written(store)["first"] == (("good",), "as shipped")


@pytest.mark.parametrize("cell", ["no json", "5", '{"a": 1}', "[1, null]", "null"])
def test_tags_that_cannot_be_read_are_none(store: Store, cell: str) -> None:
    save_study(store)
    with store.engine.begin() as db:
        db.exec_driver_sql("UPDATE studies SET tags = ?", (cell,))
    assert read_written(store)["first"].tags == ()
    assert change_tags(store, "first", ["good"]) == ("good",)


def test_studies_tells_tags_and_notes_where_there_are_any(store: Store) -> None:
    save_study(store, "first")
    save_study(store, "second")
    (table,) = call("studies", "--store", store.root).blocks()
    assert not {"tags", "note"} & set(table.rows[0])
    assert [(s["tags"], s["note"]) for s in call("studies", "--store", store.root).data()] == [([], ""), ([], "")]
    change_tags(store, "second", ["b", "a"])
    (table,) = call("studies", "--store", store.root).blocks()
    assert [r["tags"] for r in table.rows] == ["", "a, b"]
    assert "note" not in table.rows[0]
    assert [s["study"] for s in call("studies", "--tag", "a", "--store", store.root)] == ["second"]
    found = call("studies", "--tag", "c", "--store", store.root)
    assert found.data() == []
    (table,) = found.blocks()
    assert table.empty == "none has the tag 'c'; tags that there are: a, b"


def test_two_at_once_do_not_lose_each_others_tags(store: Store) -> None:
    save_study(store)
    script = "import sys; from workbench.store.store import Store; from workbench.store.tagging import change_tags\n"
    script += "s = Store(sys.argv[1])\nfor n in range(20): change_tags(s, 'first', [f'{sys.argv[2]}{n}'])"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = [subprocess.Popen([sys.executable, "-c", script, str(store.root), who], env=env) for who in ("a", "b")]
    assert [p.wait() for p in running] == [0, 0]
    assert len(read_written(store)["first"].tags) == 40


def test_the_help_names_every_verb_of_the_group() -> None:
    group = app.app.get_command(None, "store")
    assert group is not None
    for verb in group.places:  # type: ignore[attr-defined]
        assert verb in COMMANDS["store"][1]


def test_a_file_system_without_locks_is_no_obstacle(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with in_use(store.root, lambda: False, lambda: None), alone(store.place, "the test"):
        assert len(find_garbage(store).items) == 0
