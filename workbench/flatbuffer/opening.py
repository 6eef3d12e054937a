"""Reading a `.tflite` file into memory: a regular file that fits, and nothing that would never end."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from workbench.errors import WorkbenchError

_ADVICE = "Give the path of a `.tflite` file"


def read_file(path: Path) -> bytes:
    """Return a file's bytes; raises WorkbenchError for pipes, devices, and files larger than this machine's memory."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise WorkbenchError(f"{path} is no regular file. {_ADVICE}.")
            if status.st_size > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
                raise WorkbenchError(
                    f"{path} ({status.st_size:,} bytes) is larger than this machine's memory. {_ADVICE}."
                )
            return file.read()
    except FileNotFoundError:
        raise WorkbenchError(f"{path} does not exist. {_ADVICE}.") from None
    except IsADirectoryError:
        raise WorkbenchError(f"{path} is a folder. {_ADVICE}.") from None
    except MemoryError:
        raise WorkbenchError(f"{path} does not fit the memory that is free. {_ADVICE}.") from None
    except (OSError, ValueError) as error:
        raise WorkbenchError(f"{path} cannot be read: {error}. {_ADVICE} that you may read.") from error


def _open_at_once(name: str, flags: int) -> int:
    # Opening a pipe that nobody writes to would wait for ever.
    return os.open(name, flags | os.O_NONBLOCK | os.O_CLOEXEC)
