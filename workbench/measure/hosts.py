"""Start and talk to host processes (see `host.py`)."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection, Listener, wait
from pathlib import Path
from typing import Any

import numpy as np

from workbench import registry
from workbench.errors import StageFailed, Unfit
from workbench.values.trial import OpProfile, RuntimeSpec

START_SECONDS = 60.0
# Compilers of accelerators may take minutes over a large model.
OPEN_SECONDS = 300.0
ANSWER_SECONDS = 120.0
Array = np.ndarray[Any, Any]


class Hosts:
    """Forks a host per artifact and runtime; one parent process per set of environment variables."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="wb-")
        self._key = secrets.token_bytes(16)
        self._listener = Listener(str(Path(self._folder.name) / "s"), family="AF_UNIX", authkey=self._key)
        self._parents: dict[tuple[tuple[str, str], ...], tuple[subprocess.Popen[bytes], Connection]] = {}

    def warm(self) -> None:
        """Start the process that hosts without variables of their own are forked from."""
        self._parent({})

    def open(self, path: Path, runtime: RuntimeSpec) -> Host:
        """Return a host that holds the artifact; raises StageFailed with the reason when it cannot run there."""
        implementation = registry.runtimes.get(runtime.name)
        params = implementation.params.model_validate(runtime.options)
        missing = implementation.check(params)
        if missing:
            raise StageFailed(missing)
        parent = self._parent(implementation.environment(params))
        token = secrets.token_hex(8)
        parent.send({"token": token, "runtime": runtime.name})
        connection, hello = self._accept("the process that was to hold the model")
        if hello.get("token") != token:
            raise StageFailed("a host process answered out of turn")
        host = Host(connection, int(hello["pid"]), f"{path.name} on {runtime.name}")
        host.facts = host.ask({"path": str(path), "runtime": runtime.name, "options": runtime.options}, OPEN_SECONDS)
        for key, kind in (("error", StageFailed), ("unfit", Unfit)):
            if key in host.facts:
                host.close()
                raise kind(host.facts[key])
        return host

    def close(self) -> None:
        """End all processes."""
        for process, connection in self._parents.values():
            connection.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2)
            process.kill()
            process.wait()
        self._parents.clear()
        self._listener.close()
        self._folder.cleanup()

    def _accept(self, what: str) -> tuple[Connection, dict[str, Any]]:
        """Return the next process that calls, with its greeting; raises StageFailed when none does in time."""
        # Waiting on the socket itself: `accept` has no timeout, and a process may die before it calls.
        socket = self._listener._listener._socket  # type: ignore[attr-defined]  # no public name
        if not wait([socket], START_SECONDS):
            raise StageFailed(f"{what} did not start within {START_SECONDS:g} s")
        connection = self._listener.accept()
        hello: dict[str, Any] = connection.recv()
        return connection, hello

    def _parent(self, environment: dict[str, str]) -> Connection:
        key = tuple(sorted(environment.items()))
        if key not in self._parents or self._parents[key][0].poll() is not None:
            env = {
                **os.environ,
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
                **environment,
            }
            command = [sys.executable, "-m", "workbench.measure.host", str(self._listener.address)]
            # Native libraries write to these streams as they please; what matters comes over the socket.
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=env,
                start_new_session=True,
            )
            if process.stdin is not None:
                process.stdin.write(self._key.hex().encode() + b"\n")
                process.stdin.flush()
            try:
                connection, _ = self._accept("the process that hosts are forked from")
            except StageFailed:
                process.kill()
                process.wait()
                raise
            self._parents[key] = (process, connection)
        return self._parents[key][1]


class Host:
    """One artifact on one runtime in a process of its own."""

    def __init__(self, connection: Connection, pid: int, label: str) -> None:
        self.connection = connection
        self.pid = pid
        self.label = label
        self.facts: dict[str, Any] = {}

    def ask(self, request: Any, seconds: float) -> Any:
        """Send a request and return the answer; raises StageFailed when the process died or took too long."""
        try:
            self.connection.send(request)
            if not self.connection.poll(seconds):
                self.kill()
                raise StageFailed(f"time limit: {self.label} gave no answer within {seconds:g} s and was ended")
            return self.connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise StageFailed(
                f"crash: the process of {self.label} died (a segmentation fault, or it was killed)"
            ) from None

    def time(self, count: int, warm_ns: int, seconds: float) -> list[int]:
        """Return the nanoseconds of `count` invocations."""
        samples: list[int] = self._answer(("time", count, warm_ns), seconds)
        return samples

    def outputs(self, samples: Path | None, count: int, seconds: float) -> dict[str, Array]:
        """Return the real-valued outputs of the samples in an `.npz` (or seeded ones), as many as `seconds` allow."""
        found: dict[str, Array] = self._answer(
            ("outputs", str(samples) if samples else None, count, seconds), seconds + ANSWER_SECONDS
        )
        return found

    def profile(self, invocations: int) -> OpProfile | None:
        """Return the time of each operator, None where the runtime does not tell."""
        found = self._answer(("profile", invocations), ANSWER_SECONDS)
        return OpProfile.model_validate(found) if found else None

    def _answer(self, request: tuple[Any, ...], seconds: float) -> Any:
        found = self.ask(request, seconds)
        if isinstance(found, dict) and isinstance(found.get("error"), str):
            raise StageFailed(found["error"])
        return found

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, 9)
        self.close()

    def close(self) -> None:
        """Let the process end."""
        with contextlib.suppress(OSError):
            self.connection.close()
