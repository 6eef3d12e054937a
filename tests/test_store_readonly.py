"""A store is read where nothing can be written, while others write, and after they were killed; reading leaves no trace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from elsewhere import as_nobody, close_to_writing, look, need_another_user, reachable, told_as_nobody
from stored import store_study
from trials import make_record, make_study

import workbench
from workbench.errors import WorkbenchError
from workbench.store import reading
from workbench.store.reader import Reader
from workbench.store.store import Store
from workbench.values.trial import Trial

TRIALS = make_study()


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A store with one study, made by another process, so that this one has not written to it."""
    return make(tmp_path / "store")


def make(folder: Path) -> Path:
    store_study(folder, "digits-sweep", TRIALS)
    # As if another process had made it: what this one has written it opens as SQLite always does.
    reading._written.discard(str((folder / "store.db").resolve()))
    return folder


def asked(location: Path | str) -> tuple[list[str], int, int]:
    """What each kind of question gives: studies, trials, measurements."""
    store = Reader(location)
    trials = store.trials("digits-sweep")
    store.close()
    return [s.name for s in store.studies()], len(trials), sum(len(t.measurements) for t in trials)


WHOLE = (["digits-sweep"], len(TRIALS), sum(len(t.measurements) for t in TRIALS))
EMPTY: tuple[list[str], int, int] = ([], 0, 0)

HOLD = """
import sys, time
from workbench.store.store import Store
from workbench.values.trial import Trial
store = Store(sys.argv[1])
store.studies()
for i in range(int(sys.argv[2])):
    store.save_trial("held", Trial(id=str(i), recipe="int8", steps=()), "k", i)
print("ready", flush=True)
while sys.argv[3] == "write":
    for i in range(200):
        store.save_trial("busy", Trial(id=str(i), recipe="int8", steps=(), state="ok"), "k", i)
time.sleep(300)
"""


@contextmanager
def another(store: Path, count: int = 0, then: str = "sleep") -> Iterator[subprocess.Popen[str]]:
    """Another process that has the store open for writing, and has written so many trials of the study "held"."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store), str(count), then], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def killed(store: Path) -> None:
    """Have a process write three trials and die without a chance to put them into the database's file."""
    with another(store, 3) as process:
        os.kill(process.pid, signal.SIGKILL)
    assert (store / "store.db-wal").stat().st_size > 0


def nothing(store: Path) -> None:
    """As it is."""


def no_write_bits(store: Path) -> None:
    close_to_writing(store)


def database_only(store: Path) -> None:
    (store / "store.db").chmod(0o444)


def with_index(store: Path) -> None:
    killed(store)


def without_index(store: Path) -> None:
    killed(store)
    (store / "store.db-shm").unlink()


def killed_and_closed(store: Path) -> None:
    killed(store)
    close_to_writing(store)


def without_index_and_closed(store: Path) -> None:
    without_index(store)
    close_to_writing(store)


def an_index_alone(store: Path) -> None:
    (store / "store.db-shm").write_bytes(bytes(32768))


def an_empty_log(store: Path) -> None:
    (store / "store.db-wal").touch()


def a_useless_index(store: Path) -> None:
    killed(store)
    (store / "store.db-shm").write_bytes(b"")


def copied(store: Path) -> None:
    """Copied as a backup does, log and all."""
    killed(store)
    shutil.copytree(store, store.with_name("copy"))
    shutil.rmtree(store)
    store.with_name("copy").rename(store)


def an_older_one(store: Path) -> None:
    """Made before some of the tables were."""
    with sqlite3.connect(store / "store.db") as db:
        db.execute("drop table checked")
        db.execute("drop table op_profiles")
    db.close()


def no_folders(store: Path) -> None:
    shutil.rmtree(store / "artifacts")
    shutil.rmtree(store / "logs")


def without_a_log(store: Path) -> None:
    """As on a file system that does not do for one."""
    db = sqlite3.connect(store / "store.db")
    assert db.execute("pragma journal_mode=delete").fetchone() == ("delete",)
    db.close()


