"""Tasks as users write them, `regression`, or one per output, `kind=classification,place=regression`; and which each output has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench import registry
from workbench.errors import WorkbenchError, unknown
from workbench.recipes.grammar import checked, parse_call, split_list
from workbench.tasks import own
from workbench.tasks.base import Shape
from workbench.tasks.choose import choose
from workbench.values.labels import LabelInfo
from workbench.values.task import TaskSpec


def parse_tasks(asked: Any, allow_code: bool = False) -> dict[str, TaskSpec]:
    """Return tasks by output name, "" for all outputs that have labels, from a text, a callable or a mapping; None asks for none.

    A text that names a user's function runs the module that it lies in, and is refused unless `allow_code`. Raises WorkbenchError for an
    unknown task, option or form.
    """
    if asked is None:
        return {}
    if isinstance(asked, Mapping):
        return {str(output): _task(one, allow_code) for output, one in asked.items()}
    if not isinstance(asked, str):
        return {"": _task(asked, allow_code)}
    found: dict[str, TaskSpec] = {}
    for part in split_list(asked):
        # An option of a task has an equals sign too, behind its bracket.
        output, equals, text = part.partition("=")
        named = bool(equals) and "[" not in output
        name = output.strip() if named else ""
        if name in found:
            raise WorkbenchError(f"--task {asked!r} names a task for {name or 'all outputs'!r} twice.")
        found[name] = _task((text if named else part).strip(), allow_code)
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
        if info is None:
            found[name] = TaskSpec(name="none", why=choose(None, shape, name).why)
        elif spec is not None:
            found[name] = _fitted(spec, name, info, outputs)
        elif info.boxes and (spec := _four_outputs(name, info, outputs)):
            found[name] = spec
        else:
            chosen = choose(info, shape, name)
            found[name] = TaskSpec(name=chosen.task, why=chosen.why)
    for name, spec in list(found.items()):
        for other in spec.reads:
            if other != name and other not in known:
                found[other] = TaskSpec(name="none", why=f"{spec.name} of {name} reads it")
    return found


def _fitted(spec: TaskSpec, name: str, labels: LabelInfo, outputs: Mapping[str, Shape]) -> TaskSpec:
    """Return a task that was asked for with the outputs that it reads; raises WorkbenchError where it cannot work or does not fit."""
    task = registry.tasks.get(spec.name)
    if missing := task.available():
        raise WorkbenchError(f"task {spec.name!r} cannot work here: {missing}")
    params = task.params.model_validate(spec.options)
    reads = task.reads(params, name, outputs)
    if misfit := task.unfit(params, labels, {n: outputs[n] for n in reads}):
        raise WorkbenchError(f"task {spec.name!r} does not fit output {name!r}: {misfit}. Choose another --task.")
    return spec.model_copy(update={"why": spec.why or "it was asked for", "reads": () if reads == (name,) else reads})


def _four_outputs(name: str, labels: LabelInfo, outputs: Mapping[str, Shape]) -> TaskSpec | None:
    """Return detection where the outputs are the four of TFLite_Detection_PostProcess, which nothing else has, or None."""
    spec = TaskSpec(
        name="detection", why="labels are boxes, and the outputs are the four of TFLite_Detection_PostProcess"
    )
    task = registry.tasks.get(spec.name)
    try:
        task.reads(task.params(), name, outputs)
    except WorkbenchError:
        return None
    return _fitted(spec, name, labels, outputs)


def _task(asked: Any, allow_code: bool) -> TaskSpec:
    if callable(asked):
        found = own.from_callable(asked)
        return TaskSpec(
            name="function", options={"name": found.name, "sha256": found.sha256}, why=f"your own {found.name}"
        )
    if not isinstance(asked, str):
        raise WorkbenchError(
            f"task {asked!r} is not understood. Allowed: a name, a function, or a dict from output to these."
        )
    head, colon, _ = asked.partition(":")
    if colon and "[" not in head and head not in registry.tasks.names():
        if not allow_code:
            raise WorkbenchError(
                f"task {asked!r} runs code of yours. Allow it with --allow-code (Python: allow_code=True), or give the function itself in Python, task=function."
            )
        found = own.from_place(asked)
        return TaskSpec(
            name="function", options={"name": found.name, "sha256": found.sha256}, why=f"{asked} was asked for"
        )
    name, primary, options = parse_call(asked, "task")
    params = registry.tasks.get(name).params
    if name == "function":
        raise WorkbenchError("task 'function' is named as path.py:function or module:function, with --allow-code.")
    if primary is not None and params.primary is None:
        raise WorkbenchError(f"task {asked!r}: options go into brackets, e.g. {name}[key=value].")
    if primary is not None:
        options = {**options, str(params.primary): primary}
    return TaskSpec(name=name, options=checked(params, dict(options), f"task {name!r}").to_json())
