"""What importing loads, and that dependencies point one way."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import workbench

ROOT = Path(workbench.__file__).parent
HEAVY = (
    "tensorflow",
    "tensorflow_model_optimization",
    "tf_keras",
    "keras",
    "plotly",
    "dask",
    "distributed",
    "optuna",
    "pandas",
    "matplotlib",
    "IPython",
    "ipywidgets",
    "anywidget",
    "papermill",
    "nbconvert",
    "nbclient",
    "nbformat",
    "jupyter_client",
)

# ---- what importing loads


def loaded_by(code: str, path: Path | None = None) -> set[str]:
    """The top-level modules that a fresh Python has loaded after running the code."""
    search = os.pathsep.join(p for p in [str(path or ""), *sys.path] if p)
    script = f"{code}\nimport sys\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": search},
    )
    return set(done.stdout.split())


def test_import_workbench_loads_nothing_heavy() -> None:
    loaded = loaded_by("import workbench")
    assert "workbench" in loaded
    assert not loaded & {*HEAVY, "numpy", "sqlalchemy", "pydantic", "ai_edge_litert"}


def test_the_check_of_loaded_modules_can_fail(tmp_path: Path) -> None:
    (tmp_path / "careless.py").write_text("import plotly.graph_objects\n")
    assert loaded_by("import careless", tmp_path) & set(HEAVY) >= {"plotly"}
    assert not loaded_by("", tmp_path) & set(HEAVY)


def test_every_module_loads_nothing_heavy_but_those_that_draw() -> None:
    names = sorted({m.name for m in modules()} - {"workbench.__main__", "workbench.store.migrations.env", *MAY_LOAD})
    assert len(names) > 60
    assert not loaded_by(f"import importlib\nfor name in {names!r}: importlib.import_module(name)") & set(HEAVY)


def test_measuring_knows_neither_tensorflow_nor_jupyter() -> None:
    names = [m.name for m in modules() if m.part == "measure"]
    code = "import importlib\nfrom workbench import registry\n"
    loaded = loaded_by(f"{code}for name in {names!r}: importlib.import_module(name)\nregistry.runtimes.all()")
    assert not loaded & {*HEAVY, "ipykernel", "ipywidgets", "traitlets", "jupyter_client", "sqlalchemy"}


def test_importing_loads_one_module_of_ours() -> None:
    """What it takes is a count, which no busy machine changes; `tests/benchmarks/starting.py` prints the seconds."""
    code = "import workbench, sys; print(*(m for m in sys.modules if m.partition('.')[0] == 'workbench'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["workbench"]


@pytest.mark.parametrize("name", workbench.__all__)
def test_public_names_are_there(name: str) -> None:
    assert name in dir(workbench)
    assert callable(getattr(workbench, name))


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'workbench' has no attribute 'nothing'"):
        workbench.nothing  # noqa: B018  # the look-up is the test


# ---- dependencies point one way

# Each part imports only from parts above it; parts of one line know nothing of each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("compat", "files", "markup", "names", "quiet", "values"),
    ("tasks",),
    ("registry",),
    ("data", "flatbuffer", "store"),
    ("evaluate",),
    ("techniques", "runtimes", "sources", "targets"),
    ("recipes", "measure"),
    ("lineage", "views"),
    ("engine",),
    ("report", "dashboard"),
    ("study",),
    ("handle",),
    ("batches",),
    ("api",),
    ("commands",),
    ("cli", "notebook", "server", "testing"),
    ("__main__",),
)
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}
# Parts that nobody imports but those, and those only within a function.
LEAVES = {
    "cli": {"__main__"},
    "notebook": {"workbench"},
    "report": {"study", "commands", "batches"},
    "dashboard": {"study", "notebook", "server"},
    "server": set(),
    "testing": set(),
    "api": {"commands", "cli", "notebook", "testing"},
}
# What is imported of the leaves only within functions.
LATE = ("report", "dashboard", "notebook")
# Only for hints: the registry names plug-ins by text and loads them on first use.
HINTS_ONLY = {("registry", part) for part in ("techniques", "runtimes", "sources", "data", "targets", "engine")}
# Loaded on first use of a chart, a form, a magic or a dashboard, by functions or by one another.
DRAWS = "workbench.views.drawing"
MAY_LOAD = {
    "workbench.compat.distributed_servers": {"dask", "distributed"},
    DRAWS: {"plotly"},
    "workbench.notebook.magics": {"IPython"},
    "workbench.notebook.forms.controls": {"ipywidgets"},
    "workbench.notebook.forms.form": {"ipywidgets"},
    "workbench.notebook.forms.builder": {"ipywidgets"},
    "workbench.dashboard.widget": {"anywidget"},
}


class Import(NamedTuple):
    """One import of a Workbench module: by which part, of which part, and whether at the top, in a function, or for hints."""

    module: str
    part: str
    target: str
    of: str
    how: str


class Module(NamedTuple):
    name: str
    part: str
    source: str


def modules() -> Iterator[Module]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(("workbench", *parts)).removesuffix(".__init__")
        yield Module(name, "workbench" if parts == ("__init__",) else parts[0], path.read_text(encoding="utf-8"))


def all_imports(source: str) -> Iterator[tuple[str, str]]:
    """Every (module or name imported, top/function/hint) of a source text; relative imports count as a mistake."""

    def walk(node: ast.AST, how: str) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            inside = how
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                inside = "function"
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                inside = "hint"
            elif isinstance(child, ast.Import):
                yield from ((alias.name, how) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "relative import"
                yield from ((f"{child.module}.{alias.name}", how) for alias in child.names)
            yield from walk(child, inside)

    return walk(ast.parse(source), "top")


def inner_imports(module: Module) -> Iterator[Import]:
    for target, how in all_imports(module.source):
        top, _, rest = target.partition(".")
        if top == "workbench":
            of = rest.partition(".")[0]
            yield Import(module.name, module.part, target, of if of in RANK else "workbench", how)


def violations(module: Module) -> list[str]:
    found = []
    for use in inner_imports(module):
        if use.of == use.part != "workbench":
            continue
        if use.of == "workbench":
            # Only the version is asked of the package itself, and only by the command line.
            wrong = use.part not in ("cli", "workbench")
        elif (use.part, use.of) == ("workbench", "notebook"):
            wrong = use.how != "function"
        elif use.part == "workbench" or (use.part, use.of) in HINTS_ONLY:
            wrong = use.how != "hint"
        else:
            wrong = RANK[use.of] >= RANK[use.part]
            if use.of in LEAVES and use.part not in LEAVES[use.of]:
                wrong = True
            if use.of in LATE and use.how == "top" and use.part in ("study", "batches"):
                wrong = True
        if wrong:
            found.append(f"{use.module} imports {use.target} ({use.how})")
    return found


@pytest.mark.parametrize("module", modules(), ids=lambda m: m.name)
def test_dependencies_point_one_way(module: Module) -> None:
    assert violations(module) == []


def test_the_table_of_layers_is_complete() -> None:
    assert set(RANK) == {m.part for m in modules()} - {"workbench"}
    used = {(use.part, use.of) for m in modules() for use in inner_imports(m)}
    assert used >= HINTS_ONLY
    assert {
        ("study", "report"),
        ("study", "dashboard"),
        ("batches", "report"),
        ("commands", "api"),
        ("cli", "commands"),
    } <= used
    assert {("notebook", "commands"), ("workbench", "notebook"), ("__main__", "cli")} <= used


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("values", "from workbench.recipes import grammar"),
        ("compat", "from workbench.files import open_private"),
        ("values", "def f():\n    from workbench.store.store import Store"),
        ("techniques", "from workbench.runtimes.base import Runtime"),
        ("measure", "import workbench.recipes.grammar"),
        ("registry", "from workbench.techniques.base import Technique"),
        ("engine", "from workbench import report"),
        ("study", "from workbench.report.study import write_report"),
        ("study", "from workbench.dashboard.widget import Dashboard"),
        ("batches", "from workbench.report.run import run_notebook"),
        ("batches", "def f():\n    from workbench.api import sweep"),
        ("study", "def f():\n    from workbench.batches.run import run_batch"),
        ("engine", "from workbench.cli.app import app"),
        ("commands", "from workbench.cli.output import print_table"),
        ("cli", "def f():\n    from workbench.notebook.session import Session"),
        ("server", "from workbench.notebook.session import Session"),
        ("commands", "from workbench.server.places import Places"),
        ("workbench", "from workbench.notebook import load"),
        ("views", "import workbench"),
        ("workbench", "from workbench.api import sweep"),
    ],
)
def test_the_check_of_directions_can_fail(part: str, source: str) -> None:
    assert len(violations(Module(f"workbench.{part}.careless", part, source))) == 1


def test_the_check_of_directions_can_pass() -> None:
    source = "from workbench.errors import unknown\ndef f():\n    from workbench.report.study import write_report"
    assert violations(Module("workbench.study", "study", source)) == []


def circle_among(files: Iterable[Module]) -> list[str]:
    """The modules of one circle of imports, wherever in the files they stand (hints too), none where there is no circle."""
    found = list(files)
    names = {m.name for m in found}

    def of(target: str) -> str | None:
        """The module that an imported name lies in."""
        return next((n for n in (target, target.rpartition(".")[0]) if n in names), None)

    graph = {m.name: {of(target) for target, _ in all_imports(m.source)} - {None, m.name} for m in found}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_file_imports_one_that_imports_it() -> None:
    # The package itself hands out the public names; nobody below asks it for one of them.
    assert circle_among(m for m in modules() if m.part != "workbench") == []


@pytest.mark.parametrize("how", ["{}", "def f():\n    {}", "if TYPE_CHECKING:\n    {}"])
def test_the_check_of_circles_can_fail(how: str) -> None:
    files = [
        Module("workbench.views.a", "views", how.format("from workbench.views.b import one")),
        Module("workbench.views.b", "views", "from workbench.views import c"),
        Module("workbench.views.c", "views", "import workbench.views.a"),
        Module("workbench.views.d", "views", "from workbench.views.a import two"),
    ]
    assert set(circle_among(files)) == {"workbench.views.a", "workbench.views.b", "workbench.views.c"}
    assert circle_among([*files[:2], files[3]]) == []


def heavy_at_the_top(source: str) -> set[str]:
    return {target.partition(".")[0] for target, how in all_imports(source) if how == "top"} & set(HEAVY)


@pytest.mark.parametrize("module", modules(), ids=lambda m: m.name)
def test_heavy_packages_are_imported_where_they_are_used(module: Module) -> None:
    assert heavy_at_the_top(module.source) == MAY_LOAD.get(module.name, set())
    if module.name not in MAY_LOAD:
        loading = [u for u in inner_imports(module) if any(f"{u.target}.".startswith(f"{m}.") for m in MAY_LOAD)]
        assert all(use.how != "top" for use in loading)


def test_the_check_of_heavy_imports_can_fail() -> None:
    assert heavy_at_the_top("import os\nif True:\n    import tensorflow as tf") == {"tensorflow"}
    assert heavy_at_the_top("class A:\n    from tf_keras import layers") == {"tf_keras"}
    assert heavy_at_the_top("try:\n    import dask.distributed\nexcept ImportError:\n    pass") == {"dask"}
    assert heavy_at_the_top("def f():\n    import tensorflow") == set()
    assert heavy_at_the_top("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas") == set()


# ---- what libraries keep to themselves


# Words of a module's name that say so, and modules that nothing documents.
PRIVATE = ("src", "python")
UNPROMISED = ("tensorflow.core", "distributed.deploy.", "litert_quantizer.recipe_manager", "litert_quantizer.utils")


def is_private(module: str) -> bool:
    words = [w for w in module.split(".") if not w.startswith("__")]
    return module.startswith(UNPROMISED) or any(w.startswith("_") or w in PRIVATE for w in words)


def private_uses(source: str) -> list[str]:
    """Private modules that are imported, private attributes that are asked for by text, and layouts of foreign memory."""
    found = [target for target, _ in all_imports(source) if not target.startswith("workbench.") and is_private(target)]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            if called in ("getattr", "hasattr", "setattr", "delattr"):
                # `_repr_html_` and its like are how a notebook asks.
                found += [t for t in texts if t.startswith("_") and not t.endswith("_")]
            elif called.rpartition(".")[2] in ("import_module", "find_spec") or called == "sys.modules.get":
                found += [t for t in texts if is_private(t)]
        elif isinstance(node, ast.ClassDef):
            found += [f"class {node.name}({b})" for b in map(ast.unparse, node.bases) if b.endswith("Structure")]
    return found


@pytest.mark.parametrize("module", [m for m in modules() if m.part != "compat"], ids=lambda m: m.name)
def test_only_compat_asks_libraries_for_what_they_keep_to_themselves(module: Module) -> None:
    """Attributes as such (`model._name`) are ruff's SLF001."""
    assert private_uses(module.source) == []


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    from tf_keras.src.engine import training",
        "from tensorflow.python.framework import ops",
        "import tensorflow_model_optimization.python.core.sparsity.keras.prune_registry",
        "from tensorflow.core.protobuf import saved_model_pb2",
        "from distributed.deploy.subprocess import Subprocess",
        "from numpy import _core",
        "getattr(model, '_is_graph_network', False)",
        "sys.modules.get('tensorflow.python.framework.ops')",
        "import importlib\nimportlib.import_module('tf_keras.src.backend')",
        "import ctypes\nclass Event(ctypes.Structure):\n    pass",
    ],
)
def test_the_check_of_what_is_private_can_fail(source: str) -> None:
    assert len(private_uses(source)) == 1


def test_the_check_of_what_is_private_can_pass() -> None:
    source = "from __future__ import annotations\nfrom workbench.views import _own\nhasattr(x, '_repr_html_')"
    assert private_uses(source) == []


def test_compat_is_where_that_is_found() -> None:
    assert sum(len(private_uses(m.source)) for m in modules() if m.part == "compat") >= 10


def test_a_name_of_a_class_or_of_describing_means_one_thing() -> None:
    """Two public classes of one name, or two functions `describe`, are told apart by their imports only."""
    places: dict[str, list[str]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            named = isinstance(node, ast.ClassDef) and not node.name.startswith("_")
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and (named or node.name == "describe"):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
