"""Database servers: which driver speaks to one, how long it is waited for, and what is done there by one process at a time."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from workbench.errors import WorkbenchError
from workbench.store.columns import MYSQL
from workbench.store.reading import LOCK_SECONDS

T = TypeVar("T")
CONNECT_SECONDS = 10
# Longer than a lock is waited for, so that the server says what it waited for, and not the driver that it heard nothing.
SILENCE_SECONDS = 2 * LOCK_SECONDS
# One statement of a migration copies a whole table.
PATIENT_SECONDS = 86_400
# What a server says that let another transaction go first: serialization failures and deadlocks.
_AGAIN = ("40001", "40P01", 1213)


class Driver(NamedTuple):
    """What speaks to a kind of server: SQLAlchemy's name of it, the package, and the extra of ours that brings it."""

    name: str
    package: str
    extra: str


DRIVERS = {
    "postgresql": Driver("psycopg", "psycopg", "postgresql"),
    "mysql": Driver("pymysql", "PyMySQL", "mysql"),
    "mariadb": Driver("pymysql", "PyMySQL", "mysql"),
}


def with_driver(url: sa.URL) -> sa.URL:
    """Return a URL that names a driver: ours where it names none, its own else."""
    backend = {"postgres": "postgresql"}.get(url.drivername, url.drivername)
    return url.set(drivername=f"{backend}+{DRIVERS[backend].name}") if backend in DRIVERS else url


def server_engine(url: sa.URL, patient: bool = False) -> sa.Engine:
    """Return an engine for a database behind a URL, `patient` for statements that take long; raises ImportError where its driver is not there."""
    options: dict[str, Any] = {}
    if url.get_backend_name() in MYSQL:
        # Locks of gaps, which the default takes, would have two processes that add rows wait for one another.
        options["isolation_level"] = "READ COMMITTED"
    if url.get_backend_name() in DRIVERS:
        # A server ends connections that nobody has used for long.
        options["pool_pre_ping"] = True
    engine = sa.create_engine(url, connect_args=_told(url, PATIENT_SECONDS if patient else SILENCE_SECONDS), **options)
    if engine.dialect.name == "postgresql":
        sa.event.listen(engine, "connect", _configure_postgresql)
    return engine


def alone(engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
    """Return what `work` does on a connection while no other process does such work in that database; changes are kept unless it fails.

    Raises WorkbenchError where another process takes longer than a lock is waited for.
    """
    with engine.connect() as db:
        if engine.dialect.name not in MYSQL:
            if engine.dialect.name == "postgresql":
                db.execute(sa.select(sa.func.pg_advisory_xact_lock(_number())))
            found = work(db)
            db.commit()
            return found
        # A lock has one name on the whole server.
        name = hashlib.sha256(f"workbench {engine.url.database}".encode()).hexdigest()[:32]
        if db.execute(sa.select(sa.func.get_lock(name, LOCK_SECONDS))).scalar() != 1:
            raise WorkbenchError(
                f"another process has been making or migrating the tables of this store for {LOCK_SECONDS} s. Wait until that has ended, and run the same again."
            )
        try:
            found = work(db)
            db.commit()
            return found
        finally:
            with contextlib.suppress(sa.exc.SQLAlchemyError):  # where the connection is gone, so is the lock
                db.rollback()
                db.execute(sa.select(sa.func.release_lock(name)))


def let_go_first(error: sa.exc.DBAPIError) -> bool:
    """Return whether a server ended a transaction in favour of another one's, so that the same again succeeds."""
    said = getattr(error.orig, "sqlstate", None) or next(iter(getattr(error.orig, "args", ())), None)
    return said in _AGAIN


def _told(url: sa.URL, silence: int) -> dict[str, Any]:
    """Return what a driver is told besides, most of it for how long to wait; what the URL says itself stands."""
    known: dict[str, dict[str, Any]] = {
        "psycopg": {
            "connect_timeout": CONNECT_SECONDS,
            "client_encoding": "utf8",
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 1000 * SILENCE_SECONDS,
        },
        "pymysql": {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": silence,
            "write_timeout": silence,
            "charset": "utf8mb4",
            # Without it, what is too long is cut.
            "sql_mode": "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION",
            "init_command": f"SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}",
        },
    }
    found = {k: v for k, v in known.get(url.get_driver_name(), {}).items() if k not in url.query}
    if url.get_driver_name() == "pymysql" and url.password:
        found["password"] = url.password.encode()  # it would take a text as Latin-1
    return found


def _configure_postgresql(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
    cursor.close()
    connection.commit()


def _number() -> int:
    # PostgreSQL's advisory locks have numbers, and belong to a database.
    return int.from_bytes(hashlib.sha256(b"workbench").digest()[:7], "big")
