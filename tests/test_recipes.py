"""Recipes as text and JSON, grids, parameters and their descriptions."""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import workbench
import workbench.values
from workbench import registry
from workbench.data.images import ImageParams
from workbench.data.table import TableParams
from workbench.errors import WorkbenchError
from workbench.recipes import grammar
from workbench.recipes.grammar import check_recipe, make_step, parse_recipe, parse_runtime, recipe_text, runtime_text
from workbench.recipes.grid import Grid, expand, load_grid, parse_grid, parse_runtimes
from workbench.store.store import Store
from workbench.values.base import Value, canonical_json
from workbench.values.limits import Limits
from workbench.values.params import Params, param_specs
from workbench.values.recipe import SCHEMES, Recipe, Step
from workbench.values.settings import Calibration, Measure, StageLimits, Train, parse_size
from workbench.values.source import SourceKind

# ---- text and JSON

SHARE = st.floats(0, 1, exclude_min=True, exclude_max=True)
PATTERN = st.tuples(st.integers(1, 15), st.integers(1, 15)).map(lambda p: f"{p[0]}:{p[0] + p[1]}")


@st.composite
def prune_params(draw: st.DrawFn) -> dict[str, Any]:
    params: dict[str, Any] = {"sparsity": draw(SHARE | PATTERN)}
    if draw(st.booleans()):
        params["schedule"] = draw(st.sampled_from(["polynomial", "constant"]))
    begin, end = sorted((draw(st.floats(0, 0.5)), draw(st.floats(0.6, 1))))
    params |= draw(st.sampled_from([{}, {"begin": begin}, {"begin": begin, "end": end}]))
    if not isinstance(params["sparsity"], str) and draw(st.booleans()):
        params["block"] = f"{draw(st.integers(1, 32))}x{draw(st.integers(1, 32))}"
    return params


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    steps = []
    if draw(st.booleans()):
        steps.append(make_step("prune", draw(prune_params())))
    if draw(st.booleans()):
        options = {"init": st.sampled_from(["kmeans++", "linear", "density", "random"]), "fold": st.booleans()}
        clusters = {"clusters": draw(st.integers(2, 1024))}
        steps.append(make_step("cluster", clusters | draw(st.fixed_dictionaries({}, optional=options))))
    if draw(st.booleans()):
        steps.append(make_step("qat", draw(st.fixed_dictionaries({}, optional={"fold": st.booleans()}))))
    options = {
        "engine": st.sampled_from(["quantizer", "converter"]),
        "granularity": st.sampled_from(["auto", "channel", "tensor"]),
    }
    scheme = {"scheme": draw(st.sampled_from(SCHEMES))}
    steps.append(make_step("quantize", scheme | draw(st.fixed_dictionaries({}, optional=options))))
    return Recipe(steps=tuple(steps))


@given(recipes())
def test_text_gives_the_recipe_back(recipe: Recipe) -> None:
    text = recipe_text(recipe)
    again = parse_recipe(text)
    assert again == recipe
    assert again.id == recipe.id
    assert recipe_text(again) == text


@given(recipes())
def test_json_gives_the_recipe_back(recipe: Recipe) -> None:
    again = Recipe.model_validate(json.loads(recipe.canonical))
    assert again == recipe
    assert again.canonical == recipe.canonical
    assert again.id == recipe.id == hashlib.sha256(recipe.canonical.encode()).hexdigest()[:12]
    assert hash(again) == hash(recipe)


@given(prune_params())
def test_a_step_keeps_what_differs_from_the_default_and_resolves_to_all_of_it(params: dict[str, Any]) -> None:
    step = make_step("prune", params)
    assert set(step.params) <= set(params)
    _, full = grammar.resolve(step)
    assert {k: getattr(full, k) for k in params} == params


@given(recipes(), recipes())
def test_ids_are_equal_only_for_equal_recipes(one: Recipe, other: Recipe) -> None:
    assert (one.id == other.id) == (one == other) == (recipe_text(one) == recipe_text(other))


