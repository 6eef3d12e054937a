"""`npu[vendor=...]`: ahead-of-time compilation with the vendor plugins that LiteRT carries. Nothing runs here.

What comes out is what the vendor's compiler takes of the file for one chip; there is no time in it, since the chip is elsewhere.
"""

from __future__ import annotations

import importlib
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from workbench.compat.litert import litert_folder
from workbench.errors import StageFailed, Unfit
from workbench.runtimes.base import Coverage, Estimate, Estimator
from workbench.runtimes.compiled import count_operators
from workbench.values.params import Params

Vendor = Literal["qualcomm", "mediatek", "google_tensor", "samsung"]
# The vendor's SDK as a Python package, and a chip to begin with. Samsung publishes no package.
SDKS: dict[str, tuple[str, str]] = {
    "qualcomm": ("pip install ai-edge-litert-sdk-qualcomm", "SM8750"),
    "mediatek": ("pip install ai-edge-litert-sdk-mediatek", "MT6989"),
    "google_tensor": ("pip install ai-edge-litert-sdk-google-tensor", "Tensor_G5"),
    "samsung": ("the AI LiteCore SDK from Samsung's developer site, as the module ai_edge_litert_sdk_samsung", "E9965"),
}


class NpuParams(Params):
    """Whose NPU, and which chip."""

    vendor: Vendor = Field("qualcomm", description="maker of the chip")
    soc: str = Field("", description="the chip by the vendor's name, e.g. SM8750; empty takes a recent one")


class Npu(Estimator[NpuParams]):
    """A vendor's NPU, by its ahead-of-time compiler: operators taken and partitions, and no time."""

    name = "npu"
    help = "Qualcomm, MediaTek, Google Tensor or Samsung NPU by ahead-of-time compilation: operators taken, no time"
    params: ClassVar[type[Params]] = NpuParams

    def available(self) -> str | None:
        """Say what is missing when no vendor's SDK is installed."""
        if any(self.check(NpuParams.model_validate({"vendor": vendor})) is None for vendor in SDKS):
            return None
        return "SDK missing for every vendor: " + "; ".join(f"{vendor}: {how}" for vendor, (how, _) in SDKS.items())

    def check(self, params: NpuParams) -> str | None:
        """Say what is missing for this vendor."""
        if not (litert_folder() / "vendors" / params.vendor / "compiler").is_dir():
            return f"ai-edge-litert carries no {params.vendor} plugin for this system; its Linux x86-64 wheel does"
        if find_spec(f"ai_edge_litert_sdk_{params.vendor}") is None:
            return f"{params.vendor} SDK missing: {SDKS[params.vendor][0]}"
        return None

    def estimate(self, path: Path, params: NpuParams) -> Estimate:
        """Compile for the chip; raises Unfit when the vendor's compiler takes no operator."""
        from ai_edge_litert.aot import aot_compile

        target = _target(params)
        with tempfile.TemporaryDirectory(prefix="npu-") as folder:
            result = aot_compile.aot_compile(str(path), output_dir=folder, target=target)
        if result.failed_backends:
            raise StageFailed(f"the {params.vendor} compiler failed: {_first(str(result.failed_backends[0][1]))}")
        taken = total = partitions = 0
        for model in result.models:
            stats = model.partition_stats
            for graph in stats.subgraph_stats if stats else ():
                taken += graph.num_ops_offloaded
                total += graph.num_total_ops
                partitions += graph.num_partitions_offloaded
        if taken == 0:
            raise Unfit(f"the {params.vendor} compiler took none of {total or count_operators(path)} operators")
        left = ("not named by the compiler",) if taken < total else ()
        return Estimate(
            Coverage(total, taken, partitions, left), device=f"{params.vendor} {params.soc or SDKS[params.vendor][1]}"
        )


def _target(params: NpuParams) -> Any:
    folder = f"ai_edge_litert.aot.vendors.{params.vendor}"
    importlib.import_module(f"{folder}.{params.vendor}_backend")  # registers itself
    module = importlib.import_module(f"{folder}.target")
    soc = params.soc or SDKS[params.vendor][1]
    known = [m.value for m in module.SocModel if m.value != "ALL"]
    if soc not in known:
        raise StageFailed(f"{params.vendor} has no chip {soc!r}. Allowed: {', '.join(known)}")
    return module.Target(module.SocModel(soc))


def _first(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")[:300]
