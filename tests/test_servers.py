"""Stores on PostgreSQL and MariaDB, real ones that these tests start, keep what SQLite keeps, and say it in the same words."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import layout1
import numpy as np
import pytest
import sqlalchemy as sa
from servers import PASSWORD, READER, WRITER, MariaDB, Missing, PostgreSQL, Server, running
from test_migration import without_new
from trials import make_profile, make_record, make_study, make_trial, measured

import workbench
from workbench.cli.app import run as run_command
from workbench.errors import MissingExtra, WorkbenchError
from workbench.store import servers as product
from workbench.store.place import find_place
from workbench.store.reader import Reader, runtime_key
from workbench.store.store import Store
from workbench.store.tables import MEASUREMENTS, TRIALS
from workbench.store.tagging import change_tags, read_written, write_note
from workbench.values.graph import Execution, Machine
from workbench.values.profile import Profile
from workbench.values.trial import Latency, Trial

ROOT = Path(workbench.__file__).parents[1]
SERVERS = ("postgresql", "mariadb")
# Texts that some database takes for one another, or for something else.
NAMES = [
    "int8", "INT8", "int8 ", " int8", "á", "a\u0301", "a", "ä", "ß", "ss", "ı", "i", "İ", "😀", "😁", "日本", "it's", 'q"q', "50%", "%s",
    "%(x)s", ":x", "a\\b", "a\\\\b", "a\nb", "a\tb", "x" * 200, "😀" * 200, "\u200b", "`", ";--", "null", "0", "1e3",
]  # fmt: skip


def started(kind: type[Server], driver: str) -> Iterator[Server]:
    """Give a server for all tests of a process; where it or its driver is missing, they are skipped with what to do."""
    pytest.importorskip(driver, reason=f"{driver} is not installed: pip install 'tflite-workbench[dev]'")
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(running(kind))
        except Missing as missing:
            pytest.skip(str(missing))
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    yield from started(PostgreSQL, "psycopg")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    yield from started(MariaDB, "pymysql")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the files of stores by URL lie."""
    monkeypatch.setenv("WORKBENCH_ARTIFACTS", str(tmp_path / "files"))
    return tmp_path / "files"


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, files: Path) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def on_server(server: Server) -> str:
    """Return the URL of an empty database on a server."""
    return server.database()


