"""Brings a database of an older layout to that of today: in one transaction, after a copy."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from workbench.store import migrations
from workbench.store.reading import LOCK_SECONDS, decoded
from workbench.store.tables import LAYOUT, LAYOUT_TABLE


def found_layout(db: sa.Connection) -> int | None:
    """Return the layout of a database, None where it is none of ours."""
    if not sa.inspect(db).has_table(LAYOUT_TABLE.name):
        return None
    found: int | None = db.execute(sa.select(LAYOUT_TABLE.c.version)).scalar()
    return found


def older(found: Any) -> bool:
    """Return whether a layout is one that can be brought to that of today."""
    return isinstance(found, int) and 1 <= found < LAYOUT


def upgrade(db: sa.Connection) -> None:
    """Run what is missing of the scripts on a connection that is in a transaction; what it does is kept when that is."""
    # Alembic is imported only by who needs it: a store is migrated once.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = db
    command.stamp(config, str(found_layout(db)))
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


def copy_of(file: Path, target: Path) -> None:
    """Copy an SQLite database as it is at one moment, whoever works on it; the copy is there whole or not at all."""
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        with contextlib.closing(_connect(file)) as source, contextlib.closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)
        partial.chmod(file.stat().st_mode & 0o777)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def kept_copy(file: Path) -> Path:
    """Return where the copy of a database of layout 1 lies that is made before it is migrated."""
    return file.with_name(f"{file.stem}.layout1{file.suffix}")


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    connection.text_factory = decoded
    return connection
