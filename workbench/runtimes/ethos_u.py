"""`ethos-u55-32` ... `ethos-u85-2048`: Arm's Vela compiler and its model of an Ethos-U NPU. All of it is an estimate."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from workbench.errors import StageFailed, Unfit
from workbench.flatbuffer.opening import read_file
from workbench.flatbuffer.reader import read_model
from workbench.runtimes.base import Coverage, Estimate, Estimator
from workbench.runtimes.compiled import count_operators
from workbench.values.params import Params
from workbench.values.trial import OpProfile, OpTime

CONFIGURATIONS = (
    "u55-32", "u55-64", "u55-128", "u55-256", "u65-256", "u65-512",
    "u85-128", "u85-256", "u85-512", "u85-1024", "u85-2048",
)  # fmt: skip
SECONDS = 300.0
# Vela's own names for where bytes lie, in the order in which they are shown.
MEMORIES = {"sram": "SRAM", "dram": "DRAM", "on_chip_flash": "on-chip flash", "off_chip_flash": "off-chip flash"}
CYCLES = ("npu", "sram_access", "dram_access", "on_chip_flash_access", "off_chip_flash_access", "total")
SOURCE = "Vela's model of the NPU, layer by layer after its own splitting and fusing"
_INTEGERS = ("int8", "uint8", "int16", "int32", "int64", "bool")


class EthosUParams(Params):
    """Options of Vela."""

    system: str = Field(
        "internal-default", description="system configuration of Vela's file: clocks and bandwidths of the chip"
    )
    memory: str = Field(
        "internal-default", description="memory mode of Vela's file, e.g. Sram_Only, Shared_Sram, Dedicated_Sram"
    )
    config: str = Field(
        "", description="a Vela configuration file of your chip (.ini); empty takes Vela's internal one"
    )
    optimise: Literal["Performance", "Size"] = Field("Performance", description="what Vela's scheduler aims at")


class EthosU(Estimator[EthosUParams]):
    """One Ethos-U configuration, as Vela models it; only fully quantized files qualify."""

    params: ClassVar[type[Params]] = EthosUParams

    def __init__(self, configuration: str) -> None:
        family, macs = configuration.split("-")
        self.name = f"ethos-{configuration}"
        self.help = f"Arm Ethos-{family.upper()} with {macs} MACs per cycle, estimated by the Vela compiler"

    def available(self) -> str | None:
        """Say how to install Vela."""
        return None if find_spec("ethosu") else "Vela is not installed: pip install 'tflite-workbench[ethos-u]'"

    def check(self, params: EthosUParams) -> str | None:
        """Say what is wrong with the configuration file."""
        if params.config and not Path(params.config).is_file():
            return f"Vela configuration file {params.config!r} does not exist"
        return self.available()

    def estimate(self, path: Path, params: EthosUParams) -> Estimate:
        """Compile the file and read what Vela writes about it."""
        _check_quantized(path)
        with tempfile.TemporaryDirectory(prefix="vela-") as temporary:
            folder = Path(temporary)
            # A short name of our own: Vela names its files after the network.
            source = folder / "model.tflite"
            source.write_bytes(path.read_bytes())
            text = _vela(self.name, source, folder, params)
            summary = _rows(folder, "*_summary_*.csv")
            layers = _rows(folder, "*_per-layer.csv")
        if not summary:
            raise StageFailed(f"Vela wrote no summary: {_said(text)}")
        return _estimate(summary[0], layers, count_operators(path))


def _vela(name: str, source: Path, folder: Path, params: EthosUParams) -> str:
    command = [
        sys.executable, "-c", "import sys; from ethosu.vela.vela import main; sys.exit(main())", str(source), "--output-dir", str(folder),
        "--accelerator-config", name, "--optimise", params.optimise,
        "--system-config", params.system, "--memory-mode", params.memory,
        "--verbose-performance",
    ]  # fmt: skip
    command += ["--config", str(Path(params.config).resolve())] if params.config else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=folder)
    except subprocess.TimeoutExpired:
        raise StageFailed(f"time limit: Vela took longer than {SECONDS:g} s") from None
    text = done.stdout + done.stderr
    if done.returncode:
        raise StageFailed(f"Vela exited with {done.returncode}: {_said(text)}")
    return text


def _check_quantized(path: Path) -> None:
    """Raise Unfit for a file with float tensors, which no Ethos-U computes."""
    model = read_model(read_file(path), path.name)
    floats = [t for g in model.graphs for t in g.tensors if t.type not in _INTEGERS]
    if floats:
        raise Unfit(
            f"an Ethos-U takes fully quantized files only; {len(floats)} tensors are not integer, such as {floats[0].name!r} "
            f"({floats[0].type}). Choose int8 or int16x8"
        )


def _estimate(summary: dict[str, str], layers: list[dict[str, str]], operators: int) -> Estimate:
    seconds, clock = float(summary["inference_time"]), float(summary["core_clock"])
    memory = {
        MEMORIES[key]: round(1024 * float(summary[f"{key}_memory_used"]))
        for key in MEMORIES
        if float(summary[f"{key}_memory_used"])
    }
    cycles = {k.replace("_", " "): round(float(summary[f"cycles_{k}"])) for k in CYCLES if f"cycles_{k}" in summary}
    on_cpu = [row["Original Operator"] for row in layers if row["Target"] != "NPU"]
    taken = operators - len(on_cpu)
    profile = tuple(
        OpTime(
            index=None,
            name=row["Original Operator"],
            label=f"{row['NNG Operator']} {row['Name'].split(';')[-1]}".strip(),
            place=row["Target"],
            ms=float(row["Op Cycles"]) / clock * 1000,
            cycles=round(float(row["Op Cycles"])),
        )
        for row in layers
    )
    return Estimate(
        coverage=Coverage(
            operators, taken, _runs([row["Target"] == "NPU" for row in layers]), tuple(dict.fromkeys(on_cpu))
        ),
        latency_ms=seconds * 1000,
        memory=memory,
        cycles=cycles,
        profile=OpProfile(source=SOURCE, kind="estimated", operators=profile),
        device=f"{summary['accelerator_configuration']}, {summary['system_config']}, {summary['memory_mode']}, {clock / 1e6:g} MHz",
    )


def _runs(on_npu: list[bool]) -> int:
    """Return how many stretches of layers run on the NPU without leaving it."""
    return sum(on and not before for before, on in zip([False, *on_npu], on_npu, strict=False))


def _rows(folder: Path, pattern: str) -> list[dict[str, str]]:
    files = sorted(folder.glob(pattern))
    if not files:
        return []
    with files[0].open(newline="") as file:
        return list(csv.DictReader(file))


def _said(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["it said nothing"])[-1][:300]


def _make(configuration: str) -> Any:
    return partial(EthosU, configuration)


U55_32, U55_64, U55_128, U55_256, U65_256, U65_512, U85_128, U85_256, U85_512, U85_1024, U85_2048 = map(
    _make, CONFIGURATIONS
)
