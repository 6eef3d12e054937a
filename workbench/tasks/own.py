"""A user's own function as it goes to other processes: as the text of its module, or pickled by the process that made it.

What is carried goes with the work to the workers and is never written into or read from a file.
"""

from __future__ import annotations

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
_STANDARD = Path(sysconfig.get_path("stdlib"))


@dataclass(frozen=True)
class Own:
    """A function, its name, the SHA-256 of all that is known to decide what it does, and what makes it again elsewhere."""

    name: str
    sha256: str
    function: Function
    packed: bytes


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
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        return importlib.util.find_spec(module)
    finally:
        sys.path.remove(here)


@dataclass(frozen=True)
class Source:
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
            if self.folder not in sys.path:
                sys.path.append(self.folder)
            sys.modules[name] = module
            try:
                exec(compile(self.text, self.file, "exec"), module.__dict__)
            except BaseException:
                del sys.modules[name]
                raise
        return getattr(sys.modules[name], self.name, None)


def _from_source(path: Path, module: str, package: str, name: str, place: str) -> Own:
    depth = module.count(".") + (path.name == "__init__.py")
    text = read_regular(path, "task file", MOST_SOURCE)
    source = Source(text, str(path), module, package, str(path.parents[depth]), name)
    try:
        function = source.made()
    except Exception as error:  # a user's module may raise anything
        raise WorkbenchError(f"task {shown(place)}: {type(error).__name__} while its module ran: {error}") from error
    if not callable(function):
        what = "not there" if function is None else "no function"
        raise WorkbenchError(f"task {shown(place)}: {name} is {what} in {shown(str(path))}.")
    around = vars(sys.modules[function.__module__]).values() if function.__module__ in sys.modules else ()
    used = sorted({h for value in around if (h := _file_sha256(value)) and h != hashlib.sha256(text).hexdigest()})
    digest = hashlib.sha256("\0".join([module, name, *used]).encode() + text).hexdigest()
    return _keep(Own(name, digest, function, pickle.dumps(source)))


def _file_sha256(value: Any) -> str:
    """Return the hash of the file of a module, or of what a module defines, where that is the user's own; nothing else."""
    module = value if isinstance(value, types.ModuleType) else sys.modules.get(getattr(value, "__module__", None) or "")
    file = _own_file(module)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file else ""


def _own_file(module: Any) -> Path | None:
    """Return the source of a module that no worker can be expected to have: not Python's, not installed, not Workbench's."""
    file = getattr(module, "__file__", None)
    if not file or module.__name__.partition(".")[0] in ("workbench", "__main__"):
        return None
    path = Path(file)
    installed = {"site-packages", "dist-packages"} & set(path.parts) or path.is_relative_to(_STANDARD)
    return None if installed or path.suffix != ".py" or not path.is_file() else path


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
    modules = [m for n in names if (m := sys.modules.get(n)) and _own_file(m)]
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
        return f"module {value.__name__} {getattr(value, '__version__', '')} {_file_sha256(value)}".encode()
    if isinstance(value, types.CodeType):
        consts = b"".join(_fingerprint(c, inner) for c in value.co_consts)
        return b"code" + value.co_code + repr((value.co_names, value.co_varnames, value.co_argcount)).encode() + consts
    if isinstance(value, types.FunctionType):
        if value.__module__ not in (None, "__main__") and not _own_file(sys.modules.get(value.__module__)):
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
        function = made.made() if isinstance(made, Source) else made
        found = _keep(Own(getattr(function, "__name__", "function"), sha256, function, packed))
    return found


def _keep(own: Own) -> Own:
    _known[own.sha256] = own
    return own
