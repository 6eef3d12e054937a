"""The process that holds one artifact on one runtime and answers what is asked of it: time, outputs, profile.

`hosts.py` starts `main` with one end of a socket pair: that parent process imports what every
host needs and forks a fresh child for each artifact, which is ready in milliseconds and holds nothing else: one end of a
socket pair of its own, nothing of the parent's or of other hosts. A crash in native code ends that child alone.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.measure import protocol
from workbench.measure.channel import Channel

if TYPE_CHECKING:
    from workbench.runtimes.base import Coverage, Session

WARM_NS = 2_000_000
# The first invocations of a process pay for its pages and were seen to be 3 to 8 % slower; a fifth one is not.
SETTLING = 5
SETTLING_NS = 20_000_000


def main(descriptor: int) -> None:
    """Serve fork requests until the other end goes away."""
    # Imported before forking, so that a child is ready at once and its memory beyond its start is the model's own.
    import ai_edge_litert.interpreter  # noqa: F401
    import numpy.random  # noqa: F401

    from workbench import registry

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = Channel(socket.socket(fileno=descriptor))
    control.send(0, protocol.encode(protocol.Ready()))
    while True:
        try:
            frame, connection = control.receive_passed()
        except EOFError:
            return
        request = protocol.fork_in(frame.message)
        if request.runtime in registry.BUILTIN_RUNTIMES:
            # Ours do nothing but define themselves when imported; a stranger's module may start threads, which no fork survives.
            registry.runtimes.get(request.runtime)
        try:
            pid = os.fork()
        except OSError as error:
            control.send(frame.number, protocol.encode(refusal(error)))
            connection.close()
            continue
        if pid == 0:
            control.close()
            _child(connection)
        connection.close()
        control.send(frame.number, protocol.encode(protocol.Forked(pid=pid)))


def _child(connection: socket.socket) -> None:
    """Serve one artifact in the process that was just forked, and end it."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _serve(Channel(connection))
    except (EOFError, OSError):
        # The other end has gone, or native code has closed this one.
        pass
    finally:
        os._exit(0)


def _serve(channel: Channel) -> None:
    session: Session | None = None
    request: protocol.Request | None = None
    while session is not None or request is None:
        frame = channel.receive()
        request = protocol.request_in(frame.message)
        arrays: dict[str, Any] = {}
        answer: protocol.Message
        try:
            if isinstance(request, protocol.Open):
                opened = request
                answer, session = _open(request)
                gc.disable()
            elif isinstance(request, protocol.Fit):
                from workbench.evaluate.sized import write_sized

                write_sized(Path(os.fsdecode(request.path)), request.inputs, Path(os.fsdecode(request.target)))
                answer = protocol.Fitted()
            elif session is None:
                raise protocol.NoMessage(f"{request.do} before open")
            elif isinstance(request, protocol.Time):
                times = time_invocations(session.invoke, request.count, request.warm_ns)
                # Who asks checks it; a turn is short.
                answer = protocol.Times.model_construct(samples_ns=tuple(times))
            elif isinstance(request, protocol.Outputs):
                arrays = _outputs(session, opened, request)
                answer = protocol.Given(arrays=protocol.heads_of(arrays))
            else:
                answer = protocol.Profiled(profile=session.profile(request.invocations))
            message = protocol.encode(answer)
        except Exception as error:  # a vendor's runtime may raise anything; the reason goes on the measurement
            arrays, message = {}, protocol.encode(refusal(error))
        channel.send(frame.number, message, [_bytes_of(a) for a in arrays.values()])


def refusal(error: Exception) -> protocol.Refused:
    """Return an error as an answer: its text where it was meant for people, else with its type."""
    from workbench.errors import Unfit, WorkbenchError

    text = str(error) if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
    # What native code says need not be text.
    text = text.encode(errors="replace").decode()[: protocol.ERROR_CHARACTERS]
    return protocol.Refused(error=text, unfit=isinstance(error, Unfit))