@pytest.mark.parametrize(
    ("text", "id_", "canonical"),
    [
        ("float32", "546a13d5d4e7", '{"steps":[{"params":{"scheme":"float32"},"technique":"quantize"}]}'),
        (
            "prune:0.5+int8",
            "6b6569101360",
            '{"steps":[{"params":{"sparsity":0.5},"technique":"prune"},{"params":{"scheme":"int8"},"technique":"quantize"}]}',
        ),
        (
            "prune:2:4+cluster:16+qat+int8-float-io",
            "6cdc43e3f199",
            '{"steps":[{"params":{"sparsity":"2:4"},"technique":"prune"},{"params":{"clusters":16},"technique":"cluster"},'
            '{"params":{},"technique":"qat"},{"params":{"scheme":"int8-float-io"},"technique":"quantize"}]}',
        ),
        (
            "prune:0.8[block=1x4,schedule=constant]+cluster:8[fold=false,init=linear]+int8[engine=converter]",
            "672a419f0d90",
            '{"steps":[{"params":{"block":"1x4","schedule":"constant","sparsity":0.8},"technique":"prune"},'
            '{"params":{"clusters":8,"fold":false,"init":"linear"},"technique":"cluster"},'
            '{"params":{"engine":"converter","scheme":"int8"},"technique":"quantize"}]}',
        ),
    ],
)
def test_ids_of_stored_studies_stay(text: str, id_: str, canonical: str) -> None:
    recipe = parse_recipe(text)
    assert recipe.canonical == canonical
    assert recipe.id == id_
    assert recipe_text(recipe) == text


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (" prune: 0.5 + int8 ", "prune:0.5+int8"),
        ("prune:.50+int8", "prune:0.5+int8"),
        ("prune+int8", "prune:0.5+int8"),
        ("prune:0.5[begin=0,end=0.6]+int8", "prune:0.5+int8"),
        ("prune:0.5[block=1x4, begin = 0.1]+int8", "prune:0.5[begin=0.1,block=1x4]+int8"),
        ("qat[fold=no]+int8", "qat[fold=false]+int8"),
        ("quantize:int8", "int8"),
        ("quantize[scheme=int8]", "int8"),
        ("quantize", "float32"),
        ("cluster+int8[]", "cluster:16+int8"),
    ],
)
def test_other_spellings_are_the_same_recipe(text: str, same: str) -> None:
    assert recipe_text(parse_recipe(text)) == same
    assert parse_recipe(text).id == parse_recipe(same).id


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["'' has no step", "prune:0.5+int8"]),
        ("+", ["has no step"]),
        ("in8", ["technique or scheme 'in8'", "Did you mean 'int8'", "Allowed: cluster, dynamic, float16"]),
        ("prun:0.5+int8", ["'prun'", "Did you mean 'prune'"]),
        (
            "prune:0.5[blok=1x4]+int8",
            ["technique 'prune'", "'blok'", "Did you mean 'block'", "Allowed: begin, block, end, schedule, sparsity"],
        ),
        ("prune:0+int8", ["technique 'prune'", "sparsity = '0'", "between 0 and 1"]),
        ("prune:1+int8", ["sparsity = '1'", "between 0 and 1"]),
        ("prune:nan+int8", ["sparsity = 'nan'", "between 0 and 1"]),
        ("prune:much+int8", ["sparsity = 'much'", "a number between 0 and 1", "2:4"]),
        ("prune:4:2+int8", ["sparsity = '4:2'", "N:M", "0 < N < M"]),
        ("prune:0.5[begin=0.7]+int8", ["begin (0.7) lies before end (0.6)"]),
        ("prune:0.5[begin=nan]+int8", ["begin = 'nan'"]),
        ("prune:0.5[end=1.5]+int8", ["end = '1.5'", "less than or equal to 1"]),
        ("prune:0.5[block=0x4]+int8", ["block = '0x4'", "height x width"]),
        ("prune:2:4[block=1x4]+int8", ["exclude each other"]),
        ("prune:0.5[schedule=cubic]+int8", ["schedule = 'cubic'", "'polynomial' or 'constant'"]),
        ("prune:0.5[begin]+int8", ["option 'begin'", "has no value", "key=value"]),
        ("prune:0.5[begin=0.1,begin=0.2]+int8", ["'begin'", "twice", "'0.1'", "'0.2'"]),
        ("prune:0.5[sparsity=0.8]+int8", ["'sparsity' twice", "'0.5'", "'0.8'"]),
        ("int8[scheme=float16]", ["'scheme' twice", "'int8'", "'float16'"]),
        ("cluster:1+int8", ["clusters = '1'", "greater than or equal to 2"]),
        ("cluster:1025+int8", ["clusters = '1025'", "less than or equal to 1024"]),
        ("cluster:1.5+int8", ["clusters = '1.5'", "valid integer"]),
        ("qat:3+int8", ["technique 'qat' takes no value", "'3'"]),
        ("int8:3", ["scheme 'int8' takes no value", "'3'"]),
        ("quantize:int9", ["scheme = 'int9'", "'int4-block32'"]),
        ("int8[engin=converter]", ["'engin'", "Did you mean 'engine'"]),
        ("prune:0.5]+int8", ["'prune:0.5]+int8' is not understood", "name[key=value,key=value]"]),
        ("prune:0.5[begin=0.1+int8", ["is not understood"]),
        ("prune:0.5[[begin=0.1]]+int8", ["is not understood"]),
        ("prune:0.5[begin=0.1]x+int8", ["is not understood"]),
        ("int8 int8", ["is not understood"]),
    ],
)
def test_mistakes_name_the_value_and_what_is_allowed(text: str, said: list[str]) -> None:
    with pytest.raises(WorkbenchError) as caught:
        parse_recipe(text)
    message = str(caught.value)
    assert all(part in message for part in said), message
    assert "\n" not in message


