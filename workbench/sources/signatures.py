"""Which of a model's signatures is meant: the one that is named, or that the data fits."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.data.materialize import feeding_of
from workbench.errors import WorkbenchError, nearest
from workbench.values.source import Signature

# What is served where nothing else is said, which is what its maker meant it for.
SERVING = "serving_default"


def every(signature: Signature) -> dict[str, Signature]:
    """Return a model's signatures by name."""
    return {s.key: s for s in (signature, *signature.others)}


def named(signature: Signature, key: str | None, model: str) -> Signature:
    """Return the signature of that name, or the first; raises WorkbenchError where there is none of that name."""
    found = every(signature)
    if key is None:
        return signature
    if key not in found:
        raise WorkbenchError(
            f"model {model!r} has no signature {key!r}.{nearest(key, found)} Allowed: {', '.join(found)}."
        )
    return found[key]


def choose(
    signature: Signature, key: str | None, model: str, dataset: str, has: Mapping[str, tuple[int, ...]]
) -> Signature:
    """Return the signature that is named, or the one that samples of such shapes fit, by input name ("" for the only one).

    Where several fit, it is the one for serving. Raises WorkbenchError, which names all, where it is not clear.
    """
    if key is not None or not signature.others:
        return named(signature, key, model)
    found = every(signature)
    fitting = [k for k, s in found.items() if _fits(s, has)]
    if len(fitting) == 1:
        return found[fitting[0]]
    if SERVING in fitting:
        return found[SERVING]
    told = "; ".join(f"{k!r} takes {_told(s)}" for k, s in found.items())
    which = (
        "none of them"
        if not fitting
        else f"both {' and '.join(map(repr, fitting))}"
        if len(fitting) == 2
        else ", ".join(map(repr, fitting))
    )
    shapes = ", ".join(f"{n} {s}" if n else str(s) for n, s in has.items())
    raise WorkbenchError(
        f"model {model!r} has {len(found)} signatures: {told}. Dataset {dataset!r}, with samples of {shapes}, fits {which}. "
        "Name one with --signature NAME (Python: signature=NAME), or give data that fits."
    )


def _fits(signature: Signature, has: Mapping[str, tuple[int, ...]]) -> bool:
    names = [t.name for t in signature.inputs]
    if (list(has) == [""] and len(names) > 1) or (list(has) != [""] and sorted(has) != sorted(names)):
        return False
    try:
        feeding_of("", has, signature)
    except WorkbenchError:
        return False
    return True


def _told(signature: Signature) -> str:
    return ", ".join(
        f"{t.name} ({', '.join('any' if d is None else str(d) for d in t.shape)})" for t in signature.inputs
    )
