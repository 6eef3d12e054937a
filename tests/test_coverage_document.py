"""`docs/coverage.md` is what its script writes of what was found, and names all techniques, schemes, families and files."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"
sys.path.append(str(BENCHMARKS))

import keras3_applications  # noqa: E402
from families import FAMILIES  # noqa: E402
from published import MODELS, PACKAGES  # noqa: E402

from workbench import registry  # noqa: E402
from workbench.techniques.base import KerasTechnique  # noqa: E402
from workbench.values.explained import KNOWN  # noqa: E402
from workbench.values.recipe import SCHEMES  # noqa: E402
from workbench.values.warning import ADVICE  # noqa: E402

# By its path: a package is called like it.
_found = importlib.util.spec_from_file_location("coverage_table", BENCHMARKS / "coverage.py")
assert _found is not None
assert _found.loader is not None
coverage_table = importlib.util.module_from_spec(_found)
_found.loader.exec_module(coverage_table)


@pytest.fixture(scope="module")
def tables() -> dict[str, list[list[str]]]:
    """The cells of the document's tables by heading, the first row the header."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in coverage_table.DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith("| ---"):
            found.setdefault(heading, []).append(line.strip("| ").split(" | "))
    return found


def test_the_document_is_what_its_script_writes() -> None:
    lines = coverage_table.document(json.loads(coverage_table.RESULTS.read_text(encoding="utf-8")))
    assert "\n".join(lines) + "\n" == coverage_table.DOCUMENT.read_text(encoding="utf-8")


def test_every_technique_scheme_and_family_stands_in_it(tables: dict[str, list[list[str]]]) -> None:
    trained = [n for n in registry.BUILTIN_TECHNIQUES if isinstance(registry.techniques.get(n), KerasTechnique)]
    headings = {f"`{name}`, then" for name in (*trained, "prune+cluster+qat")}
    assert headings <= set(tables)
    (head, *rows) = tables["Schemes alone"]
    assert head[1 : 1 + len(SCHEMES)] == list(SCHEMES)
    assert [row[0] for row in rows] == [f.name for f in FAMILIES]
    for heading in headings:
        assert {row[0] for row in tables[heading][1:]} <= {f.name for f in FAMILIES}
        assert set(tables[heading][0][1:]) <= {*SCHEMES, "int8[engine=converter]"}
    assert [row[0] for row in tables["keras.applications"][1:]] == list(keras3_applications.NAMES)
    files = {row[0] for row in tables["Published files"][1:]}
    assert files == {n for names in PACKAGES.values() for n in names} | (set(MODELS) - {"guesslang"})
    known = [row[0] for row in tables["Known failures"][1:]]
    assert [k.partition("]")[0].strip("[") for k in known] == [k.name for k in KNOWN]


def test_every_cell_says_one_of_what_can_be_said(tables: dict[str, list[list[str]]]) -> None:
    names = {k.name for k in KNOWN}
    for heading, (_, *rows) in tables.items():
        if heading in ("Warnings", "Known failures", "Published files"):
            continue
        for cell in (c for row in rows for c in row[1:]):
            word, _, rest = cell.partition(" ")
            inner = set(rest.strip("()").split(", ")) if rest.startswith("(") else set()
            if word == "ok":
                assert inner <= set(ADVICE), cell
            elif word == "failed":
                assert inner <= names if inner else rest[0] == "["
            else:
                assert cell in ("-", "not run") or float(cell) < 1e-4, cell
