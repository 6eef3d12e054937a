"""`gpu`: LiteRT's GPU accelerator, which is WebGPU on Linux."""

from __future__ import annotations

import ctypes.util
import os
import re
import tempfile
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from workbench.compat.litert import litert_folder
from workbench.errors import StageFailed
from workbench.runtimes.base import Coverage, Runtime
from workbench.runtimes.compiled import CompiledSession, count_operators, refusal
from workbench.runtimes.nativelog import native_log
from workbench.values.params import Params

# Where Linux distributions put the descriptions of Vulkan drivers, and where Debian's chromium carries its software one.
DRIVER_FOLDERS = (Path("/usr/share/vulkan/icd.d"), Path("/etc/vulkan/icd.d"), Path("/usr/local/share/vulkan/icd.d"))
CHROMIUM = Path("/usr/lib/chromium")
SOFTWARE_DRIVER = CHROMIUM / "vk_swiftshader_icd.json"
_SPLIT = re.compile(r"(\d+) operations will run on the GPU, and the remaining (\d+) operations will run on the CPU")
_ADAPTER = re.compile(r"Selected adapter: (.*?), arch=.*adapterType=(.*)")
_REFUSALS = "Following operations are not supported by GPU delegate:"
_REFUSED = re.compile(r"^([A-Z][A-Z0-9_]+): (.+)$", re.MULTILINE)


class GpuParams(Params):
    """Options of the GPU."""

    precision: Literal["default", "fp32"] = Field(
        "default", description="default lets the accelerator use 16-bit floats where it can; fp32 forbids it"
    )
    driver: Literal["auto", "system", "software"] = Field(
        "auto",
        description="system: the machine's Vulkan drivers; software: SwiftShader of Debian's chromium; auto: the first found",
    )


class Gpu(Runtime[GpuParams]):
    """LiteRT's CompiledModel on a GPU, with the processor for what the GPU does not take."""

    name = "gpu"
    help = "LiteRT's GPU accelerator (WebGPU on Linux); the time holds the reading of the outputs"
    params: ClassVar[type[Params]] = GpuParams

    def available(self) -> str | None:
        """Say what is missing: the accelerator's library, or any Vulkan driver."""
        return self.check(GpuParams())

    def check(self, params: GpuParams) -> str | None:
        """Say what is missing for this choice of driver."""
        if not (litert_folder() / "libLiteRtWebGpuAccelerator.so").exists():
            return "ai-edge-litert has no WebGPU accelerator for this system; its Linux x86-64 wheel does: pip install 'ai-edge-litert>=2.3'"
        if params.driver in ("auto", "system") and system_driver():
            return None
        if params.driver in ("auto", "software") and SOFTWARE_DRIVER.exists():
            return None
        if params.driver == "software":
            return f"no software Vulkan driver at {SOFTWARE_DRIVER}. Debian and Ubuntu: apt-get install chromium"
        return "no Vulkan driver. Install the GPU's (for many: apt-get install mesa-vulkan-drivers libvulkan1), or apt-get install chromium for a software one"

    def environment(self, params: GpuParams) -> dict[str, str]:
        """Name the driver, and the folder of its loader, before the process starts."""
        if params.driver == "system" or (params.driver == "auto" and system_driver()):
            return {}
        before = os.environ.get("LD_LIBRARY_PATH")
        return {
            "VK_DRIVER_FILES": str(SOFTWARE_DRIVER),
            "VK_ICD_FILENAMES": str(SOFTWARE_DRIVER),
            "LD_LIBRARY_PATH": os.pathsep.join([str(CHROMIUM), *([before] if before else [])]),
            "XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir(),
        }

    def open(self, path: Path, params: GpuParams) -> CompiledSession:
        """Compile for the GPU, with what it does not take left to the processor."""
        from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, GpuOptions, HardwareAccelerator, Options

        options = Options(
            hardware_accelerators=HardwareAccelerator.GPU | HardwareAccelerator.CPU,
            cpu_options=CpuOptions(num_threads=1),
            gpu_options=GpuOptions(enforce_f32=params.precision == "fp32"),
        )
        with native_log() as log:
            try:
                model = CompiledModel.from_file(str(path), options=options)
            except (RuntimeError, ValueError) as error:
                raise refusal(error, log.last("no adapters found", "not supported", "failed to")) from error
            full = bool(model.is_fully_accelerated())
            text = log.text
        adapter = _ADAPTER.search(text)
        if adapter is None:
            raise StageFailed("the GPU accelerator named no adapter, so nothing tells that a GPU ran this file")
        device, kind = adapter[1].strip(), adapter[2].strip()
        software = "Software" in kind or kind == "CPU"
        return CompiledSession(model, path, lambda: _coverage(path, text, full), device, software)


def system_driver() -> bool:
    """Whether the machine has a Vulkan loader and the description of a driver other than Mesa's software one."""
    drivers = [f for folder in DRIVER_FOLDERS if folder.is_dir() for f in folder.glob("*.json")]
    return bool(ctypes.util.find_library("vulkan")) and any("lvp" not in f.name for f in drivers)


def _coverage(path: Path, text: str, full: bool) -> Coverage:
    total = count_operators(path)
    split = _SPLIT.search(text)
    if split is None:
        return Coverage(total, total, 1) if full else Coverage(total, 0, 0, ("not told by the accelerator",))
    taken, left = int(split[1]), int(split[2])
    # The accelerator prints an operator once for each reason, not once for each time it stands in the file.
    told = text[: split.start()].rpartition(_REFUSALS)[2]
    refused = tuple(dict.fromkeys(f"{name} ({why.split('. ')[0].rstrip('.')})" for name, why in _REFUSED.findall(told)))
    return Coverage(taken + left, taken, 1 if taken else 0, refused)
