"""A user's own function as it goes to other processes: as the text of its module, or pickled by the process that made it.

What is carried goes with the work to the workers and is never written into or read from a file.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import pickle
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError, shown
from workbench.files import kind_of, read_regular

Function = Callable[..., Any]
MOST_SOURCE = 4 << 20
MOST_MODULES = 500
_STANDARD = Path(sysconfig.get_path("stdlib"))


@dataclass(frozen=True)
class Own:
    """A function, its name, the SHA-256 of all that is known to decide what it does, and what makes it again elsewhere."""

    name: str
    sha256: str
    function: Function
    packed: bytes
    # Where what the function imports is looked for last; "" where it is found without.
    folder: str = ""

    def __call__(self, *arguments: Any) -> Any:
        """Call the function; what it imports as it runs is found."""
        with _searched(self.folder):
            return self.function(*arguments)


# Functions of this process by hash: the user's own here, what was sent in a worker.
_known: dict[str, Own] = {}


def known(sha256: str) -> Own | None:
    """Return a function that this process has, or None."""
    return _known.get(sha256)


def from_place(place: str) -> Own:
    """Return the function that `path.py:function` or `module:function` names; runs its module.

    Raises WorkbenchError for what is not there or is no function.
    """
    where, _, name = place.rpartition(":")
    if not where or not name.isidentifier():
        raise WorkbenchError(f"task {shown(place)} is no function. Write path.py:function or module:function.")
    if where.endswith(".py"):
        path = Path(where).resolve()
        if kind_of(path) != "file":
            raise WorkbenchError(f"task {shown(place)}: there is no file {shown(str(path))}. Write path.py:function.")
        return _from_source(path, path.stem, "", name, place)
    if not all(part.isidentifier() for part in where.split(".")):
        raise WorkbenchError(
            f"task {shown(place)}: {shown(where)} is no name of a module. Write path.py:function or module:function."
        )
    try:
        spec = _spec(where)
    except Exception as error:  # looking for it runs the packages that it lies in
        raise WorkbenchError(
            f"task {shown(place)}: looking for {where} failed: {type(error).__name__}: {error}"
        ) from error
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise WorkbenchError(
            f"task {shown(place)}: there is no module {where} with Python source on the search path. Write path.py:function for a file."
        )
    package = spec.name if spec.submodule_search_locations else spec.name.rpartition(".")[0]
    return _from_source(Path(spec.origin), where, package, name, place)


def _spec(module: str) -> Any:
    """Return where a module lies, looked for in the current folder too, as `python -m` does."""
    with _searched(str(Path.cwd())):
        return importlib.util.find_spec(module)


@contextlib.contextmanager
def _searched(folder: str) -> Iterator[None]:
    """Look for modules in a folder too, after all others; threads may do so at once. Does nothing for ""."""
    if not folder:
        yield
        return
    sys.path.append(folder)
    try:
        yield
    finally:
        # The last one: the user may have the same folder further up. What was called may have changed the path itself.
        with contextlib.suppress(ValueError):
            del sys.path[len(sys.path) - 1 - sys.path[::-1].index(folder)]


@dataclass(frozen=True)
class FunctionSource:
    """A function in the text of its module; `folder` is where what the module imports is looked for last."""

    text: bytes
    file: str
    module: str
    package: str
    folder: str
    name: str

    def made(self) -> Any:
        """Return the function; its module runs, once in a process, under a name of its own beside any that is imported already."""
        name = f"_workbench_task_{hashlib.sha256(self.file.encode() + self.text).hexdigest()[:16]}"
        if name not in sys.modules:
            module = types.ModuleType(name)
            module.__file__, module.__package__ = self.file, self.package
            sys.modules[name] = module
            try:
                with _searched(self.folder):
                    exec(compile(self.text, self.file, "exec"), module.__dict__)
            except BaseException:
                del sys.modules[name]
                raise
        return getattr(sys.modules[name], self.name, None)


def _from_source(path: Path, module: str, package: str, name: str, place: str) -> Own:
    depth = module.count(".") + (path.name == "__init__.py")
    text = read_regular(path, "task file", MOST_SOURCE)
    source = FunctionSource(text, str(path), module, package, str(path.parents[depth]), name)
    try:
        function = source.made()
    except Exception as error:  # a user's module may raise anything
        raise WorkbenchError(f"task {shown(place)}: {type(error).__name__} while its module ran: {error}") from error
    if not callable(function):
        what = "not there" if function is None else "no function"
        raise WorkbenchError(f"task {shown(place)}: {name} is {what} in {shown(str(path))}.")
    files: dict[str, bytes] = {}
    with _searched(source.folder):
        _imported(text, package, files)
    used = sorted(f"{n} {hashlib.sha256(content).hexdigest()}" for n, content in files.items())
    digest = hashlib.sha256("\0".join([module, name, *used]).encode() + text).hexdigest()
    return _keep(Own(name, digest, function, pickle.dumps(source), source.folder))


def _imported(text: bytes, package: str, found: dict[str, bytes]) -> None:
    """Add the user's own modules that a module imports, and those that they import, by name; nothing of them runs but packages."""
    for name in _import_names(text, package):
        try:
            spec = None if name in found else importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):  # a name in a module, or a module that is not there
            continue
        if spec and (file := _own_file(name, spec.origin)) and len(found) < MOST_MODULES:
            found[name] = read_regular(file, "module", MOST_SOURCE)
            inner = name if spec.submodule_search_locations else name.rpartition(".")[0]
            _imported(found[name], inner, found)


