"""The database of a store, opened for reading or for writing; its errors become messages."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from workbench.errors import WorkbenchError
from workbench.store.migrate import backup, found_layout, keep_copy, kept_copy, older, upgrade, upgrade_file
from workbench.store.place import Place, reason
from workbench.store.reading import LOCK_SECONDS, SqliteFile, decoded, opened_for_writing
from workbench.store.tables import LAYOUT, LAYOUT_TABLE, META

T = TypeVar("T")
Rows = list[Any]


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
                f"store {self.place.location!r} cannot be read: {reason(error)}. If the file is damaged, choose another --store."
            ) from error

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
            self._engine = sa.create_engine(self.place.url)
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
        sqlite = place.url.get_backend_name() == "sqlite"
        try:
            if place.file is not None:
                opened_for_writing(place.file)
            self.engine = sa.create_engine(place.url, connect_args={"timeout": LOCK_SECONDS} if sqlite else {})
            if sqlite:
                sa.event.listen(self.engine, "connect", _configure_sqlite)
            self._migrate()
            self._create_tables()
            self._settle_layout()
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

    def close(self) -> None:
        """Release it."""
        self.engine.dispose()

    @contextlib.contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            hint = (
                "Finished work is kept; run the same command again."
                if what == "written"
                else "If the file is damaged, choose another --store."
            )
            raise WorkbenchError(f"store {self.place.location!r} cannot be {what}: {reason(error)}. {hint}") from error

    def _migrate(self) -> None:
        """Bring an older store to the layout of today, after a copy of its database where that is a file."""
        with self.engine.connect() as db:
            found = found_layout(db)
        if not older(found):
            return
        if self.place.file is None:
            self._migrate_server()
            return
        keep_copy(self.place.file)
        upgrade_file(self.place.file)

    def _migrate_server(self) -> None:
        """Migrate a database behind a URL, in one transaction, which has to hold changes of tables."""
        if self.engine.dialect.name not in ("postgresql", "sqlite"):
            raise WorkbenchError(
                f"store {self.place.location!r} has layout 1, and {self.engine.dialect.name} changes tables outside of transactions, so that a killed migration "
                "would leave it broken. Start a new store, or use the version that made this one."
            )
        with self.engine.begin() as db:
            if db.dialect.name == "postgresql":
                db.exec_driver_sql("LOCK TABLE layout IN ACCESS EXCLUSIVE MODE")
            # Another process may have done it while this one waited.
            if older(found_layout(db)):
                upgrade(db)

    def _create_tables(self) -> None:
        with self.engine.begin() as db:
            for table in META.sorted_tables:
                # Not `create_all`, which looks first and creates later: another process may come in between.
                db.execute(sa.schema.CreateTable(table, if_not_exists=True))

    def _settle_layout(self) -> None:
        with self.engine.begin() as db:
            found = db.execute(sa.select(LAYOUT_TABLE.c.version)).scalar()
            if found is None:
                with contextlib.suppress(sa.exc.IntegrityError), db.begin_nested():  # another process was first
                    db.execute(sa.insert(LAYOUT_TABLE).values(version=LAYOUT))
        check_layout(found, self.place)


def check_layout(found: Any, place: Place) -> None:
    """Raise WorkbenchError for a layout that this version does not know; None is a store that is just being made."""
    if older(found):
        raise WorkbenchError(
            f"store {place.location!r} has layout {found}, which is read once it is migrated. A sweep into it, or `workbench store tag`, migrates it."
        )
    if found not in (None, LAYOUT):
        raise WorkbenchError(
            f"store {place.location!r} has layout {found}, this version reads layout {LAYOUT}. Choose another with --store, or use the version that made it."
        )


def replace(db: sa.Connection, table: sa.Table, where: dict[str, Any], values: dict[str, Any]) -> None:
    """Write a row in place of the one with the same key."""
    condition = sa.and_(*(table.c[k] == v for k, v in where.items()))
    update = sa.update(table).where(condition).values(**values)
    if db.execute(update).rowcount:
        return
    try:
        with db.begin_nested():
            db.execute(sa.insert(table).values(**where, **values))
    except sa.exc.IntegrityError:
        # Another process wrote the row in between (not in SQLite, where the update took the write lock).
        db.execute(update)


def _fetched(db: sa.Connection, query: sa.Select[Any]) -> Rows:
    try:
        return list(db.execute(query).all())
    except UnicodeEncodeError:
        return []  # a name that is no text, as a command line may hold one: no row has it


def _no_driver(place: Place, error: ImportError) -> WorkbenchError:
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