# ---- what goes together


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("prune:0.5", "keras", "a recipe ends in a scheme"),
        ("int8+prune:0.5+int8", "keras", "`int8` makes the file and so must be the last step"),
        ("qat+prune:0.5+int8", "keras", "only a scheme can follow `qat`, not `prune:0.5`"),
        ("qat+float16", "keras", "Allowed after qat: int8, int8-float-io"),
        ("prune:0.5+int8", "tflite", "`prune` needs a Keras model"),
        ("cluster:16+int8", "savedmodel", "`cluster` needs a Keras model"),
        ("qat+int8", "savedmodel", "a savedmodel source takes post-training schemes only"),
        ("int8[engine=converter]", "tflite", "engine `converter` needs a Keras model or SavedModel"),
        ("int4-dynamic[engine=converter]", "keras", "cannot make scheme 'int4-dynamic'"),
        ("int8[engine=converter,granularity=tensor]", "keras", "chooses the granularity itself"),
    ],
)
def test_what_does_not_go_together_is_said(text: str, kind: SourceKind, said: str) -> None:
    assert said in (check_recipe(parse_recipe(text), kind) or "")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("int8", "tflite"),
        ("int4-block32[granularity=tensor]", "tflite"),
        ("int8[engine=converter]", "savedmodel"),
        ("prune:0.5+cluster:16+qat+int8", "keras"),
        ("qat+int8-float-io[engine=converter]", "keras"),
        ("cluster:16+prune:0.5+float16", "keras"),
    ],
)
def test_what_goes_together_passes(text: str, kind: SourceKind) -> None:
    assert check_recipe(parse_recipe(text), kind) is None


# ---- grids


