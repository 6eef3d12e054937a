"""Colours and symbols of the charts, the same wherever they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.values.recipe import SCHEMES

# Okabe and Ito's colours that colour-blind people can tell apart; close kin share one and differ in fill.
COLOURS: dict[str, tuple[str, bool]] = {
    "float32": ("#7f7f7f", True),
    "float16": ("#56b4e9", True),
    "dynamic": ("#e69f00", True),
    "weight-only-int8": ("#f0e442", True),
    "int8": ("#0072b2", True),
    "int8-float-io": ("#0072b2", False),
    "int16x8": ("#cc79a7", True),
    "int4-dynamic": ("#d55e00", True),
    "int4-weight-only": ("#d55e00", False),
    "int4-block32": ("#009e73", True),
}
OTHER_COLOUR = ("#7f7f7f", False)
TECHNIQUE_COLOURS: dict[str, tuple[str, bool]] = {
    "none": ("#7f7f7f", True),
    "prune": ("#0072b2", True),
    "cluster": ("#e69f00", True),
    "qat": ("#009e73", True),
    "prune+cluster": ("#cc79a7", True),
    "prune+qat": ("#56b4e9", True),
    "cluster+qat": ("#f0e442", True),
    "prune+cluster+qat": ("#d55e00", True),
}
SYMBOLS = {
    "none": "circle",
    "prune": "triangle-down",
    "cluster": "square",
    "qat": "diamond",
    "prune+cluster": "pentagon",
    "prune+qat": "triangle-up",
    "cluster+qat": "cross",
    "prune+cluster+qat": "star",
}
OTHER_SYMBOLS = ("hexagram", "x", "hourglass", "bowtie", "star-square", "hexagon", "star-diamond", "octagon")
INK = "#444444"

_ALL_SYMBOLS = (*SYMBOLS.values(), *OTHER_SYMBOLS)


def darker(colour: str) -> str:
    """Return a colour (#rrggbb) with two thirds of its light."""
    red, green, blue = (round(int(colour[i : i + 2], 16) * 2 / 3) for i in (1, 3, 5))
    return f"#{red:02x}{green:02x}{blue:02x}"


def ordered(kind: str, groups: Sequence[str]) -> list[str]:
    """Return groups in the order of a legend: schemes and techniques as they are known, runtimes as they come."""
    if kind == "runtime":
        return list(dict.fromkeys(groups))
    known = list(SCHEMES) if kind == "scheme" else list(SYMBOLS)
    return sorted(set(groups), key=lambda g: (known.index(g) if g in known else len(known), g))


def colours_of(kind: str, groups: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """Return the colour and whether it is filled, by scheme or by techniques; strangers of both share an open grey."""
    known = COLOURS if kind == "scheme" else TECHNIQUE_COLOURS
    return {g: known.get(g, OTHER_COLOUR) for g in groups}


def symbols_of(kind: str, groups: Sequence[str]) -> dict[str, str]:
    """Return a symbol by group: known techniques have their own, all else in order."""
    if kind == "techniques":
        others = [g for g in groups if g not in SYMBOLS]
        return {**SYMBOLS, **{g: OTHER_SYMBOLS[i % len(OTHER_SYMBOLS)] for i, g in enumerate(others)}}
    if kind == "scheme":
        groups = [*SCHEMES, *(g for g in groups if g not in SCHEMES)]
    return {g: _ALL_SYMBOLS[i % len(_ALL_SYMBOLS)] for i, g in enumerate(groups)}
