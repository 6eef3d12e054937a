"""The database of a store, opened for writing: made or migrated first, on a server or in an SQLite file."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from workbench.errors import WorkbenchError
from workbench.store.database import ReadDatabase, check_layout, no_driver
from workbench.store.migrate import found_layout, keep_copy, older, upgrade, upgrade_file
from workbench.store.place import StorePlace, reason
from workbench.store.reading import LOCK_SECONDS, decoded, opened_for_writing
from workbench.store.servers import alone, let_go_first, server_engine
from workbench.store.tables import LAYOUT, LAYOUT_TABLE, META
from workbench.store.upsert import INSERTS, upsert

T = TypeVar("T")
# How often a transaction is begun that a server ends in favour of another.
TRIES = 20


class WrittenDatabase(ReadDatabase):
    """A database that is read and written, made where it is not there; safe for several processes at once."""

    def __init__(self, place: StorePlace) -> None:
        super().__init__(place)
        try:
            if place.url.get_backend_name() == "sqlite":
                self.engine = self._sqlite()
            else:
                self.engine = self._server()
        except ImportError as error:
            raise no_driver(place, error) from error

    def ask(self, ask: Callable[[sa.Connection], T]) -> T | None:
        """Return what `ask` makes of a connection."""
        with self._guarded("read"), self.engine.connect() as db:
            return ask(db)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection whose changes are kept when the body ends without an error."""
        with self._guarded("written"), self.engine.begin() as db:
            yield db

    def replace(self, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows, which name the same columns, in place of those with the same keys: all of them or none."""
        if not rows:
            return
        # In one order, so that two processes do not wait for one another.
        keys = [c.name for c in table.primary_key.columns]
        ordered = sorted(rows, key=lambda row: [row[k] for k in keys])
        with self._guarded("written"):
            for left in reversed(range(TRIES)):
                try:
                    with self.engine.begin() as db:
                        db.execute(upsert(table, db.dialect.name, list(rows[0])), ordered)
                    return
                except sa.exc.DBAPIError as error:
                    if not left or not let_go_first(error):
                        raise
                    time.sleep(random.uniform(0, 0.2))

    def close(self) -> None:
        """Release it."""
        self.engine.dispose()

    @contextlib.contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.StatementError as error:
            hint = self.advice
            told = isinstance(error, sa.exc.DBAPIError)
            if not told and not isinstance(error.orig, ValueError):
                raise
            if not told or isinstance(error, sa.exc.DataError):
                hint = "A name or text in it is none that this database takes; choose another."
            elif what == "written":
                hint = "Finished work is kept; run the same command again."
            raise WorkbenchError(f"store {self.place.location!r} cannot be {what}: {reason(error)}. {hint}") from error

    def _sqlite(self) -> sa.Engine:
        if self.place.file is not None:
            opened_for_writing(self.place.file)
        engine = sa.create_engine(self.place.url, connect_args={"timeout": LOCK_SECONDS})
        sa.event.listen(engine, "connect", _configure_sqlite)
        with engine.connect() as db:
            found = found_layout(db)
        if older(found) and self.place.file is not None:
            keep_copy(self.place.file)
            upgrade_file(self.place.file)
        elif older(found):
            alone(engine, upgrade)
        with engine.begin() as db:
            for table in META.sorted_tables:
                # Not `create_all`, which looks first and creates later: another process may come in between.
                db.execute(sa.schema.CreateTable(table, if_not_exists=True))
        with engine.begin() as db:
            self._settle_layout(db)
        return engine

    def _server(self) -> sa.Engine:
        engine = server_engine(self.place.url)
        if engine.dialect.name not in INSERTS:
            raise WorkbenchError(
                f"store {self.place.location!r} is on {engine.dialect.name}, where a store cannot be written. Allowed: a folder, or a URL of {', '.join(INSERTS)}."
            )
        with engine.connect() as db:
            found = found_layout(db)
        if older(found):
            patient = server_engine(self.place.url, patient=True)
            # Another process may have done it while this one waited.
            alone(patient, lambda db: upgrade(db) if older(found_layout(db)) else None)
            patient.dispose()
        else:
            check_layout(found, self.place)  # before a table is made that a later version does without
        alone(engine, self._make_tables)
        return engine

    def _make_tables(self, db: sa.Connection) -> None:
        """Make the tables that are not there on a server; who may make none can write into those that are."""
        there = set(sa.inspect(db).get_table_names())
        if LAYOUT_TABLE.name not in there and (others := there & META.tables.keys()):
            raise WorkbenchError(
                f"the database of store {self.place.location!r} has tables of another program ({', '.join(sorted(others))}). Give the store a database of its own."
            )
        for table in (LAYOUT_TABLE, *META.sorted_tables):  # that of the layout first: with it they are ours
            if table.name not in there:
                db.execute(sa.schema.CreateTable(table))
                there.add(table.name)
        self._settle_layout(db)

    def _settle_layout(self, db: sa.Connection) -> None:
        found = db.execute(sa.select(LAYOUT_TABLE.c.version)).scalar()
        if found is None:
            with contextlib.suppress(sa.exc.IntegrityError), db.begin_nested():  # another process was first
                db.execute(sa.insert(LAYOUT_TABLE).values(version=LAYOUT))
        check_layout(found, self.place)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.text_factory = decoded
    cursor = connection.cursor()
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            # Readers and one writer at a time work side by side, and a killed writer leaves a whole database.
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            # This statement does not wait by itself for a process that opens the same new store at the same moment.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute(f"PRAGMA busy_timeout={LOCK_SECONDS * 1000}")
    cursor.close()
