"""The order in which a plan's stages are run."""

from __future__ import annotations

from trials import make_record

from workbench.engine.plan import Plan
from workbench.engine.planning import make_plan
from workbench.engine.request import make_grid
from workbench.recipes.grid import expand
from workbench.values.task import TaskSpec


def planned() -> Plan:
    record = make_record()
    grid = make_grid({"prune": ["none", 0.3, 0.5], "quantize": ["float32", "int8"]}, None, None)
    return make_plan(
        expand(grid, "keras").recipes,
        record.model,
        record.dataset,
        grid,
        {"probabilities": TaskSpec(name="classification")},
        1,
    )


def queue(plan: Plan, trainings_wait: bool) -> list[str]:
    """The kinds of all stages in the order in which they would be taken, were all ready."""
    ranks = plan.ranks()
    return [plan.stages[k].kind for k in sorted(plan.stages, key=lambda k: ranks[k].place(trainings_wait))]


def test_what_needs_no_training_comes_first() -> None:
    plan = planned()
    ranks = plan.ranks()
    for wait in (True, False):
        order = sorted(plan.stages, key=lambda k: ranks[k].place(wait))
        first_trained = next(i for i, k in enumerate(order) if ranks[k].trained)
        assert not any(ranks[k].trained for k in order[:first_trained])
        assert all(ranks[k].trained for k in order[first_trained:])
        assert plan.ends[plan.baseline] in order[:first_trained]
    assert sum(r.training for r in ranks.values()) == 2
    untrained = [t for t, end in plan.ends.items() if not ranks[end].trained]
    assert len(untrained) == 2


def test_what_was_trained_is_finished_before_more_is_but_the_last_trainings_go_first() -> None:
    plan = planned()
    assert queue(plan, trainings_wait=True)[-2:] == ["train", "train"]
    kinds = queue(plan, trainings_wait=False)
    first_trained = sum(not r.trained for r in plan.ranks().values())
    assert kinds[first_trained : first_trained + 2] == ["train", "train"]


def test_the_longest_chain_comes_first_among_equals() -> None:
    plan = planned()
    ranks = plan.ranks()
    order = sorted((k for k, r in ranks.items() if not r.trained), key=lambda k: ranks[k].place(False))
    chains = [ranks[k].chain for k in order]
    assert chains == sorted(chains, reverse=True)
    for key, stage in plan.stages.items():
        assert all(
            ranks[parent].chain >= ranks[key].chain + plan.stages[parent].cost for parent in stage.parents.values()
        )
