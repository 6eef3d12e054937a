"""A kernel for one notebook: of this interpreter, sharing nothing with any other, and ended whatever happens."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.compat.jupyter_client import process_of

LONGEST_SOCKET = 107


def make_kernel(folder: Path, environment: Mapping[str, str]) -> Any:
    """Return a kernel of this interpreter, not yet started, that shares no ports, files or profile with any other."""
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

    class ThisInterpreter(KernelSpecManager):  # type: ignore[misc]  # jupyter_client is untyped here
        """Knows one kernel, whatever is installed under its name."""

        def get_kernel_spec(self, kernel_name: str) -> Any:
            return KernelSpec(
                # Asked to end, it may say that it was interrupted, which is nobody's news.
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=50"],
                display_name="Python 3",
                language="python",
                env={
                    "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
                    **environment,
                    "IPYTHONDIR": str(folder / "ipython"),
                    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
                },
            )

    # Sockets in a folder of its own: ports of several kernels that start at once have collided. Linux takes 107 bytes of a
    # socket's path; where the temporary folder's is longer, ports have to do (messages are signed with the kernel's key).
    short = len(os.fsencode(folder / "kernel-ipc-1")) < LONGEST_SOCKET
    return AsyncKernelManager(
        transport="ipc" if short else "tcp",
        connection_file=str(folder / "kernel.json"),
        kernel_spec_manager=ThisInterpreter(),
    )


def end_kernel(manager: Any) -> None:
    """End what is left of a kernel, and what it has started."""
    process = process_of(manager)
    if process is not None and process.poll() is None:
        try:
            # A kernel leads a process group of its own.
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.wait()
