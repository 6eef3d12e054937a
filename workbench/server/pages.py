"""The handlers of pages and of what they load: the dashboard's, and Netron's."""

from __future__ import annotations

from jupyter_server.utils import url_path_join
from tornado import web

from workbench.errors import MissingExtra, WorkbenchError
from workbench.flatbuffer.opening import read_file
from workbench.server import assets, graph
from workbench.server.handlers import WorkbenchHandler
from workbench.server.places import NotThere


class DashboardPageHandler(WorkbenchHandler):
    """`study/NAME/page`: its dashboard as a page of its own."""

    @property
    def content_security_policy(self) -> str:
        """Nothing from elsewhere; charts of many points are drawn by functions that their program makes."""
        return assets.POLICY

    @web.authenticated
    async def get(self, name: str) -> None:
        """Answer with the page, which asks `messages` as the tab in JupyterLab does."""
        base, store = url_path_join(self.base_url, "workbench"), self.store()
        await self.apart(lambda: self.read_study(name).close())
        self.set_cookie_of_page()
        self.finish(assets.page(name, store, base), set_content_type="text/html; charset=UTF-8")

    def set_cookie_of_page(self) -> None:
        """Give the page the token against cross-site requests that it sends back with its own."""
        self.xsrf_token  # noqa: B018  # asking for it sets the cookie


class AssetHandler(WorkbenchHandler):
    """`assets/NAME`: the dashboard's scripts and style, and the program that draws charts."""

    @web.authenticated
    async def get(self, name: str) -> None:
        """Answer with one of them."""
        found = await self.apart(lambda: assets.asset(name))
        self.set_header("Cache-Control", "no-cache")
        self.finish(found.content, set_content_type=f"{found.type}; charset=UTF-8")


class NetronHandler(WorkbenchHandler):
    """What Netron's page consists of."""

    @property
    def content_security_policy(self) -> str:
        """Nothing from elsewhere."""
        return graph.POLICY

    @property
    def dark(self) -> bool:
        """Whether dark colours are asked for."""
        return bool(self.get_query_argument("dark", "0") == "1")


class NetronPageHandler(NetronHandler):
    """`netron/index.html?path=`: the graph of a file."""

    @web.authenticated
    async def get(self) -> None:
        """Answer with Netron's page, told which file to open."""
        name, dark = self.get_query_argument("path", ""), self.dark

        def made() -> bytes:
            self.shared.places.file(name)
            return graph.page(name, dark)

        content = await self.apart(made)
        # A cookie of this folder alone, which the page's script reads.
        self.set_cookie(graph.CONSENT, "1", path=url_path_join(self.base_url, "workbench", "netron"), samesite="Strict")
        self.finish(content, set_content_type="text/html; charset=UTF-8")


class NetronAssetHandler(NetronHandler):
    """`netron/NAME`: its scripts, styles and pictures."""

    @web.authenticated
    async def get(self, name: str) -> None:
        """Answer with one of them."""
        dark = self.dark

        def read() -> graph.Asset:
            try:
                return graph.asset(name, dark)
            except MissingExtra:
                raise
            except WorkbenchError as error:
                raise NotThere(str(error)) from None

        found = await self.apart(read)
        self.set_header("Cache-Control", "no-cache")
        self.finish(found.content, set_content_type=found.type)


class ModelFileHandler(NetronHandler):
    """`netron/files/PATH`: the bytes of a `.tflite` file, for Netron's page."""

    @web.authenticated
    async def get(self, name: str) -> None:
        """Answer with them."""

        def read() -> bytes:
            path = self.shared.places.file(name)
            if path.suffix != ".tflite":
                raise NotThere(f"{name!r} is no .tflite file")
            return read_file(path)

        content = await self.apart(read)
        self.set_header("Cache-Control", "no-store")
        self.finish(content, set_content_type="application/octet-stream")
