"""HTML from Jinja templates: whatever a template is given is escaped."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import resources
from typing import Any


def template(source: str, **filters: Callable[[str], Any]) -> Any:
    """Return a Jinja template of HTML: values are escaped, and a name that it is not given is an error."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(filters)
    return environment.from_string(source)


@functools.cache
def macros(package: str, name: str) -> Any:
    """Return the macros of a template that lies in a package, as functions that return HTML."""
    return template(resources.files(package).joinpath(name).read_text(encoding="utf-8")).module
