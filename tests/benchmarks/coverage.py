"""Write `docs/coverage.md`: what each technique and scheme makes of each family of models, of `keras.applications` and of published files.

    python tests/benchmarks/coverage.py [ROW...] [--all]

Rows are kept in `docs/coverage.json` as they are done, and not done again unless they are named, or `--all` asks for it. Small models
and small data: what is shown is that a recipe gives a file that runs, and what is warned of, not how good it is. An hour on two cores.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

import keras3_applications  # noqa: E402
import real_files  # noqa: E402
from cells import cell, seen  # noqa: E402
from families import FAMILIES, Family, brought  # noqa: E402

from workbench import registry  # noqa: E402
from workbench.techniques.base import KerasTechnique  # noqa: E402
from workbench.values.recipe import SCHEMES  # noqa: E402

DOCUMENT = HERE.parents[2] / "docs" / "coverage.md"
RESULTS = DOCUMENT.with_suffix(".json")
COMMAND = "python tests/benchmarks/coverage.py"
ENDS = (*SCHEMES, "int8[engine=converter]")
TOOLS = (
    "tensorflow",
    "keras",
    "tf-keras",
    "tensorflow-model-optimization",
    "ai-edge-litert",
    "litert-quantizer",
    "numpy",
)
EPOCHS = 2
Row = dict[str, Any]


def chains() -> list[str]:
    """Return what stands before the scheme: nothing, each built-in technique, and all of TFMOT's in one recipe."""
    trained = [n for n in registry.BUILTIN_TECHNIQUES if isinstance(registry.techniques.get(n), KerasTechnique)]
    return ["", *trained, "prune+cluster+qat"]


def recipe(chain: str, end: str) -> str:
    """Return a recipe's text."""
    return f"{chain}+{end}" if chain else end


def family_row(family: Family, engine: Any) -> Row:
    """Return the cells of a family by recipe; `-` where the recipe is refused before anything runs."""
    import workbench
    from workbench.recipes.grammar import check_recipe, parse_recipe, recipe_text
    from workbench.sources.identify import identify

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model, data = brought(family, folder)
        kind = identify(model, folder).kind
        asked = {recipe(chain, end): parse_recipe(recipe(chain, end)) for chain in chains() for end in ENDS}
        texts = {text: recipe_text(r) for text, r in asked.items() if check_recipe(r, kind) is None}
        grid = {"recipes": list(texts), "train": {"epochs": EPOCHS, "batch_size": 32}, "measure": {"skip": True}}
        study = workbench.sweep(model, data, grid, store=folder / "store", engine=engine)
        found = {t.recipe: t for t in study.trials}
        cells = {text: cell(found[texts[text]]) if text in texts else "-" for text in asked}
        return {"cells": cells, "seen": {text: s for text, name in texts.items() if (s := seen(found[name]))}}


def application_row(name: str, engine: Any) -> Row:
    """Return how far a rebuilt application is off, and the cells of its recipes."""
    share, _ = keras3_applications.difference(name)
    made = keras3_applications.trained(name, engine)
    cells = {"difference": share, **{text: cell(trial) for text, trial in made.items()}}
    return {"cells": cells, "seen": {text: s for text, trial in made.items() if (s := seen(trial))}}


def sections() -> dict[str, tuple[list[str], Callable[[str, Any], Row]]]:
    """Return, by section, its rows' names and what makes one."""
    families = {f.name: f for f in FAMILIES}
    return {
        "families": (list(families), lambda name, engine: family_row(families[name], engine)),
        "applications": (list(keras3_applications.NAMES), application_row),
        "published": (real_files.names(), lambda name, engine: {"cells": real_files.row(name, engine)}),
    }


def main(arguments: list[str]) -> None:
    """Do the rows that are named, else those that are not done yet, and write the document."""
    import workbench

    asked = [a for a in arguments if not a.startswith("--")]
    results: dict[str, Any] = {} if "--all" in arguments or not RESULTS.exists() else json.loads(RESULTS.read_text())
    with workbench.Engine(jobs=1) as engine:
        for section, (names, make) in sections().items():
            done = results.setdefault(section, {})
            for name in (n for n in names if (n in asked if asked else n not in done)):
                row = make(name, engine)
                done[name] = {"date": datetime.date.today().isoformat(), "cells": row["cells"]}
                results["with"] = f"Python {sys.version.split()[0]}, {', '.join(f'{t} {version(t)}' for t in TOOLS)}"
                print(section, name, json.dumps(row.get("seen", {}), indent=1), flush=True)
                write(results)