@pytest.fixture(params=("sqlite", *SERVERS))
def url(request: pytest.FixtureRequest, files: Path, tmp_path: Path) -> str:
    """Return the URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'own.db'}"
    server: Server = request.getfixturevalue(request.param)
    return server.database()


def fill(url: str, name: str = "digits-sweep") -> list[Trial]:
    """Write a study of every kind of row into a store, and return its trials as they were written."""
    store = Store(url)
    trials = make_study()[:12]
    store.save_study(make_record(name))
    store.save_trials(name, [(t, f"key-{t.id}", i) for i, t in enumerate(trials)])
    machine = Machine(id="m1", processor="x86-64", cores=2, system="Linux")
    store.save_machine(machine)
    for trial in trials:
        for measurement in trial.measurements:
            timed = measurement.model_copy(update={"profile": make_profile(), "machine": "m1"})
            store.save_measurement(name, trial.id, timed, "key", np.arange(7))
    steps = [("load", {}), ("prune", {"start": "e-load"}), ("finish", {"start": "e-prune"})]
    for kind, inputs in steps:
        made = Execution(
            key=f"e-{kind}", kind=kind, inputs=inputs, machine="m1", seconds=0.1 + 0.2, started="2026-01-15T09:30:00Z"
        )
        store.save_execution(made, {"artifact": None, "data": {"n": 1}, "notes": []})
    store.save_profile(name, Profile(started="2026-01-15T09:30:00Z", workers=2))
    change_tags(store, name, ["kept", "année"])
    write_note(store, name, "a note, 😀, 'quoted'")
    store.close()
    return trials


def said(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """Return what a verb prints as JSON."""
    capsys.readouterr()
    assert run_command([*map(str, words), "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


# ---- what goes in comes out


def test_all_rows_come_back(url: str) -> None:
    trials = fill(url)
    for open_ in (Store, Reader):
        store = open_(url)
        found = store.trials("digits-sweep")
        assert [t.to_json()["quality"] for t in found] == [t.to_json()["quality"] for t in trials]
        assert [t.recipe for t in found] == [t.recipe for t in trials]
        assert [len(t.measurements) for t in found] == [len(t.measurements) for t in trials]
        first = trials[0].measurements[0]
        assert found[0].measurements[0].latency_ms == first.latency_ms
        key = runtime_key(first.runtime, first.options)
        assert store.samples_ns("digits-sweep", trials[0].id, key, "m1").tolist() == list(range(7))
        assert store.op_profiles("digits-sweep")[trials[0].id, key, "m1"] == make_profile()
        assert store.machines()["m1"].cores == 2
        assert store.executions(["e-prune"])["e-prune"].inputs == {"start": "e-load"}
        assert store.executions(["e-load"])["e-load"].seconds == 0.1 + 0.2
        assert store.stage("e-load") == {"artifact": None, "data": {"n": 1}, "notes": []}
        assert [p.workers for p in store.profiles("digits-sweep")] == [2]
        assert read_written(store)["digits-sweep"] == (("année", "kept"), "a note, 😀, 'quoted'")
        assert not store.notes()
        store.close()


def test_every_verb_says_what_it_says_of_sqlite(
    on_server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = f"sqlite:///{tmp_path / 'own.db'}"
    asked = [
        ["studies"], ["show", "digits-sweep"], ["pareto", "digits-sweep"], ["best", "digits-sweep", "--max-size", "200KB"],
        ["store", "info"], ["store", "gc", "--dry-run"], ["lineage", "digits-sweep", "float32"],
    ]  # fmt: skip
    answers = []
    for place, root in ((here, "one"), (on_server, "two")):
        monkeypatch.setenv("WORKBENCH_ARTIFACTS", str(tmp_path / root))
        fill(place)
        texts = json.dumps([said(capsys, *words, "--store", place) for words in asked], sort_keys=True)
        assert PASSWORD not in texts
        assert quote(PASSWORD, safe="") not in texts
        found = json.loads(texts.replace(str(tmp_path / root), "ROOT").replace(Reader(place).location, "STORE"))
        assert (found[4].pop("database") is None) == (place == on_server)
        answers.append(found)
    assert answers[0] == answers[1]


def test_verbs_that_write(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(url)
    fill(url, "digits-Sweep")
    store = ["--store", url]
    assert run_command(["store", "tag", "digits-sweep", "kept", "--remove", *store]) == 0
    assert run_command(["store", "note", "digits-sweep", "another", *store]) == 0
    assert [s["study"] for s in said(capsys, "studies", "--tag", "kept", *store)] == ["digits-Sweep"]
    assert read_written(Reader(url))["digits-sweep"] == (("année",), "another")
    assert run_command(["store", "rm", "digits-sweep", "--yes", *store]) == 0
    assert [s["study"] for s in said(capsys, "studies", *store)] == ["digits-Sweep"]
    assert len(Reader(url).trials("digits-Sweep")) == 12
    assert not Reader(url).trials("digits-sweep")
    assert run_command(["store", "gc", *store]) == 0
    assert not Reader(url).executions(["e-load", "e-prune", "e-finish"])
    # The files that its trials name are not there.
    assert run_command(["store", "check", *store]) == 1


def test_names_are_told_apart(url: str) -> None:
    store = Store(url)
    for i, name in enumerate(NAMES):
        store.save_study(make_record(name, started=f"2026-01-01T00:00:{i:02}Z"))
        store.save_trial(name, make_trial("int8").model_copy(update={"id": f"t{i}"}), f"k{i}", 0)
        change_tags(store, name, [f"tag{i}"])
        store.save_measurement("one", "t", measured("delegate:" + name[:50], 1.0 + i), f"k{i}", np.array([i]))
    assert [s.name for s in store.studies()] == NAMES
    assert set(store.counts()) == set(NAMES)
    for i, name in enumerate(NAMES):
        assert store.study(name).started == f"2026-01-01T00:00:{i:02}Z"
        assert store.trial_keys(name) == {f"t{i}": f"k{i}"}
        assert read_written(store)[name].tags == (f"tag{i}",)
    short = {runtime_key("delegate:" + name[:50], {}) for name in NAMES}
    assert {runtime for _, runtime in store.measurement_keys("one", "")} == short
    for name in ("Int8", "int8  ", "A", "😀"[:1] + "x"):
        with pytest.raises(WorkbenchError, match="unknown study"):
            store.study(name)


def test_case_is_no_difference_that_is_lost_by_trials(url: str) -> None:
    store = Store(url)
    ids = ["a", "A", "a ", "ä", "Ä"]
    store.save_trials("s", [(make_trial("int8").model_copy(update={"id": i}), i, n) for n, i in enumerate(ids)])
    assert store.trial_keys("s") == {i: i for i in ids}
    store.save_trial("s", make_trial("int8").model_copy(update={"id": "a"}), "new", 0)
    assert store.trial_keys("s") == {**{i: i for i in ids}, "a": "new"}


@pytest.mark.parametrize("name", ["a\0b", "a\udcffb"])
def test_names_that_no_server_takes(server: Server, name: str) -> None:
    """SQLite keeps NUL; a sweep refuses both in the name of a study everywhere."""
    store = Store(server.database())
    store.save_study(make_record("a"))
    with pytest.raises(WorkbenchError, match=r"cannot be written: .*(NUL|surrogates).* choose another"):
        store.save_study(make_record(name))
    assert store.trials(name) == []
    with pytest.raises(WorkbenchError, match="unknown study"):
        store.study(name)
    assert [s.name for s in store.studies()] == ["a"]


def test_a_name_that_is_too_long_is_refused_and_never_cut(mariadb: Server, files: Path) -> None:
    store = Store(mariadb.database())
    with pytest.raises(WorkbenchError, match="Data too long for column 'name'"):
        store.save_study(make_record("x" * 201))
    assert not store.studies()


@pytest.mark.parametrize(
    "number", [math.inf, -math.inf, math.nan, 0.1, 0.1 + 0.2, 1e-300, 5e-324, 1.7976931348623157e308]
)
def test_every_number_comes_back(url: str, number: float) -> None:
    store = Store(url)
    latency = Latency(median=number, low=number, high=number, p90=number, samples=1)
    store.save_trial("s", make_trial("int8", measurements=[]), "k", 0)
    store.save_measurement("s", make_trial("int8").id, measured("xnnpack", 1.0, latency_ms=latency), "k", None)
    found = store.trials("s")[0].measurements[0].latency_ms
    assert found is not None
    assert repr(found.median) == repr(number)


def test_times_are_of_double_precision(url: str) -> None:
    """The last measurement is told from the one before by a column; seven digits of the time are ten minutes."""
    store = Store(url)
    trial = make_trial("int8", measurements=[])
    store.save_trial("s", trial, "k", 0)
    for machine in ("b", "a", "c"):
        store.save_measurement("s", trial.id, measured("xnnpack", 1.0, machine=machine), "k", np.array([ord(machine)]))
        time.sleep(0.01)
    assert [m.machine for m in store.trials("s")[0].measurements] == ["b", "a", "c"]
    assert store.samples_ns("s", trial.id, runtime_key("xnnpack", {})).tolist() == [ord("c")]
    with store.engine.connect() as db:
        at = db.execute(sa.select(MEASUREMENTS.c.at)).scalars().all()
    assert len(set(at)) == 3
    assert all(abs(a - time.time()) < 600 for a in at)


def test_long_texts_and_samples_are_whole(url: str) -> None:
    store = Store(url)
    grid = {"text": "ä😀" * 200_000, "nul": "a\0b", "byte": "\udcff"}
    store.save_study(make_record("s", grid=grid, command="y" * 100_000))
    assert store.study("s").grid == grid
    assert Reader(url).study("s").command == "y" * 100_000
    samples = np.random.default_rng(0).integers(0, 2**62, 40_000)
    store.save_measurement("s", "t", measured("xnnpack", 1.0), "k", samples)
    assert (store.samples_ns("s", "t", runtime_key("xnnpack", {})) == samples).all()
    write_note(store, "s", "😀" * 10_000)
    assert read_written(store)["s"].note == "😀" * 10_000


# ---- several at once

WRITES = """
import sys
import numpy as np
from trials import make_many, measured
from workbench.store.store import Store
url, who = sys.argv[1:]
trials = make_many(40)
sys.stdin.readline()
store = Store(url)
for round in range(10):
    mine = trials[:30] if who == "one" else trials[10:][::-1]
    store.save_trials("s", [(t, f"{who}{round}", i) for i, t in enumerate(mine)])
    for t in mine[::10]:
        store.save_measurement("s", t.id, measured("xnnpack", 1.0, machine=who), "k", np.arange(3))
