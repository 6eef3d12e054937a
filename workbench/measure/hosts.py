"""Start and talk to host processes (see `host.py`)."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from workbench import registry
from workbench.errors import StageFailed
from workbench.measure import protocol
from workbench.measure.channel import Channel
from workbench.measure.connection import Connection, process
from workbench.measure.protocol import NoMessage
from workbench.measure.watch import Watch
from workbench.names import file_stem
from workbench.values.trial import OpProfile, RuntimeSpec

START_SECONDS = 120.0
# Not by `-m`, with which Python would look for every module in the current folder first, whatever lies there.
START = (
    "import sys; sys.path[:] = filter(None, sys.path); from workbench.measure.host import main; main(int(sys.argv[1]))"
)
# Compilers of accelerators may take minutes over a large model.
OPEN_SECONDS = 300.0
ANSWER_SECONDS = 120.0
Array = np.ndarray[Any, Any]
_SILENT = Watch()
_REFERENCE = RuntimeSpec(name="reference")


class Hosts:
    """Forks a host per artifact and runtime; one parent process per set of environment variables.

    They talk over socket pairs, which have no name that anybody else could connect to.
    """

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._fitted: dict[tuple[Path, tuple[tuple[str, tuple[int, ...]], ...]], Path] = {}
        self._parents: dict[tuple[tuple[str, str], ...], tuple[subprocess.Popen[bytes], Connection]] = {}

    def warm(self) -> None:
        """Start the process that hosts without variables of their own are forked from."""
        self._parent({}, _SILENT)

    def prepare(self, runtime: RuntimeSpec, watch: Watch = _SILENT) -> None:
        """Start the process that a runtime's hosts are forked from; raises StageFailed when it cannot run there."""
        self._parent(_environment(runtime), watch)

    def open(
        self,
        path: Path,
        runtime: RuntimeSpec,
        watch: Watch = _SILENT,
        seconds: float = OPEN_SECONDS,
        inputs: dict[str, tuple[int, ...]] | None = None,
    ) -> HostProcess:
        """Return a host that holds the artifact; raises StageFailed with the reason when it cannot run there.

        `inputs` are shapes for a file that leaves them open: a copy is held in which they are filled in.
        """
        environment = _environment(runtime)
        path = self._at_size(path, inputs, watch) if inputs else path
        host = self._fork(path, runtime, environment, watch)
        request = protocol.Open(path=os.fsencode(path), runtime=runtime.name, options=runtime.options)
        try:
            host.facts, _ = host.connection.ask(request, seconds, protocol.Opened, protocol.Estimated)
        except BaseException:
            host.close()
            raise
        return host

    def _at_size(self, path: Path, inputs: dict[str, tuple[int, ...]], watch: Watch) -> Path:
        """Return the copy of a file at a size, which a process of its own writes once."""
        key = (path, tuple(inputs.items()))
        if key not in self._fitted:
            self._folder = self._folder or tempfile.TemporaryDirectory(prefix="wb-sized-")
            target = Path(self._folder.name) / f"{len(self._fitted)}-{file_stem(path.stem)}.tflite"
            host = self._fork(path, _REFERENCE, {}, watch)
            try:
                request = protocol.Fit(path=os.fsencode(path), inputs=inputs, target=os.fsencode(target))
                host.connection.ask(request, OPEN_SECONDS, protocol.Fitted)
            finally:
                host.close()
            self._fitted[key] = target
        return self._fitted[key]

    def _fork(self, path: Path, runtime: RuntimeSpec, environment: dict[str, str], watch: Watch) -> HostProcess:
        parent = self._parent(environment, watch)
        mine, theirs = socket.socketpair()
        label = f"{path.name} on {runtime.name}"
        with theirs:
            forked, _ = parent.ask(protocol.Fork(runtime=runtime.name), START_SECONDS, protocol.Forked, passing=theirs)
        return HostProcess(Connection(Channel(mine), label, process(forked.pid), watch), forked.pid)

    def close(self) -> None:
        """End all processes."""
        for started, connection in self._parents.values():
            connection.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(2)
            started.kill()
            started.wait()
        self._parents.clear()
        self._fitted.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _parent(self, environment: dict[str, str], watch: Watch) -> Connection:
        key = tuple(sorted(environment.items()))
        if key in self._parents:
            started, connection = self._parents[key]
            if started.poll() is None:
                connection.watch = watch
                return connection
            connection.close()
        env = {
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            **environment,
        }
        mine, theirs = socket.socketpair()
        with theirs:
            # Native libraries write to these streams as they please; what matters comes over the socket.
            started = subprocess.Popen(
                [sys.executable, "-c", START, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=env,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        connection = Connection(Channel(mine), "what hosts are forked from", process(started.pid), watch)
        try:
            connection.hear(START_SECONDS, protocol.Ready)
        except BaseException:
            connection.kill()
            started.wait()
            raise
        self._parents[key] = (started, connection)
        return connection


def _environment(runtime: RuntimeSpec) -> dict[str, str]:
    """Return the variables that a runtime needs; raises StageFailed with what is missing for it here."""
    implementation = registry.runtimes.get(runtime.name)
    params = implementation.params.model_validate(runtime.options)
    missing = implementation.check(params)
    if missing:
        raise StageFailed(missing)
    return implementation.environment(params)


class HostProcess:
    """One artifact on one runtime in a process of its own."""

    def __init__(self, connection: Connection, pid: int) -> None:
        self.connection, self.pid = connection, pid
        self.facts: protocol.Opened | protocol.Estimated

    def time(self, count: int, warm_ns: int, seconds: float) -> list[int]:
        """Return the nanoseconds of `count` invocations."""
        timed, _ = self.connection.ask(protocol.Time(count=count, warm_ns=warm_ns), seconds, protocol.Times)
        if len(timed.samples_ns) != count:
            raise self.connection.distrust(f"{len(timed.samples_ns)} times of {count} invocations")
        return list(timed.samples_ns)

    def outputs(self, samples: Path | None, count: int, seconds: float) -> dict[str, Array]:
        """Return the real-valued outputs of the samples in an `.npz` (or seeded ones), as many as `seconds` allow."""
        name = os.fsencode(samples) if samples else None
        request = protocol.Outputs(samples=name, count=count, seconds=seconds)
        given, data = self.connection.ask(
            request, seconds + ANSWER_SECONDS, protocol.Given, arrays=protocol.OUTPUT_BYTES
        )
        try:
            return protocol.arrays_in(given.arrays, data, count)
        except NoMessage as error:
            raise self.connection.distrust(str(error)) from None

    def profile(self, invocations: int) -> OpProfile | None:
        """Return the time of each operator, None where the runtime does not tell."""
        request = protocol.ProfileRequest(invocations=invocations)
        profiled, _ = self.connection.ask(request, ANSWER_SECONDS, protocol.Profiled)
        found: OpProfile | None = profiled.profile
        return found

    def kill(self) -> None:
        """End the process at once."""
        self.connection.kill()

    def close(self) -> None:
        """Let the process end."""
        self.connection.close()
