"""ai-edge-litert's profiler by ctypes: its C interface reaches it, its Python package does not.

Sources of names and layouts: LiteRT's headers `litert/c/litert_compiled_model.h`, `litert_profiler.h`,
`litert_profiler_event.h`, `litert_model_types.h` and `litert_tensor_buffer.h` (the layouts are declared ABI stable there).
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, NamedTuple

from workbench.compat.litert import LITERT, litert_folder
from workbench.errors import StageFailed

CPU = 1
# The C interface's names of what Python calls resolvers.
KERNELS = {"AUTO": "delegate", "BUILTIN_WITHOUT_DEFAULT_DELEGATES": "builtin"}
WRITE = 1
# Sizes of `LiteRtRankedTensorType` and its two parts.
TYPE_BYTES, LAYOUT_BYTES = 4, 68
RANKED_TYPE_BYTES = TYPE_BYTES + LAYOUT_BYTES
OPERATOR, DELEGATE_OPERATOR, DELEGATE_PROFILED = 2, 4, 8


class _Memory(ctypes.Structure):
    _fields_ = [(n, ctypes.c_size_t) for n in ("total", "in_use", "private")]


class _Event(ctypes.Structure):
    _fields_ = [
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("begin_memory", _Memory),
        ("end_memory", _Memory),
        ("index", ctypes.c_uint64),
        ("other", ctypes.c_uint64),
        ("source", ctypes.c_int),
    ]


class ProfilerEvent(NamedTuple):
    """What the profiler saw: a kernel's name, which kind of event, the node's number, and how long it took in microseconds."""

    tag: str
    kind: int
    node: int
    elapsed_us: float


class ProfiledModel:
    """A compiled model with filled inputs, through LiteRT's C interface; every step raises StageFailed where it is refused."""

    def __init__(self, path: Path, resolver: str, threads: int) -> None:
        self._library = ctypes.CDLL(str(litert_folder() / "libLiteRt.so"))
        self._path, self._kernels, self._threads = path, KERNELS[resolver], threads
        self._kept: list[Any] = []
        self._compiled = ctypes.c_void_p()
        self._in: Any = None
        self._out: Any = None

    def __enter__(self) -> ProfiledModel:
        environment, model, options = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        self._call("LiteRtCreateEnvironment", 0, None, ctypes.byref(environment))
        self._call("LiteRtCreateModelFromFile", environment, str(self._path).encode(), ctypes.byref(model))
        self._call("LiteRtCreateOptions", ctypes.byref(options))
        self._call("LiteRtSetOptionsHardwareAccelerators", options, CPU)
        self._option(options, b"runtime_options_string", "enable_profiling = true\n")
        self._option(options, b"xnnpack", f'kernel_mode = "{self._kernels}"\nnum_threads = {self._threads}\n')
        self._call("LiteRtCreateCompiledModel", environment, model, options, ctypes.byref(self._compiled))
        signature = ctypes.c_void_p()
        self._call("LiteRtGetModelSignature", model, ctypes.c_size_t(0), ctypes.byref(signature))
        self._in = self._buffers(environment, signature, "Input")
        self._out = self._buffers(environment, signature, "Output")
        return self

    def __exit__(self, *_: object) -> None:
        # The process ends after this; taking LiteRT's objects apart in order would only be more to get wrong.
        self._kept.clear()

    def run(self, times: int) -> None:
        """Do inferences."""
        for _ in range(times):
            self._call(
                "LiteRtRunCompiledModel",
                self._compiled, ctypes.c_size_t(0),
                ctypes.c_size_t(len(self._in)), self._in, ctypes.c_size_t(len(self._out)), self._out,
            )  # fmt: skip

    def profiled(self, times: int) -> list[ProfilerEvent]:
        """Return every event of some inferences."""
        profiler, count = ctypes.c_void_p(), ctypes.c_int()
        self._call("LiteRtCompiledModelGetProfiler", self._compiled, ctypes.byref(profiler))
        found: list[ProfilerEvent] = []
        for _ in range(times):
            # One at a time: the profiler's buffer is bounded.
            self._call("LiteRtResetProfiler", profiler)
            self._call("LiteRtStartProfiler", profiler)
            self.run(1)
            self._call("LiteRtStopProfiler", profiler)
            self._call("LiteRtGetNumProfilerEvents", profiler, ctypes.byref(count))
            events = (_Event * count.value)()
            self._call("LiteRtGetProfilerEvents", profiler, count.value, events)
            found += [ProfilerEvent((e.tag or b"").decode(), e.kind, e.index, float(e.elapsed_us)) for e in events]
        return found

    def _option(self, options: ctypes.c_void_p, name: bytes, text: str) -> None:
        libc = ctypes.CDLL(None)
        libc.strdup.restype = ctypes.c_void_p
        opaque = ctypes.c_void_p()
        free = ctypes.cast(libc.free, ctypes.c_void_p)
        self._call(
            "LiteRtCreateOpaqueOptions", name, ctypes.c_void_p(libc.strdup(text.encode())), free, ctypes.byref(opaque)
        )
        self._call("LiteRtAddOpaqueOptions", options, opaque)

    def _buffers(self, environment: ctypes.c_void_p, signature: ctypes.c_void_p, end: str) -> Any:
        count = ctypes.c_size_t()
        self._call(f"LiteRtGetNumSignature{end}s", signature, ctypes.byref(count))
        buffers = (ctypes.c_void_p * count.value)()
        for i in range(count.value):
            tensor, needs, buffer = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
            kind = ctypes.create_string_buffer(RANKED_TYPE_BYTES)
            self._call(f"LiteRtGetSignature{end}TensorByIndex", signature, ctypes.c_size_t(i), ctypes.byref(tensor))
            self._call("LiteRtGetRankedTensorType", tensor, kind)
            # The file may leave the batch open; the compiled model has settled it.
            ctypes.memmove(ctypes.byref(kind, TYPE_BYTES), self._layout(end, i, count.value), LAYOUT_BYTES)
            self._call(
                f"LiteRtGetCompiledModel{end}BufferRequirements",
                self._compiled, ctypes.c_size_t(0), ctypes.c_size_t(i), ctypes.byref(needs),
            )  # fmt: skip
            self._call(
                "LiteRtCreateManagedTensorBufferFromRequirements", environment, kind, needs, ctypes.byref(buffer)
            )
            self._kept.append(kind)
            self._fill(buffer)
            buffers[i] = buffer.value
        return buffers

    def _layout(self, end: str, index: int, count: int) -> bytes:
        layouts = ctypes.create_string_buffer(LAYOUT_BYTES * count)
        if end == "Input":
            self._call(
                "LiteRtGetCompiledModelInputTensorLayout",
                self._compiled, ctypes.c_size_t(0), ctypes.c_size_t(index), layouts,
            )  # fmt: skip
            return layouts.raw[:LAYOUT_BYTES]
        self._call(
            "LiteRtGetCompiledModelOutputTensorLayouts",
            self._compiled, ctypes.c_size_t(0), ctypes.c_size_t(count), layouts, ctypes.c_bool(False),
        )  # fmt: skip
        return layouts.raw[LAYOUT_BYTES * index : LAYOUT_BYTES * (index + 1)]

    def _fill(self, buffer: ctypes.c_void_p) -> None:
        """Write zeros: an index must not point outside a table, and the time of these kernels does not depend on values."""
        size, address = ctypes.c_size_t(), ctypes.c_void_p()
        self._call("LiteRtGetTensorBufferPackedSize", buffer, ctypes.byref(size))
        self._call("LiteRtLockTensorBuffer", buffer, ctypes.byref(address), WRITE)
        ctypes.memset(address, 0, size.value)
        self._call("LiteRtUnlockTensorBuffer", buffer)

    def _call(self, name: str, *arguments: Any) -> None:
        status = LITERT.attribute(self._library, name)(*arguments)
        if status:
            raise StageFailed(f"LiteRT's profiler is out of reach: {name} gave status {status}")
