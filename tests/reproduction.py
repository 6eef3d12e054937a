"""Two studies of the same grid side by side: what came out equal, and where and by how much the rest differs.

With one seed, one machine and the same threads per worker (cores divided by workers) all files came out equal, bit by bit. How many workers there
are makes no difference, how many threads each has does: sums are then made in another order, and what is trained or clustered differs.
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.recipes.grammar import step_text
from workbench.values.base import Value
from workbench.values.recipe import Recipe
from workbench.values.trial import Trial


class Difference(Value):
    """A recipe that came out otherwise: `step` is the first of its chain of steps whose own recipes differ too; changes are other minus one."""

    id: str
    recipe: str
    step: str
    hash_differs: bool
    size_change: int | None = None
    accuracy_change: float | None = None
    state: str = ""

    @property
    def text(self) -> str:
        """The difference in words."""
        parts = [f"state {self.state}"] if self.state else []
        parts += ["other bytes"] if self.hash_differs else []
        parts += [f"{self.size_change:+d} bytes"] if self.size_change else []
        parts += [f"accuracy {100 * self.accuracy_change:+.2f} points"] if self.accuracy_change else []
        if self.hash_differs and not self.size_change and not self.accuracy_change:
            parts.append("same size and accuracy")
        return f"{self.recipe}: {', '.join(parts)}; first differs at `{self.step}`"


class Reproduction(Value):
    """What two studies have in common: ids in both, those of one alone, those with equal artifacts, and the differences."""

    common: tuple[str, ...]
    only_one: tuple[str, ...]
    only_other: tuple[str, ...]
    identical: tuple[str, ...]
    differences: tuple[Difference, ...]

    @property
    def same_ids(self) -> bool:
        """Whether both have the same recipes."""
        return not self.only_one and not self.only_other

    @property
    def same_sizes(self) -> bool:
        """Whether every file has the same number of bytes."""
        return not any(d.size_change or d.state for d in self.differences)

    @property
    def same_accuracies(self) -> bool:
        """Whether every accuracy is the same."""
        return not any(d.accuracy_change or d.state for d in self.differences)

    @property
    def bit_identical(self) -> bool:
        """Whether every file is the same, bit by bit."""
        return self.same_ids and not self.differences

    @property
    def text(self) -> str:
        """The comparison in lines."""
        lines = [f"{len(self.identical)} of {len(self.common)} recipes bit-identical"]
        for name, missing in (("first", self.only_one), ("second", self.only_other)):
            if missing:
                lines.append(f"only in the {name}: {', '.join(missing)}")
        return "\n".join([*lines, *(d.text for d in self.differences)])


def compare(one: Sequence[Trial], other: Sequence[Trial]) -> Reproduction:
    """Compare two studies of one grid by recipe, whatever its settings (of two, the last one): state, artifact hash, sizes, accuracy; times are not compared, they are measured."""
    left, right = {_recipe(t): t for t in one}, {_recipe(t): t for t in other}
    common = [i for i in left if i in right]
    # Chains of steps of which every recipe that ends right after them came out equal are sound.
    apart = {i for i in common if _differs(left[i], right[i])}
    found = [
        _difference(left[i], right[i], _first(left[i], [left[j] for j in common], apart)) for i in common if i in apart
    ]
    return Reproduction(
        common=tuple(common),
        only_one=tuple(left[i].recipe for i in left if i not in right),
        only_other=tuple(right[i].recipe for i in right if i not in left),
        identical=tuple(i for i in common if i not in apart),
        differences=tuple(found),
    )


def _differs(one: Trial, other: Trial) -> bool:
    return (
        one.state != other.state
        or _sha(one) != _sha(other)
        or one.size != other.size
        or _figure(one, "accuracy") != _figure(other, "accuracy")
        or _figure(one, "agreement") != _figure(other, "agreement")
    )


def _first(trial: Trial, trials: Sequence[Trial], apart: set[str]) -> str:
    """Return the text of the first step after which no recipe of the study came out equal.

    A step is cleared by a recipe with the same steps up to there that is equal in both studies. The last step is named where all
    before it are cleared.
    """
    for length in range(1, len(trial.steps)):
        prefix = trial.steps[:length]
        sharing = [t for t in trials if t.steps[:length] == prefix]
        if all(_recipe(t) in apart for t in sharing):
            return step_text(trial.steps[length - 1])
    return step_text(trial.steps[-1])


def _difference(one: Trial, other: Trial, step: str) -> Difference:
    sizes = (one.size, other.size)
    return Difference(
        id=one.id,
        recipe=one.recipe,
        step=step,
        hash_differs=_sha(one) != _sha(other),
        size_change=sizes[1].file - sizes[0].file if sizes[0] and sizes[1] else None,
        accuracy_change=_change(one, other, "accuracy"),
        state=f"{one.state}, then {other.state}" if one.state != other.state else "",
    )


def _recipe(trial: Trial) -> str:
    """Return the id of a trial's recipe; its own covers settings and tools besides."""
    return Recipe(steps=trial.steps).id if trial.steps else trial.id


def _sha(trial: Trial) -> str | None:
    return trial.artifact.sha256 if trial.artifact else None


def _figure(trial: Trial, name: str) -> float | None:
    value: float | None = getattr(trial.quality, name) if trial.quality else None
    return value


def _change(one: Trial, other: Trial, name: str) -> float | None:
    before, after = _figure(one, name), _figure(other, name)
    return None if before is None or after is None else after - before