print("done")
"""


@pytest.mark.slow
def test_two_processes_make_and_fill_one_store(url: str) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests"), *sys.path])}
    both = [
        subprocess.Popen([sys.executable, "-c", WRITES, url, who], env=env, text=True, stdin=-1, stdout=-1, stderr=-1)
        for who in ("one", "two")
    ]
    # Both have imported what they need before either makes a table.
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
    outcomes = [process.communicate(timeout=600) for process in both]
    assert [out for out, _ in outcomes] == ["done\n", "done\n"], outcomes
    store = Reader(url)
    assert len(store.trials("s")) == 40
    assert {k[:3] for k in store.trial_keys("s").values()} == {"one", "two"}
    assert len(store.measurement_keys("s", "one")) == 3
    assert len(store.measurement_keys("s", "two")) == 3


def test_what_a_server_lets_go_first_is_done_again(server: Server) -> None:
    """Each of two transactions waits for the other's row: the server ends ours, which is begun again when the other has ended."""
    url = server.database()
    store = Store(url)
    two = [make_trial("int8").model_copy(update={"id": i}) for i in "ab"]
    more = [make_trial("int8").model_copy(update={"id": f"c{i}"}) for i in range(50)]
    store.save_trials("s", [(t, "old", 0) for t in [*two, *more]])
    ended: list[str] = []
    sa.event.listen(store.engine, "handle_error", lambda context: ended.append(str(context.original_exception)))
    other = sa.create_engine(server.admin.url.set(database=sa.make_url(url).database))
    waiting = {
        "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
        "mysql": "SELECT count(*) FROM information_schema.innodb_lock_waits",
    }[server.admin.dialect.name]

    def change(db: sa.Connection, trial: str) -> None:
        db.execute(
            sa.update(TRIALS).where(TRIALS.c.study == "s", TRIALS.c.id == trial).values(position=TRIALS.c.position + 1)
        )

    with ThreadPoolExecutor(1) as threads, other.connect() as db:
        if db.dialect.name == "postgresql":
            db.exec_driver_sql("SET deadlock_timeout = '60s'")  # the one that looks first is the one that is ended
            db.commit()
        for trial in (*(t.id for t in more), "b"):  # MariaDB ends the smaller one
            change(db, trial)
        ours = threads.submit(store.save_trials, "s", [(t, "new", 0) for t in two])
        with server.admin.connect() as look:
            while not look.exec_driver_sql(waiting).scalar():
                assert not ours.done()
                time.sleep(0.1)
        change(db, "a")
        db.commit()
        ours.result(120)
    other.dispose()
    assert any("eadlock" in text for text in ended)
    assert [store.trial_keys("s")[i] for i in "ab"] == ["new", "new"]


