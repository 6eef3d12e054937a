"""The database of a store, opened for reading or for writing; its errors become messages."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from workbench.errors import MissingExtra, WorkbenchError
from workbench.store.columns import MYSQL
from workbench.store.migrate import backup, found_layout, keep_copy, kept_copy, older, upgrade, upgrade_file
from workbench.store.place import Place, reason
from workbench.store.reading import LOCK_SECONDS, SqliteFile, decoded, opened_for_writing
from workbench.store.servers import DRIVERS, alone, let_go_first, server_engine
from workbench.store.tables import LAYOUT, LAYOUT_TABLE, META, MOVING

T = TypeVar("T")
Rows = list[Any]
# How often a transaction is begun that a server ends in favour of another.
TRIES = 20


# Threads that look at one store make one copy.
_copying = threading.Lock()


class _Older(Exception):
    """The database has an older layout."""


class ReadDatabase:
    """A database that is read; tables that it does not have are empty, and so is a database that is not there."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.file = SqliteFile(place.file) if place.file else None
        self._engine: sa.Engine | None = None
        self._tables: frozenset[str] | None = None
        self._today: tuple[SqliteFile, tempfile.TemporaryDirectory[str]] | None = None

    @property
    def layout(self) -> int | None:
        """The layout that the store has where it lies, None where there is none."""
        found = self.ask(lambda db: db.execute(sa.select(LAYOUT_TABLE.c.version)).scalar())
        return found if self._today is None else LAYOUT - 1

    @property
    def exists(self) -> bool:
        """Whether a store was made there."""
        return self.ask(lambda db: True) is not None

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of how it was read."""
        if self._today is not None:
            return (
                f"the store is of layout 1; a migrated copy was read, and the store is unchanged. The next sweep into it migrates it, and keeps {kept_copy(self.place.file or Path()).name!r}",
            )
        if self.file is None or not self.file.copied:
            return ()
        return (
            f"the store's database was left by a process that was killed ({self.file.wal.name} or {self.file.journal.name} is there); it was read from a private copy, and is unchanged where it lies",
        )

    def rows(self, *queries: sa.Select[Any]) -> list[Rows]:
        """Return the rows of each query, whose tables are those that it selects from."""

        def ask(db: sa.Connection) -> list[Rows]:
            return [
                _fetched(db, q) if all(t.name in self._known(db) for t in q.get_final_froms()) else []  # type: ignore[attr-defined]
                for q in queries
            ]

        found = self.ask(ask)
        return [[] for _ in queries] if found is None else found

    def ask(self, ask: Callable[[sa.Connection], T]) -> T | None:
        """Return what `ask` makes of a connection, None where no store was made there; it may be asked more than once.

        Raises WorkbenchError where it cannot be read, or has another layout.
        """

        def checked(db: sa.Connection) -> T | None:
            if LAYOUT_TABLE.name not in self._known(db):
                return None
            layout = db.execute(sa.select(LAYOUT_TABLE.c.version)).scalar()
            if older(layout) and self.place.file is not None:
                raise _Older
            check_layout(layout, self.place)
            return ask(db)

        try:
            if self.file is not None:
                try:
                    found = self.file.read(checked)
                except _Older:
                    return self._migrated(self.file).read(checked)
                self._forget_copy()
                return found
            with self._connected() as db:
                return checked(db)
        except ImportError as error:
            raise _no_driver(self.place, error) from error
        except (OSError, sa.exc.SQLAlchemyError) as error:
            raise WorkbenchError(
                f"store {self.place.location!r} cannot be read: {reason(error)}. {self._advice}"
            ) from error

    @property
    def _advice(self) -> str:
        if self.place.url.get_backend_name() in DRIVERS:
            return "See whether the server runs, and whether its user may do this, or choose another --store."
        return "If the file is damaged, choose another --store."

    def close(self) -> None:
        """Release it."""
        if self.file is not None:
            self.file.close()
        self._forget_copy()
        if self._engine is not None:
            self._engine.dispose()

    def _migrated(self, file: SqliteFile) -> SqliteFile:
        """Return a private copy of a database of an older layout, brought to that of today; reading changes nothing."""
        with _copying:
            return self._copied(file)

    def _forget_copy(self) -> None:
        if self._today is not None:
            today, self._today, self._tables = self._today, None, None
            today[1].cleanup()

    def _copied(self, file: SqliteFile) -> SqliteFile:
        if self._today is None:
            folder = tempfile.TemporaryDirectory(prefix="workbench-store-")
            copy = Path(folder.name) / file.file.name
            file.read(lambda db: backup(_raw(db), copy))
            upgrade_file(copy)
            self._today, self._tables = (SqliteFile(copy), folder), None
        return self._today[0]

    def _connected(self) -> contextlib.AbstractContextManager[sa.Connection]:
        if self._engine is None:
            self._engine = server_engine(self.place.url)
        return self._engine.connect()

    def _known(self, db: sa.Connection) -> frozenset[str]:
        # Tables are added while one looks on, but never go.
        if self._tables is None or not self._tables.issuperset(META.tables):
            self._tables = frozenset(sa.inspect(db).get_table_names())
        return self._tables


class WrittenDatabase(ReadDatabase):
    """A database that is read and written, made where it is not there; safe for several processes at once."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        try:
            if place.url.get_backend_name() == "sqlite":
                self.engine = self._sqlite()
            else:
                self.engine = server_engine(place.url)
                if self.engine.dialect.name not in _INSERTS:
                    raise WorkbenchError(
                        f"store {place.location!r} is on {self.engine.dialect.name}, where a store cannot be written. Allowed: a folder, or a URL of {', '.join(_INSERTS)}."
                    )
                alone(self.engine, self._prepare)
        except ImportError as error:
            raise _no_driver(place, error) from error

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
                        db.execute(_replacing(table, db.dialect.name, list(rows[0])), ordered)
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
            hint = self._advice
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

    def _prepare(self, db: sa.Connection) -> None:
        """Make or migrate the tables on a server; who may do neither can write into those that are there."""
        found = found_layout(db)
        if older(found):
            upgrade(db)
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