def _open(request: protocol.Open) -> tuple[protocol.Opened | protocol.Estimated, Session | None]:
    """Return the facts of an artifact on a runtime, and the session that runs it (None where there is but an estimate)."""
    from workbench import registry
    from workbench.runtimes.base import Estimator, Runtime

    runtime = registry.runtimes.get(request.runtime)
    params, path = runtime.params.model_validate(request.options), Path(os.fsdecode(request.path))
    if isinstance(runtime, Estimator):
        estimate = runtime.estimate(path, params)
        return protocol.Estimated(
            **_covered(estimate.coverage),
            latency=estimate.latency_ms,
            memory=estimate.memory,
            cycles=estimate.cycles,
            device=estimate.device,
            profile=estimate.profile,
        ), None
    if not isinstance(runtime, Runtime):
        raise TypeError(f"runtime {request.runtime!r} is neither a Runtime nor an Estimator")
    before = _memory("VmRSS")
    begin = time.perf_counter_ns()
    session = _opened(runtime, path, params)
    opened = time.perf_counter_ns()
    session.invoke()
    first = time.perf_counter_ns()
    settle(session.invoke)
    return protocol.Opened(
        **_covered(session.coverage),
        init_ms=(opened - begin) / 1e6,
        first_ms=(first - opened) / 1e6,
        peak_bytes=max(0, _memory("VmHWM") - before),
        memory=session.memory,
        device=session.device,
        software=session.software,
    ), session


def _opened(runtime: Any, path: Path, params: Any) -> Session:
    """Open a file; where it does not open and holds custom operators, the error names them."""
    from workbench.errors import StageFailed, Unfit
    from workbench.flatbuffer import custom

    try:
        session: Session = runtime.open(path, params)
    except Exception as error:  # a vendor's runtime may raise anything
        about = custom.reason(path)
        if about is None or about in str(error):
            raise
        raise (Unfit if isinstance(error, Unfit) else StageFailed)(f"{error} ({path.name}: {about})") from error
    return session


def settle(invoke: Any, clock: Any = time.perf_counter_ns) -> int:
    """Invoke a few times unrecorded, fewer where one takes long, and return how often."""
    start, count = clock(), 0
    while count == 0 or (count < SETTLING and clock() - start < SETTLING_NS):
        invoke()
        count += 1
    return count


def _covered(coverage: Coverage) -> dict[str, Any]:
    return {
        "ops_total": coverage.total,
        "ops_delegated": coverage.taken,
        "partitions": coverage.partitions,
        "left": coverage.left,
    }


def _outputs(session: Session, opened: protocol.Open, asked: protocol.Outputs) -> dict[str, Any]:
    """Return real-valued outputs `{name: (n, *shape)}` of as many samples, at least one, as the time and the connection allow.

    `samples` names a file of inputs by name (`save_arrays`); without it they are seeded.
    """
    import numpy as np

    from workbench.data.feeding import Feeding, feeding
    from workbench.errors import StageFailed
    from workbench.evaluate.arrays import load_arrays
    from workbench.evaluate.interpreter import dequantized, describe_ends, quantized
    from workbench.evaluate.run import signature_shape
    from workbench.runtimes.base import seeded

    ends = describe_ends(Path(os.fsdecode(opened.path)))
    given = load_arrays(Path(os.fsdecode(asked.samples))) if asked.samples else {}
    if list(given) == [""]:
        given = {ends.inputs[0][0]: given[""]}
    how: Feeding | None = None
    if given:
        takes = {name: signature_shape(detail) for name, detail in ends.inputs}
        how = feeding(takes, {name: given[name].shape[1:] for name in takes}, "the data")
    available = min(asked.count, len(next(iter(given.values())))) if given else asked.count
    found: dict[str, list[Any]] = {name: [] for name, _ in ends.outputs}
    until, total, one = time.monotonic() + asked.seconds, 0, 0
    for i in range(0, available, how.size if how else 1):
        if i and (time.monotonic() > until or total + one > protocol.OUTPUT_BYTES):
            break
        count = min(how.size, available - i) if how else 1
        values = [
            quantized(how.given(name, given[name], i, count), detail)
            if how
            else seeded(detail["shape"], detail["dtype"], i)
            for name, detail in ends.inputs
        ]
        for (name, detail), value in zip(ends.outputs, session.run(values), strict=True):
            real = dequantized(np.asarray(value), detail)
            # Of seeded values a call is a sample, whatever its axes mean.
            found[name].append(how.taken(real, count) if how else real if real.shape[:1] == (1,) else real[None])
        one = sum(parts[-1].nbytes for parts in found.values())
        total += one
        if one > protocol.OUTPUT_BYTES:
            raise StageFailed(f"the outputs of one call have {one} bytes; {protocol.OUTPUT_BYTES} can be looked at")
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _bytes_of(array: Any) -> memoryview:
    """Return an array's bytes, its elements in order."""
    import numpy as np

    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))  # type: ignore[arg-type]  # an array is a buffer


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
        # A clock may be coarser than the shortest of inferences.
        samples.append(max(1, clock() - begin))
    return samples


def _memory(field: str) -> int:
    """Return this process's resident memory (VmRSS) or its high-water mark (VmHWM) in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0
