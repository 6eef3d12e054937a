"""Puts the handlers into a Jupyter server, below `/workbench/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_server.utils import url_path_join

from workbench.server import handlers, pages
from workbench.server.listing import StudiesListing
from workbench.server.places import Places
from workbench.server.tabs import Tabs
from workbench.server.work import FileWork


def add_handlers(web_app: Any, root: Path) -> None:
    """Answer below `/workbench/` about what lies below `root`."""
    places = Places(root)
    shared = handlers.Services(places, StudiesListing(places), Tabs(places), FileWork(places))
    base = web_app.settings["base_url"]
    study = r"study/([^/]+)"
    routes: list[tuple[str, type[handlers.WorkbenchHandler]]] = [
        (r"inspect", handlers.InspectHandler),
        (r"stores", handlers.StoresHandler),
        (r"studies", handlers.StudiesHandler),
        (r"notebooks", handlers.NotebooksHandler),
        (study, handlers.StudyHandler),
        (rf"{study}/page", pages.DashboardPageHandler),
        (rf"{study}/messages", handlers.MessagesHandler),
        (rf"{study}/(tags|note|stop|report|export)", handlers.WorkHandler),
        (r"assets/([^/]+)", pages.AssetHandler),
        (r"netron/files/(.*)", pages.ModelFileHandler),
        (r"netron/index\.html", pages.NetronPageHandler),
        (r"netron/([^/]+)", pages.NetronAssetHandler),
    ]
    web_app.add_handlers(
        ".*$", [(url_path_join(base, "workbench", path), handler, {"shared": shared}) for path, handler in routes]
    )
