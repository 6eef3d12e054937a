"""Hashes of what goes into a run, taken without loading it: quick, and enough to know that it is unchanged."""

from __future__ import annotations

from pathlib import Path

from workbench import registry
from workbench.data.load import find_reader, params_of
from workbench.files import file_sha256, kind_of
from workbench.values.base import digest


def data_sha256(told: str) -> str:
    """Return a hash of a dataset's content, its options, and its reader where one is named.

    Raises WorkbenchError for what no reader takes, a missing file, and options that are none.
    """
    named = find_reader(told)
    reader, params = params_of(named)
    with registry.datasets.blamed(reader.name, named.text):
        found = reader.sha256(named.text)
        further = [file_sha256(path) for path in reader.further(params)]
    said = [*([reader.name] if named.said else []), *further]
    return (
        digest([found, named.query, *said]) if named.query or said or kind_of(Path(named.text)) == "folder" else found
    )
