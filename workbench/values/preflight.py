"""What trained techniques can do with a model's layers, and what those asked for will leave untouched: told before anything is trained."""

from __future__ import annotations

from typing import Literal

from workbench.values.base import Count, Value
from workbench.values.source import SourceKind


class LayerLeft(Value):
    """A layer that a step leaves as it is, or some of its weights: its full name, why, how many weights, and their share of the model's."""

    layer: str
    why: str
    weights: Count
    share: float


class Can(Value):
    """Whether a step works on a layer: on all that it has for it, on a part, on nothing; "" where the layer has nothing for it to do."""

    state: Literal["yes", "part", "no", ""] = ""
    why: str = ""


class LayerSize(Value):
    """A layer by its full name (`base/conv2d`), with its class, its number of weights and their bytes."""

    layer: str
    kind: str
    weights: Count
    bytes: Count


class LayerFacts(LayerSize):
    """A layer with what trained techniques can do with it."""

    prunable: Can = Can()
    clusterable: Can = Can()
    quantizable: Can = Can()


class ChainReach(Value):
    """What the last step of a chain leaves, and what it reaches: layers with a remark; `error` is why it will fail; nothing of all where nobody knows."""

    error: str | None
    reached: dict[str, str] | None = None
    left: tuple[LayerLeft, ...] = ()


class Surveyed(Value):
    """What a look at a model told: its layers, and of chains of steps, in the order in which they were asked about, what the last one leaves."""

    layers: tuple[LayerSize, ...]
    chains: tuple[ChainReach, ...]


class StepPreflight(Value):
    """What one technique leaves untouched in the recipes `asked`, whose last step it is; `error` is why it will fail there.

    Where it is not `known`, only running the technique tells: a third party's that does not say.
    """

    technique: str
    asked: tuple[str, ...]
    left: tuple[LayerLeft, ...] = ()
    error: str | None = None
    known: bool = True

    @property
    def share(self) -> float:
        """The share of the model's weights that is left untouched."""
        return sum(item.share for item in self.left)


class Preflight(Value):
    """A model's layers and what steps leave of them; `layers` is empty, and `notes` say why, where a source has none to tell of."""

    model: str
    kind: SourceKind
    sha256: str
    weights: Count
    bytes: Count
    layers: tuple[LayerFacts, ...]
    steps: tuple[StepPreflight, ...]
    notes: tuple[str, ...] = ()
