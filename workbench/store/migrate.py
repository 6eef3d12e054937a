"""Brings a database of an older layout to that of today: in one transaction, after a copy."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from workbench.store import migrations
from workbench.store.reading import LOCK_SECONDS, decoded
from workbench.store.tables import LAYOUT, LAYOUT_TABLE, MOVING


def found_layout(db: sa.Connection) -> int | None:
    """Return the layout of a database, None where it is none of ours."""
    if not sa.inspect(db).has_table(LAYOUT_TABLE.name):
        return None
    found: int | None = db.execute(sa.select(LAYOUT_TABLE.c.version)).scalar()
    return found


def older(found: Any) -> bool:
    """Return whether a layout is one that can be brought to that of today."""
    return isinstance(found, int) and (1 <= found < LAYOUT or found == MOVING)


# Alembic's scripts speak to one connection for the whole process.
_alone = threading.Lock()


def upgrade(db: sa.Connection) -> None:
    """Run what is missing of the scripts on a connection; what they do is kept when its transaction is.

    MySQL changes tables outside of transactions. There every step leaves old rows whole, and the next call goes on.
    """
    with _alone:
        _upgrade(db)


def _upgrade(db: sa.Connection) -> None:
    # Alembic is imported only by who needs it: a store is migrated once.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = db
    found = found_layout(db)
    command.stamp(config, str(LAYOUT - 1 if found == MOVING else found))
    command.upgrade(config, "head")


def upgrade_file(file: Path) -> None:
    """Bring an SQLite file to the layout of today; a killed process leaves it as it was, and so does an error."""
    engine = sa.create_engine("sqlite://", creator=lambda: _connect(file), poolclass=sa.pool.NullPool)
    # SQLite's own driver begins a transaction only where rows change, and each change of a table would stand alone.
    sa.event.listen(engine, "begin", lambda db: db.exec_driver_sql("BEGIN EXCLUSIVE"))
    with engine.begin() as db:
        # Another process may have done it while this one waited for the lock.
        if older(found_layout(db)):
            upgrade(db)


def keep_copy(file: Path) -> None:
    """Copy an SQLite database of an older layout beside it, unless there is a copy; it is there whole or not at all.

    Raises OSError where it cannot be written.
    """
    target = kept_copy(file)
    if target.exists():
        return
    for left in target.parent.glob(f"{target.name}.partial-*"):  # by a process that was killed
        left.unlink(missing_ok=True)
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        with contextlib.closing(_connect(file)) as source:
            backup(source, partial)
        with contextlib.closing(_connect(partial)) as copy:
            (layout,) = copy.execute("SELECT version FROM layout").fetchone()
        # Another process may have migrated it meanwhile; its copy is the old one, and stays.
        if older(layout):
            partial.chmod(file.stat().st_mode & 0o777)
            with contextlib.suppress(FileExistsError):
                os.link(partial, target)
    except sqlite3.Error as error:
        raise OSError(f"a copy of the database cannot be written beside it: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def backup(source: sqlite3.Connection, target: Path) -> None:
    """Copy a database as it is at one moment; raises OSError where it cannot be written."""
    try:
        with contextlib.closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    except sqlite3.Error as error:
        raise OSError(f"{str(target)!r} cannot be written: {error}") from error


def kept_copy(file: Path) -> Path:
    """Return where the copy of a database of layout 1 lies that is made before it is migrated."""
    return file.with_name(f"{file.stem}.layout1{file.suffix}")


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    connection.text_factory = decoded
    return connection
