"""Grids and batches that nobody can have meant: one sentence that names the place, at once, by whatever way they come."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked import server
from hostile import NO_FILES, brief, refused
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from workbench.batches.matrix import load_matrix
from workbench.engine.request import make_grid
from workbench.errors import WorkbenchError
from workbench.recipes import document
from workbench.recipes.document import read_document
from workbench.recipes.grammar import parse_recipe, parse_runtime, parse_step
from workbench.recipes.grid import MOST_RECIPES, expand, load_grid, parse_grid, read_grid
from workbench.values.limits import Limits
from workbench.values.settings import Calibration, Measure, Search, StageLimits, Train, parse_size

# ---- what lies there is no file


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [m for m in NO_FILES if m.__name__ != "empty"], ids=lambda m: m.__name__)
@pytest.mark.parametrize(("load", "what"), [(load_grid, "grid file"), (load_matrix, "batch file")])
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None], load: Callable[[Path], Any], what: str
) -> None:
    make(tmp_path / "bad.yaml")
    refused(lambda: load(tmp_path / "bad.yaml"), f"{what} '", "bad.yaml'")


# ---- texts


def laughs(levels: int, width: int = 10) -> str:
    """The billion laughs: each line stands for `width` of the line before."""
    lines = ["a0: &a0 [lol]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(lines)


def merged(levels: int) -> str:
    lines = ["a0: &a0 {x: 1}"] + [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, levels)]
    return "\n".join(lines)


DEEP = "nested deeper than 32 levels"
TEXTS: dict[str, tuple[str | bytes, str]] = {
    "lists thousands deep": ("quantize: " + "[" * 5000, f"line 1, column 42: {DEEP}"),
    "lists a hundred thousand deep": ("[" * 100_000 + "]" * 100_000, DEEP),
    "mappings thousands deep": ("{a: " * 5000, DEEP),
    "keys thousands deep": ("? " * 5000, DEEP),
    "dashes thousands deep": ("- " * 5000 + "a", DEEP),
    "indented deep": ("\n".join(" " * i + "a:" for i in range(800)), f"line 32, column 32: {DEEP}"),
    "aliases upon aliases": ("\n".join(["a0: &a0 [1]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 100)]), "nested deeper than 32"),
    "billion laughs": (laughs(10), "line 5, column 50: more than 20,000 values, aliases written out"),
    "laughs of mappings": (merged(40), "more than 20,000 values, aliases written out"),
    "alias of itself": ("quantize: &a [*a]", "line 1, column 15: the alias *a stands within what it stands for"),
    "alias of itself as a mapping": ("&a quantize: &b {x: *b}", "stands within"),
    "alias of nothing": ("quantize: *nothing", "found undefined alias"),
    "anchor twice": ("a: &a 1\nb: &a 2", "duplicate anchor"),
    "thousands of values": ("quantize: [" + "1," * 20_000 + "]", "more than 20,000 values"),
    "megabytes": ("#" * (document.MOST_BYTES + 1), "1,048,577"),
    "number of thousands of digits": ("train: {seed: " + "9" * 5000 + "}", "line 1, column 15: '999"),
    "number of less than thousands": ("train: {seed: " + "9" * 90 + "}", "is a number of more than 64 bits"),
    "hexadecimal of thousands of digits": ("train: {seed: 0x" + "f" * 5000 + "}", "is a number of more than 64 bits"),
    "binary of thousands of digits": ("train: {seed: 0b" + "1" * 5000 + "}", "is a number of more than 64 bits"),
    "negative of thousands of digits": ("quantize: [-" + "9" * 5000 + "]", "is a number of more than 64 bits"),
    "a key of thousands of digits": ("? " + "9" * 5000 + "\n: 1", "is a number of more than 64 bits"),
    "hexadecimal without digits": ("train: {seed: 0x_}", "'0x_' is no number"),
    "binary without digits": ("train: {seed: -0b_}", "is no number"),
    "a key twice": ("quantize: [int8]\nprune: [0.5]\nquantize: [float32]", "line 3, column 1: the key 'quantize' is given twice"),
    "a setting twice": ("train:\n  epochs: 3\n  'epochs': 4", "line 3, column 3: the key 'epochs' is given twice"),
    "a key of lists": ("? [a, b]\n: 1", "unhashable key"),
    "Python objects": ("a: !!python/object/apply:os.system ['touch ran']", "the tag 'tag:yaml.org,2002:python/object/apply:os.system' has no use"),
    "Python names": ("!!python/name:os.system", "has no use here, write plain values"),
    "a tag of a number": ("train: {seed: !!int x}", "line 1, column 15: the tag"),
    "a tag of a float": ("train: {seed: !!float x}", "the tag"),
    "a tag of a truth": ("qat: [!!bool maybe]", "the tag"),
    "a tag of a date": ("a: !!timestamp yesterday", "the tag"),
    "bytes": ("a: !!binary aGVsbG8=", "the tag"),
    "a set": ("a: !!set {b, c}", "the tag"),
    "pairs": ("a: !!omap [b: 1]", "the tag"),
    "a tag of their own": ("%TAG ! tag:example.com,2000:\n---\na: !b 1", "the tag"),
    "tabs": ("train:\n\tepochs: 3", "line 2, column 1"),
    "NUL": ("a: b\nquantize: [\0]", "line 2, column 12: the character #x0000 is not allowed"),
    "a bell": ("a: \x07", "the character #x0007 is not allowed"),
    "half a character": ('recipes: ["\\ud800"]', "half of a character stands alone"),
    "no character": ('a: "\\U00110000"', "line 1"),
    "no character at all": ('a: "\\UFFFFFFFF"', "line 1"),
    "an escape of nothing": ('a: "\\q"', "line 1, column 6"),
    "no end of a quote": ('a: "b', "line 1"),
    "no end of a list": ("prune: [0.5\nquantize: {int8\n", "line 2"),
    "two documents": ("a: 1\n---\nb: 2", "single document"),
    "another YAML": ("%YAML 2.0\n---\na: 1", "incompatible YAML document"),
    "no UTF-8": (b"a: 1\nb: \xff\xfe", "line 2 is not UTF-8"),
    "UTF-16": ("a: 1".encode("utf-16"), "line 1 is not UTF-8"),
    "all bytes": (bytes(range(256)), "line 2 is not UTF-8"),
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", TEXTS)
def test_texts_that_are_no_grid(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text, said = TEXTS[case]
    data = text.encode() if isinstance(text, str) else text
    Path("bad.yaml").write_bytes(data)
    refused(lambda: load_grid("bad.yaml"), "grid file 'bad.yaml'", said)
    refused(lambda: load_matrix("bad.yaml"), "batch file 'bad.yaml'", said)
    if isinstance(text, str):
        refused(lambda: read_grid(text, "the cell's text"), "the cell's text", said.replace("bytes", "characters"))
    assert not Path("ran").exists()


SLOW = {
    "open lists": "[" * 1_000_000,
    "open mappings": "{" * 1_000_000,
    "dashes": "- " * 500_000,
    "colons": ": " * 500_000,
    "questions": "? " * 500_000,
    "commas": "[" + "," * 1_000_000 + "]",
    "one long word": "a" * 1_000_000,
    "one long quote": '"' + "\\x41" * 250_000 + '"',
    "lines": "\n" * 1_000_000,
    "spaces": " " * 1_000_000,
    "a block": "a: |\n" + " x\n" * 300_000,
    "a folded block": "a: >\n" + " x\n\n" * 250_000,
    "anchors": "".join(f"&a{i} " for i in range(120_000)),
    "bangs": "!" * 1_000_000,
    "comments": "#\n" * 500_000,
    "keys": "\n".join(f"k{i}: 1" for i in range(90_000)),
    "numbers by sixty": "a: 1" + ":1" * 400_000,
    "underscores": "a: 1" + "_" * 900_000,
    "almost a float": "a: " + "1" * 900_000 + ".e",
    "carriage returns": "a:\r" * 300_000,
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", SLOW)
def test_no_megabyte_takes_long(case: str) -> None:
    """Whatever it holds, it is read or refused; a loader of the square of the length would need hours."""
    try:
        read_document(SLOW[case], "it")
    except WorkbenchError as error:
        assert len(str(error)) < 2500  # noqa: PT017  # either is right


# ---- plain values only


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2:4", "2:4"),
        ("1:30:00", "1:30:00"),
        ("12:30.5", "12:30.5"),
        ("2026-11-24", "2026-11-24"),
        ("2026-99-99", "2026-99-99"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
        ("=", "="),
        ("0.5", 0.5),
        ("1.0e-3", 1e-3),
        ("1_000", 1000),
        ("0x10", 16),
        ("-3", -3),
        ("+3", 3),
        ("0", 0),
        ("-.5", -0.5),
        ("9223372036854775807", 2**63 - 1),
        (".inf", math.inf),
        ("yes", True),
        ("off", False),
        ("~", None),
        ("none", "none"),
        ("int8[engine=converter]", "int8[engine=converter]"),
        ("&a [1]", [1]),
        ("[&a {b: 1}, *a]", [{"b": 1}, {"b": 1}]),
        ("[&b {x: 1}, {deep: &a {<<: *b, x: 2}}, {<<: *a}]", [{"x": 1}, {"deep": {"x": 2}}, {"x": 2}]),
        ("\ufeff{a: 1}", {"a": 1}),
        ("", None),
    ],
)
def test_what_is_read(text: str, value: Any) -> None:
    assert read_document(text, "it") == value


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150)
@given(PLAIN)
def test_what_yaml_writes_is_read(value: Any) -> None:
    assert read_document(yaml.safe_dump(value), "it") == value


@settings(max_examples=400)
@given(st.text(st.sampled_from("ab01:-?[]{}&*!|>'\"%@`#,=_.~<xe \n\t\\ud8\0"), max_size=60))
@example("0: !")
@example("a: &a [<<: *a]")
@example('"\\ud800": 1')
@example("{<<: 1}")
@example("<<: [a]")
def test_random_texts_are_read_or_refused(text: str) -> None:
    for read in (read_document, read_grid):
        try:
            read(text, "the cell's text")
        except WorkbenchError as error:
            assert str(error).startswith("the cell's text")  # noqa: PT017  # either is right


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=100))
def test_random_files_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.yaml").write_bytes(data)
    for load in (load_grid, load_matrix):
        try:
            load(tmp_path / "bad.yaml")
        except WorkbenchError as error:
            assert "bad.yaml'" in str(error) or "batch" in str(error)  # noqa: PT017  # either is right


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["prune", "cluster", "qat", "quantize", "recipes", "runtimes", "train", "search", "limits", "constraints", "measure"]), PLAIN, max_size=3))  # fmt: skip
def test_grids_of_anything_are_parsed_or_refused(data: dict[str, Any]) -> None:
    try:
        parse_grid(data)
    except WorkbenchError as error:
        assert str(error)  # noqa: PT017  # either is right


# ---- data from Python


def nested(levels: int) -> Any:
    found: Any = []
    for _ in range(levels):
        found = [found]
    return found


def own() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


DATA: dict[str, tuple[Any, str]] = {
    "lists deep": ({"quantize": nested(40)}, "the grid is nested deeper than 32 levels"),
    "lists very deep": ({"quantize": nested(100_000)}, "the grid is nested deeper than 32 levels"),
    "a list of itself": ({"quantize": own()}, "nested deeper"),
    "a mapping of itself": ({"quantize": {"x": own()}}, "nested deeper"),
    "million recipes": ({"recipes": ["int8"] * 1_000_000}, "holds a list of 1,000,000 values. Allowed: 20,000 in all"),
    "many lists": ({"prune": [[1] * 1000] * 1000}, "holds more than 20,000 values"),
    "number of thousands of digits": ({"train": {"seed": 10**5000}}, "a whole number of 16,610 bits"),
    "negative number of many": ({"prune": [-(10**5000)]}, "a whole number of"),
    "half a character": ({"recipes": ["int8\ud800"]}, "half of a character"),
    "half a key": ({"\ud800": [1]}, "half of a character"),
    "number beyond 64 bits": ({"train": {"epochs": 2**63}}, "Allowed: at most 64"),
    "no mapping": ([1, 2], "a grid is a mapping such as"),
    "a long text": ("x" * 100_000, "(100,000 characters)"),
    "a number": (3, "a grid is a mapping such as"),
    "false": (False, "a grid is a mapping such as"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", DATA)
def test_data_that_is_no_grid(case: str) -> None:
    data, said = DATA[case]
    refused(lambda: parse_grid(data), said)
    refused(lambda: make_grid(data, None, None), said)


# ---- numbers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: {epochs: true}", "train: epochs = true: a number is meant, not true or false"),
        ("train: {epochs: yes}", "epochs = true"),
        ("train: {seed: off}", "seed = false"),
        ("calibration: {samples: true}", "samples = true"),
        ("measure: {budget: on}", "budget = true"),
        ("limits: {stage_seconds: true}", "stage_seconds = true"),
        ("constraints: {accuracy_drop: false}", "accuracy_drop = false"),
        ("constraints: {size: true}", "size = true"),
        ("search: {trials: true}", "trials = true"),
        ("cluster: [{clusters: true}]", "clusters = true"),
        ("prune: [{sparsity: true}]", "sparsity = true"),
        ("runtimes: [{name: xnnpack, threads: true}]", "threads = true"),
        ("train: {learning_rate: .nan}", "learning_rate = nan"),
        ("train: {learning_rate: .inf}", "learning_rate = inf"),
        ("measure: {budget: .inf}", "budget = inf"),
        ("measure: {half_width: .nan}", "half_width = nan"),
        ("search: {timeout: .inf}", "timeout = inf"),
        ("limits: {stage_seconds: .inf}", "stage_seconds = inf"),
        ("limits: {stage_seconds: -.inf}", "stage_seconds = -inf"),
        ("constraints: {latency_ms: .nan}", "latency_ms = nan"),
        ("constraints: {accuracy_drop: .nan}", "accuracy_drop = nan"),
        ("constraints: {size: .inf}", "size = inf"),
        ("constraints: {size: " + "9" * 400 + "GB}", "is not understood. Allowed: a number of bytes"),
        ("limits: {memory: " + "9" * 400 + "GB}", "is not understood"),
        ("prune: [.nan]", "nan"),
        ("prune: [.inf]", "inf"),
        ("cluster: [.inf]", "inf"),
        ("cluster: [1.5]", "1.5"),
        ("train: {seed: -1}", "seed = -1"),
        ("train: {seed: 4294967296}", "less than or equal to 4294967295"),
        ("search: {seed: 4294967296}", "less than or equal to 4294967295"),
        ("train: {batch_size: 9223372036854775807}", "less than or equal to 2147483647"),
        ("calibration: {samples: 2147483648}", "less than or equal to 2147483647"),
        ("train: {epochs: 1e999}", "epochs = '1e999'"),
        ("train: {epochs: [1]}", "epochs = [1]"),
        ("train: {epochs: {a: 1}}", "epochs = "),
        ("train: {epochs: 2026-11-24}", "epochs = '2026-11-24'"),
        ("train: {epochs: 1:30}", "epochs = '1:30'"),
        ("train: 3", "grid key 'train' is a mapping of settings, not 3"),
        ("train: [epochs, 3]", "is a mapping of settings"),
        ("runtimes: [{threads: 2}]", "has no name"),
        ("runtimes: [3]", "'3' is not understood"),
        ("recipes: [3]", "'3' is not understood"),
        ("quantize: [{scheme: int9}]", "int9"),
        ("quantize: [2026-11-24]", "unknown scheme '2026-11-24'"),
        ("1: [2]", "unknown grid key '1'"),
        ("? null\n: 1", "unknown grid key 'None'"),
        ("on: [2]", "unknown grid key 'True'"),
    ],
    ids=brief,
)
def test_values_that_are_no_settings(text: str, said: str) -> None:
    refused(lambda: expand(read_grid(text, "the cell's text"), "keras"), said)


def test_sixty_is_no_base() -> None:
    assert parse_grid({"prune": ["2:4"]}) == read_grid("prune: [2:4]", "it")


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("name", ["skip", "profile"])
def test_truths_are_still_truths(name: str, value: bool) -> None:
    assert getattr(read_grid(f"measure: {{{name}: {str(value).lower()}}}", "it").measure, name) is value


@pytest.mark.parametrize("kind", [Train, Calibration, Measure, Search, StageLimits, Limits])
def test_no_setting_takes_nan(kind: Any) -> None:
    for name, field in kind.model_fields.items():
        if "float" in str(field.annotation):
            with pytest.raises(ValueError, match="finite number"):
                kind.model_validate({name: math.nan})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**5000, "9" * 5000, "9" * 400 + "GB", "1e5", "-1", "", "KB", "1 XB", "1\n2", "²", None, [1], "1" * 100_000], ids=brief)  # fmt: skip
def test_sizes_that_are_none(value: Any) -> None:
    refused(lambda: parse_size(value), "is not understood. Allowed: a number of bytes")


@pytest.mark.parametrize("seed", [-1, -(10**5000), 2**32, 10**30, 10**5000], ids=brief)
def test_seeds_from_python(seed: int) -> None:
    refused(lambda: make_grid({"quantize": ["int8"]}, None, seed), "seed", "Allowed: 0")


# ---- how much


def test_the_number_of_recipes_is_told_before_any_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    sparsities = [round(0.001 + i / 1001, 6) for i in range(100)]
    grid = parse_grid({"prune": sparsities, "cluster": list(range(2, 102)), "quantize": ["float32", "float16", "dynamic", "int8"] * 25})  # fmt: skip
    monkeypatch.setattr("workbench.recipes.grammar.check_recipe", None)  # not even one
    refused(
        lambda: expand(grid, "keras"),
        "the grid stands for 40,000 recipes (prune 100 x cluster 100 x quantize 4). Allowed: at most 10,000. Take values out",
    )
    single = parse_grid({"quantize": ["float32"], "recipes": ["int8"] * MOST_RECIPES})
    refused(lambda: expand(single, "keras"), "10,001 recipes (quantize 1, and 10,000 single ones)")


def test_the_largest_grid_is_expanded() -> None:
    grid = parse_grid({"prune": [round(0.0001 + i / 2502, 6) for i in range(2500)], "quantize": ["float32", "float16", "dynamic", "int8"]})  # fmt: skip
    assert len(expand(grid, "keras").recipes) == MOST_RECIPES


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", ["+".join(["prune:0.5"] * 33), "+" .join(["prune:0.5"] * 100_000), "x" * 1_000_000, "[" * 1_000_000, "a[" + "b=c," * 200_000 + "]", "a:" + "b" * 1_000_000, "int8[" + "k" * 100_000 + "=1]", "int8[engine=" + "k" * 100_000 + "]", "+" * 100_000, "\n" * 100_000], ids=brief)  # fmt: skip
def test_long_recipes(text: str) -> None:
    for parse in (parse_recipe, parse_step, parse_runtime):
        refused(lambda parse=parse: parse(text))  # type: ignore[misc]


# ---- batches


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("matrix: {models: [digits_cnn], seeds: [0.5]}", "seed 0.5 is no whole number"),
        ("matrix: {models: [digits_cnn], seeds: [true]}", "seed True is no whole number"),
        ("matrix: {models: [digits_cnn], seeds: [4294967296]}", "at most 4294967295"),
        ("matrix: {models: [digits_cnn], seeds: [2026-11-24]}", "seed '2026-11-24' is no"),
        ("matrix: {models: [digits_cnn], seeds: [1:30]}", "seed '1:30' is no"),
        ("matrix: [1]", "a batch needs `matrix:`"),
        ("matrix: {models: []}", "has an empty list 'models'"),
        ("matrix: {models: [" + "x" * 100_000 + "]}", "characters) cannot be read: File name too long"),
        ("matrix: {models: [digits_cnn], datasets: [" + "x" * 5000 + "]}", "cannot be read: File name too long"),
        ("matrix: {models: [digits_cnn], grids: [" + "x" * 5000 + "]}", "(5,0"),
        ("matrix: {models: [digits_cnn]}\nparameters: 3", "`parameters` is a mapping"),
        ("matrix: {models: [digits_cnn]}\ngate: [1]", "`gate` is a mapping of limits"),
        ("matrix: {models: [digits_cnn]}\ngate: {max_drop: .nan}", "finite"),
        ("matrix: {models: [digits_cnn]}\ngate: {max_size: yes}", "max_size = true"),
        ("matrix: {models: [digits_cnn]}\ntemplate: bad.ipynb", "bad.ipynb' is no JSON"),
        ("matrix: {models: [digits_cnn]}\ntemplate: list.ipynb", "is no notebook of format 4"),
        ("matrix: {models: [digits_cnn]}\ntemplate: deep.ipynb", "deep.ipynb' is no JSON"),
        ("matrix: {models: [digits_cnn]}\ntemplate: magic.ipynb", "is not plain Python"),
        ("matrix: {models: [digits_cnn]}\ntemplate: pipe.ipynb", "pipe.ipynb' does not exist"),
    ],
    ids=brief,
)
def test_batches_that_cannot_be(text: str, said: str, tmp_path: Path) -> None:
    import os

    (tmp_path / "batch.yaml").write_text(text)
    (tmp_path / "bad.ipynb").write_text("{")
    (tmp_path / "list.ipynb").write_text('{"cells": [1]}')
    (tmp_path / "deep.ipynb").write_text('{"cells": ' + "[" * 100_000)
    (tmp_path / "magic.ipynb").write_text(
        '{"cells": [{"source": "%load_ext x", "metadata": {"tags": ["parameters"]}}]}'
    )
    os.mkfifo(tmp_path / "pipe.ipynb")
    refused(lambda: load_matrix(tmp_path / "batch.yaml"), said)


def test_the_number_of_runs_is_told_before_any_is_planned() -> None:
    matrix = {"models": ["digits_cnn", "digits_small"], "seeds": list(range(10_000))}
    refused(lambda: load_matrix({"matrix": matrix}), "the batch stands for 20,000 runs (models 2 x datasets 1 x grids 1 x seeds 10,000). Allowed: at most 10,000")  # fmt: skip


# ---- the command line


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_command_line_says_it_in_a_sentence(tmp_path: Path) -> None:
    import os

    cases = {
        name: TEXTS[name]
        for name in ("lists thousands deep", "billion laughs", "number of thousands of digits", "a key twice", "Python objects", "no UTF-8")
    }  # fmt: skip
    cases["million recipes"] = ("prune: [" + ",".join(f"0.{i:04}" for i in range(1, 1001)) + "]\ncluster: [" + ",".join(map(str, range(2, 252))) + "]\nquantize: [float32, float16, dynamic, int8]", "the grid stands for 1,000,000 recipes")  # fmt: skip
    cases["truth"] = ("train: {epochs: true}", "a number is meant")
    for i, (text, _) in enumerate(cases.values()):
        (tmp_path / f"g{i}.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    asked = [(f"g{i}.yaml", said) for i, (_, said) in enumerate(cases.values())]
    asked += [("pipe.yaml", "it is a FIFO"), ("folder.yaml", "it is a folder"), ("/dev/zero", "it is a device")]
    for file, said in asked:
        line = ["sweep", "digits_cnn", "--data", "digits", "--grid", file, "--store", "store"]
        done = server().run(tmp_path, line, dict(os.environ), 120)
        # That a sweep prepares is progress, not a message.
        messages = [words for words in done.stderr.splitlines() if words.strip() and not words.startswith("[prepare]")]
        assert done.returncode == 2, (file, done.stderr[-2000:])
        assert len(messages) == 1, done.stderr[-2000:]
        assert messages[0].startswith("workbench: "), messages
        assert said in messages[0], messages
        assert file in messages[0] or "stands for" in messages[0], messages


@pytest.mark.timeout(300)
def test_a_cell_says_it_in_a_sentence(tmp_path: Path) -> None:
    from workbench.commands.host import FrontEnd
    from workbench.commands.sweeping import make_grid as grid_of

    class Cell(FrontEnd):
        command = ""

        def sweep(self, model: Any, data: Any, grid: Any, options: Any, engine: Any = None) -> Any:
            raise NotImplementedError

    for name in (
        "lists thousands deep",
        "billion laughs",
        "number of thousands of digits",
        "a key twice",
        "tabs",
        "NUL",
    ):
        cell = Cell()
        cell.body = str(TEXTS[name][0])
        refused(lambda cell=cell: grid_of(cell, None, {}), "the cell's text is not valid YAML: line ")  # type: ignore[misc]