def texts(grid: Any, kind: SourceKind = "keras") -> list[str]:
    return [recipe_text(r) for r in expand(parse_grid(grid), kind).recipes]


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        (None, ["float32"]),
        ({}, ["float32"]),
        ({"quantize": "int8"}, ["int8"]),
        ({"quantize": ["int8", "int8", "quantize:int8"][:2]}, ["int8"]),
        ({"prune": ["none", 0.5, "0.5", 0.50], "quantize": ["int8"]}, ["int8", "prune:0.5+int8"]),
        ({"prune": [0.5]}, ["prune:0.5+float32"]),
        ({"prune": None}, ["float32"]),
        ({"prune": [], "quantize": ["int8"]}, ["int8"]),
        ({"prune": [{"sparsity": 0.5, "begin": 0.1}, "[begin=0.2]", "2:4"], "quantize": "int8"}, ["prune:0.5[begin=0.1]+int8", "prune:0.5[begin=0.2]+int8", "prune:2:4+int8"]),
        ({"quantize": ["int8[granularity=tensor]", {"scheme": "int8"}]}, ["int8[granularity=tensor]", "int8"]),
        ({"recipes": ["cluster:8+int8", "int8", "int8"]}, ["cluster:8+int8", "int8"]),
        ({"recipes": ["int8", "prune:0.5+int8"], "quantize": ["int8"]}, ["int8", "prune:0.5+int8"]),
        # The order of techniques, not of keys, decides the chain.
        (
            {"quantize": ["int8"], "qat": [False, True], "cluster": ["none", 16], "prune": ["none", 0.5]},
            ["int8", "qat+int8", "cluster:16+int8", "cluster:16+qat+int8", "prune:0.5+int8", "prune:0.5+qat+int8", "prune:0.5+cluster:16+int8", "prune:0.5+cluster:16+qat+int8"],
        ),
    ],
)  # fmt: skip
def test_grids_expand(grid: Any, expected: list[str]) -> None:
    assert texts(grid) == expected


def test_an_axis_holds_each_value_once() -> None:
    grid = parse_grid(
        {"prune": ["none", 0.5, None, "0.50", {"sparsity": 0.5}, "[begin=0]"], "quantize": ["int8", "int8"]}
    )
    assert {name: len(values) for name, values in grid.axes.items()} == {"prune": 2, "quantize": 1}


@pytest.mark.parametrize("off", ["none", "None", False, "false", "no", "off", "OFF", None])
@pytest.mark.parametrize("on", [True, "true", "yes", "on", "On"])
def test_words_for_with_and_without(on: Any, off: Any) -> None:
    assert texts({"qat": [off, on], "quantize": ["int8"]}) == ["int8", "qat+int8"]
    assert texts({"prune": [off, on], "quantize": ["int8"]}) == ["int8", "prune:0.5+int8"]


def test_combinations_that_do_not_go_together_are_dropped_with_the_reason() -> None:
    found = expand(parse_grid({"qat": [False, True], "quantize": ["float16", "int8"]}), "keras")
    assert [recipe_text(r) for r in found.recipes] == ["float16", "int8", "qat+int8"]
    assert list(found.dropped) == ["qat+float16"]
    assert "simulates 8 bits" in found.dropped["qat+float16"]


