"""A store of layout 1, made by the version that wrote it (`frozen/layout1.zip`), is brought to the layout of today with all its figures.

`frozen/layout1.json` is what that version's `workbench show --format json` said of it.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.store.check import check_store
from workbench.store.migrate import kept_copy
from workbench.store.reader import Reader, runtime_key
from workbench.store.store import Store
from workbench.study import Study
from workbench.views.tradeoff import front_trials

FROZEN = Path(__file__).parent / "frozen"
ROOT = Path(__file__).parents[1]
# Fields that layout 1 did not have; they are empty in what was carried over, or told on reading.
NEW = {
    "differs",
    "settings",
    "machine",
    "place",
    "figures",
    "level",
    "against",
    "elsewhere",
    "assumed",
    "batch",
    "inputs",
    "custom",
}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return the folder of a store of layout 1."""
    folder = tmp_path / "store"
    with zipfile.ZipFile(FROZEN / "layout1.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    """Return what the old version said of it."""
    found: dict[str, Any] = json.loads((FROZEN / "layout1.json").read_text())
    return found


def without_new(data: Any) -> Any:
    """Return data without the fields that layout 1 did not have, and without where the store lies."""
    if isinstance(data, dict):
        return {k: without_new(v) for k, v in data.items() if k not in {*NEW, "path"}}
    return [without_new(v) for v in data] if isinstance(data, list) else data


def shown(store: Reader) -> list[dict[str, Any]]:
    """Return what this version says of the trials, in the words of layout 1."""
    found: list[dict[str, Any]] = without_new([t.to_json() for t in store.trials("tiny")])
    return found


def layout(folder: Path) -> int:
    """Return the layout of a store, asked of its database by nothing of ours."""
    db = sqlite3.connect(f"file:{folder / 'store.db'}?mode=ro", uri=True)
    found: int = db.execute("SELECT version FROM layout").fetchone()[0]
    db.close()
    return found


def rows(database: Path, table: str) -> int:
    """Return the number of rows of a table."""
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    found: int = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    db.close()
    return found


def dump(database: Path) -> list[str]:
    """Return a database as SQL."""
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    found = list(db.iterdump())
    db.close()
    return found


def test_opening_for_writing_migrates_and_keeps_every_figure(old: Path, said: dict[str, Any]) -> None:
    counted = {t: rows(old / "store.db", t) for t in ("trials", "measurements", "op_profiles", "stages", "profiles")}
    store = Store(old)
    assert layout(old) == 2
    assert shown(store) == without_new(said["trials"])
    database = old / "store.db"
    assert rows(database, "executions") == counted["stages"]
    assert {t: rows(database, t) for t in counted if t != "stages"} == {
        k: v for k, v in counted.items() if k != "stages"
    }
    assert not store.notes()


def test_a_copy_of_the_old_database_is_kept(old: Path) -> None:
    before = dump(old / "store.db")
    Store(old).close()
    kept = kept_copy(old / "store.db")
    assert kept.name == "store.layout1.db"
    assert dump(kept) == before


def test_reading_migrates_a_copy_and_leaves_the_store_as_it_is(old: Path, said: dict[str, Any]) -> None:
    before = {p: p.read_bytes() for p in old.rglob("*") if p.is_file()}
    reader = Reader(old)
    assert shown(reader) == without_new(said["trials"])
    assert any("layout 1" in note for note in reader.notes())
    assert reader.study("tiny").grid["train"]["epochs"] == 10
    reader.close()
    assert {p: p.read_bytes() for p in old.rglob("*") if p.is_file()} == before


def test_a_read_only_store_of_layout_1_is_read(old: Path, said: dict[str, Any]) -> None:
    for path in [*old.rglob("*"), old]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert shown(Reader(old)) == without_new(said["trials"])
    finally:
        for path in [old, *old.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_measurements_have_the_machine_that_was_written_with_them(old: Path) -> None:
    store = Store(old)
    (machine,) = store.machines().values()
    assert (machine.cores, machine.system) == (2, "Linux x86_64")
    measured = [m for t in store.trials("tiny") for m in t.measurements]
    assert {m.machine for m in measured} == {machine.id}
    # One machine: nothing has to be told apart.
    assert {m.place for m in measured} == {""}
    trial = store.trials("tiny")[0]
    key = runtime_key("xnnpack", {"threads": 1})
    assert store.samples_ns("tiny", trial.id, key, machine.id).size == trial.measurements[0].latency_ms.samples  # type: ignore[union-attr]
    assert (trial.id, key, machine.id) in store.op_profiles("tiny")


def test_what_was_not_recorded_is_not_made_up(old: Path) -> None:
    store = Store(old)
    assert {t.settings for t in store.trials("tiny")} == {None}
    keys = store.trial_keys("tiny")
    for execution in store.executions(keys.values()).values():
        assert (execution.inputs, execution.settings, execution.tools, execution.machine) == ({}, {}, {}, "")
        assert execution.kind == "evaluate"


def test_all_of_a_migrated_store_is_well(old: Path) -> None:
    from workbench.data.materialize import stored_sha256

    found = check_store(Store(old), lambda folder, info: stored_sha256(folder, info.inputs, info.class_names))
    assert [f for f in found.findings if f.state in ("damaged", "missing", "unreadable")] == []


def test_the_front_is_that_of_before(old: Path, said: dict[str, Any]) -> None:
    study = Study(Store(old), "tiny")
    front = [t.recipe for t in front_trials(study.trials, "size", "accuracy")]
    by_hand = []
    for t in said["trials"]:
        mine = (t["size"]["file"], -t["quality"]["accuracy"])
        others = [(o["size"]["file"], -o["quality"]["accuracy"]) for o in said["trials"]]
        if not any(o != mine and o[0] <= mine[0] and o[1] <= mine[1] for o in others):
            by_hand.append((mine[0], t["recipe"]))
    assert front == [recipe for _, recipe in sorted(by_hand, key=lambda p: p[0])]


def test_opening_again_changes_nothing_more(old: Path, said: dict[str, Any]) -> None:
    Store(old).close()
    kept = kept_copy(old / "store.db").stat().st_mtime_ns
    assert shown(Store(old)) == without_new(said["trials"])
    assert kept_copy(old / "store.db").stat().st_mtime_ns == kept


def test_a_store_of_a_later_layout_is_refused(old: Path) -> None:
    db = sqlite3.connect(old / "store.db")
    db.execute("UPDATE layout SET version = 99")
    db.commit()
    db.close()
    for open_ in (Reader, Store):
        with pytest.raises(WorkbenchError, match="layout 99, this version reads layout 2"):
            open_(old).studies()


KILLED = """
import os, signal, sys
import sqlalchemy as sa
from workbench.store.store import Store
left = int(sys.argv[2])
def count(*_):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
sa.event.listen(sa.engine.Engine, "before_cursor_execute", count)
Store(sys.argv[1])
"""


@pytest.mark.slow
def test_a_migration_that_is_killed_anywhere_leaves_the_old_store_whole(
    old: Path, said: dict[str, Any], tmp_path: Path
) -> None:
    """Killed before its 5th, 10th, 20th ... statement; the next opening then does all of it."""
    killed = 0
    for statement in (0, 5, 10, 15, 20, 30, 40, 60):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(old), str(statement)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != -signal.SIGKILL:
            break
        killed += 1
        # Whatever is there is whole, and read by this version as it was.
        reader = Reader(old)
        assert shown(reader) == without_new(said["trials"])
        reader.close()
        if layout(old) == 2:
            break
    assert killed >= 5
    assert shown(Store(old)) == without_new(said["trials"])
    assert layout(old) == 2


def test_rows_that_cannot_be_read_stop_no_other(old: Path, said: dict[str, Any]) -> None:
    """Bytes that are no UTF-8, what is no JSON: each is carried over, and the rest is as it was."""
    db = sqlite3.connect(old / "store.db")
    bad = b'{"\xff": 1}'
    db.execute("INSERT INTO stages VALUES ('k1', 'finish', 1.0, ?)", (bad,))
    db.execute("INSERT INTO stages VALUES (CAST(X'FF41' AS TEXT), 'finish', 1.0, 'no json')")
    db.execute("INSERT INTO measurements VALUES ('tiny', 'other', 'r', 0.0, 'k', CAST(? AS TEXT), NULL)", (bad,))
    environment = {"processor": "p\\udcff", "cores": 2, "system": "s"}
    db.execute(
        "INSERT INTO measurements VALUES ('tiny', 'another', 'r', 0.0, 'k', ?, NULL)",
        (json.dumps({"runtime": "r", "environment": environment}).replace("\\\\\\\\", "\\\\"),),
    )
    db.commit()
    db.close()
    for open_ in (Reader, Store):
        store = open_(old)
        assert shown(store) == without_new(said["trials"])
        store.close()
    assert layout(old) == 2
    assert rows(old / "store.db", "executions") == rows(kept_copy(old / "store.db"), "stages")


def test_many_threads_migrate_many_stores(tmp_path: Path, said: dict[str, Any]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    folders = [tmp_path / str(i) for i in range(6)]
    for folder in folders:
        with zipfile.ZipFile(FROZEN / "layout1.zip") as archive:
            archive.extractall(folder)
    with ThreadPoolExecutor(6) as threads:
        assert all(found == without_new(said["trials"]) for found in threads.map(lambda f: shown(Reader(f)), folders))
        assert all(found == without_new(said["trials"]) for found in threads.map(lambda f: shown(Store(f)), folders))


def test_a_reader_sees_that_another_process_has_migrated(old: Path, said: dict[str, Any]) -> None:
    reader = Reader(old)
    assert reader.trials("tiny")
    assert reader.notes()
    Store(old).close()
    assert shown(reader) == without_new(said["trials"])
    assert not any("layout 1" in note for note in reader.notes())


def test_a_copy_that_cannot_be_written_stops_it_in_words(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("workbench.store.migrate.backup", full)
    with pytest.raises(WorkbenchError, match="no space left"):
        Store(old)
    assert layout(old) == 1
