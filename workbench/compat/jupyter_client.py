"""jupyter_client: the process of a kernel that a manager has started here."""

from __future__ import annotations

from subprocess import Popen
from typing import Any

from workbench.compat.library import Library

JUPYTER_CLIENT = Library("jupyter_client", ">=8.6,<9")


def process_of(manager: Any) -> Popen[bytes] | None:
    """Return the process of a manager's kernel, None before it has started and after it was waited for.

    Managers only ask it to end; a kernel whose manager is gone from its event loop can be ended by no public way. It belongs to
    the provisioner, which for a kernel of this machine is a `LocalProvisioner`; one of another kind has none.
    """
    provisioner = JUPYTER_CLIENT.attribute(manager, "provisioner")
    if provisioner is None:
        return None
    found: Popen[bytes] | None = getattr(provisioner, "process", None)
    return found
