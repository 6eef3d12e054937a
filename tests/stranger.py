"""Another user of the machine, who tries all doors: run as a script, told on stdin what to try, it prints what it got.

Started by root, it becomes `uid` once everything is imported, so that it works wherever the packages lie.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

NOBODY = 65534
SECONDS = 2
Attack = Callable[[], str]


def refusals(targets: dict[str, Any], uid: int | None) -> dict[str, str]:
    """Run the attacks in a process of their own, as another user where one is given; return what each got, "" where it was refused."""
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps({**targets, "uid": uid}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, str] = json.loads(done.stdout)
    return found


# ---- sockets


def contexts(host: str, port: int, folder: Path) -> dict[str, ssl.SSLContext]:
    """Return ways to speak TLS without the pool's key."""
    from distributed import Security

    def trusting() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    foreign = Security.temporary()
    cert, both = folder / "cert.pem", folder / "both.pem"
    cert.write_text(f"{foreign.tls_client_key}\n{foreign.tls_client_cert}")
    found = {"no certificate": trusting(), "no certificate, TLS 1.2": trusting(), "another certificate": trusting()}
    found["no certificate, TLS 1.2"].maximum_version = ssl.TLSVersion.TLSv1_2
    found["another certificate"].load_cert_chain(cert)
    with contextlib.suppress(OSError):
        # What it shows to everybody, behind a certificate of one's own.
        both.write_text(f"{cert.read_text()}\n{ssl.get_server_certificate((host, port), timeout=SECONDS)}")
        found["its certificate without its key"] = trusting()
        found["its certificate without its key"].load_cert_chain(both)
    found["another authority"] = foreign.get_connection_args("client")["ssl_context"]
    return found


def talk(host: str, port: int, words: bytes, context: ssl.SSLContext | None = None) -> str:
    """Say something and return the answer."""
    with socket.create_connection((host, port), timeout=SECONDS) as plain:
        wrapped = context.wrap_socket(plain) if context else plain
        wrapped.settimeout(SECONDS)
        wrapped.sendall(words)
        return wrapped.recv(100).decode("latin-1")


async def call(address: str, marker: Path, context: ssl.SSLContext | None, code: bool) -> str:
    """Call a server as dask does: who it is, or to run code."""
    from distributed.core import rpc
    from distributed.protocol.pickle import dumps

    arguments: dict[str, Any] = {
        "ssl_context": context,
        "require_encryption": context is not None,
        "extra_conn_args": {},
    }
    server = rpc(address, timeout=SECONDS, connection_args=arguments)
    try:
        if not code:
            return str((await asyncio.wait_for(server.identity(), 2 * SECONDS))["type"])
        for handler in ("run", "run_function"):
            with contextlib.suppress(Exception):
                order = {"function": dumps(marker.touch), "args": dumps(()), "kwargs": dumps({}), "wait": True}
                await asyncio.wait_for(getattr(server, handler)(**order), SECONDS)
        return ""
    finally:
        await server.close_rpc()


async def join(address: str, context: ssl.SSLContext | None) -> str:
    """Connect as a client does."""
    import distributed

    security = distributed.Security(require_encryption=False)
    client = distributed.Client(address, security=security, asynchronous=True, timeout=SECONDS, set_as_default=False)
    client.connection_args = {"ssl_context": context, "require_encryption": context is not None, "extra_conn_args": {}}
    try:
        await asyncio.wait_for(client, 2 * SECONDS)
        return str(client.scheduler_info()["type"])
    finally:
        await client.close(timeout=1)


def run(attack: Callable[..., Coroutine[Any, Any, str]], *arguments: Any) -> str:
    return asyncio.run(attack(*arguments))