@pytest.mark.parametrize(
    ("grid", "kind", "said"),
    [
        ({"qat": [True], "quantize": ["float16"]}, "keras", ["`qat` fits no recipe of this grid", "'float16' does not go with"]),
        ({"qat": [True], "quantize": ["float16", "int8"]}, "keras", ["`float16` fits no recipe", "Allowed after qat"]),
        ({"prune": ["none", 0.5], "quantize": ["int8"]}, "tflite", ["`prune:0.5` fits no recipe", "`prune` needs a Keras model", "tflite source"]),
        ({"cluster": [16], "quantize": ["int8"]}, "savedmodel", ["`cluster:16` fits no recipe", "savedmodel source"]),
        ({"quantize": ["int8", "int8[engine=converter]"]}, "tflite", ["engine `converter` needs a Keras model or SavedModel"]),
        ({"quantize": ["none"], "prune": [0.5]}, "keras", ["`prune:0.5` fits no recipe", "ends in a scheme"]),
        ({"recipes": ["qat+float16"]}, "keras", ["Allowed after qat"]),
        ({"recipes": ["prune:0.5"]}, "keras", ["a recipe ends in a scheme"]),
        ({"recipes": ["int8", "prune:0.5+int8"]}, "tflite", ["`prune` needs a Keras model"]),
    ],
)  # fmt: skip
def test_what_no_recipe_can_use_is_a_mistake(grid: Any, kind: SourceKind, said: list[str]) -> None:
    with pytest.raises(WorkbenchError) as caught:
        expand(parse_grid(grid), kind)
    assert all(part in str(caught.value) for part in said), str(caught.value)


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ("int8", ["a grid is a mapping", "'int8'"]),
        (["int8"], ["a grid is a mapping", "list"]),
        ({"quantise": ["int8"]}, ["grid key 'quantise'", "Did you mean 'quantize'", "constraints"]),
        ({3: ["int8"]}, ["grid key '3'"]),
        ({"quantize": ["int9"]}, ["scheme 'int9'", "Did you mean"]),
        ({"quantize": ["int8:2"]}, ["scheme", "'int8:2'"]),
        ({"quantize": [{"schema": "int8"}]}, ["'schema'", "Did you mean 'scheme'"]),
        ({"prune": [1.5]}, ["technique 'prune'", "between 0 and 1"]),
        ({"prune": [{"sparsity": 0.5, "blok": "1x4"}]}, ["'blok'", "Did you mean 'block'"]),
        ({"qat": [3]}, ["technique 'qat' takes no value"]),
        ({"train": {"epoch": 3}}, ["train setting 'epoch'", "Did you mean 'epochs'"]),
        ({"train": {"epochs": 0}}, ["train: epochs = 0", "greater than or equal to 1"]),
        ({"train": {"learning_rate": "fast"}}, ["train: learning_rate = 'fast'", "valid number"]),
        ({"train": 3}, ["'train' is a mapping of settings, not 3"]),
        ({"calibration": {"samples": -1}}, ["calibration: samples = -1"]),
        ({"measure": {"half_width": 1.0}}, ["measure: half_width = 1.0", "less than 1"]),
        ({"limits": {"memory": "lots"}}, ["size 'lots' is not understood"]),
        ({"constraints": {"size": "1 horse"}}, ["size '1 horse' is not understood", "100KB"]),
        ({"constraints": {"size": -3}}, ["constraints: size = -3"]),
        ({"runtimes": ["xnnpac"]}, ["runtime 'xnnpac'", "Did you mean 'xnnpack'", "workbench doctor"]),
        ({"runtimes": ["xnnpack[thread=2]"]}, ["'thread'", "Did you mean 'threads'"]),
        ({"runtimes": ["xnnpack[threads=0]"]}, ["threads = '0'", "greater than or equal to 1"]),
        ({"runtimes": ["xnnpack:2"]}, ["options go into brackets", "xnnpack[threads=2]"]),
        ({"runtimes": [{"threads": 2}]}, ["has no name"]),
        ({"recipes": ["int9"]}, ["'int9'"]),
    ],
)  # fmt: skip
def test_mistakes_in_a_grid(grid: Any, said: list[str]) -> None:
    with pytest.raises(WorkbenchError) as caught:
        parse_grid(grid)
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_the_grid_file_of_the_documentation(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(
        """
        prune:    [none, 0.5, 0.8, "2:4"]
        cluster:  [none, 16]
        qat:      [false, true]
        quantize: [float32, float16, dynamic, int8, int16x8]
        runtimes: [xnnpack, {name: xnnpack, threads: 2}, reference]
        train:    {epochs: 3, batch_size: 64, learning_rate: 1.0e-4, seed: 0}
        calibration: {samples: 200}
        constraints: {accuracy_drop: 0.01, size: 100KB}
        """
    )
    grid = load_grid(path)
    assert [runtime_text(r.name, r.options) for r in grid.runtimes] == ["xnnpack", "xnnpack[threads=2]", "reference"]
    assert grid.train == Train(learning_rate=1e-4)
    assert grid.constraints == Limits(drop={"accuracy": 0.01}, size=100_000)
    found = expand(grid, "keras")
    # 4 prunings x 2 clusterings x (5 schemes, and int8 alone after QAT).
    assert len(found.recipes) == 4 * 2 * (5 + 1)
    assert len(found.dropped) == 4 * 2 * 4
    assert parse_recipe("prune:2:4+cluster:16+qat+int8") in found.recipes
    assert Grid.model_validate(json.loads(canonical_json(grid.to_json()))) == grid


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"prune: [0.5", "is not valid YAML"), (b"\xff\xfe\x00", "cannot be read"), (b"- int8", "is a mapping")],
)
def test_unreadable_grid_files(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "grid.yaml"
    path.write_bytes(content)
    with pytest.raises(WorkbenchError, match=said):
        load_grid(path)


def test_a_missing_grid_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"grid file .*nowhere\.yaml.* cannot be read"):
        load_grid(tmp_path / "nowhere.yaml")


