"""Puts the built JupyterLab extension into wheels and source distributions; editable installs need no node and have none."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ExtensionHook(BuildHookInterface[Any]):
    """Hatch's hook, called before each build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the extension unless it is built, and say where its files go."""
        if version == "editable":
            # `make extension` builds it and links it.
            return
        maker = _maker(Path(self.root))
        try:
            maker.build()
        except RuntimeError as error:
            # Whoever installs a clone for the rest of it needs no node; what is handed on has to be whole.
            if self.target_name == "sdist":
                raise
            self.app.display_warning(str(error))
            return
        if self.target_name == "sdist":
            built = maker.BUILT.relative_to(self.root).as_posix()
            build_data["artifacts"].append(f"/{built}/**")
            return
        place = f"share/jupyter/labextensions/{maker.NAME}"
        for path in (p for p in maker.BUILT.rglob("*") if p.is_file()):
            build_data["shared_data"][str(path)] = f"{place}/{path.relative_to(maker.BUILT).as_posix()}"
        build_data["shared_data"][str(maker.HERE / "install.json")] = f"{place}/install.json"


def _maker(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_extension", root / "extensions" / "lab" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
