"""What is said between the calling process and a host process: typed JSON, and arrays as plain bytes.

Native code of strangers runs in a host, so what comes from there is checked as data and nothing of it is ever unpickled.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from workbench.values.base import Value
from workbench.values.trial import OpProfile

Array = np.ndarray[Any, Any]
# Outputs of as many samples as fit are sent: a segmentation of a hundred pictures has two gigabytes of them.
OUTPUT_BYTES = 512 << 20
ERROR_CHARACTERS = 5000
Count = Annotated[int, Field(ge=0, lt=2**62)]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
DType = Literal[
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip


class NoMessage(Exception):
    """What came over a connection is no message of this protocol; the text says what is wrong with it."""


class Message(Value):
    """One message; file names are bytes, since not every name is text."""

    model_config = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")


# ---- to the process that hosts are forked from, and back


class Fork(Message):
    """Fork a host that will open artifacts on this runtime; its end of a connection comes along."""

    runtime: str


class Ready(Message):
    """All that a host needs is imported."""

    answer: Literal["ready"] = "ready"


class Forked(Message):
    """The host's process."""

    answer: Literal["forked"] = "forked"
    pid: int = Field(gt=1, lt=2**31)


# ---- to a host


class Open(Message):
    """Hold the artifact on the runtime; the first request."""

    do: Literal["open"] = "open"
    path: bytes
    runtime: str
    options: dict[str, Any] = {}


class Fit(Message):
    """Write a copy of a file whose inputs have these shapes, and end; nothing is held."""

    do: Literal["fit"] = "fit"
    path: bytes
    inputs: dict[str, tuple[Count, ...]]
    target: bytes


class Time(Message):
    """Time `count` invocations after unrecorded ones for `warm_ns`."""

    do: Literal["time"] = "time"
    count: Count
    warm_ns: Count


class Outputs(Message):
    """Give the outputs of the samples in an `.npz` (or of seeded ones), as many as `seconds` allow."""

    do: Literal["outputs"] = "outputs"
    samples: bytes | None
    count: Count
    seconds: float


class ProfileRequest(Message):
    """Time each operator."""

    do: Literal["profile"] = "profile"
    invocations: Count


Request = Open | Fit | Time | Outputs | ProfileRequest

# ---- from a host


class Refused(Message):
    """It did not work, with the reason; `unfit` where the runtime does not take this kind of file."""

    answer: Literal["refused"] = "refused"
    error: str = Field(max_length=ERROR_CHARACTERS)
    unfit: bool = False


class Fitted(Message):
    """The copy is there."""

    answer: Literal["fitted"] = "fitted"


class Covered(Message):
    """How many operators of the file the runtime took, and which it left."""

    ops_total: Count
    ops_delegated: Count
    partitions: Count
    left: tuple[str, ...] = ()
    memory: dict[str, Count] = {}
    device: str | None = None


class Opened(Covered):
    """The artifact is held and has run."""

    answer: Literal["opened"] = "opened"
    init_ms: Milliseconds
    first_ms: Milliseconds
    peak_bytes: Count
    software: bool = False


class Estimated(Covered):
    """A compiler's estimate; there is nothing to time."""

    answer: Literal["estimated"] = "estimated"
    latency: Milliseconds | None = None
    cycles: dict[str, Count] = {}
    profile: OpProfile | None = None


class Times(Message):
    """Nanoseconds of each invocation."""

    answer: Literal["timed"] = "timed"
    samples_ns: tuple[Annotated[int, Field(gt=0, lt=2**62)], ...]


class ArrayHead(Message):
    """Name, type and shape of an array, whose bytes follow the message."""

    name: str
    dtype: DType
    shape: tuple[Count, ...] = Field(min_length=1, max_length=32)

    @property
    def nbytes(self) -> int:
        """The number of bytes that such an array has."""
        return int(np.prod(self.shape, dtype=object)) * np.dtype(self.dtype).itemsize


class Given(Message):
    """Outputs by name, `(n, *shape)`."""

    answer: Literal["given"] = "given"
    arrays: tuple[ArrayHead, ...] = Field(min_length=1)


class Profiled(Message):
    """The time of each operator; None where the runtime does not tell."""

    answer: Literal["profiled"] = "profiled"
    profile: OpProfile | None


Answer = Annotated[
    Ready | Forked | Refused | Fitted | Opened | Estimated | Times | Given | Profiled, Field(discriminator="answer")
]
_ANSWERS: TypeAdapter[Any] = TypeAdapter(Answer)
_FORK: TypeAdapter[Any] = TypeAdapter(Fork)
_REQUESTS: TypeAdapter[Any] = TypeAdapter(Annotated[Request, Field(discriminator="do")])


def encode(message: Message) -> bytes:
    """Return a message as JSON."""
    return message.model_dump_json().encode()


def answer_in(data: bytes | bytearray, *kinds: type[Message]) -> Any:
    """Return the answer in the bytes, one of `kinds` or a refusal; raises NoMessage for anything else."""
    found = _decoded(_ANSWERS, data)
    if not isinstance(found, (*kinds, Refused)):
        raise NoMessage(f"an answer to another question, {found.answer!r}")
    return found


def request_in(data: bytes | bytearray) -> Request:
    """Return the request in the bytes; raises NoMessage."""
    found: Request = _decoded(_REQUESTS, data)
    return found


def fork_in(data: bytes | bytearray) -> Fork:
    """Return the request to fork in the bytes; raises NoMessage."""
    found: Fork = _decoded(_FORK, data)
    return found


def _decoded(kinds: TypeAdapter[Any], data: bytes | bytearray) -> Any:
    try:
        return kinds.validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise NoMessage(f"{len(data)} bytes that are no message: {first['msg']}"[:300]) from None


def heads_of(arrays: dict[str, Array]) -> tuple[ArrayHead, ...]:
    """Return what has to be known of arrays to read them from their bytes; raises ValueError for a type that has none."""
    return tuple(ArrayHead(name=n, dtype=a.dtype.name, shape=a.shape) for n, a in arrays.items())


def arrays_in(heads: tuple[ArrayHead, ...], data: bytes | bytearray, most: int) -> dict[str, Array]:
    """Return the arrays `(n, *shape)` of at most `most` samples that lie in the bytes one after the other; raises NoMessage."""
    sizes = [head.nbytes for head in heads]
    if sum(sizes) != len(data):
        raise NoMessage(f"arrays of {sum(sizes)} bytes in {len(data)}")
    if len({h.name for h in heads}) != len(heads):
        raise NoMessage("two arrays of one name")
    if len({h.shape[0] for h in heads}) != 1 or not 1 <= heads[0].shape[0] <= most:
        raise NoMessage(f"arrays of {', '.join(str(h.shape[0]) for h in heads)} samples, where {most} were asked for")
    found, offset = {}, 0
    for head, size in zip(heads, sizes, strict=True):
        part = memoryview(data)[offset : offset + size]
        found[head.name] = np.frombuffer(part, dtype=np.dtype(head.dtype)).reshape(head.shape)
        offset += size
    return found