def test_connections_that_the_server_ended_are_opened_again(server: Server) -> None:
    url = server.database()
    store, reader = Store(url), Reader(url)
    store.save_study(make_record("s"))
    name = sa.make_url(url).database
    if isinstance(server, PostgreSQL):
        server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    else:
        with server.admin.connect() as db:
            found = db.execute(sa.text("SELECT id FROM information_schema.processlist WHERE db = :n"), {"n": name})
            ids = found.scalars().all()
        server.run(*(f"KILL {i}" for i in ids))
    assert [s.name for s in reader.studies()] == ["s"]
    store.save_study(make_record("t"))
    assert {s.name for s in reader.studies()} == {"s", "t"}


# ---- rights


def test_who_may_only_read_reads(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    url = server.database()
    fill(url)
    server.let_read(url)
    looker = server.as_user(url, READER)
    assert len(Reader(looker).trials("digits-sweep")) == 12
    for words in (["studies"], ["show", "digits-sweep"], ["store", "info"], ["best", "digits-sweep"]):
        assert said(capsys, *words, "--store", looker)
    before = said(capsys, "show", "digits-sweep", "--store", url)
    for words in (["store", "tag", "digits-sweep", "x"], ["store", "rm", "digits-sweep", "--yes"]):
        with pytest.raises(WorkbenchError, match=r"cannot be written: .*denied") as caught:
            run_command([*words, "--store", looker])
        assert PASSWORD not in str(caught.value)
    assert said(capsys, "show", "digits-sweep", "--store", url) == before


def test_who_may_change_rows_needs_no_right_to_make_tables(server: Server) -> None:
    url = server.database()
    Store(url).close()
    server.let_read(url)
    fill(server.as_user(url, WRITER))
    assert len(Reader(url).trials("digits-sweep")) == 12


def test_an_empty_database_is_an_empty_store_to_a_reader(server: Server) -> None:
    url = server.database()
    reader = Reader(url)
    assert not reader.exists
    assert (reader.studies(), reader.trials("s"), reader.machines()) == ([], [], {})
    with server.admin.connect() as db:
        assert not sa.inspect(db).get_table_names(
            schema=None if db.dialect.name == "postgresql" else sa.make_url(url).database
        )


def test_tables_of_another_program_are_left_alone(server: Server) -> None:
    """Optuna, for one, has tables of the same names."""
    url = server.database()
    server.run("CREATE TABLE studies (study_id INTEGER PRIMARY KEY)", database=sa.make_url(url).database)
    with pytest.raises(
        WorkbenchError, match=r"tables of another program \(studies\). Give the store a database of its own"
    ):
        Store(url)
    assert not Reader(url).exists


def test_a_later_layout_is_refused(on_server: str) -> None:
    store = Store(on_server)
    with store.engine.begin() as db:
        db.exec_driver_sql("UPDATE layout SET version = 99")
    for open_ in (Reader, Store):
        with pytest.raises(WorkbenchError, match="layout 99, this version reads layout 2"):
            open_(on_server)


# ---- a server that is not there, a password, a driver


def test_a_server_that_is_not_there(files: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        for dialect, driver in (("postgresql", "psycopg"), ("mysql", "pymysql"), ("mariadb", "pymysql")):
            pytest.importorskip(driver)
            url = f"{dialect}://me:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/db"
            shown = f"{dialect}://me:\\*\\*\\*@127.0.0.1:{port}/db"
            for open_, what in ((Reader, "read"), (Store, "opened for writing")):
                with pytest.raises(
                    WorkbenchError, match=f"store '{shown}' cannot be {what}: .*(refused|onnect).* another"
                ) as caught:
                    open_(url)
                assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(("dialect", "driver"), [("postgresql", "psycopg"), ("mysql", "pymysql")])
def test_a_server_that_says_nothing_is_not_waited_for_without_end(
    dialect: str, driver: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(driver)
    monkeypatch.setattr(product, "CONNECT_SECONDS", 2)
    monkeypatch.setattr(product, "SILENCE_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for open_ in (Reader, Store):
            with pytest.raises(WorkbenchError, match=r"cannot be (read|opened for writing): .*(time|lost|Lost)"):
                open_(f"{dialect}://me@127.0.0.1:{port}/db")


def test_the_command_line_says_so_without_a_traceback(files: Path, tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    url = "postgresql://me:secret@127.0.0.1:1/db"
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "studies", "--store", url],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stdout + done.stderr


def test_a_wrong_password_is_not_said(server: Server) -> None:
    url = server.database().replace(quote(PASSWORD, safe=""), "wrong-one")
    for open_ in (Reader, Store):
        with pytest.raises(WorkbenchError, match=r"(assword authentication failed|Access denied)") as caught:
            open_(url)
        assert "wrong-one" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hidden@host/db",
        "postgresql://me:hidden/and@hidden@host/db",
        "mysql://me:hid%40hidden@host:3306/db?charset=utf8mb4",
        "postgresql:///db?user=me&password=hidden&host=h",
        "postgresql://me@h/db?sslmode=require&sslpassword=hidden",
        "postgresql://me:hidden:hidden@host:hidden@x/db",
        "nodialect://me:hidden@host/db",
        "postgresql+psycopg://me:hidden@host:port/db",
    ],
)
def test_no_spelling_of_a_url_shows_its_password(url: str, files: Path) -> None:
    try:
        shown = find_place(url).location
    except WorkbenchError as error:
        shown = str(error)
    assert "hid" not in shown
    assert "***" in shown
    assert url.partition(":")[0] in shown


def test_the_line_that_is_kept_with_a_study_has_no_password() -> None:
    from workbench.cli.app import Terminal

    url = "postgresql://me:hidden@host/db"
    assert Terminal(["sweep", "m.h5", "--store", url, "--data", "a@b"]).command == (
        "workbench sweep m.h5 --store 'postgresql://me:***@host/db' --data a@b"
    )
    assert "hidden" not in Terminal(["sweep", "m.h5", f"--store={url}"]).command


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://h/db", "postgresql+psycopg"),
        ("postgres://h/db", "postgresql+psycopg"),
        ("mysql://h/db", "mysql+pymysql"),
        ("mariadb://h/db", "mariadb+pymysql"),
        ("mysql+mysqldb://h/db", "mysql+mysqldb"),
        ("sqlite:////tmp/x.db", "sqlite"),
    ],
)
def test_a_url_that_names_no_driver_gets_ours(url: str, driver: str, files: Path) -> None:
    assert find_place(url).url.drivername == driver
    assert find_place(url).location == url


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("postgresql://h/db", "psycopg", "postgresql"),
        ("mysql://h/db", "pymysql", "mysql"),
        ("mariadb://h/db", "pymysql", "mysql"),
    ],
)
def test_a_missing_driver_is_named_with_what_to_install(
    url: str, package: str, extra: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for open_ in (Reader, Store):
        with pytest.raises(MissingExtra, match=rf"pip install 'tflite-workbench\[{extra}\]'"):
            open_(url)


# ---- layout 1


@pytest.fixture(scope="module")
def figures() -> list[dict[str, Any]]:
    """Return what the version that made the frozen store said of its trials."""
    path = layout1.ARCHIVE.with_name("layout1.json")
    return ordered(without_new(json.loads(path.read_text())["trials"]))


@pytest.fixture
def old(server: Server, files: Path) -> str:
    """Return the URL of a store of layout 1 on a server."""
    url = server.database()
    engine = product.server_engine(product.with_driver(sa.make_url(url)))
    layout1.fill(engine)
    engine.dispose()
    layout1.files(files)
    return url


def shown(url: str) -> list[dict[str, Any]]:
    store = Reader(url)
    found = ordered(without_new([t.to_json() for t in store.trials("tiny")]))
    store.close()
    return found


def ordered(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return trials with their measurements by name: MySQL kept the times of layout 1 to some minutes, and so not their order."""
    return [
        {**t, "measurements": sorted(t["measurements"], key=lambda m: json.dumps([m["runtime"], m["options"]]))}
        for t in trials
    ]


def rows(url: str) -> tuple[int, dict[str, list[str]]]:
    """Return the layout, and all rows of layout 1 wherever they are now, asked of the database by nothing of ours."""
    engine = product.server_engine(product.with_driver(sa.make_url(url)))
    with engine.connect() as db:
        found = db.exec_driver_sql("SELECT version FROM layout").scalar_one(), layout1.dump(db, "layout1_")
    engine.dispose()
    return found


def without_layout(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {k: v for k, v in found.items() if k != "layout"}


def test_layout_1_is_migrated_with_every_figure(old: str, files: Path, figures: list[dict[str, Any]]) -> None:
    layout, before = rows(old)
    assert layout == 1
    with pytest.raises(WorkbenchError, match="has layout 1, which is read once it is migrated"):
        Reader(old)
    assert rows(old) == (1, before), "reading changes nothing"
    store = Store(old)
    assert shown(old) == figures
    (machine,) = store.machines().values()
    assert {m.machine for t in store.trials("tiny") for m in t.measurements} == {machine.id}
    assert {k[2] for k in store.op_profiles("tiny")} == {machine.id}
    assert set(store.executions(store.trial_keys("tiny").values())) == set(store.trial_keys("tiny").values())
    assert len(store.profiles("tiny")) == len(before["profiles"])
    layout, kept = rows(old)
    assert layout == 2
    assert without_layout(kept) == without_layout(before), "the old rows stay, in tables that were put aside"
    # What is new works in what was migrated.
    change_tags(store, "tiny", ["old"])
    write_note(store, "tiny", "n" * 9_000)
    store.save_study(make_record("TINY"))
    assert {s.name for s in store.studies()} == {"tiny", "TINY"}
    from workbench.data.materialize import stored_sha256
    from workbench.store.check import check_store

    found = check_store(store, lambda folder, info: stored_sha256(folder, info.inputs, info.class_names))
    assert [f for f in found.findings if f.state in ("damaged", "unreadable")] == []
    Store(old).close()
    assert shown(old) == figures


def test_several_migrate_at_once(old: str, figures: list[dict[str, Any]]) -> None:
    with ThreadPoolExecutor(4) as threads:
        for store in threads.map(Store, [old] * 4):
            store.close()
    assert shown(old) == figures
    assert rows(old)[0] == 2


KILLED_OFTEN = """
import os, signal, sys
import alembic.command, alembic.config  # once, and not in each child
import sqlalchemy as sa
from workbench.store.store import Store
for line in sys.stdin:
    child = os.fork()
    if not child:
        left = int(line)
        def count(*_):
            global left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        sa.event.listen(sa.engine.Engine, "before_cursor_execute", count)
        Store(sys.argv[1])
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
def test_a_migration_that_is_killed_anywhere_leaves_the_old_rows_whole(old: str, figures: list[dict[str, Any]]) -> None:
    """Killed before each fifth statement, each time going on from what the one before left, until it comes to its end."""
    _, before = rows(old)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    layouts = []
    with subprocess.Popen([sys.executable, "-c", KILLED_OFTEN, old], env=env, text=True, stdin=-1, stdout=-1) as killed:
        assert killed.stdin is not None
        assert killed.stdout is not None
        for statement in range(2, 1000, 5):
            print(statement, file=killed.stdin, flush=True)
            status = int(killed.stdout.readline())
            layout, now = rows(old)
            assert without_layout(now) == without_layout(before)
            layouts.append(layout)
            if layout == 2:
                assert shown(old) == figures
            if status == 0:
                break
            assert status == -signal.SIGKILL
        killed.stdin.close()
    assert layouts.count(1) > 8
    assert layouts[-1] == 2
    Store(old).close()
    assert shown(old) == figures
    assert without_layout(rows(old)[1]) == without_layout(before)


@pytest.mark.slow
def test_a_server_that_ended_while_it_renamed_tables(
    mariadb: Server, files: Path, figures: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB renames tables one after another; a power cut lets some have their names and others not."""
    for done in (0, 1, 5, 9, 14):
        url = mariadb.database()
        engine = product.server_engine(product.with_driver(sa.make_url(url)))
        layout1.fill(engine)
        renames: list[str] = []

        def cut(
            _c: Any, cursor: Any, statement: str, parameters: Any, *_: Any, renames: list[str] = renames
        ) -> tuple[str, Any]:
            if statement.startswith("RENAME TABLE"):
                cursor.execute("COMMIT")  # as the statement does, before it does anything
                renames += statement.removeprefix("RENAME TABLE ").split(", ")
                raise RuntimeError("the power went")
            return statement, parameters

        sa.event.listen(sa.engine.Engine, "before_cursor_execute", cut, retval=True)
        try:
            with pytest.raises(RuntimeError, match="the power went"):
                Store(url)
        finally:
            sa.event.remove(sa.engine.Engine, "before_cursor_execute", cut)
        assert len(renames) > 14
        with engine.connect() as db:
            for rename in renames[:done]:
                db.exec_driver_sql(f"RENAME TABLE {rename}")
        with pytest.raises(WorkbenchError, match="is being migrated, or was when its process was killed"):
            Reader(url)
        Store(url).close()
        assert shown(url) == figures


# ---- a sweep


@pytest.mark.slow
def test_a_sweep_from_end_to_end(
    server: Server,
    files: Path,
    small_tflite: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the command line: swept, found again, shown, reported and exported, and its password is in nothing that was written."""
    url = server.database()
    draw = np.random.default_rng(1)
    x = draw.random((60, 8, 8, 1), dtype=np.float32)
    data = tmp_path / "images.npz"
    np.savez(data, x_train=x, y_train=draw.integers(0, 6, 60), x_test=x[:30], y_test=draw.integers(0, 6, 30))
    monkeypatch.chdir(tmp_path)
    sweep = [
        "sweep",
        str(small_tflite),
        "--data",
        str(data),
        "--quantize",
        "float32,int8",
        "--study",
        "s",
        "--jobs",
        "1",
    ]
    assert run_command([*sweep, "--store", url]) == 0
    study = workbench.open_study("s", url)
    assert [t.state for t in study.trials] == ["ok", "ok"]
    assert all(t.measurements for t in study.trials)
    assert "***" in study.record.command
    assert run_command([*sweep, "--store", url]) == 0
    assert not workbench.open_study("s", url).profiles[-1].stages, "all was found again"
    texts = [
        json.dumps(said(capsys, *words, "--store", url))
        for words in (["show", "s"], ["lineage", "s", "int8"], ["store", "check"])
    ]
    assert run_command(["store", "info", "--store", url]) == 0
    texts.append(capsys.readouterr().out)
    assert "on its server" in texts[-1]
    assert run_command(["export", "s", "int8", "--out", str(tmp_path / "bundle"), "--store", url]) == 0
    assert run_command(["report", "s", "--out", str(tmp_path / "page.html"), "--store", url]) == 0
    said_too = capsys.readouterr()
    texts += [said_too.out, said_too.err]
    texts += [p.read_text(errors="replace") for p in tmp_path.rglob("*") if p.is_file()]
    assert len(texts) > 10
    for text in texts:
        assert PASSWORD not in text
        assert quote(PASSWORD, safe="") not in text