GET = "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n"
PAGES = ("/", "/info/main/workers.html", "/health", "/metrics", "/json/counts.json", "/status")
WEBSOCKET = (
    "GET /status/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Touch:
    """A pickle that makes a file where it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def socket_attacks(host: str, port: int, marker: Path, folder: Path) -> dict[str, Attack]:
    """Return what is tried on one listening socket."""
    bomb = pickle.dumps(Touch(marker))
    attacks: dict[str, Attack] = {
        f"HTTP {page}": partial(talk, host, port, GET.format(page).encode()) for page in PAGES
    }
    attacks["websocket"] = partial(talk, host, port, WEBSOCKET.encode())
    attacks["pickle"] = partial(talk, host, port, bomb)
    attacks["framed pickle"] = partial(talk, host, port, len(bomb).to_bytes(8, "little") + bomb)
    attacks["silence"] = partial(talk, host, port, b"")
    attacks["call in clear"] = partial(run, call, f"tcp://{host}:{port}", marker, None, False)
    attacks["code in clear"] = partial(run, call, f"tcp://{host}:{port}", marker, None, True)
    attacks["client in clear"] = partial(run, join, f"tcp://{host}:{port}", None)
    for name, context in contexts(host, port, folder).items():
        attacks[f"page, {name}"] = partial(talk, host, port, GET.format("/").encode(), context)
        attacks[f"pickle, {name}"] = partial(talk, host, port, bomb, context)
        attacks[f"call, {name}"] = partial(run, call, f"tls://{host}:{port}", marker, context, False)
        attacks[f"code, {name}"] = partial(run, call, f"tls://{host}:{port}", marker, context, True)
        attacks[f"client, {name}"] = partial(run, join, f"tls://{host}:{port}", context)
    return attacks


def connect_unix(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as made:
        made.settimeout(SECONDS)
        made.connect(path)
        return "connected"


# ---- files and processes


def read(path: str) -> str:
    return f"read {len(Path(path).read_bytes())} bytes"


def overwrite(path: str) -> str:
    with open(path, "r+b"):
        return "opened for writing"


def plant(folder: str) -> str:
    with tempfile.TemporaryFile(dir=folder):
        return "made a file"


def listing(folder: str) -> str:
    return f"listed {os.listdir(folder)}"


def database(path: str) -> str:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as opened:
        return str(opened.execute("SELECT count(*) FROM sqlite_master").fetchall())


def command_line(pid: int) -> str:
    """Everybody may read it; what is refused is a secret in it."""
    text = Path(f"/proc/{pid}/cmdline").read_text()
    return text if "BEGIN" in text or "PRIVATE" in text else ""


def signal_to(pid: int) -> str:
    os.kill(pid, 0)
    return "may end it"


def local_attacks(targets: dict[str, Any]) -> dict[str, Attack]:
    """Return what is tried on files, folders, Unix sockets and processes."""
    attacks: dict[str, Attack] = {}
    for path in targets.get("files", ()):
        attacks[f"read {path}"] = partial(read, path)
        attacks[f"write {path}"] = partial(overwrite, path)
        if path.endswith(".db"):
            attacks[f"database {path}"] = partial(database, path)
    for path in targets.get("folders", ()):
        attacks[f"plant in {path}"] = partial(plant, path)
        attacks[f"list {path}"] = partial(listing, path)
    for path in targets.get("unix", ()):
        attacks[f"connect {path}"] = partial(connect_unix, path)
    for pid in targets.get("processes", ()):
        for name in ("environ", "mem", "maps", "fd/0", "stack"):
            attacks[f"{name} of {pid}"] = partial(read, f"/proc/{pid}/{name}")
        attacks[f"files of {pid}"] = partial(listing, f"/proc/{pid}/fd")
        attacks[f"command line of {pid}"] = partial(command_line, pid)
        attacks[f"signal to {pid}"] = partial(signal_to, pid)
    return attacks


def tried(attack: Attack) -> str:
    try:
        return attack()
    except (Exception, asyncio.CancelledError):  # whatever shuts the door
        return ""


def main() -> None:
    targets = json.load(sys.stdin)
    # All that is needed, while it can still be read.
    import distributed.comm.tcp
    import distributed.http
    import distributed.protocol

    distributed.Security.temporary()
    if targets["uid"] is not None:
        os.chdir("/")
        os.setgroups([])
        os.setresgid(*[targets["uid"]] * 3)
        os.setresuid(*[targets["uid"]] * 3)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(12) as threads:
        attacks = local_attacks(targets)
        for number, (host, port) in enumerate(targets.get("sockets", ())):
            place = Path(folder) / str(number)
            place.mkdir()
            found = socket_attacks(host, port, Path(targets["marker"]), place)
            attacks |= {f"{name} at {host}:{port}": attack for name, attack in found.items()}
        answers = dict(zip(attacks, threads.map(tried, attacks.values()), strict=True))
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