@pytest.mark.parametrize(
    "state",
    [
        nothing,
        no_write_bits,
        database_only,
        with_index,
        without_index,
        killed_and_closed,
        without_index_and_closed,
        an_index_alone,
        an_empty_log,
        a_useless_index,
        copied,
        an_older_one,
        no_folders,
        without_a_log,
    ],
    ids=lambda f: f.__name__,
)
def test_reading_gives_all_and_changes_nothing(made: Path, state: Callable[[Path], None]) -> None:
    state(made)
    before, temporary = look(made), set(os.listdir(tempfile.gettempdir()))
    assert asked(made) == WHOLE
    written = 3 if "kill" in state.__name__ or "index" in state.__name__ or state is copied else 0
    if state is not an_index_alone:
        assert len(Reader(made).trials("held")) == written, "what the killed process wrote is there"
    assert look(made) == before
    left = {n for n in set(os.listdir(tempfile.gettempdir())) - temporary if n.startswith("workbench-store-")}
    assert not left or state.__name__ in ("without_index", "without_index_and_closed", "a_useless_index")


def test_a_copy_is_said_private_and_gone_afterwards(made: Path) -> None:
    without_index(made)
    store = Reader(made)
    assert len(store.trials("held")) == 3
    (note,) = store.notes()
    assert "left by a process that was killed" in note
    assert store.database.file is not None
    copy = store.database.file._copy
    assert copy is not None
    assert Path(copy.name).stat().st_mode & 0o777 == 0o700
    assert len(store.trials("held")) == 3
    assert store.database.file._copy is copy, "copied once"
    store.close()
    assert not Path(copy.name).exists()


@pytest.mark.parametrize("count", [0, 3])
def test_another_process_has_it_open(made: Path, count: int) -> None:
    with another(made, count):
        before = look(made)
        assert asked(made) == WHOLE
        assert len(Reader(made).trials("held")) == count
        assert look(made) == before


def test_another_process_writes_meanwhile(made: Path) -> None:
    """Every answer is whole, and new trials are seen as they come."""
    store = Reader(made)
    seen: list[int] = []
    with another(made, 0, "write"):
        deadline = time.monotonic() + 120
        while not (seen and seen[-1] == 200) and time.monotonic() < deadline:
            assert len(store.trials("digits-sweep")) == len(TRIALS)
            seen.append(len(store.trials("busy")))
    assert seen == sorted(seen)
    assert seen[-1] == 200
    assert asked(made) == WHOLE


def test_this_process_writes_and_reads(made: Path) -> None:
    """A reader must not take away the locks of a sweep in the same process."""
    writer, reader = Store(made), Reader(made)
    for i in range(20):
        writer.save_trial("mine", Trial(id=str(i), recipe="int8", steps=()), "k", i)
        assert len(reader.trials("mine")) == i + 1
        reader.close()
    with another(made, 3):
        writer.save_trial("mine", Trial(id="last", recipe="int8", steps=()), "k", 20)
    assert len(reader.trials("mine")) == 21
    assert len(reader.trials("held")) == 3
    with sqlite3.connect(made / "store.db") as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    db.close()


def test_a_store_that_is_made_later_is_seen(tmp_path: Path) -> None:
    store = Reader(tmp_path / "store")
    assert (store.studies(), store.exists, list(tmp_path.iterdir())) == ([], False, [])
    make(tmp_path / "store")
    assert [s.name for s in store.studies()] == ["digits-sweep"]
    assert len(store.trials("digits-sweep")) == len(TRIALS)


# ---- places where no store is


def missing(folder: Path) -> None:
    """Nothing is there."""


def empty(folder: Path) -> None:
    folder.mkdir()


def an_empty_database(folder: Path) -> None:
    folder.mkdir()
    (folder / "store.db").touch()


def a_strangers_database(folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "store.db") as db:
        db.execute("create table studies (other text)")
    db.close()


def just_being_made(folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "store.db") as db:
        db.execute("create table layout (version integer primary key)")
    db.close()


