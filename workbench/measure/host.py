"""The process that holds one artifact on one runtime and times its invocations on request.

Run as `python -m workbench.measure.host ADDRESS`: a parent process imports what every host needs and
forks a fresh child for each artifact, which is ready in milliseconds and holds nothing else. A crash in
native code ends that child alone.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

WARM_NS = 2_000_000


def main(address: str) -> None:
    """Serve fork requests until the other end goes away."""
    key = bytes.fromhex(sys.stdin.readline().strip())
    # Imported before forking, so that a child is ready at once and its memory beyond its start is the model's own.
    import ai_edge_litert.interpreter  # noqa: F401
    import numpy.random  # noqa: F401

    from workbench import registry

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = Client(address, authkey=key)
    control.send({"pid": os.getpid()})
    while True:
        try:
            request = control.recv()
        except EOFError:
            return
        if request["runtime"] in registry.BUILTIN_RUNTIMES:
            # Ours do nothing but define themselves when imported; a stranger's module may start threads, which no fork survives.
            registry.runtimes.get(request["runtime"])
        if os.fork() == 0:
            control.close()
            connection = Client(address, authkey=key)
            connection.send({"token": request["token"], "pid": os.getpid()})
            try:
                _serve(connection)
            except (EOFError, BrokenPipeError, ConnectionResetError):
                pass
            finally:
                os._exit(0)


def _serve(connection: Connection) -> None:
    from workbench import registry
    from workbench.errors import WorkbenchError

    request = connection.recv()
    try:
        runtime = registry.runtimes.get(request["runtime"])
        params = runtime.params.model_validate(request["options"])
        before = _memory("VmRSS")
        begin = time.perf_counter_ns()
        session = runtime.open(Path(request["path"]), params)
        opened = time.perf_counter_ns()
        session.invoke()
        first = time.perf_counter_ns()
        session.invoke()
        peak = max(0, _memory("VmHWM") - before)
    except WorkbenchError as error:
        connection.send({"error": str(error)})
        return
    except Exception as error:  # a vendor's runtime may raise anything; the reason goes on the measurement
        connection.send({"error": f"{type(error).__name__}: {error}"})
        return
    gc.disable()
    connection.send(
        {
            "init_ms": (opened - begin) / 1e6,
            "first_ms": (first - opened) / 1e6,
            "peak_bytes": peak,
            "ops_total": session.ops_total,
            "ops_delegated": session.ops_delegated,
            "partitions": session.partitions,
        }
    )
    while True:
        count, warm_ns = connection.recv()
        connection.send(time_invocations(session.invoke, count, warm_ns))


def time_invocations(invoke: Any, count: int, warm_ns: int, clock: Any = time.perf_counter_ns) -> list[int]:
    """Return the nanoseconds of `count` invocations, after unrecorded ones for at least `warm_ns`.

    Another process ran just before: the unrecorded ones bring this model's weights back into the caches.
    """
    start = clock()
    while clock() - start < warm_ns:
        invoke()
    samples = []
    for _ in range(count):
        begin = clock()
        invoke()
        samples.append(clock() - begin)
    return samples


def _memory(field: str) -> int:
    """Return this process's resident memory (VmRSS) or its high-water mark (VmHWM) in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main(sys.argv[1])
