"""Nobody but the owner gets into a warm engine: every socket, file, folder and process of it, tried by another user.

Whoever has no certificate is a stranger, so the sockets are tried by any user; what file modes keep out takes another one, which only root can become.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nurseries
import psutil
import pytest
from running import MODEL, environment
from stranger import NOBODY, refusals

import workbench

pytestmark = pytest.mark.slow
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user, who is needed for this")
GRID = {"quantize": ["float32", "int8"], "measure": {"skip": True}}
Address = tuple[str, int]


def tree() -> list[psutil.Process]:
    """This process and all that it has started."""
    return [psutil.Process(), *psutil.Process().children(recursive=True)]


def listening() -> set[Address]:
    """Where the processes of the tree listen to the network."""
    found = set()
    for process in tree():
        try:
            found |= {
                (c.laddr.ip, c.laddr.port)
                for c in process.net_connections("inet")
                if c.status == psutil.CONN_LISTEN or c.type == socket.SOCK_DGRAM
            }
        except psutil.NoSuchProcess:
            continue  # it ended meanwhile
    return found


def unix_sockets() -> set[str]:
    """Unix sockets with a name, those in no folder too."""
    return {str(c.laddr) for process in tree() for c in process.net_connections("unix") if c.laddr}


def entries(folder: str) -> set[str]:
    return {e.path for e in os.scandir(folder)}


class Warm(NamedTuple):
    """A warm engine that has swept, and what came with it."""

    engine: workbench.Engine
    store: Path
    sockets: set[Address]
    unix: set[str]
    temporary: list[Path]
    processes: list[int]
    during: set[Address]


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    folder = tmp_path_factory.mktemp("strangers")
    # Folders of pytest keep others out by themselves; here it has to be the store.
    for around in (folder, *folder.parents):
        if around == Path(tempfile.gettempdir()):
            break
        around.chmod(0o755)
    before = listening(), unix_sockets(), entries(tempfile.gettempdir()), {p.pid for p in tree()}
    during: set[Address] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            during.update(listening() - before[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with nurseries.afresh(), workbench.Engine(jobs=2) as engine:
            engine.warm()
            workbench.sweep(MODEL, "digits", GRID, store=folder / "store", engine=engine)
            made = [Path(p) for p in entries(tempfile.gettempdir()) - before[2]]
            yield Warm(
                engine,
                folder / "store",
                listening() - before[0],
                unix_sockets() - before[1],
                [p for p in made if p.name.startswith(("workbench", "wb-"))],
                [p.pid for p in tree() if p.pid not in before[3]],
                during,
            )
    finally:
        over.set()
        watcher.join()


def members(warm: Warm) -> dict[str, str]:
    """Return the addresses of scheduler and workers by what they are."""
    info = warm.engine.pool().client.scheduler_info(n_workers=-1)
    found = {"scheduler": info["address"]}
    for address, worker in info["workers"].items():
        found[f"worker {worker['name']}"] = address
    return found


def place(address: str) -> Address:
    host, _, port = address.rpartition("://")[2].rpartition(":")
    return host, int(port)


def test_only_scheduler_and_workers_listen_and_only_to_this_machine(warm: Warm) -> None:
    found = members(warm)
    assert len(found) == 3
    assert all(address.startswith("tls://127.0.0.1:") for address in found.values())
    assert warm.sockets == {place(address) for address in found.values()}
    assert warm.during <= warm.sockets, "none listened for a while"


def test_with_the_certificate_of_the_pool_all_answer(warm: Warm) -> None:
    from distributed.core import rpc

    arguments = warm.engine.pool().client.security.get_connection_args("client")

    async def ask(address: str) -> str:
        server = rpc(address, connection_args=arguments)
        try:
            return str((await server.identity())["type"])
        finally:
            await server.close_rpc()

    answers = {name: asyncio.run(ask(address)) for name, address in members(warm).items()}
    assert answers == {name: name.partition(" ")[0].capitalize() for name in answers}


@pytest.mark.parametrize("uid", [None, pytest.param(NOBODY, marks=needs_root)], ids=["oneself", "another user"])
def test_without_the_certificate_none_answers(warm: Warm, tmp_path: Path, uid: int | None) -> None:
    marker = tmp_path / "code ran"
    found = refusals({"sockets": sorted(warm.sockets), "marker": str(marker)}, uid)
    assert len(found) >= 30 * len(warm.sockets)
    assert {name: got for name, got in found.items() if got} == {}
    assert not marker.exists()
    # None of it has hurt.
    pool = warm.engine.pool()
    assert pool.submit(pool.workers()[0], f"after-{uid}", abs, -1).result(timeout=30) == 1


@needs_root
def test_another_user_reads_and_writes_nothing_of_ours(warm: Warm) -> None:
    roots = [warm.store, *warm.temporary]
    assert any(p.name.startswith("workbench-pool-") for p in warm.temporary)
    inside = [p for root in roots for p in (root, *root.rglob("*"))]
    files = [str(p) for p in inside if p.is_file()]
    assert {".db", ".log", ".tflite", ".npy", ".dirlock"} <= {Path(p).suffix for p in files}
    held = [f.path for pid in warm.processes for f in psutil.Process(pid).open_files() if f.mode != "r"]
    targets = {
        "files": sorted({*files, *held}),
        "folders": [str(p) for p in inside if p.is_dir()],
        "unix": sorted(warm.unix),
        "processes": warm.processes,
    }
    found = refusals(targets, NOBODY)
    assert len(found) > 50
    assert {name: got for name, got in found.items() if got} == {}


def test_the_tries_can_succeed(tmp_path: Path) -> None:
    """A scheduler as dask starts it, and files as everybody can open them."""
    from distributed import LocalCluster

    file, database, marker = tmp_path / "file", tmp_path / "file.db", tmp_path / "code ran"
    file.write_text("text")
    database.touch()
    with (
        socket.socket(socket.AF_UNIX) as made,
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0", protocol="tcp"
        ) as cluster,
    ):
        made.bind(str(tmp_path / "s"))
        made.listen()
        scheduler = place(cluster.scheduler_address)
        worker = place(next(iter(cluster.scheduler_info["workers"])))
        web = ("127.0.0.1", cluster.scheduler.http_server.port)
        targets: dict[str, Any] = {
            "sockets": [scheduler, worker, web],
            "marker": str(marker),
            "files": [str(file), str(database)],
            "folders": [str(tmp_path)],
            "unix": [str(tmp_path / "s")],
            "processes": [os.getpid()],
        }
        ends = ["{}:{}".format(*p) for p in (scheduler, worker, web)]
        wanted = {f"{what} at {one}" for one in ends[:2] for what in ("silence", "call in clear")}
        wanted |= {f"client in clear at {ends[0]}"}
        wanted |= {f"HTTP {page} at {ends[2]}" for page in ("/", "/health", "/metrics")}
        wanted |= {f"{what} {file}" for what in ("read", "write")} | {
            f"{what} {tmp_path}" for what in ("plant in", "list")
        }
        wanted |= {f"database {database}", f"connect {tmp_path / 's'}"}
        wanted |= {f"environ of {os.getpid()}", f"signal to {os.getpid()}"}
        got: set[str] = set()
        for _ in range(5):
            got |= {name for name, answer in refusals(targets, None).items() if answer}
            # Each try waits for two seconds only, in which a busy machine may not answer.
            if wanted <= got:
                break
    assert wanted <= got
    assert marker.exists(), "code ran"


def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("how", ["crash", "restart"])
def test_a_worker_that_is_started_again_has_the_certificate_too(warm: Warm, how: str) -> None:
    pool = warm.engine.pool()
    before, sockets = pool.workers(), listening()
    if how == "crash":
        pool.submit(before[0], "crash", crash)
    else:
        pool.kill(before[0])
    deadline = time.monotonic() + 120
    while len(set(pool.workers()) - {before[0]}) < 2:
        assert time.monotonic() < deadline, f"{pool.workers()} after {before}"
        time.sleep(0.1)
    assert all(pool.submit(w, f"{how}-{w}", abs, -1).result(timeout=600) == 1 for w in pool.workers())
    assert all(address.startswith("tls://127.0.0.1:") for address in members(warm).values())
    (new,) = set(pool.workers()) - set(before)
    assert listening() - sockets == {place(new)}


SLEEPER = """
import pathlib, tempfile, time
from workbench.engine.pool import Pool
pool = Pool(1, pathlib.Path(tempfile.mkdtemp(prefix="logs-")))
while not pool.workers():
    time.sleep(0.1)
print("up", flush=True)
time.sleep(1000)
"""


def test_what_a_pool_keeps_goes_with_it_even_when_it_is_killed(tmp_path: Path) -> None:
    env = environment(TMPDIR=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", SLEEPER], env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert list(tmp_path.glob("workbench-pool-*/dask-scratch-space/*.dirlock"))
        process.kill()
    deadline = time.monotonic() + 60
    while left := list(tmp_path.glob("workbench-pool-*")):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
