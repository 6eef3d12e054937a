"""Alembic's scripts, which bring an older store to the layout of today."""