def _import_names(text: bytes, package: str) -> Iterator[str]:
    """Yield what may be modules among what a module's text imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


def _own_file(name: str, file: str | None) -> Path | None:
    """Return the source of a module that no worker can be expected to have: not Python's, not installed, not Workbench's."""
    if not file or name.partition(".")[0] in ("workbench", "__main__"):
        return None
    path = Path(file)
    installed = {"site-packages", "dist-packages"} & set(path.parts) or path.is_relative_to(_STANDARD)
    return None if installed or path.suffix != ".py" or not path.is_file() else path


def _own_module(module: Any) -> Path | None:
    return _own_file(module.__name__, getattr(module, "__file__", None)) if module is not None else None


def from_callable(function: Function) -> Own:
    """Return a callable of this process, pickled with the user's own modules that it is made of.

    Raises WorkbenchError where it cannot be carried.
    """
    import cloudpickle

    name = getattr(function, "__name__", type(function).__name__)
    name = name if name.isidentifier() else "function"
    try:
        with _by_value(function):
            packed = cloudpickle.dumps(function)
            digest = hashlib.sha256(f"{name}\0".encode() + _fingerprint(function)).hexdigest()
    except Exception as error:  # pickling runs methods of the user's own
        raise WorkbenchError(
            f"task {name} cannot be carried to the workers: {type(error).__name__}: {error}. It may not hold open files, locks or connections."
        ) from error
    return _keep(Own(name, digest, function, packed))


@contextlib.contextmanager
def _by_value(function: Any) -> Iterator[None]:
    """Let cloudpickle carry the user's own modules that a callable comes from; workers may not find them."""
    import cloudpickle

    made_of = (function, type(function), getattr(function, "func", None), type(getattr(function, "__self__", None)))
    names = {getattr(part, "__module__", None) or "" for part in made_of} - set(
        cloudpickle.list_registry_pickle_by_value()
    )
    modules = [m for n in names if _own_module(m := sys.modules.get(n))]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _fingerprint(value: Any, seen: tuple[int, ...] = ()) -> bytes:
    """Return what decides what a callable does, without where it was written: code, constants, defaults, and what it captures or names.

    What cannot be taken apart goes by its pickle, which may differ between sessions; then figures are worked out again.
    """
    import cloudpickle

    if id(value) in seen:
        return b"again"
    inner = (*seen, id(value))
    if isinstance(value, types.ModuleType):
        file = _own_module(value)
        return f"module {value.__name__} {getattr(value, '__version__', '')} ".encode() + (
            file.read_bytes() if file else b""
        )
    if isinstance(value, types.CodeType):
        consts = b"".join(_fingerprint(c, inner) for c in value.co_consts)
        return b"code" + value.co_code + repr((value.co_names, value.co_varnames, value.co_argcount)).encode() + consts
    if isinstance(value, types.FunctionType):
        if value.__module__ not in (None, "__main__") and not _own_module(sys.modules.get(value.__module__)):
            return f"{value.__module__}.{value.__qualname__}".encode()
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        names = sorted(_names(value.__code__) & set(value.__globals__))
        named = [(n, value.__globals__[n]) for n in names] + [(n, _content(cell)) for n, cell in cells]
        return b"function" + _fingerprint(
            (value.__code__, value.__defaults__, value.__kwdefaults__, value.__dict__, named), inner
        )
    if isinstance(value, (tuple, list)):
        return b"(" + b",".join(_fingerprint(v, inner) for v in value) + b")"
    if isinstance(value, dict):
        return b"{" + b",".join(_fingerprint(item, inner) for item in value.items()) + b"}"
    if isinstance(value, (frozenset, set)):
        return b"<" + b",".join(sorted(_fingerprint(v, inner) for v in value)) + b">"
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return f"{type(value).__name__} {value!r}".encode()
    return bytes(cloudpickle.dumps(value))


def _names(code: types.CodeType) -> set[str]:
    """Return the names that code and what is written within it look up."""
    inner = (_names(c) for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*inner)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def receive(sha256: str, packed: bytes) -> Own:
    """Return the function that the process of the sweep packed."""
    found = _known.get(sha256)
    if found is None:
        made = pickle.loads(packed)
        function, folder = (made.made(), made.folder) if isinstance(made, FunctionSource) else (made, "")
        found = _keep(Own(getattr(function, "__name__", "function"), sha256, function, packed, folder))
    return found


def _keep(own: Own) -> Own:
    _known[own.sha256] = own
    return own
