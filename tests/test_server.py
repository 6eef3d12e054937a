"""What a Jupyter server answers below `/workbench/`: to whom, about which files, and what of a sweep that runs elsewhere."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import ai_edge_litert.interpreter as litert
import numpy as np
import pytest

import workbench
from workbench.store.store import Store
from workbench.store.underway import FOLDER, Announcement, ask_to_stop, clear_dead, underway

CONFIG = Path(__file__).parents[1] / "jupyter-config"
QUICK = {"quantize": ["float32", "int8", "dynamic"], "measure": {"skip": True}}


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Any

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A Jupyter server of its own, without JupyterLab."""

    def __init__(self, folder: Path) -> None:
        self.root, self.token = folder / "root", secrets.token_hex(8)
        self.root.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        folders = {f"JUPYTER_{n}_DIR": str(folder / n.lower()) for n in ("CONFIG", "DATA", "RUNTIME")}
        environment = {**os.environ, **folders, "HOME": str(folder), "JUPYTER_CONFIG_PATH": str(CONFIG)}
        environment.pop("WORKBENCH_STORE", None)
        command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
        command += [f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={self.root}"]
        self.log = folder / "server.log"
        with self.log.open("wb") as log:
            command += [f"--IdentityProvider.token={self.token}"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.root)
        end = time.monotonic() + 60
        while True:
            try:
                self.ask("GET", "stores")
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < end, self.log.read_text()
                time.sleep(0.1)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        given = headers or {"Authorization": f"token {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}/workbench/{path}",
            data,
            {k.replace("_", "-"): v for k, v in given.items() if v},
            method=method,
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as found:
                return Answer(found.status, found.read(), found.headers)
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read(), error.headers)

    def study(self, name: str, store: str = ".workbench") -> str:
        return f"study/{quote(name, safe='')}{{}}?store={quote(store)}"

    def tell(self, study: str, *messages: dict[str, Any], page: str = "p", store: str = ".workbench") -> Any:
        path = self.study(study, store).format("/messages")
        answer = self.ask("POST", path, {"page": page, "messages": messages})
        assert answer.status == 200, answer.body
        return answer.json


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server"))
    yield started
    started.process.terminate()
    started.process.wait(20)


@pytest.fixture(scope="module")
def study(server: Server, small_h5: Path, digits_like: Any, warm_engine: workbench.Engine) -> workbench.Study:
    """A study of three variants in the server's default store."""
    return workbench.sweep(
        small_h5, digits_like, QUICK, study="a/b 50 %", store=server.root / ".workbench", engine=warm_engine
    ).study


@pytest.fixture(scope="module")
def digits_like() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x = rng.random((48, 8, 8, 1), np.float32)
    y = rng.integers(0, 6, 48)
    return {"x_train": x, "y_train": y, "x_test": x[:24], "y_test": y[:24]}


# ---- who is answered

PATHS = [
    ("GET", "inspect?path=model.tflite"),
    ("GET", "stores"),
    ("GET", "studies"),
    ("GET", "study/x"),
    ("DELETE", "study/x"),
    ("GET", "study/x/page"),
    ("POST", "notebooks"),
    ("POST", "study/x/messages"),
    *(("POST", f"study/x/{what}") for what in ("tags", "note", "stop", "report", "export")),
    ("GET", "assets/dashboard.js"),
    ("GET", "netron/index.html?path=model.tflite"),
    ("GET", "netron/index.js"),
    ("GET", "netron/files/model.tflite"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_who_has_no_token_is_refused(server: Server, method: str, path: str) -> None:
    for given in ("", "token wrong"):
        answer = server.ask(method, path, {} if method == "POST" else None, Authorization=given, Accept="*/*")
        assert answer.status == 403, (given, answer.body)


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_pages_of_other_sites_are_refused(server: Server, method: str, path: str) -> None:
    """As a browser sends it: with the cookie of who is logged in, from a page of elsewhere."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())
    with opener.open(f"{server.url}/api/status?token={server.token}", timeout=60):
        pass
    request = urllib.request.Request(f"{server.url}/workbench/{path}", method=method)
    if method == "POST":
        request.data = b"{}"
    for name, value in (("Origin", "http://elsewhere.example"), ("Referer", "http://elsewhere.example/")):
        request.add_header(name, value)
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(request, timeout=60)
    assert refused.value.code in (403, 404)
    assert b"studies" not in refused.value.read()


# ---- which files


def test_a_file_is_told_as_the_command_line_tells_it(server: Server, small_tflite: Path) -> None:
    (server.root / "sub").mkdir(exist_ok=True)
    shutil.copy(small_tflite, server.root / "sub" / "m o.tflite")
    told = server.ask("GET", f"inspect?path={quote('sub/m o.tflite')}").json
    command = [sys.executable, "-m", "workbench", "inspect", "sub/m o.tflite", "--format", "json"]
    printed = json.loads(subprocess.run(command, cwd=server.root, capture_output=True, check=True).stdout)
    assert {k: told[k] for k in printed} == printed
    assert told["size"]["file"] == small_tflite.stat().st_size
    interpreter = litert.Interpreter(str(small_tflite))
    theirs = [d["op_name"] for d in interpreter._get_ops_details() if d["op_name"] != "DELEGATE"]
    assert [o["name"] for o in told["operators"]] == theirs[: told["operators_total"]]
    assert "inputs image:float32[?,8,8,1]; outputs probabilities:float32[?,6]" in told["text"]
    assert told["warnings"] == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../outside.tflite",
        "sub/../../outside.tflite",
        "link.tflite",
        "linked/outside.tflite",
        ".hidden/m.tflite",
        ".hidden.tflite",
        "sub",
        "none.tflite",
        "a\0b",
    ],
)
@pytest.mark.parametrize("route", ["inspect?path=", "netron/index.html?path=", "netron/files/"])
def test_files_elsewhere_are_not_there(server: Server, small_tflite: Path, name: str, route: str) -> None:
    outside = server.root.parent / "outside"
    for path in (outside, server.root / ".hidden", server.root / "sub"):
        path.mkdir(exist_ok=True)
    for path in (server.root.parent / "outside.tflite", outside / "outside.tflite", server.root / ".hidden.tflite"):
        shutil.copy(small_tflite, path)
    shutil.copy(small_tflite, server.root / ".hidden" / "m.tflite")
    for link, to in (("link.tflite", "../outside.tflite"), ("linked", "../outside")):
        if not (server.root / link).is_symlink():
            (server.root / link).symlink_to(to)
    answer = server.ask("GET", route + quote(name, safe=""))
    assert answer.status in (400, 404), answer.body
    assert small_tflite.read_bytes()[:64] not in answer.body
    absolute = server.ask("GET", route + quote(str(server.root.parent / "outside.tflite"), safe=""))
    assert absolute.status == 404


def test_what_is_no_model_is_told(server: Server) -> None:
    (server.root / "text.tflite").write_text("no model")
    answer = server.ask("GET", "inspect?path=text.tflite")
    assert answer.status == 400
    assert "TensorFlow Lite" in answer.json["message"]


# ---- stores and studies


def test_stores_below_the_root_are_found(server: Server, study: workbench.Study) -> None:
    for place in ("deep/er/store", ".hidden/store", "node_modules/store"):
        Store(server.root / place).close()
    outside = server.root.parent / "outside-store"
    Store(outside).close()
    if not (server.root / "store-link").is_symlink():
        (server.root / "store-link").symlink_to(outside)
    time.sleep(0.1)
    assert server.ask("GET", "study/x?store=deep%2Fer%2Fstore").status == 404  # looks anew
    found = {row["store"]: row for row in server.ask("GET", "stores").json["stores"]}
    assert set(found) == {".workbench", "deep/er/store"}
    assert (found[".workbench"]["studies"], found["deep/er/store"]["studies"]) == (1, 0)
    for elsewhere in ("store-link", ".hidden/store", "../outside-store", str(outside)):
        answer = server.ask("GET", f"study/x?store={quote(elsewhere, safe='')}")
        assert (answer.status, "Allowed" in answer.json["message"]) == (404, True)


def test_a_store_that_cannot_be_read_hides_no_other(server: Server, study: workbench.Study) -> None:
    broken = server.root / "broken"
    broken.mkdir(exist_ok=True)
    (broken / "store.db").write_bytes(b"SQLite format 3\0" + b"x" * 4096)
    server.ask("GET", "study/x?store=broken")
    told = server.ask("GET", "studies").json
    shutil.rmtree(broken)
    assert [r["study"] for r in told["studies"]] == [study.name]
    (row,) = (r for r in told["stores"] if r["store"] == "broken")
    assert "cannot be read" in row["error"]


def test_a_row_says_what_the_trials_say(server: Server, study: workbench.Study) -> None:
    (row,) = server.ask("GET", "studies").json["studies"]
    ok = [t for t in study.trials if t.state == "ok"]
    best = max(t.quality.accuracy for t in ok if t.quality and t.quality.accuracy is not None)
    smallest = min(t.size.file for t in ok if t.size)
    assert row["best"].startswith(f"Accuracy {100 * best:.2f} % · smallest ")
    assert float(row["best"].split()[-2]) == pytest.approx(smallest / 1000, rel=0.01)
    assert (row["state"], row["done"], row["total"]) == ("done", 3, 3)
    whole = server.ask("GET", server.study(study.name).format("")).json
    assert whole["record"]["model"]["sha256"] == study.record.model.sha256


def test_tags_and_notes_are_written(server: Server, study: workbench.Study) -> None:
    where = server.study(study.name)
    assert server.ask("POST", where.format("/tags"), {"tags": ["good", "v1"]}).json == {"tags": ["good", "v1"]}
    assert server.ask("POST", where.format("/tags"), {"tags": ["v1"], "remove": True}).json == {"tags": ["good"]}
    assert server.ask("POST", where.format("/note"), {"text": "mine"}).status == 200
    assert (study.tags, study.note) == (("good",), "mine")
    refused = server.ask("POST", where.format("/tags"), {"tags": ["no%tag!"]})
    assert (refused.status, "tag 'no%tag!' cannot be used" in refused.json["message"]) == (400, True)
    assert server.ask("GET", "studies").json["studies"][0]["tags"] == ["good"]


@pytest.mark.slow
def test_a_trial_is_exported_and_a_report_written_below_the_root(server: Server, study: workbench.Study) -> None:
    where, trial = server.study(study.name), study.trials[-1]
    told = server.ask("POST", where.format("/export"), {"trial": trial.id, "out": "sub/exported"})
    assert told.json == {"path": "sub/exported"}
    assert trial.artifact is not None
    assert (server.root / "sub/exported/model.tflite").read_bytes() == Path(trial.artifact.path).read_bytes()
    assert server.ask("POST", where.format("/report"), {"out": "r.html"}).json == {"path": "r.html"}
    assert study.name in (server.root / "r.html").read_text()
    for out in ("../elsewhere", "/tmp/elsewhere", ".hidden/x", "linked/x"):
        refused = server.ask("POST", where.format("/export"), {"trial": trial.id, "out": out})
        assert (refused.status, "Allowed" in refused.json["message"]) == (404, True)


def test_notebooks_are_copied_below_the_root(server: Server) -> None:
    (server.root / "sub").mkdir(exist_ok=True)
    for _ in range(2):
        assert (
            server.ask("POST", "notebooks", {"name": "quickstart", "folder": "sub"}).json["path"]
            == "sub/quickstart.ipynb"
        )
    assert json.loads((server.root / "sub/quickstart.ipynb").read_text())["cells"]
    for name, folder in (("none", "sub"), ("../sub/quickstart", ""), ("quickstart", "../sub")):
        assert server.ask("POST", "notebooks", {"name": name, "folder": folder}).status in (400, 404)


# ---- dashboards without a kernel


def test_a_page_is_told_what_a_notebook_would_be(server: Server, study: workbench.Study) -> None:
    from workbench.dashboard.state import DashboardState

    told = server.tell(study.name, {"do": "ready", "view": "v1", "plotly": False})
    shown = {m["show"]: m for m in told["messages"]}
    assert [m["show"] for m in told["messages"]] == ["plotly", "header", "figure", "limits", "selection"]
    state = DashboardState(study)
    assert {k: v for k, v in shown["header"].items() if k != "show"} == state.header()
    assert shown["figure"]["choices"] == json.loads(json.dumps(state.figure()["choices"]))
    assert server.tell(study.name) == {"messages": [], "gone": False}
    (table,) = server.tell(study.name, {"do": "tab", "tab": "table", "view": "v1"})["messages"]
    assert len(table["rows"]) == 3
    trial = study.trials[1]
    (file,) = server.tell(study.name, {"do": "save", "id": trial.id, "view": "v1"})["messages"]
    assert trial.artifact is not None
    assert base64.b64decode(file["buffers"][0]) == Path(trial.artifact.path).read_bytes()
    (refused,) = server.tell(study.name, {"do": "export", "id": trial.id, "folder": "../x", "view": "v1"})["messages"]
    assert (refused["kind"], "Allowed" in refused["text"]) == ("error", True)


def test_a_page_that_the_server_does_not_know_is_asked_to_begin_anew(server: Server, study: workbench.Study) -> None:
    assert server.tell(study.name, {"do": "tab", "tab": "table"}, page="old") == {"messages": [], "gone": True}


def test_the_page_and_what_it_loads(server: Server, study: workbench.Study) -> None:
    page = server.ask("GET", server.study(study.name).format("/page"))
    assert page.headers["Content-Type"].startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    loaded = re.findall(r'(?:src|href)="/workbench/([^"]+)"', page.body.decode())
    assert len(loaded) == 3
    for path in (*loaded, "assets/dashboard.js", "assets/plotly.js"):
        assert server.ask("GET", path).status == 200
    assert server.ask("GET", "assets/secrets.js").status == 404


@pytest.mark.slow
def test_a_sweep_of_another_process_is_followed_and_stopped(
    server: Server, small_h5: Path, digits_like: dict[str, Any], tmp_path: Path
) -> None:
    data = tmp_path / "data.npz"
    np.savez(data, **digits_like)
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "{quantize: [int8, dynamic, float16], prune: [0.2, 0.3, 0.4, 0.5, 0.6, 0.7], train: {epochs: 20}, measure: {skip: true}}"
    )
    words = ["sweep", str(small_h5), "--data", str(data), "--grid", str(grid), "--study", "live", "--jobs", "1"]
    store = str(server.root / "live")
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", *words, "--store", store], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        row = _wait(lambda: next((r for r in _rows(server) if r["study"] == "live" and r["progress"]), None))
        assert row["state"] == "running"
        told = server.tell("live", {"do": "ready", "view": "v"}, store="live")["messages"]
        header = next(m for m in told if m["show"] == "header")
        assert (header["state"], header["can_cancel"]) == ("running", True)
        before = header["counts"]["ok"]
        # The page fills while nobody asks for more than what is new.
        grown = _wait(lambda: _news(server, before))
        assert {"figure", "limits"} <= {m["show"] for m in grown}
        server.tell("live", {"do": "cancel", "view": "v"}, store="live")
        said, _ = process.communicate(timeout=60)
        assert process.returncode != 0, said
        assert b"finished work is kept" in said
    finally:
        process.kill()
        process.wait()
    assert not list((server.root / "live" / FOLDER).iterdir())
    header = next(m for m in _wait(lambda: server.tell("live", store="live")["messages"]) if m["show"] == "header")
    assert (header["state"], header["can_cancel"]) == ("stopped", False)
    told = server.ask("DELETE", server.study("live", "live").format("")).json
    assert told["removed"]["trials"] == 19
    assert server.ask("GET", server.study("live", "live").format("")).status == 404


def _rows(server: Server) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = server.ask("GET", "studies").json["studies"]
    return rows


def _news(server: Server, before: int) -> Any:
    told = server.tell("live", store="live")["messages"]
    header = next((m for m in told if m["show"] == "header"), None)
    return told if header and header["counts"]["ok"] > before else None


def _wait(look: Any, seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.2)
    return found


def test_the_server_loads_no_tensorflow(server: Server, study: workbench.Study) -> None:
    """Last: after all that the others asked for."""
    for path in ("studies", "inspect?path=sub/m%20o.tflite"):
        server.ask("GET", path)
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "numpy" in maps
    assert "tensorflow" not in maps


# ---- the graph


def test_netrons_page_asks_nothing_of_the_network(server: Server, small_tflite: Path) -> None:
    shutil.copy(small_tflite, server.root / "it's <b>.tflite")
    name = quote("it's <b>.tflite")
    page = server.ask("GET", f"netron/index.html?path={name}")
    text = page.body.decode()
    assert "connect-src 'self'" in page.headers["Content-Security-Policy"]
    assert '<meta name="version" content="0.0.0">' in text
    assert '<meta name="date" content="">' in text
    assert "<b>.tflite" not in text
    (file,) = re.findall(r'<meta name="file" content="([^"]+)">', text)
    assert server.ask("GET", f"netron/{file.replace('&#x27;', chr(39))}").body == small_tflite.read_bytes()
    cookies = page.headers.get_all("Set-Cookie")
    assert "consent=1; Path=/workbench/netron; SameSite=Strict" in cookies
    for asset in ("index.js", "grapher.css", "tflite-metadata.json"):
        assert server.ask("GET", f"netron/{asset}").status == 200
    for none in ("server.py", "__init__.py", "..%2Fpip", "none.js"):
        assert server.ask("GET", f"netron/{none}").status == 404


@pytest.mark.parametrize(("dark", "colours"), [(0, "not all"), (1, "all")])
def test_netrons_colours_are_labs(server: Server, dark: int, colours: str) -> None:
    for path in (f"netron/index.html?path=text.tflite&dark={dark}", f"netron/grapher.css?dark={dark}"):
        (server.root / "text.tflite").write_text("")
        text = server.ask("GET", path).body.decode()
        assert f"@media {colours} {{" in text
        assert "prefers-color-scheme" not in text


# ---- who works in a store


def test_sweeps_under_way_are_seen_until_they_end(tmp_path: Path) -> None:
    first, second = Announcement(tmp_path), Announcement(tmp_path)
    first.say(study="a", phase="build", done=1, total=3, eta_s=2.5)
    second.say(study="b")
    assert {(u.study, u.done, u.total) for u in underway(tmp_path)} == {("a", 1, 3), ("b", 0, 0)}
    assert ask_to_stop(tmp_path, "a")
    assert not ask_to_stop(tmp_path, "c")
    assert (first.stop_asked, second.stop_asked) == (True, False)
    first.end()
    assert [u.study for u in underway(tmp_path)] == ["b"]
    second.end()
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_what_killed_processes_left_counts_as_ended(tmp_path: Path) -> None:
    dead = Announcement(tmp_path)
    dead.said = dead.said.model_copy(update={"born": dead.said.born - 100})
    dead.say(study="dead")
    far = Announcement(tmp_path)
    far.said = far.said.model_copy(update={"host": "elsewhere", "pid": 1, "born": 0.0})
    far.say(study="far")
    (tmp_path / FOLDER / f"{'0' * 16}.json").write_text('{"pid": 1')
    (tmp_path / FOLDER / "x.json").write_text("{}")
    assert [u.study for u in underway(tmp_path)] == ["far"]
    clear_dead(tmp_path)
    assert not (tmp_path / FOLDER / f"{dead.said.id}.json").exists()
    assert (tmp_path / FOLDER / f"{far.said.id}.json").exists()


def test_a_sweep_says_how_far_it_is_and_stops_when_asked(
    small_h5: Path, digits_like: dict[str, Any], warm_engine: workbench.Engine, tmp_path: Path
) -> None:
    seen: list[str] = []
    grid = {"prune": [0.2, 0.3, 0.4, 0.5], "quantize": ["int8", "dynamic"], "measure": {"skip": True}}
    running = workbench.sweep(
        small_h5, digits_like, grid, study="s", store=tmp_path / "store", engine=warm_engine, wait=False
    )

    def stop() -> None:
        _wait(lambda: [u for u in underway(tmp_path / "store") if u.study == "s" and u.phase == "build" and u.done])
        (found,) = underway(tmp_path / "store")
        assert 0 < found.done <= found.total
        seen.append("seen")
        ask_to_stop(tmp_path / "store", "s")

    other = threading.Thread(target=stop)
    other.start()
    with pytest.raises(workbench.errors.Cancelled):
        running.wait()
    other.join()
    assert seen == ["seen"]
    assert underway(tmp_path / "store") == []