@pytest.mark.parametrize(
    "state", [missing, empty, an_empty_database, a_strangers_database, just_being_made], ids=lambda f: f.__name__
)
def test_no_store_is_an_empty_one_and_none_is_made(tmp_path: Path, state: Callable[[Path], None]) -> None:
    folder = tmp_path / "store"
    state(folder)
    before = look(tmp_path)
    assert asked(folder) == EMPTY
    with pytest.raises(
        WorkbenchError, match=r"unknown study 'x'. Allowed: none. There is no store at|The store is"
    ) as caught:
        workbench.open_study("x", folder)
    assert str(folder) in str(caught.value)
    assert look(tmp_path) == before


def no_database(folder: Path) -> str:
    (folder / "store.db").write_bytes(b"no database" * 1000)
    return "file is not a database"


def cut_off(folder: Path) -> str:
    path = folder / "store.db"
    path.write_bytes(path.read_bytes()[:5000])
    return "malformed"


def a_folder(folder: Path) -> str:
    (folder / "store.db").unlink()
    (folder / "store.db").mkdir()
    return "store.db is no file"


def a_newer_layout(folder: Path) -> str:
    with sqlite3.connect(folder / "store.db") as db:
        db.execute("update layout set version = 999")
    db.close()
    return "has layout 999, this version reads layout 2"


def a_file(folder: Path) -> str:
    shutil.rmtree(folder)
    folder.write_text("x")
    return "Not a directory"


@pytest.mark.parametrize("state", [no_database, cut_off, a_folder, a_newer_layout, a_file], ids=lambda f: f.__name__)
def test_what_cannot_be_read_is_a_message(made: Path, state: Callable[[Path], str]) -> None:
    said = state(made)
    before = look(made.parent)
    with pytest.raises(WorkbenchError) as caught:
        asked(made)
    assert said in str(caught.value)
    assert str(made) in str(caught.value)
    assert "--store" in str(caught.value)
    assert look(made.parent) == before


