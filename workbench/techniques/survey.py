"""What chains of trained steps will leave untouched of a model, told by the techniques themselves before any of them trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from workbench.techniques.base import KerasTechnique, Reach
from workbench.techniques.layers import places
from workbench.values.params import Params


class Link(NamedTuple):
    """A trained step as a survey takes it: the technique, with its parameters."""

    technique: KerasTechnique[Any]
    params: Params


class Answered(NamedTuple):
    """What the last step of a chain reaches, with the model that it was asked about; `error` where it will fail, no `reach` where nobody knows."""

    model: Any
    reach: Reach | None
    error: Exception | None


class Survey:
    """Asks techniques what they reach of a tf_keras model, each question once; a step is asked about what those before it make of the model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        # The models in it stay alive, so that their ids stay theirs.
        self._told: dict[tuple[int, str, str], Answered] = {}

    def chain(self, links: Sequence[Link]) -> Answered:
        """Return what the last of some steps reaches; an error of an earlier one is the chain's."""
        model, told = self.model, Answered(self.model, None, None)
        for technique, params in links:
            told = self._one(model, technique, params)
            if told.reach is None:
                return told
            model = told.reach.model
        return told

    def _one(self, model: Any, technique: KerasTechnique[Any], params: Params) -> Answered:
        params = technique.deciding(params)
        key = (id(model), technique.name, params.model_dump_json())
        if key not in self._told:
            try:
                self._told[key] = Answered(model, technique.reach(model, params), None)
            except (
                Exception
            ) as error:  # the step fails for the same reason when it runs; a stranger's may raise anything
                self._told[key] = Answered(model, None, error)
        return self._told[key]


def described(model: Any) -> list[dict[str, Any]]:
    """Return path, class, number of weights and their bytes of each layer that is no input and no model of layers; shared weights count once."""
    import tf_keras

    seen: set[int] = set()
    found = []
    for place in places(model):
        if isinstance(place.layer, tf_keras.layers.InputLayer):
            continue
        own = [w for w in place.layer.weights if id(w) not in seen]
        seen |= {id(w) for w in own}
        counts = [w.shape.num_elements() for w in own]
        sizes = [n * w.dtype.size for n, w in zip(counts, own, strict=True)]
        found.append(
            {"layer": place.path, "kind": type(place.layer).__name__, "weights": sum(counts), "bytes": sum(sizes)}
        )
    return found
