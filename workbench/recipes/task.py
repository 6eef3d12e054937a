"""Tasks as users write them, `regression`, or one per output, `kind=classification,place=regression`; and which each output has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench import registry
from workbench.errors import WorkbenchError, unknown
from workbench.recipes.grammar import checked, parse_call, split_list
from workbench.tasks.base import Shape
from workbench.tasks.choose import choose
from workbench.values.labels import LabelInfo
from workbench.values.task import TaskSpec


def parse_tasks(asked: Any) -> dict[str, TaskSpec]:
    """Return tasks by output name, "" for all outputs that have labels, from a text or a mapping; None asks for none.

    Raises WorkbenchError for an unknown task, option or form.
    """
    if asked is None:
        return {}
    if isinstance(asked, Mapping):
        return {str(output): _task(str(text)) for output, text in asked.items()}
    if not isinstance(asked, str):
        raise WorkbenchError(f"task {asked!r} is not understood. Allowed: a name, or a dict from output to name.")
    found: dict[str, TaskSpec] = {}
    for part in split_list(asked):
        # An option of a task has an equals sign too, behind its bracket.
        output, equals, text = part.partition("=")
        named = bool(equals) and "[" not in output
        name = output.strip() if named else ""
        if name in found:
            raise WorkbenchError(f"--task {asked!r} names a task for {name or 'all outputs'!r} twice.")
        found[name] = _task((text if named else part).strip())
    return found


def choose_tasks(
    labels: Mapping[str, LabelInfo], outputs: Mapping[str, Shape], asked: Mapping[str, TaskSpec] | None = None
) -> dict[str, TaskSpec]:
    """Return the task of every output, in the order of the outputs, those without labels included.

    `labels` by output name, "" being the first output's; `asked` by output name overrides, "" for all that have labels.
    Raises WorkbenchError for unknown names, and for labels that fit no task, or not the one that was asked for.
    """
    first, wanted = next(iter(outputs)), dict(asked or {})
    known = {name or first: info for name, info in labels.items()}
    for name in [*known, *(n for n in wanted if n)]:
        if name not in outputs:
            raise unknown(
                "output", name, outputs, "Labels and tasks of several outputs go by the names of the outputs."
            )
    found: dict[str, TaskSpec] = {}
    for name, shape in outputs.items():
        info, spec = known.get(name), wanted.get(name, wanted.get(""))
        if info is None or spec is None:
            chosen = choose(info, shape, name)
            found[name] = TaskSpec(name=chosen.task, why=chosen.why)
            continue
        task = registry.tasks.get(spec.name)
        misfit = task.misfit(info, shape)
        if misfit:
            raise WorkbenchError(f"task {spec.name!r} does not fit output {name!r}: {misfit}. Choose another --task.")
        found[name] = spec.model_copy(update={"why": "it was asked for"})
    return found


def _task(text: str) -> TaskSpec:
    name, primary, options = parse_call(text, "task")
    if primary is not None:
        raise WorkbenchError(f"task {text!r}: options go into brackets, e.g. {name}[key=value].")
    params = registry.tasks.get(name).params
    return TaskSpec(name=name, options=checked(params, dict(options), f"task {name!r}").to_json())
