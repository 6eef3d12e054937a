"""A leaf: what a Jupyter server answers about model files and studies below its root, for the JupyterLab extension.

It starts neither TensorFlow nor a kernel in the server's process; what takes long runs in threads, what needs more in processes.
"""

from __future__ import annotations

from typing import Any

__all__ = ["_jupyter_server_extension_points"]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "workbench.server"}]


def _load_jupyter_server_extension(server: Any) -> None:
    from pathlib import Path

    from workbench.server.app import add_handlers

    add_handlers(server.web_app, Path(server.root_dir))
