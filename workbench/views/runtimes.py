"""Measurements of one file on several runtimes, and the time of its operators: rows and texts, nothing drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.recipes.grammar import measured_text
from workbench.values.trial import Measurement, OpProfile
from workbench.views.units import size_text

Row = dict[str, Any]


def place_text(measurement: Measurement) -> str:
    """Return the runtime with what must be known before its time is read: estimated, host time, or a software device."""
    notes = ["estimated"] if measurement.kind == "estimated" else []
    notes += ["host time"] if measurement.clock == "host" else []
    notes += ["software device"] if measurement.software else []
    text = measured_text(measurement)
    return f"{text} ({', '.join(notes)})" if notes else text


def size_of_inputs(measurement: Measurement) -> str:
    """Return the shapes at which a file with open sizes ran: `image 1x224x224x3, the data's`."""
    shapes = ", ".join(f"{n} {'x'.join(map(str, s)) or 'one number'}" for n, s in measurement.inputs.items())
    return f"{shapes}, {'since no data told the size' if measurement.assumed else 'the size of the data'}"


def coverage_text(measurement: Measurement) -> str | None:
    """Return operators taken of all, with partitions and the names of those left, or None where nothing ran."""
    if measurement.ops_total is None or measurement.ops_delegated is None:
        return None
    text = f"{measurement.ops_delegated}/{measurement.ops_total}"
    if measurement.partitions:
        text += f" in {measurement.partitions} partition{'' if measurement.partitions == 1 else 's'}"
    return f"{text}; left: {', '.join(measurement.left)}" if measurement.left else text


def memory_part(measurement: Measurement) -> str | None:
    """Return the part of memory by which trials compare, `arena` or `SRAM`, or None where the runtime tells neither."""
    memory = measurement.memory
    # Most tell nothing, and it is asked of all of them.
    return next((part for part in ("arena", "SRAM") if part in memory), None) if memory else None


def memory_bytes(measurement: Measurement) -> int | None:
    """Return the bytes by which to compare: the arena or the device's SRAM where known, else the process's peak."""
    part = memory_part(measurement)
    return measurement.memory[part] if part else measurement.peak_bytes


def agreement_text(measurement: Measurement) -> str | None:
    """Return how close the outputs are to the reference kernels', or None where that was not looked at."""
    found = measurement.reference
    if found is None:
        return None
    noise = "equal" if found.sqnr_db is None else f"{found.sqnr_db:.1f} dB"
    return noise if found.agreement is None else f"{noise}, {found.agreement:.0%} same top"


def measurement_rows(measurements: Sequence[Measurement], plain: bool = False) -> list[Row]:
    """Return one row per measurement; with `plain` numbers stay numbers, for programs."""
    rows = []
    for m in measurements:
        latency, memory = m.latency_ms, memory_bytes(m)
        rows.append(
            {
                "runtime": place_text(m),
                "state": m.state,
                "median ms": latency.median if latency else None,
                "low ms": latency.low if latency else None,
                "high ms": latency.high if latency else None,
                "p90 ms": latency.p90 if latency else None,
                "ratio": m.ratio.median if m.ratio else None,
                "samples": latency.samples if latency else None,
                "samples a call": m.batch if m.batch > 1 else None,
                "ran at": size_of_inputs(m) if m.inputs else None,
                "init ms": m.init_ms,
                "first ms": m.first_ms,
                "memory": memory if plain or memory is None else size_text(memory),
                "operators taken": coverage_text(m),
                "against reference": agreement_text(m),
                "note": m.error or m.device or "",
            }
        )
    return rows


def profile_rows(profile: OpProfile, most: int = 0) -> list[Row]:
    """Return one row per operator, the longest first, with its share of the sum; `most` keeps the first few."""
    total = profile.total_ms or 1.0
    ordered = sorted(profile.operators, key=lambda o: -o.ms)
    return [
        {
            "operator": o.name,
            "index": o.index,
            "layer": o.label.rsplit(";", 1)[-1],
            "runs on": o.place,
            "ms": o.ms,
            "share": f"{o.ms / total:.1%}",
            **({"cycles": o.cycles} if o.cycles is not None else {}),
        }
        for o in (ordered[:most] if most else ordered)
    ]


def node_data(profile: OpProfile, graph: str) -> dict[str, Any]:
    """Return the milliseconds by operator as a node-data JSON for Model Explorer (one graph, keyed by operator index).

    Operators that share a place in the file are summed; those without a place are left out.
    """
    values: dict[str, float] = {}
    for operator in profile.operators:
        if operator.index is not None:
            values[str(operator.index)] = values.get(str(operator.index), 0.0) + operator.ms
    results = {index: {"value": value} for index, value in values.items()}
    gradient = [{"stop": 0, "bgColor": "#f7f7f7"}, {"stop": 1, "bgColor": "#d55e00"}]
    return {graph: {"results": results, "gradient": gradient}}
