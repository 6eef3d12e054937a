"""Forms: each verb's fields, the line they write, what is wrong with it, and what it means before it runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from notebook import Shell, shell  # noqa: F401  # the fixture

from workbench import registry
from workbench.engine.forecast import forecast
from workbench.notebook.forms.controls import Control
from workbench.notebook.forms.fields import Field, fields, words_of
from workbench.notebook.forms.form import Form
from workbench.notebook.forms.opening import form_for
from workbench.notebook.forms.probe import probe
from workbench.notebook.session import ANSWERS, VERBS
from workbench.recipes.grid import grid_dict, parse_grid
from workbench.store.store import Store
from workbench.values.params import param_specs
from workbench.values.recipe import SCHEMES


@pytest.fixture(scope="module")
def ready(shell: Shell, small_keras_model: Any, small_images: np.ndarray[Any, Any]) -> Shell:  # noqa: F811
    """The shell with a model and data named."""
    labels = np.arange(100) % 6
    shell.names["net"] = small_keras_model
    shell.names["arrays"] = {"x_train": small_images, "y_train": labels, "x_test": small_images, "y_test": labels}
    shell.run("%wb model net\n%wb data arrays")
    return shell


def control(form: Form, name: str) -> Control:
    found: Control = next(c for c in form.controls if c.field.name == name)
    return found


def wait(condition: Any, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# ---- fields


@pytest.mark.parametrize("name", registry.techniques.names())
def test_a_techniques_form_has_all_of_its_parameters_as_they_are_described(ready: Shell, name: str) -> None:
    found = {f.spec.name: f.spec for f in fields(ready.session.verb(name))}
    for spec in param_specs(registry.techniques.get(name).params):
        assert found[spec.name] == spec


@pytest.mark.parametrize("verb", [v for v in VERBS if v not in ANSWERS])
def test_every_verb_that_asks_has_a_form(ready: Shell, verb: str) -> None:
    form = form_for(ready.session, verb)
    assert len(form.controls) == len(ready.session.verb(verb).params)
    assert all(c.field.spec.help for c in form.controls)
    assert form.line.value


def test_the_right_widget_for_each_kind(ready: Shell) -> None:
    form = form_for(ready.session, "prune")
    kinds = {name: type(control(form, f"own__{name}").widget).__name__ for name in ("schedule", "begin", "block")}
    assert kinds == {"schedule": "Dropdown", "begin": "FloatSlider", "block": "Text"}
    assert type(control(form, "train__epochs").widget).__name__ == "BoundedIntText"
    assert type(control(form_for(ready.session, "qat"), "own__fold").widget).__name__ == "Checkbox"
    model = control(form_for(ready.session, "model"), "model").widget
    assert type(model).__name__ == "Combobox"
    assert "net" in model.options


# ---- the line


def test_an_untouched_form_writes_the_shortest_line(ready: Shell) -> None:
    assert form_for(ready.session, "quantize").words == ["quantize"]
    assert form_for(ready.session, "prune").words == ["prune"]


def test_what_is_changed_is_on_the_line_and_in_the_call(ready: Shell) -> None:
    form = form_for(ready.session, "prune")
    control(form, "primary").set("0.8")
    control(form, "own__schedule").set("constant")
    control(form, "then").set("int8")
    assert form.words == ["prune", "0.8", "--then", "int8", "--schedule", "constant"]
    assert "%wb prune 0.8 --then int8 --schedule constant" in form.line.value
    assert "workbench.sweep(net, arrays, {" in form.line.value
    assert "prune:0.8[schedule=constant]+int8" in form.line.value
    assert form.asked is not None


@pytest.mark.parametrize(
    ("verb", "field", "value", "words"),
    [
        ("prune", "primary", "1.5", "between 0 and 1"),
        ("prune", "own__block", "4", "height x width"),
        ("prune", "then", "int9", "Did you mean"),
        ("quantize", "runtime", "xnpack", "xnnpack"),
        ("bench", "file", "", "Missing argument"),
        ("best", "max_drop", "lots", "not a valid float"),
        ("sweep", "model", "nothing.h5", "does not exist"),
        ("sweep", "search__strategy", "tp", "Did you mean &#x27;tpe&#x27;?"),
        ("sweep", "search__strategy", "tpe[startup=0]", "greater than or equal to 1"),
    ],
)
def test_a_mistake_is_said_as_it_is_typed_and_nothing_can_be_run(
    ready: Shell, verb: str, field: str, value: str, words: str
) -> None:
    form = form_for(ready.session, verb)
    control(form, field).set(value)
    assert words in form.message.value
    assert "alert" in form.message.value


def test_words_of_fields_leave_defaults_out(ready: Shell) -> None:
    found = {f.name: f for f in fields(ready.session.verb("bench"))}
    given: list[tuple[Field, str | bool]] = [
        (found["file"], "a b.tflite"),
        (found["profile"], True),
        (found["budget"], ""),
        (found["form"], "json"),
    ]
    assert words_of("bench", given) == ["bench", "a b.tflite", "--profile", "--format", "json"]


def test_a_switch_that_is_on_can_be_turned_off(ready: Shell) -> None:
    form = form_for(ready.session, "qat")
    control(form, "own__fold").widget.value = False
    assert form.words == ["qat", "--no-fold"]
    assert "qat[fold=false]" in form.line.value


# ---- what it means


def test_the_sweep_builder_counts_recipes_and_training_stages(ready: Shell) -> None:
    form = form_for(ready.session, "sweep")
    assert "3 recipes, 0 training stages" in form.message.value
    control(form, "axis_prune").set("none,0.5,0.25")
    assert "9 recipes, 2 training stages" in form.message.value
    control(form, "axis_qat").set(True)  # type: ignore[arg-type]  # a switch
    assert "left out that do not go together" in form.message.value
    assert "roughly" in form.message.value
    assert form.words[:3] == ["sweep", "--prune", "none,0.5,0.25"]
    control(form, "axis_quantize").set("")
    assert "`qat` fits no recipe of this grid" in form.message.value
    assert form.run.disabled
    control(form, "axis_qat").set(False)  # type: ignore[arg-type]  # as above
    assert not form.run.disabled


def test_a_search_is_told_from_a_whole_grid(ready: Shell) -> None:
    form = form_for(ready.session, "sweep")
    strategy = control(form, "search__strategy")
    assert set(strategy.widget.options) == set(registry.proposers.names())
    control(form, "axis_prune").set("none,0.5,0.25")
    strategy.set("tpe[startup=2]")
    control(form, "search__trials").set("4")
    assert "at most 5 recipes, of 9 in the grid" in form.message.value
    assert form.words[-4:] == ["--search-strategy", "tpe[startup=2]", "--search-trials", "4"]
    strategy.set("")
    control(form, "search__trials").set("")
    assert "9 recipes, 2 training stages" in form.message.value


@pytest.mark.slow
def test_a_forecast_knows_what_is_in_the_store(small_h5: Path, small_images: Any, tmp_path: Path) -> None:
    import workbench

    labels = np.arange(100) % 6
    np.savez(tmp_path / "few.npz", x_train=small_images, y_train=labels, x_test=small_images, y_test=labels)
    data, store = str(tmp_path / "few.npz"), Store(tmp_path / "store")
    grid = parse_grid({"quantize": ["float32", "int8"], "measure": {"budget": 1}})
    before = forecast(str(small_h5), data, grid, store)
    assert (before.recipes, before.trainings, before.found, before.measurements) == (2, 0, 0, 2)
    assert "rough" in before.basis
    workbench.sweep(str(small_h5), data, grid, store=store)
    after = forecast(str(small_h5), data, grid, store)
    assert after.found == sum(after.stages.values())
    assert after.seconds < before.seconds
    assert "store" in after.basis


# ---- running


@pytest.mark.slow
def test_run_tries_the_line_in_the_background_and_shows_a_card(ready: Shell) -> None:
    from IPython.utils.capture import capture_output

    form = form_for(ready.session, "quantize")
    control(form, "primary").set("float16")
    with capture_output() as captured:
        form._ipython_display_()
        form.start()
        assert form.run.disabled
        wait(lambda: not form.run.disabled)
    page = "".join(o.data.get("text/html", "") for o in captured.outputs)
    assert "workbench-card" in page
    assert "float16" in page
    assert form.running.children == ()


def test_run_of_a_reading_verb_shows_its_table(ready: Shell) -> None:
    from IPython.utils.capture import capture_output

    ready.run("%wb quantize float16")
    form = form_for(ready.session, "pareto")
    with capture_output() as captured:
        form._ipython_display_()
        form.start()
    assert "float16" in "".join(o.data.get("text/html", "") for o in captured.outputs)


def test_the_dashboards_form_shows_it_below(ready: Shell) -> None:
    name = ready.run("%wb quantize float16").study.name
    form = Form(ready.session, "dashboard", lambda field: [])
    control(form, "study").set(name)
    form.start()
    (board,) = form.running.children
    assert type(board).__name__ == "DashboardWidget"


def test_a_failing_run_says_so_and_can_be_run_again(ready: Shell) -> None:
    form = form_for(ready.session, "inspect")
    control(form, "file").set("nothing.tflite")
    form.start()
    assert "nothing.tflite" in form.message.value
    assert not form.run.disabled


def test_probing_runs_nothing(ready: Shell) -> None:
    before = {s.name for s in Store(ready.session.store).studies()}
    asked = probe(ready.session, ["sweep", "--quantize", "int8", "--study", "never"])
    assert asked is not None
    assert asked.model is ready.names["net"]
    assert {s.name for s in Store(ready.session.store).studies()} == before


# ---- grids as a user writes them

axes = st.fixed_dictionaries(
    {},
    optional={
        "prune": st.lists(st.sampled_from(["none", 0.5, "2:4", "0.25[schedule=constant]"]), min_size=1, max_size=3),
        "cluster": st.lists(st.sampled_from(["none", 16, "8[init=linear]"]), min_size=1, max_size=2),
        "qat": st.lists(st.booleans(), min_size=1, max_size=2),
        "quantize": st.lists(st.sampled_from([*SCHEMES, "int8[engine=converter]"]), min_size=1, max_size=4),
        "recipes": st.lists(st.sampled_from(["int8", "prune:0.5+qat+int8"]), min_size=1, max_size=2),
        "runtimes": st.lists(st.sampled_from(["xnnpack", "xnnpack[threads=2]", "reference"]), min_size=1, max_size=3),
        "train": st.fixed_dictionaries({}, optional={"epochs": st.integers(1, 9), "learning_rate": st.just(0.01)}),
        "measure": st.fixed_dictionaries({}, optional={"budget": st.just(3.0), "skip": st.booleans()}),
    },
)


@given(axes)
def test_a_grid_written_out_is_read_back(data: dict[str, Any]) -> None:
    grid = parse_grid(data or None)
    assert parse_grid(grid_dict(grid)) == grid


def test_a_form_says_what_training_will_leave_once_it_is_shown(ready: Shell) -> None:
    """Built, it starts no worker; shown, a worker looks; what the store knows stands there at once."""
    import tf_keras
    from IPython.utils.capture import capture_output

    layers = tf_keras.layers
    given = layers.Input((8, 8, 1))
    x = layers.Flatten()(layers.SeparableConv2D(4, 3, name="apart")(given))
    ready.names["apart"] = tf_keras.Model(given, layers.Dense(6, name="top")(x), name="apart")
    form = form_for(ready.session, "sweep")
    control(form, "model").set("apart")
    assert form.left.widget.value == ""
    control(form, "axis_prune").set("0.5")
    assert form.left.widget.value == ""
    with capture_output():
        form._ipython_display_()
    assert "looking at the layers" in form.left.widget.value
    form.left.wait()
    assert "prune does not reach 1 layer" in form.left.widget.value
    assert "apart (a depthwise kernel" in form.left.widget.value
    other = form_for(ready.session, "prune")
    control(other, "model").set("apart")
    control(other, "primary").set("0.8")
    assert "prune does not reach 1 layer" in other.left.widget.value
    control(form, "axis_prune").set("")
    assert form.left.widget.value == ""
