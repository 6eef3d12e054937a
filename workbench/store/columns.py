"""The types of columns: what is put in comes out alike of SQLite and of servers, whatever a server's own types would make of it."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

MYSQL = ("mysql", "mariadb")
# MySQL's TEXT and BLOB end at 64 kB.
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), *MYSQL)
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), *MYSQL)
# Of double precision; MySQL's FLOAT has seven digits.
REAL = sa.Float(53)


class Name(sa.types.TypeDecorator[str]):
    """A text that rows are found by: told apart byte by byte, as SQLite does it.

    MySQL's usual collations take `int8`, `INT8` and `int8 ` for one name. NUL and what is no UTF-8, which PostgreSQL does not
    take, are ValueErrors on every server.
    """

    impl = sa.String
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return the type that a database gives it."""
        if dialect.name in MYSQL:
            # Neither has the other's.
            collation = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
            length = self.impl_instance.length  # type: ignore[attr-defined]  # it is a String
            return dialect.type_descriptor(mysql.VARCHAR(length, charset="utf8mb4", collation=collation))
        return dialect.type_descriptor(sa.Text() if dialect.name == "postgresql" else self.impl_instance)

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """Return the value as it is; raises ValueError for what no server takes."""
        if value is not None and dialect.name != "sqlite":
            value.encode()
            if "\0" in value:
                raise ValueError(f"the name {value[:80]!r} holds NUL")
        return value


class Json(sa.types.TypeDecorator[Any]):
    """JSON as a text: servers' own types refuse infinities, and put keys in another order."""

    impl = LONG_TEXT
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        """Return the text of a value; letters beyond ASCII, NUL and halves of pairs are written as escapes."""
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        """Return the value of a text."""
        return None if value is None else json.loads(value)
