"""The process that holds one artifact on one runtime and answers what is asked of it: time, outputs, profile.

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
# The first invocations of a process pay for its pages and were seen to be 3 to 8 % slower; a fifth one is not.
SETTLING = 5
SETTLING_NS = 20_000_000


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
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            connection = Client(address, authkey=key)
            connection.send({"token": request["token"], "pid": os.getpid()})
            try:
                _serve(connection)
            except (EOFError, BrokenPipeError, ConnectionResetError):
                pass
            finally:
                os._exit(0)


def _serve(connection: Connection) -> None:
    from workbench.errors import Unfit, WorkbenchError

    request = connection.recv()
    try:
        answer, session = _open(request)
    except Unfit as error:
        connection.send({"unfit": str(error)})
        return
    except WorkbenchError as error:
        connection.send({"error": str(error)})
        return
    except Exception as error:  # a vendor's runtime may raise anything; the reason goes on the measurement
        connection.send({"error": f"{type(error).__name__}: {error}"})
        return
    gc.disable()
    connection.send(answer)
    while session is not None:
        what, *arguments = connection.recv()
        try:
            if what == "time":
                connection.send(time_invocations(session.invoke, *arguments))
            elif what == "outputs":
                connection.send(_outputs(session, Path(request["path"]), *arguments))
            else:
                profile = session.profile(*arguments)
                connection.send(profile.to_json() if profile else None)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # as above
            connection.send({"error": f"{type(error).__name__}: {error}"})


def _open(request: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Return the facts of an artifact on a runtime, and the session that runs it (None where there is but an estimate)."""
    from workbench import registry
    from workbench.runtimes.base import Estimator, Runtime

    runtime = registry.runtimes.get(request["runtime"])
    params, path = runtime.params.model_validate(request["options"]), Path(request["path"])
    if isinstance(runtime, Estimator):
        estimate = runtime.estimate(path, params)
        return {
            **_covered(estimate.coverage),
            "latency": estimate.latency_ms,
            "memory": estimate.memory,
            "cycles": estimate.cycles,
            "device": estimate.device,
            "profile": estimate.profile.to_json() if estimate.profile else None,
        }, None
    if not isinstance(runtime, Runtime):
        raise TypeError(f"runtime {request['runtime']!r} is neither a Runtime nor an Estimator")
    before = _memory("VmRSS")
    begin = time.perf_counter_ns()
    session = runtime.open(path, params)
    opened = time.perf_counter_ns()
    session.invoke()
    first = time.perf_counter_ns()
    settle(session.invoke)
    return {
        **_covered(session.coverage),
        "init_ms": (opened - begin) / 1e6,
        "first_ms": (first - opened) / 1e6,
        "peak_bytes": max(0, _memory("VmHWM") - before),
        "memory": session.memory,
        "device": session.device,
        "software": session.software,
    }, session


def settle(invoke: Any, clock: Any = time.perf_counter_ns) -> int:
    """Invoke a few times unrecorded, fewer where one takes long, and return how often."""
    start, count = clock(), 0
    while count == 0 or (count < SETTLING and clock() - start < SETTLING_NS):
        invoke()
        count += 1
    return count


def _covered(coverage: Any) -> dict[str, Any]:
    return {
        "ops_total": coverage.total,
        "ops_delegated": coverage.taken,
        "partitions": coverage.partitions,
        "left": coverage.left,
    }


def _outputs(session: Any, path: Path, samples: str | None, count: int, seconds: float) -> dict[str, Any]:
    """Return real-valued outputs `{name: (n, *shape)}` of as many samples, at least one, as the time allows.

    `samples` names a file of inputs by name (`save_arrays`); without it they are seeded.
    """
    import numpy as np

    from workbench.evaluate.arrays import load_arrays
    from workbench.evaluate.interpreter import dequantized, describe_ends, quantized
    from workbench.runtimes.base import seeded

    ends = describe_ends(path)
    given = load_arrays(Path(samples)) if samples else {}
    if list(given) == [""]:
        given = {ends.inputs[0][0]: given[""]}
    available = len(next(iter(given.values()))) if given else count
    found: dict[str, list[Any]] = {name: [] for name, _ in ends.outputs}
    until = time.monotonic() + seconds
    for i in range(min(count, available)):
        if i and time.monotonic() > until:
            break
        values = [
            quantized(np.asarray(given[name][i : i + 1]), detail)
            if given
            else seeded(detail["shape"], detail["dtype"], i)
            for name, detail in ends.inputs
        ]
        for (name, detail), value in zip(ends.outputs, session.run(values), strict=True):
            found[name].append(dequantized(np.asarray(value), detail))
    return {name: np.concatenate(parts) for name, parts in found.items()}


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
