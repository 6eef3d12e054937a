"""Layout 2: measurements by machine, executions in place of stages, tags and notes.

What layout 1 did not record (a trial's own settings, what a stage was made from and with) stays empty; nothing is guessed. The
machine of a measurement is told from the environment that was written with it.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from workbench.values.base import digest

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Change the tables and carry every row over."""
    db = op.get_bind()
    there = set(sa.inspect(db).get_table_names())
    machines: dict[str, dict[str, Any]] = {}
    _measurements(db, machines)
    _op_profiles(db, there)
    _executions(db)
    table = op.create_table(
        "machines",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("machine", sa.JSON, nullable=False),
    )
    if machines:
        op.bulk_insert(table, [{"id": i, "machine": machine} for i, machine in machines.items()])
    op.add_column("studies", sa.Column("tags", sa.JSON, nullable=True))
    op.add_column("studies", sa.Column("note", sa.Text, nullable=True))
    layout = sa.table("layout", sa.column("version", sa.Integer))
    db.execute(sa.update(layout).values(version=2))


def _measurements(db: sa.Connection, machines: dict[str, dict[str, Any]]) -> None:
    old = _renamed("measurements", "study", "trial", "runtime", "at", "key", "measurement", "samples_ns")
    made = op.create_table(
        "measurements",
        sa.Column("study", sa.String(200), primary_key=True),
        sa.Column("trial", sa.String(40), primary_key=True),
        sa.Column("runtime", sa.String(300), primary_key=True),
        sa.Column("machine", sa.String(16), primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("measurement", sa.JSON, nullable=False),
        sa.Column("samples_ns", sa.LargeBinary, nullable=True),
    )
    _carried(db, old, made, machine=sa.literal(""))
    texts = sa.table(made.name, *(sa.column(c.name) for c in made.columns))
    for row in db.execute(sa.select(old.c.study, old.c.trial, old.c.runtime, old.c.measurement)).all():
        machine = _machine(row.measurement)
        if machine is None:
            continue
        machines[machine["id"]] = machine
        same = sa.and_(texts.c.study == row.study, texts.c.trial == row.trial, texts.c.runtime == row.runtime)
        values = {"machine": machine["id"], "measurement": _with_machine(row.measurement, machine["id"])}
        _where_text(db, sa.update(texts).where(same).values(**values))
    op.drop_table(old.name)


def _op_profiles(db: sa.Connection, there: set[str]) -> None:
    columns = (
        sa.Column("study", sa.String(200), primary_key=True),
        sa.Column("trial", sa.String(40), primary_key=True),
        sa.Column("runtime", sa.String(300), primary_key=True),
        sa.Column("machine", sa.String(16), primary_key=True),
        sa.Column("profile", sa.JSON, nullable=False),
    )
    if "op_profiles" not in there:
        op.create_table("op_profiles", *columns)
        return
    old = _renamed("op_profiles", "study", "trial", "runtime", "profile")
    made = op.create_table("op_profiles", *columns)
    new = sa.table("measurements", *(sa.column(n) for n in ("study", "trial", "runtime", "machine")))
    same = sa.and_(new.c.study == old.c.study, new.c.trial == old.c.trial, new.c.runtime == old.c.runtime)
    machine = sa.select(sa.func.max(new.c.machine)).where(same).scalar_subquery()
    _carried(db, old, made, machine=sa.func.coalesce(machine, ""))
    op.drop_table(old.name)


def _executions(db: sa.Connection) -> None:
    old = _renamed("stages", "key", "kind", "seconds", "result")
    made = op.create_table(
        "executions",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("result", sa.JSON, nullable=False),
        sa.Column("execution", sa.JSON, nullable=False),
    )
    _carried(db, old, made, execution=sa.literal("{}"))
    texts = sa.table(made.name, *(sa.column(c.name) for c in made.columns))
    for row in db.execute(sa.select(old)).mappings().all():
        known = {
            "key": row["key"],
            "kind": row["kind"],
            "seconds": row["seconds"] if isinstance(row["seconds"], (int, float)) else 0.0,
            "outputs": _outputs(row["result"]),
        }
        update = sa.update(texts).where(texts.c.key == row["key"]).values(execution=json.dumps(known))
        _where_text(db, update)
    op.drop_table(old.name)


def _carried(db: sa.Connection, old: sa.TableClause, made: sa.Table, **new: Any) -> None:
    """Copy all rows within the database, with values for columns that are new: what cannot be read is to be told of later."""
    keys = [c.name for c in made.primary_key.columns if c.name not in new]
    whole = sa.and_(*(old.c[k].is_not(None) for k in keys))
    names = [c.name for c in made.columns]
    values: list[Any] = [new.get(n, old.c.get(n)) for n in names]
    target = sa.table(made.name, *(sa.column(n) for n in names))
    db.execute(sa.insert(target).from_select(names, sa.select(*values).where(whole)))


def _where_text(db: sa.Connection, update: sa.Update) -> None:
    """Change a row; one whose texts are no UTF-8 stays as it was carried over."""
    with contextlib.suppress(UnicodeEncodeError):
        db.execute(update)


def _renamed(name: str, *columns: str) -> sa.TableClause:
    """Put a table aside and return it; its columns are read as they lie there, without types."""
    op.rename_table(name, f"{name}_1")
    return sa.table(f"{name}_1", *(sa.column(c) for c in columns))


def _machine(text: Any) -> dict[str, Any] | None:
    """Return the machine that a measurement's environment tells of, with the id that it has in layout 2 where it is not named."""
    environment = (_read(text) or {}).get("environment")
    if not isinstance(environment, dict):
        return None
    processor, cores, system = (environment.get(k) for k in ("processor", "cores", "system"))
    if not isinstance(processor, str) or not isinstance(cores, int) or not isinstance(system, str):
        return None
    parts = {"processor": processor, "cores": cores, "system": system, "name": ""}
    try:
        return {"id": digest(parts)[:12], "memory": None, **parts}
    except UnicodeEncodeError:
        return None


def _with_machine(text: Any, machine: str) -> str:
    return json.dumps({**(_read(text) or {}), "machine": machine})


def _outputs(text: Any) -> list[dict[str, Any]]:
    file = (_read(text) or {}).get("artifact")
    names = ("path", "sha256", "kind")
    whole = isinstance(file, dict) and all(isinstance(file.get(k), str) for k in names)
    return [{k: file[k] for k in names}] if whole else []  # type: ignore[index]  # it is a dict then


def _read(text: Any) -> dict[str, Any] | None:
    try:
        found = json.loads(text) if isinstance(text, (str, bytes)) else text
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
