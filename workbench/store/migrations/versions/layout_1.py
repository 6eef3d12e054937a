"""Layout 1: what the first version of Workbench made. Nobody makes it any more; this is where the others start."""

from __future__ import annotations

revision = "1"
down_revision = None


def upgrade() -> None:
    """Nothing: a store of layout 1 is there."""
