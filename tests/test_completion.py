"""What Tab offers after `%wb`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from notebook import Shell, shell  # noqa: F401  # the fixture
from trials import make_record, make_trial

from workbench.notebook.completion import complete
from workbench.notebook.session import VERBS
from workbench.recipes.grammar import parse_recipe
from workbench.registry import proposers, runtimes
from workbench.store.store import Store
from workbench.values.recipe import SCHEMES


@pytest.fixture(scope="module")
def known(shell: Shell) -> Shell:  # noqa: F811
    """The shell with a study of two trials in its store, and files in its folder."""
    trials = [make_trial("float32"), make_trial("prune:0.5+int8")]
    store = Store()
    store.save_study(make_record("kept"))
    store.save_trials("kept", [(t, parse_recipe(t.recipe).id, i) for i, t in enumerate(trials)])
    for trial in trials:
        store.save_measurement("kept", trial.id, trial.measurements[0], "key", None)
    for name in ("net.h5", "net.tflite", "arrays.npz", "notes.txt", "grid.yaml", ".hidden.h5"):
        Path(name).touch()
    Path("models").mkdir()
    Path("models/other.keras").touch()
    shell.names["lists"] = {"quantize": ["int8"]}
    return shell


@pytest.mark.parametrize(
    ("text", "fragment", "offered", "not_offered"),
    [
        ("", "", {*VERBS, "-o", "--help"}, set()),
        ("sw", "sw", {"sweep"}, {"show"}),
        ("-o name qu", "qu", {"quantize"}, set()),
        ("sweep --qu", "--qu", {"--quantize"}, {"--prune"}),
        ("sweep --quantize ", "", set(SCHEMES), set()),
        ("sweep --quantize float32,dy", "dy", {"dynamic"}, {"float32"}),
        ("quantize int8 --runtime xn", "xn", {"xnnpack"}, {"gpu"}),
        ("delegate xnnpack,", "", set(runtimes.names()), set()),
        ("prune 0.5 --then cluster+in", "in", {"int8", "int16x8"}, {"cluster"}),
        ("sweep --search-strategy ", "", set(proposers.names()), set()),
        ("sweep --search-strategy t", "t", {"tpe"}, {"grid"}),
        ("prune --schedule ", "", {"polynomial", "constant"}, set()),
        ("qua", "qua", {"quantize"}, {"qat"}),
        ("show ", "", {"kept"}, {"digits"}),
        ("export kept ", "", {"float32", "prune:0.5+int8"}, set()),
        ("export kept int8 --target ", "", {"python", "c"}, set()),
        ("pareto kept --x ", "", {"size", "accuracy", "latency@xnnpack"}, set()),
        ("model ", "", {"net.h5", "net.tflite", "models/"}, {"notes.txt", ".hidden.h5", "arrays.npz"}),
        ("model models/", "models/", {"models/other.keras"}, {"net.h5"}),
        ("data ", "", {"digits", "fashion", "arrays.npz", "lists"}, {"net.h5"}),
        ("sweep --grid ", "", {"lists", "grid.yaml"}, {"net.h5"}),
        ("bench --format ", "", {"table", "json", "csv"}, set()),
        ("nothing ", "", set(), {"sweep"}),
        ("store ", "", {"info", "check", "rm", "gc", "tag", "note"}, {"sweep"}),
        ("store rm ", "", {"kept"}, {"check"}),
        ("studies --t", "--t", {"--tag"}, set()),
        ("store ch", "ch", {"check"}, set()),
        ("store check --set", "--set", {"--set-aside"}, set()),
        ("store check --format ", "", {"table", "json", "csv"}, set()),
        ("store nothing ", "", set(), {"check"}),
    ],
)
def test_offers(known: Shell, text: str, fragment: str, offered: set[str], not_offered: set[str]) -> None:
    found = complete(known.session, text)
    assert found.fragment == fragment
    assert offered <= set(found.texts)
    assert not not_offered & set(found.texts)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%wb sweep --quantize int8,flo", ["float16", "float32"]),
        ("kept << %wb stud", ["studies"]),
        ("kept = %wb stud", ["studies"]),
        ("%%wb swe", ["sweep"]),
    ],
)
def test_the_shells_completer_asks_us(known: Shell, line: str, expected: list[str]) -> None:
    _, found = known.ip.Completer.complete(line_buffer=line, cursor_pos=len(line))
    assert sorted(found) == expected


def test_other_lines_are_the_shells_own(known: Shell) -> None:
    found: Any = known.ip.Completer.complete(line_buffer="import sy", cursor_pos=9)
    assert "sys" in " ".join(found[1])
