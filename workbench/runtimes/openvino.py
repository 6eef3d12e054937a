"""`openvino`: LiteRT's NPU dispatch with Intel's OpenVINO plugin, for Intel processors, GPUs and NPUs."""

from __future__ import annotations

import os
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from workbench.compat.litert import litert_folder
from workbench.compat.openvino import library_folder
from workbench.errors import Unfit
from workbench.runtimes.base import Coverage, Runtime
from workbench.runtimes.compiled import CompiledSession, count_operators, refusal
from workbench.runtimes.nativelog import native_log
from workbench.values.params import Params

# The plugin of ai-edge-litert 2.3 is linked against this one and loads no other.
OPENVINO = "2026.3.1"
INSTALL = "pip install 'tflite-workbench[openvino]'"
_SELECTED = re.compile(r"selected (\d+) ops, from a total of (\d+) ops\. resulted in (\d+) partitions")
_COMPILING = re.compile(r"Compiling partition \d+ for device (\w+)")
_LOG_LINE = re.compile(r"(INFO|WARNING|ERROR|VERBOSE): \[")
_DEVICE = re.compile(r"Using Intel OpenVINO device: (\w+)")


class OpenVinoParams(Params):
    """Options of OpenVINO."""

    device: Literal["CPU", "GPU", "NPU"] = Field("CPU", description="Intel device that OpenVINO compiles for")
    mode: Literal["latency", "throughput"] = Field("latency", description="what OpenVINO tunes for")


class OpenVino(Runtime[OpenVinoParams]):
    """LiteRT's CompiledModel through the OpenVINO plugin, with the processor for what the plugin does not take."""

    name = "openvino"
    help = "LiteRT's NPU dispatch with Intel's OpenVINO plugin, on an Intel processor, GPU or NPU"
    params: ClassVar[type[Params]] = OpenVinoParams

    def available(self) -> str | None:
        """Say what is missing: OpenVINO itself, its exact version, or LiteRT's plugin."""
        if not (litert_folder() / "vendors/intel_openvino/dispatch").is_dir():
            return "ai-edge-litert carries no OpenVINO plugin for this system; its Linux x86-64 wheel does"
        try:
            found = version("openvino")
        except PackageNotFoundError:
            return f"OpenVINO is not installed: {INSTALL}"
        if not found.startswith(OPENVINO):
            return f"LiteRT's plugin needs openvino {OPENVINO}, and {found} is installed: {INSTALL}"
        return None

    def environment(self, params: OpenVinoParams) -> dict[str, str]:
        """Put OpenVINO's libraries where the plugin's loader looks, which it does only as a process starts."""
        libraries = library_folder()
        if libraries is None:
            return {}
        before = os.environ.get("LD_LIBRARY_PATH")
        return {"LD_LIBRARY_PATH": os.pathsep.join([str(libraries), *([before] if before else [])])}

    def open(self, path: Path, params: OpenVinoParams) -> CompiledSession:
        """Compile the parts that the plugin takes; raises Unfit when it takes none."""
        from ai_edge_litert.compiled_model import (
            CompiledModel,
            CpuOptions,
            Environment,
            EnvironmentOptions,
            HardwareAccelerator,
            IntelOpenVinoOptions,
            Options,
        )

        vendor = litert_folder() / "vendors/intel_openvino"
        mode = IntelOpenVinoOptions.PERFORMANCE_MODE[params.mode.upper()]
        with native_log() as log:
            try:
                environment = Environment.create(
                    options=EnvironmentOptions(
                        runtime_path=str(litert_folder()),
                        dispatch_library_path=str(vendor / "dispatch"),
                        compiler_plugin_path=str(vendor / "compiler"),
                    )
                )
                options = Options(
                    hardware_accelerators=HardwareAccelerator.NPU | HardwareAccelerator.CPU,
                    cpu_options=CpuOptions(num_threads=1),
                    intel_openvino_options=IntelOpenVinoOptions(
                        graph_backend=IntelOpenVinoOptions.GRAPH_BACKEND[params.device], performance_mode=mode
                    ),
                )
                model = CompiledModel.from_file(str(path), environment=environment, options=options)
            except (RuntimeError, ValueError) as error:
                raise refusal(error, log.last("exception", "failed")) from error
            text = log.text
        selected, used = _SELECTED.search(text), _DEVICE.search(text)
        if "1 compiler plugins were applied successfully" not in text or selected is None or int(selected[1]) == 0:
            # LiteRT then runs everything on the processor and may still call the model accelerated.
            raise Unfit(_refused(selected, count_operators(path), text))
        taken, total, partitions = (int(n) for n in selected.groups())
        left = ("not named by the plugin",) if taken < total else ()
        device = f"OpenVINO {used[1] if used else params.device}"
        return CompiledSession(model, path, lambda: Coverage(total, taken, partitions, left), device)


def _refused(selected: re.Match[str] | None, total: int, text: str) -> str:
    """Return what the plugin wanted and why it came to nothing, in its own words."""
    words = [w for line in _after(text, "Exception in compilation") for w in [line.strip()] if w]
    reasons = [w for w in words if not w.startswith("Exception from ")]
    reason = f": {' '.join(reasons)[:250]}" if reasons else ""
    if selected is None or int(selected[1]) == 0:
        return f"OpenVINO took none of {total} operators{reason}"
    devices = ", ".join(dict.fromkeys(_COMPILING.findall(text)))
    hint = (
        f" (it compiled for {devices}: LiteRT passes the device on for the first partition only)"
        if "," in devices
        else ""
    )
    return f"OpenVINO selected {selected[1]} of {total} operators in {selected[3]} partition(s) and could not compile them{reason}{hint}"


def _after(text: str, words: str) -> list[str]:
    """Return the lines of a message that begins with the words, up to the next line of the log or an empty one."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if words in line), None)
    if start is None:
        return []
    found = [lines[start].partition(words)[2].lstrip(": ")]
    for line in lines[start + 1 :]:
        if not line.strip() or _LOG_LINE.match(line):
            break
        found.append(line)
    return found
