"""Datasets by name or path: which reader takes it, and what stands behind the question mark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from workbench import registry
from workbench.data.base import DatasetReader
from workbench.data.dataset import Dataset, from_arrays
from workbench.data.images import no_classes
from workbench.data.pieces import Pieces, collect
from workbench.data.tf_data import is_tf_data, read_tf_data
from workbench.errors import WorkbenchError, shown, unknown
from workbench.files import kind_of
from workbench.values.base import build
from workbench.values.params import Params

# The names of the datasets that come with Workbench; workbench.data.bundled_sets reads them.
SETS = ("digits", "fashion")


class Named(NamedTuple):
    """What a user named: the text before the question mark without a reader's name, the options behind it, who reads it if anyone.

    `said` is whether the user named the reader.
    """

    text: str
    query: str
    reader: DatasetReader[Any] | None
    said: bool = False


def bundled(name: str) -> Path:
    """Return the path of a file in `datasets/`, in a checkout or in the installed package."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_bundled", package.parent / "datasets"):
        if (folder / name).exists():
            return folder / name
    raise WorkbenchError(f"bundled file {name!r} is missing from this installation. Reinstall tflite-workbench.")


def allowed() -> str:
    """Return what a dataset can be, as messages say it."""
    return ", ".join(
        [*(reader.takes for reader in registry.datasets.all().values()), "a dict of arrays", "tf.data datasets"]
    )


def load_dataset(data: Any, input_shape: tuple[int | None, ...] | None = None, scratch: Path | None = None) -> Dataset:
    """Return a dataset from a name or path (`READER:PATH` says who reads it), a dict of arrays, `tf.data` datasets or a Dataset.

    `input_shape`, with the batch first, is what images are sized to and rows of a table are shaped to. What is more than memory should hold lies
    in files of `scratch`, or of the temporary folder, as long as the dataset is used. Raises WorkbenchError for an unknown name,
    an unreadable file, or arrays that do not fit together.
    """
    if isinstance(data, Dataset):
        return data
    if is_tf_data(data):
        return collect(read_tf_data(data, input_shape), scratch)
    if isinstance(data, Mapping):
        return from_arrays(data)
    if not isinstance(data, (str, Path)):
        raise WorkbenchError(f"a dataset cannot be made of {type(data).__name__}. Allowed: {allowed()}.")
    named = find_reader(data)
    try:
        return _read(named, input_shape, scratch)
    except MemoryError:
        raise WorkbenchError(
            f"dataset {shown(named.text)} needs more memory than this process may take. Use fewer or smaller samples."
        ) from None


def takes_shape(data: Any) -> bool:
    """Whether a dataset is read to fit the model's input, as images and tables are; not where it cannot be read at all."""
    if not isinstance(data, (str, Path)):
        return is_tf_data(data)
    try:
        reader = find_reader(data).reader
    except WorkbenchError:
        return False
    return reader is not None and reader.fits_shape


def find_reader(data: str | Path) -> Named:
    """Return who reads what a user names; raises WorkbenchError where several strangers could, or it cannot be looked at."""
    whole, _, query = str(data).partition("?")
    named, text = registry.datasets.named(whole)
    if not text.strip():
        raise WorkbenchError(f"dataset {shown(str(data))} names no file or folder. Allowed: {allowed()}.")
    reader = named or registry.datasets.first(lambda reader: reader.matches(text), text)
    return Named(text, query, reader, named is not None)


def params_of(named: Named) -> tuple[DatasetReader[Any], Params]:
    """Return who reads what was named, and how; raises WorkbenchError where nobody does, or for an option that is none."""
    if named.reader is None:
        raise _refusal(named)
    return named.reader, build(named.reader.params, _options(named, named.reader), named.reader.options)


def _read(named: Named, input_shape: tuple[int | None, ...] | None, scratch: Path | None) -> Dataset:
    text, (reader, params) = named.text, params_of(named)
    with registry.datasets.blamed(reader.name, text):
        missing = reader.available()
        if missing:
            raise WorkbenchError(
                f"dataset {shown(text)} cannot be read here by {reader.name!r}: {missing}. `workbench doctor` lists what can."
            )
        found = reader.read(text, params, input_shape)
        if isinstance(found, Pieces):
            # Read as they are asked for, so a stranger's code is still at work here.
            found = collect(found, scratch)
    if not isinstance(found, Dataset):
        raise WorkbenchError(f"dataset {reader.name!r} made no Dataset of {shown(text)}, but {type(found).__name__}.")
    return found


def _refusal(named: Named) -> WorkbenchError:
    """Return the error for what no reader takes."""
    text, path = named.text, Path(named.text)
    kind = kind_of(path)
    if kind == "folder":
        return no_classes(path, f" Allowed: {allowed()}.")
    broken = registry.datasets.broken()
    left_out = f" {', '.join(broken)} could not be loaded; `workbench doctor` says why." if broken else ""
    if kind == "nothing" and not path.suffix and "/" not in text:
        ours = f"{', '.join(SETS)}, "
        return unknown("dataset", text, SETS, f"Or give one of: {allowed().removeprefix(ours)}.{left_out}")
    found = "does not exist" if kind == "nothing" else f"ends in {shown(path.suffix)}"
    return WorkbenchError(f"dataset file {shown(text)} {found}. Allowed: {allowed()}.{left_out}")


def _options(named: Named, reader: DatasetReader[Any]) -> dict[str, str]:
    """Return what stands behind the question mark; raises WorkbenchError for an option that is given twice, or where none is taken."""
    if named.query and not reader.params.model_fields:
        takers = ", ".join(n for n, r in registry.datasets.all().items() if r.params.model_fields)
        raise WorkbenchError(
            f"dataset {shown(named.text)} takes no options, but got {shown(named.query)}. Those of {takers} do, "
            "e.g. FOLDER?size=32x32, FILE.csv?label=class."
        )
    pairs = parse_qsl(named.query, keep_blank_values=True)
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise WorkbenchError(f"dataset {shown(named.text)} gets the option {shown(twice)} twice. Give it once.")
    return found
