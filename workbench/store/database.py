"""The database of a store, opened for reading; its errors become messages."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from workbench.errors import MissingExtra, WorkbenchError
from workbench.store.migrate import backup, kept_copy, older, upgrade_file
from workbench.store.place import StorePlace, reason
from workbench.store.reading import SqliteFile
from workbench.store.servers import DRIVERS, server_engine
from workbench.store.tables import LAYOUT, LAYOUT_TABLE, META, MOVING

T = TypeVar("T")
Rows = list[Any]

# Threads that look at one store make one copy.
_copying = threading.Lock()


class _Older(Exception):
    """The database has an older layout."""


class ReadDatabase:
    """A database that is read; tables that it does not have are empty, and so is a database that is not there."""

    def __init__(self, place: StorePlace) -> None:
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
            raise no_driver(self.place, error) from error
        except (OSError, sa.exc.SQLAlchemyError) as error:
            raise WorkbenchError(
                f"store {self.place.location!r} cannot be read: {reason(error)}. {self.advice}"
            ) from error

    @property
    def advice(self) -> str:
        """What to do where it cannot be read."""
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


def check_layout(found: Any, place: StorePlace) -> None:
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


def _fetched(db: sa.Connection, query: sa.Select[Any]) -> Rows:
    try:
        return list(db.execute(query).all())
    except (UnicodeEncodeError, sa.exc.StatementError) as error:
        if isinstance(getattr(error, "orig", error), ValueError):
            return []  # a name that is no text, as a command line may hold one: no row has it
        raise


def no_driver(place: StorePlace, error: ImportError) -> WorkbenchError:
    """Return the error for a driver that is not there."""
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
