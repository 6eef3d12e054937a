"""A library whose insides are used, and what is said when they are no longer there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from workbench.errors import WorkbenchError


class Library(NamedTuple):
    """A distribution, and the versions whose insides are known, as pip writes them (`>=2.3,<2.4`)."""

    name: str
    seen: str

    @contextlib.contextmanager
    def inside(self, what: str) -> Iterator[None]:
        """Guard an import of `what` that the library does not promise; raises WorkbenchError where it is not there."""
        try:
            yield
        except (ImportError, AttributeError) as error:
            raise self.changed(what) from error

    def attribute(self, owner: Any, name: str) -> Any:
        """Return an attribute that the library does not promise; raises WorkbenchError where it is not there."""
        try:
            return getattr(owner, name)
        except AttributeError as error:
            kind = owner.__name__ if isinstance(owner, type) else type(owner).__name__
            raise self.changed(f"{name} of {kind}") from error

    def changed(self, what: str) -> WorkbenchError:
        """Return the error for what is gone: the library, the version that is here, the versions that are known, what to do."""
        try:
            found = version(self.name)
        except PackageNotFoundError:
            return WorkbenchError(
                f"{self.name} is not installed, and {what} of it is needed. Run: pip install '{self.name}{self.seen}'"
            )
        return WorkbenchError(
            f"{self.name} {found} has no {what}, which Workbench needs and which {self.name}{self.seen} has. "
            f"Run: pip install '{self.name}{self.seen}'"
        )
