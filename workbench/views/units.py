"""How a figure of each unit is written for a person."""

from __future__ import annotations

import math
from typing import Any

from workbench.values.figure import Unit

UNIT_TEXT: dict[Unit, str] = {
    "bytes": "bytes",
    "ms": "ms",
    "share": "%",
    "points": "% points",
    "db": "dB",
    "ratio": "x baseline",
    "number": "",
}


def text(value: float | None, unit: Unit) -> str:
    """Return a figure with its unit, or a dash where there is none.

    Shares and points are given as fractions (0.01 = 1 %), bytes are written in powers of 1,000.
    """
    if value is None or not math.isfinite(value):
        return _beyond(value)
    if unit == "bytes":
        return size_text(value)
    if unit == "share":
        return f"{100 * value:.2f} %"
    if unit == "points":
        return f"{100 * value:.2f}".replace("-0.00", "0.00")
    if unit == "ms":
        return f"{digits(value)} ms"
    if unit == "db":
        return f"{value:.1f} dB"
    if unit == "ratio":
        return f"{value:.2f}x" if 0.1 <= value < 100 else f"{digits(value, 2 if value < 1 else 3)}x"
    return f"{int(value):,}" if value == int(value) else digits(value, 4)


def size_text(size: float) -> str:
    """Return bytes as `512 B`, `128 kB`, `1.28 MB` (1 kB = 1,000 bytes), three significant digits."""
    scaled = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        # 999.5 and more would be written as 1000 of this unit.
        if abs(scaled) < 999.5 or unit == "GB":
            return f"{int(scaled)} B" if unit == "B" else f"{digits(scaled)} {unit}"
        scaled /= 1000
    raise AssertionError("unreachable")


def digits(value: float, significant: int = 3) -> str:
    """Return a number with so many significant digits, in scientific notation only where it is very small."""
    if not math.isfinite(value):
        return _beyond(value)
    # Rounded first: 0.9996 becomes 1.00, not 1.000.
    value = float(f"{value:.{significant - 1}e}") if abs(value) < 10**significant else value
    if value == 0:
        return "0"
    decimals = max(0, significant - 1 - math.floor(math.log10(abs(value))))
    if decimals > 8:
        return f"{value:.{significant}g}"
    return f"{value:,.{decimals}f}"


def _beyond(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    return "∞" if value > 0 else "−∞"


def cell(value: Any) -> str:
    """Return a value as a short text."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {cell(v)}" for k, v in value.items())
    return str(value)


def duration(seconds: float) -> str:
    """Return seconds as `12 s` or `2 min 05 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60:02d} s"
