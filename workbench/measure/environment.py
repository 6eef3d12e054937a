"""What a figure was measured on, and with what: machine, load, versions of tools."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from workbench.values.base import digest
from workbench.values.graph import Machine

PACKAGES = ("tensorflow", "tf-keras", "tensorflow-model-optimization", "ai-edge-litert", "litert-quantizer", "numpy")


# What the owner calls this machine; the one thing that tells two of one make apart.
NAME = "WORKBENCH_MACHINE"


def machine() -> Machine:
    """Return the machine that this process runs on; equal ones that are not named have one id."""
    return machine_of(
        processor(),
        os.cpu_count() or 1,
        f"{platform.system()} {platform.machine()}",
        os.environ.get(NAME, ""),
        _memory(),
    )


@functools.cache
def machine_of(processor: str, cores: int, system: str, name: str = "", memory: int | None = None) -> Machine:
    """Return a machine of these parts; memory, which differs from start to start, is no part of its id."""
    parts = {"processor": processor, "cores": cores, "system": system, "name": name}
    return Machine(id=digest(parts)[:12], memory=memory, processor=processor, cores=cores, system=system, name=name)


def versions(tools: Iterable[str]) -> dict[str, str]:
    """Return the versions of packages by name as they are installed here; one that is not is left out."""
    return {tool: found for tool in sorted(set(tools)) if (found := _version(tool))}


def environment() -> dict[str, Any]:
    """Return the machine and the versions, JSON-shaped; `load` is the 1-minute load average."""
    return {
        "machine": machine().id,
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def fingerprint() -> dict[str, Any]:
    """Return what makes two measurements comparable: the machine and the LiteRT version."""
    return {"machine": machine().id, "litert": _version("ai-edge-litert")}


@functools.cache
def processor() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no such names
        return None


@functools.cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