def test_a_source_that_cannot_be_pruned_is_refused_before_anything_runs(small_tflite: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(WorkbenchError, match="`prune` needs a Keras model"):
        workbench.sweep(small_tflite, "digits", {"prune": ["none", 0.5], "quantize": ["int8"]}, store=store)
    assert store.studies() == []
    assert list(store.logs.iterdir()) == []
    assert list(store.artifacts.folder.iterdir()) == []


# ---- runtimes


@pytest.mark.parametrize(
    ("text", "threads", "short"),
    [
        ("xnnpack", 1, "xnnpack"),
        (" xnnpack[threads=2] ", 2, "xnnpack[threads=2]"),
        ("reference[threads=1]", 1, "reference"),
    ],
)
def test_runtimes_as_text(text: str, threads: int, short: str) -> None:
    spec = parse_runtime(text)
    assert spec.options == {"threads": threads}
    assert runtime_text(spec.name, spec.options) == short
    assert parse_runtime(short) == spec


def test_runtimes_of_gone_plugins_keep_their_options_in_text() -> None:
    assert runtime_text("gone", {"b": 1, "a": True}) == "gone[a=true,b=1]"


def test_equal_runtimes_are_measured_once() -> None:
    spec = parse_runtime("builtin")
    found = parse_runtimes(
        ["xnnpack", {"name": "xnnpack"}, {"name": "xnnpack", "threads": "1"}, "xnnpack[threads=2]", spec, spec]
    )
    assert [runtime_text(r.name, r.options) for r in found] == ["xnnpack", "xnnpack[threads=2]", "builtin"]
    assert parse_runtimes("xnnpack") == found[:1]


# ---- values


def all_values() -> Iterator[type[Value]]:
    for module in pkgutil.iter_modules(workbench.values.__path__):
        importlib.import_module(f"workbench.values.{module.name}")
    found = [Value]
    for cls in found:
        found += [c for c in cls.__subclasses__() if c.__module__.startswith("workbench.")]
    return iter(found)


@pytest.mark.parametrize("cls", all_values(), ids=lambda c: c.__name__)
def test_every_value_is_frozen_and_refuses_unknown_keys(cls: type[Value]) -> None:
    assert cls.model_config["frozen"] is True
    assert cls.model_config["extra"] == "forbid"
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        cls.model_validate({"no_such_key": 1})


def test_values_cannot_be_changed() -> None:
    recipe = parse_recipe("prune:0.5+int8")
    with pytest.raises(ValidationError, match="frozen"):
        recipe.steps = ()  # type: ignore[misc]  # refused on purpose
    with pytest.raises(ValidationError, match="frozen"):
        Train().epochs = 5  # type: ignore[misc]  # as above


def test_a_recipe_has_a_step() -> None:
    with pytest.raises(ValidationError, match="at least one step"):
        Recipe(steps=())


def test_steps_are_hashed_by_content() -> None:
    assert (
        len({Step(technique="prune", params={"a": 1, "b": 2}), Step(technique="prune", params={"b": 2, "a": 1})}) == 1
    )


# ---- descriptions of parameters

ALL_PARAMS: dict[str, type[Params]] = {
    **{f"technique {n}": registry.techniques.get(n).params for n in registry.BUILTIN_TECHNIQUES},
    **{f"runtime {n}": registry.runtimes.get(n).params for n in registry.BUILTIN_RUNTIMES},
    **{c.__name__: c for c in (Train, Calibration, Measure, StageLimits, Limits, ImageParams, TableParams)},
}


@pytest.mark.parametrize("cls", ALL_PARAMS.values(), ids=ALL_PARAMS)
def test_every_parameter_is_described(cls: type[Params]) -> None:
    specs = param_specs(cls)
    assert [s.name for s in specs] == list(cls.model_fields)
    assert [s.name for s in specs if s.primary] == ([cls.primary] if cls.primary else [])
    for spec in specs:
        assert len(spec.help) > 10
        assert not spec.help.endswith(".")
        assert bool(spec.choices) == (spec.kind == "choice")
        assert spec.default is not None or spec.optional
        if spec.default is None:
            continue
        assert getattr(cls.model_validate({spec.name: spec.default}), spec.name) == spec.default
        if spec.kind == "choice":
            assert spec.default in spec.choices
        if spec.kind in ("int", "float"):
            assert spec.low is None or spec.low <= spec.default
            assert spec.high is None or spec.default <= spec.high


@pytest.mark.parametrize("cls", ALL_PARAMS.values(), ids=ALL_PARAMS)
def test_the_described_range_is_the_one_that_is_checked(cls: type[Params]) -> None:
    for spec in param_specs(cls):
        outside = [bound + step for bound, step in ((spec.low, -1), (spec.high, 1)) if bound is not None]
        for value in [*outside, *(["no such choice"] if spec.kind == "choice" else [])]:
            with pytest.raises(ValidationError):
                cls.model_validate({spec.name: value})


def test_what_a_form_shows_of_pruning() -> None:
    specs = {s.name: s for s in param_specs(registry.techniques.get("prune").params)}
    assert specs["sparsity"].primary
    assert (specs["sparsity"].kind, specs["sparsity"].default) == ("str", 0.5)
    assert (specs["begin"].kind, specs["begin"].low, specs["begin"].high) == ("float", 0.0, 1.0)
    assert (specs["schedule"].kind, specs["schedule"].choices) == ("choice", ("polynomial", "constant"))


def test_optional_numbers_are_numbers() -> None:
    specs = {s.name: s for s in param_specs(Limits)}
    assert [(specs[n].kind, specs[n].optional) for n in ("size", "compressed")] == [("int", True)] * 2


# ---- sizes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (100_000, 100_000), (1.5, 1), ("100000", 100_000), ("100KB", 100_000), ("100 kb", 100_000), ("100KiB", 102_400),
        ("1.5MiB", 1_572_864), ("2MB", 2_000_000), ("1GB", 10**9), ("1GiB", 2**30), (" 7B ", 7), ("0", 0),
    ],
)  # fmt: skip
def test_sizes(text: Any, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "KB", "-1KB", "1e3", "1,5MB", "3TB", "1 KB 2", float("nan"), float("inf")])
def test_sizes_that_are_none(text: Any) -> None:
    with pytest.raises(WorkbenchError, match=re.escape(f"size {text!r} is not understood")):
        parse_size(text)


@given(st.integers(0, 10**12), st.sampled_from(["", "B", "KB", "KiB", "MB", "MiB"]))
def test_whole_sizes_are_exact(number: int, unit: str) -> None:
    factor = {"": 1, "B": 1, "KB": 1000, "KiB": 1024, "MB": 1000**2, "MiB": 1024**2}[unit]
    if number * factor < 2**53:
        assert parse_size(f"{number}{unit}") == number * factor
