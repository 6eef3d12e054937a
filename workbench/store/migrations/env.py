"""What Alembic runs: the scripts, on the connection that `migrate.py` hands it, within its transaction."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
