"""`openvino`: LiteRT's NPU dispatch with Intel's OpenVINO plugin, for Intel processors, GPUs and NPUs."""

from __future__ import annotations

import os
import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from workbench.errors import Unfit
from workbench.runtimes.base import Coverage, Runtime
from workbench.runtimes.compiled import CompiledSession, count_operators, litert_folder, refusal
from workbench.runtimes.nativelog import native_log
from workbench.values.params import Params

# The plugin of ai-edge-litert 2.3 is linked against this one and loads no other.
OPENVINO = "2026.3.1"
INSTALL = "pip install 'tflite-workbench[openvino]'"
_SELECTED = re.compile(r"selected (\d+) ops, from a total of (\d+) ops\. resulted in (\d+) partitions")
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
        spec = find_spec("openvino")
        if spec is None or spec.origin is None:
            return {}
        before = os.environ.get("LD_LIBRARY_PATH")
        libraries = str(Path(spec.origin).parent / "libs")
        return {"LD_LIBRARY_PATH": os.pathsep.join([libraries, *([before] if before else [])])}

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
            # LiteRT then runs everything on the processor and still calls the model accelerated.
            raise Unfit(f"OpenVINO took none of {count_operators(path)} operators{_why(text)}")
        taken, total, partitions = (int(n) for n in selected.groups())
        left = ("not named by the plugin",) if taken < total else ()
        device = f"OpenVINO {used[1] if used else params.device}"
        return CompiledSession(model, path, Coverage(total, taken, partitions, left), device, False)


def _why(text: str) -> str:
    """Return the plugin's own reason, or nothing: the line after the one that names the place of its exception."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if "Exception in compilation" in line:
            said = lines[i + 1].strip() if i + 1 < len(lines) else ""
            return f": {said or line.split('compilation: ', 1)[-1]}"[:300]
    return ""
