"""A plan that grows while it is run: what comes late is built beside the rest, and ends at once where what it needs has failed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from workbench.engine.build import Builder, Growth
from workbench.engine.events import Event
from workbench.engine.plan import Plan
from workbench.store.store import Store

Result = dict[str, Any]


class Done:
    """A future that has ended."""

    status = "finished"

    def __init__(self, result: Result) -> None:
        self.result = lambda: result

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        call(self)


class Workers:
    """Two workers on which every stage fails with what the test says; `ran` are the stages in the order in which they began."""

    def __init__(self, say: Callable[[str], str]) -> None:
        self.say = say
        self.ran: list[str] = []

    def workers(self) -> list[str]:
        return ["a", "b"]

    def submit(self, worker: str, name: str, function: Any, kind: str, payload: Result, *_: Any) -> Done:
        self.ran.append(payload["name"])
        return Done({"error": self.say(payload["name"]), "seconds": 1.0})


class Grows(Growth):
    """Brings stages once the first result is there, then those that the next list holds."""

    def __init__(self, late: list[Callable[[], str]], ended: list[str]) -> None:
        self.late, self.ended = late, ended

    @property
    def left(self) -> int:
        return len(self.late)

    def more(self) -> list[str]:
        return [self.late.pop(0)()] if self.ended and self.late else []


def test_what_comes_late_is_run_and_what_it_needs_is_not_run_again(tmp_path: Path) -> None:
    plan, ended, told = Plan(), list[str](), list[Event]()

    def stage(name: str, *before: str) -> str:
        parents = {f"from {i}": key for i, key in enumerate(before)}
        return plan.add("finish" if before else "import", name, {"name": name}, {}, parents, tools=())

    first = stage("first")
    pool: Any = Workers(lambda name: f"{name} is broken")
    builder = Builder(plan, Store(tmp_path), lambda _: pool, 2, 60.0, told.append, threading.Event())
    late = [lambda: stage("child", first), lambda: stage("other"), lambda: stage("grandchild", stage("child", first))]
    results = builder.run(
        [first], lambda _: None, lambda key, _: ended.append(plan.stages[key].label), Grows(late, ended)
    )
    assert pool.ran == ["first", "other"], "a stage whose parent failed does not begin, nor does the parent again"
    assert ended == ["first", "child", "grandchild", "other"]
    assert {plan.stages[k].label: r["error"] for k, r in results.items()} == {
        **dict.fromkeys(["first", "child", "grandchild"], "first is broken"),
        "other": "other is broken",
    }
    stages = [e for e in told if e.kind == "stage-failed"]
    assert [(e.done, e.total, e.failed) for e in stages] == [(3, 4, 3), (4, 4, 4)]


def test_more_to_come_counts_in_what_is_left(tmp_path: Path) -> None:
    plan, ended, told = Plan(), list[str](), list[Event]()

    def stage(name: str) -> str:
        return plan.add("import", name, {"name": name}, {})

    class Held(Grows):
        def more(self) -> list[str]:
            # Only after all before it have ended.
            return super().more() if len(self.ended) == len(plan.stages) else []

    pool: Any = Workers(lambda name: "broken")
    builder = Builder(plan, Store(tmp_path), lambda _: pool, 1, 60.0, told.append, threading.Event())
    late: list[Callable[[], str]] = [partial(stage, f"late {i}") for i in range(3)]
    builder.run([stage("a"), stage("b")], lambda _: None, lambda key, _: ended.append(key), Held(late, ended))
    assert [(e.done, e.total) for e in told if e.kind == "stage-failed"] == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