def test_a_url_is_read_in_the_same_way(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_ARTIFACTS", str(made.parent / "nowhere"))
    url = f"sqlite:///{made / 'store.db'}"
    close_to_writing(made)
    before = look(made.parent)
    assert asked(url) == WHOLE
    assert workbench.open_study("digits-sweep", url).best() is not None
    assert look(made.parent) == before
    assert asked(f"sqlite:///{made / 'other.db'}") == EMPTY
    with pytest.raises(WorkbenchError, match=r"cannot be read.*nosuchdatabase"):
        Reader("nosuchdatabase://host/db")
    with pytest.raises(WorkbenchError, match="no SQLAlchemy URL"):
        Reader("://")


@pytest.mark.parametrize("name", ["a b", "50%", "what?", "a#b", "ä", "%41", "file:x", "a&mode=rw"])
def test_any_folder_name(tmp_path: Path, name: str) -> None:
    assert asked(make(tmp_path / name)) == WHOLE


# ---- as another user, through the commands

VERBS = """
import json, sys
from workbench.cli.app import run
codes = {}
for words in json.loads(sys.argv[1]):
    print("#", " ".join(words), flush=True)
    codes[" ".join(words[:2])] = run(words)
print("#", json.dumps(codes))
"""


def verbs(store: str, out: Path) -> list[list[str]]:
    where = ["--store", store]
    return [
        ["studies", *where],
        ["show", "digits-sweep", *where],
        ["pareto", "digits-sweep", "--format", "json", *where],
        ["best", "digits-sweep", "--max-drop", "0.01", *where],
        ["gate", "digits-sweep", "--max-drop", "0.01", "--junit", str(out / "gate.xml"), *where],
        ["export", "digits-sweep", "int8", "--out", str(out / "bundle"), *where],
        ["store", "check", "--format", "json", *where],
    ]


@pytest.fixture(scope="module")
def other_user() -> None:
    need_another_user()


@contextmanager
def shared(small_int8_tflite: Path) -> Iterator[tuple[Path, Path]]:
    """A store that every user can read and nobody but its owner can write to, and a folder that everybody can."""
    with reachable() as folder:
        # One that Workbench makes is its owner's alone; one that is there stays as open as it is.
        (folder / "store").mkdir()
        (folder / "store").chmod(0o755)
        store = Store(folder / "store")
        artifact = store.artifacts.put_bytes(small_int8_tflite.read_bytes(), "tflite")
        trials = [t.model_copy(update={"artifact": artifact}) if t.recipe == "int8" else t for t in TRIALS]
        store.close()
        store_study(folder / "store", "digits-sweep", trials)
        (folder / "out").mkdir()
        (folder / "out").chmod(0o777)
        yield folder / "store", folder / "out"


@pytest.mark.slow
@pytest.mark.usefixtures("other_user")
@pytest.mark.parametrize(
    "state", [no_write_bits, without_index_and_closed, killed_and_closed], ids=lambda f: f.__name__
)
def test_every_verb_that_reads_serves_another_user(small_int8_tflite: Path, state: Callable[[Path], None]) -> None:
    with shared(small_int8_tflite) as (store, out):
        state(store)
        before = look(store)
        done = as_nobody(["-c", VERBS, json.dumps(verbs(str(store), out))], out)
        assert done.returncode == 0, done.stderr[-3000:]
        codes = json.loads(done.stdout.splitlines()[-1].removeprefix("# "))
        # Most trials have no file here, which is what the check has to say.
        assert codes == {**dict.fromkeys(codes, 0), "store check": 1}, done.stderr[-3000:]
        assert "prune:0.5+int8" in done.stdout
        assert {p.name for p in (out / "bundle").iterdir()} >= {"model.tflite", "card.json"}
        assert (out / "bundle" / "model.tflite").read_bytes() == small_int8_tflite.read_bytes()
        assert ("private copy" in done.stderr) == (state is without_index_and_closed)
        assert look(store) == before


@pytest.mark.slow
@pytest.mark.usefixtures("other_user")
def test_a_report_of_a_store_that_only_others_may_write(small_int8_tflite: Path) -> None:
    with shared(small_int8_tflite) as (store, out):
        close_to_writing(store)
        before = look(store)
        words = ["-m", "workbench", "report", "digits-sweep", "--out", "r.html", "--store", str(store)]
        done = as_nobody(words, out, HOME=str(out), TMPDIR=str(out))
        assert done.returncode == 0, done.stderr[-3000:]
        assert "digits-sweep" in (out / "r.html").read_text()
        assert look(store) == before


def test_what_another_user_may_not_read_or_write_is_a_message(small_int8_tflite: Path) -> None:
    with shared(small_int8_tflite) as (store, _):
        (store / "store.db").chmod(0o600)
        read = told_as_nobody(lambda: str(Reader(store).studies()))
        assert read.startswith(f"WorkbenchError: store {str(store)!r} cannot be read: [Errno 13] Permission denied")
        written = told_as_nobody(lambda: str(Store(store)))
        assert written.startswith(f"WorkbenchError: store {str(store)!r} cannot be opened for writing: [Errno 13]")
        (store / "store.db").chmod(0o644)
        assert told_as_nobody(lambda: Reader(store).studies()[0].name) == "digits-sweep"


def test_a_file_system_without_writing(made: Path) -> None:
    """A bind mount, which holds root too."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount")
    place = made.with_name("mounted")
    place.mkdir()
    if subprocess.run(["mount", "--bind", made, place], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        if subprocess.run(["mount", "-o", "remount,bind,ro", place], capture_output=True, check=False).returncode:
            pytest.skip("mounting for reading only is not allowed here")
        with pytest.raises(OSError, match="Read-only"):
            (place / "x").touch()
        assert asked(place) == WHOLE
        study = workbench.open_study("digits-sweep", place)
        assert study.best() is not None
        assert study.record.model_copy(update={"started": ""}) == make_record("digits-sweep", started="")
        with pytest.raises(WorkbenchError, match="cannot be opened for writing"):
            Store(place)
    finally:
        subprocess.run(["umount", place], check=True)


def test_the_dashboard_of_a_store_that_cannot_be_written(made: Path) -> None:
    close_to_writing(made)
    before = look(made)
    board = workbench.open_study("digits-sweep", made).dashboard()
    assert board is not None
    assert look(made) == before