def write(results: dict[str, Any]) -> None:
    """Write what was found, and the document."""
    DOCUMENT.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    DOCUMENT.write_text("\n".join(document(results)) + "\n", encoding="utf-8")


# ---- the document


class Notes:
    """Reasons by number, each once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def short(self, text: str) -> str:
        """Return a cell, its reason as a number."""
        head, colon, reason = text.partition("failed: ")
        if not colon or head:
            return text
        if reason not in self.texts:
            self.texts.append(reason)
        return f"failed [{self.texts.index(reason) + 1}]"


def document(results: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the document."""
    found = {section: {n: results.get(section, {}).get(n) for n in names} for section, (names, _) in sections().items()}
    dates = sorted({row["date"] for rows in found.values() for row in rows.values() if row})
    notes = Notes()
    yield "# What works on which model"
    yield ""
    yield f"Written by `{COMMAND}` from a real run, {' to '.join(dict.fromkeys((dates[0], dates[-1])))}, with {results['with']}."
    yield ""
    yield f"Models are small and of Keras 3 unless it is said, data is made up, training takes {EPOCHS} epochs: what is shown is that a recipe gives a file that is read back, runs and is compared with the model, and what Workbench warns of, but a lower accuracy, which so little training costs. `ok (KIND)`: a warning of that kind, explained below; in a study it names the layers, and numbers. `failed (NAME)`: a known failure, explained below. `failed [N]`: the reason below. `-`: refused before anything runs. `not run`: not tried yet; the command does it."
    for chain in chains():
        yield from ("", f"## {f'`{chain}`, then' if chain else 'Schemes alone'}", "")
        yield from table("model", list(ENDS), found["families"], notes, before=chain)
    yield from ("", "## keras.applications", "")
    yield "Random weights, 64x64 images (Xception, InceptionV3: 96x96), 10 classes; `difference` is how far outputs are off when it is rebuilt in tf_keras, as a share of their scale."
    yield ""
    yield from table("application", ["difference", *keras3_applications.RECIPES], found["applications"], notes)
    yield from ("", "## Published files", "")
    yield "Files of pinned packages of the registry (`tests/published.py`): the source's kB, then kB and signal to noise in dB against the source by scheme; `tests/test_real_files.py` holds such figures against a plain interpreter."
    yield ""
    yield from table("file", ["source kB", *real_files.SCHEMES], found["published"], notes)
    yield from ("", "## Warnings", "")
    yield from warned(
        [cell for rows in found.values() for row in rows.values() if row for cell in row["cells"].values()]
    )
    yield from ("", "## Known failures", "")
    yield from known()
    if notes.texts:
        yield from ("", "## Other reasons", "")
        yield from (f"{i}. {text[:400]}" for i, text in enumerate(notes.texts, 1))


def table(head: str, columns: list[str], rows: dict[str, Row | None], notes: Notes, before: str = "") -> Iterator[str]:
    """Yield a table; rows and columns in which everything was refused are left out."""
    filled = {
        n: ["not run" if r is None else r["cells"].get(recipe(before, c), "-") for c in columns]
        for n, r in rows.items()
    }
    kept = [i for i, _ in enumerate(columns) if any(c[i] not in ("-", "not run") for c in filled.values())]
    kept = kept or list(range(len(columns)))
    yield f"| {' | '.join([head, *(columns[i] for i in kept)])} |"
    yield f"| {' | '.join(['---'] * (len(kept) + 1))} |"
    for name, cells in filled.items():
        if any(c != "-" for c in cells):
            yield f"| {' | '.join([name, *(notes.short(cells[i]) for i in kept)])} |"


def warned(cells: list[str]) -> Iterator[str]:
    """Yield the table of the kinds of warnings that stand in cells."""
    from workbench.values.warning import ADVICE

    yield "| warning | what to do about it |"
    yield "| --- | --- |"
    yield from (f"| `{kind}` | {advice} |" for kind, advice in ADVICE.items() if any(kind in c for c in cells))


def known() -> Iterator[str]:
    """Yield the table of known failures."""
    from workbench.values.explained import KNOWN

    yield "| name | cause | remedy |"
    yield "| --- | --- | --- |"
    yield from (f"| [{k.name}]({k.issue}) | {k.cause} | {k.remedy} |" for k in KNOWN)


if __name__ == "__main__":
    main(sys.argv[1:])