def check_layout(found: Any, place: Place) -> None:
    """Raise WorkbenchError for a layout that this version does not know; None is a store that is just being made."""
    if found == MOVING:
        raise WorkbenchError(
            f"store {place.location!r} is being migrated, or was when its process was killed. A sweep into it, or `workbench store tag`, comes to the end of that."
        )
    if older(found):
        raise WorkbenchError(
            f"store {place.location!r} has layout {found}, which is read once it is migrated. A sweep into it, or `workbench store tag`, migrates it."
        )
    if found not in (None, LAYOUT):
        raise WorkbenchError(
            f"store {place.location!r} has layout {found}, this version reads layout {LAYOUT}. Choose another with --store, or use the version that made it."
        )


_INSERTS: dict[str, Any] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
    **dict.fromkeys(MYSQL, mysql.insert),
}


def _replacing(table: sa.Table, dialect: str, columns: Sequence[str]) -> sa.Insert:
    """Return a statement that writes some columns of a row, in place of one with the same key; the row's others stay."""
    insert = _INSERTS[dialect](table)
    keys = [c.name for c in table.primary_key.columns]
    changed = [c for c in columns if c not in keys]
    found: sa.Insert
    if dialect in MYSQL:
        found = insert.on_duplicate_key_update({c: insert.inserted[c] for c in changed})
    else:
        found = insert.on_conflict_do_update(index_elements=keys, set_={c: insert.excluded[c] for c in changed})
    return found


def _fetched(db: sa.Connection, query: sa.Select[Any]) -> Rows:
    try:
        return list(db.execute(query).all())
    except (UnicodeEncodeError, sa.exc.StatementError) as error:
        if isinstance(getattr(error, "orig", error), ValueError):
            return []  # a name that is no text, as a command line may hold one: no row has it
        raise


def _no_driver(place: Place, error: ImportError) -> WorkbenchError:
    ours = DRIVERS.get(place.url.get_backend_name())
    if ours is not None and place.url.get_driver_name() == ours.name:
        return MissingExtra(
            f"store {place.location!r} needs {ours.package}: pip install 'tflite-workbench[{ours.extra}]'. Install it, or choose another with --store."
        )
    return WorkbenchError(
        f"store {place.location!r} needs the Python package {error.name!r}, which is not installed. Install it, or choose another with --store."
    )


def _raw(db: sa.Connection) -> sqlite3.Connection:
    found: Any = db.connection.dbapi_connection
    assert isinstance(found, sqlite3.Connection)
    return found


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
