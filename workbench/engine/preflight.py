"""What trained steps will leave untouched of a model: which ones are asked about, by what stage, and what its answer means."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from workbench import registry
from workbench.engine import warn
from workbench.engine.build import Builder
from workbench.engine.damage import usable
from workbench.engine.engine import Engine
from workbench.engine.events import Event, Listener
from workbench.engine.plan import Plan
from workbench.engine.planning import add_opening, source_identity
from workbench.engine.pool import Pool
from workbench.errors import WorkbenchError
from workbench.recipes import grammar
from workbench.recipes.grid import Grid, expand
from workbench.store.reader import Reader
from workbench.store.store import Store
from workbench.store.use import in_use
from workbench.techniques.base import KerasTechnique
from workbench.values.preflight import Can, ChainReach, LayerFacts, LayerSize, Preflight, StepPreflight, Surveyed
from workbench.values.recipe import Recipe, Step
from workbench.values.settings import StageLimits
from workbench.values.source import ModelInfo

Chain = tuple[Step, ...]
# The columns of the table of layers, by the technique that answers.
COLUMNS = {"prunable": "prune", "clusterable": "cluster", "quantizable": "qat"}
POST_TRAINING = "Post-training schemes (`int8`, `dynamic`, ...) work on the whole model without training; what they leave float is read back from the file"


class Asked(NamedTuple):
    """Chains of trained steps as they are asked about, and each by those of its parameters that decide the answer."""

    chains: tuple[Chain, ...]

    @property
    def deciding(self) -> dict[Chain, Chain]:
        """The chains that are sent to a worker, by those asked about."""
        return {chain: tuple(_deciding(step) for step in chain) for chain in self.chains}

    @property
    def sent(self) -> list[Chain]:
        """What a worker is asked: each distinct chain once, with those of the table of layers, in an order of their own."""
        columns = [(step,) for step in _columns().values()]
        return sorted({*self.deciding.values(), *columns}, key=lambda chain: (len(chain), _text(chain)))


def asked_of(recipes: Iterable[Recipe]) -> Asked:
    """Return the chains that recipes train, shorter ones within longer ones too."""
    found = {r.prefix[: n + 1]: None for r in recipes for n in range(len(r.prefix))}
    return Asked(tuple(sorted(found, key=len)))


def asked_by(grid: Grid | None) -> Asked:
    """Return the chains of a grid, on a model that takes all of them; of every technique by itself where there is no grid.

    A grid without schemes ends in int8, which goes with all of them. Raises WorkbenchError for steps that do not go together.
    """
    if grid is None or not (grid.axes or grid.recipes):
        trained = [n for n, t in registry.techniques.all().items() if isinstance(t, KerasTechnique)]
        return Asked(tuple((grammar.make_step(name, {}),) for name in trained))
    axes = dict(grid.axes)
    if axes and not any(registry.techniques.get(name).level == "flatbuffer" for name in axes):
        axes["quantize"] = (grammar.make_step("quantize", {"scheme": "int8"}),)
    return asked_of(expand(grid.model_copy(update={"axes": axes}), "keras").recipes)


def add_survey(plan: Plan, model: ModelInfo, asked: Asked) -> str:
    """Add the stage that asks the techniques, and return its key."""
    names = dict.fromkeys(step.technique for chain in asked.sent for step in chain)
    techniques = {name: registry.techniques.get(name) for name in names}
    identity = {
        **source_identity(model),
        "chains": [[{"technique": s.technique, "params": s.params} for s in chain] for chain in asked.sent],
        "versions": {name: t.version for name, t in techniques.items()},
    }
    tools = (*registry.sources.get(model.kind).tools, *(tool for t in techniques.values() for tool in t.tools))
    payload = {"source": model.to_json()}
    label = f"look at the layers of {model.name}"
    return plan.add("survey", label, identity, payload, add_opening(plan, model), tuple(dict.fromkeys(tools)))


def run_preflight(
    model: ModelInfo, asked: Asked, store: Store, engine: Engine, listener: Listener, cancel: threading.Event
) -> Preflight:
    """Return what is known of a model's layers, from the store or a worker. Raises WorkbenchError where the model cannot be loaded."""
    if model.kind != "keras":
        return answer(model, asked, None)
    plan = Plan()
    key = add_survey(plan, model, asked)

    def pool(tensorflow: bool) -> Pool:
        return engine.pool(store.logs, tensorflow)

    def wait() -> None:
        listener(Event("waiting", "prepare", "waiting for another sweep to end"))

    builder = Builder(plan, store, pool, engine.jobs, StageLimits().stage_seconds, listener, cancel)
    with engine.turn(cancel, wait), in_use(store.root, cancel.is_set, wait):
        result = builder.run([key], lambda _: None, lambda _, __: None)[key]
    if "error" in result:
        raise WorkbenchError(result["error"])
    return answer(model, asked, Surveyed.model_validate(result["data"]))


def kept_preflight(model: ModelInfo, asked: Asked, store: Reader) -> Preflight | None:
    """Return what the store, or the kind of model, already tells; None where a worker has to look."""
    if model.kind != "keras":
        return answer(model, asked, None)
    plan = Plan()
    key = add_survey(plan, model, asked)
    found = store.stages([key]).get(key)
    if found is None or "error" in found or not usable(plan.stages[key], found):
        return None
    return answer(model, asked, Surveyed.model_validate(found["data"]))


def answer(model: ModelInfo, asked: Asked, found: Surveyed | None) -> Preflight:
    """Return what a look at a model means for the chains asked about; no look is needed where it has no layers to train."""
    layers: tuple[LayerFacts, ...] = ()
    if found is None:
        chains = {c: ChainReach(error=_refusal(c[-1], model)) for c in asked.deciding.values()}
    else:
        chains = dict(zip(asked.sent, found.chains, strict=True))
        layers = tuple(_layer(layer, chains) for layer in found.layers)
    notes = [POST_TRAINING]
    if looped := [layer.layer for layer in layers if _loops(layer.kind)]:
        notes.append(
            f"The loop of {', '.join(looped[:5])} has no integer form: `int8`, `int8-float-io` and `int16x8` will fail where it is not unrolled (`unroll=True`); `dynamic` and `float16` work"
        )
    if not layers:
        notes.insert(
            0,
            f"{model.name} is a {_WHAT[model.kind]}, without layers that could be trained: only post-training schemes can be asked for",
        )
    return Preflight(
        model=model.name,
        kind=model.kind,
        sha256=model.sha256,
        weights=sum(layer.weights for layer in layers),
        bytes=sum(layer.bytes for layer in layers),
        layers=layers,
        steps=_steps(asked, chains),
        notes=tuple(notes),
    )


def _loops(kind: str) -> bool:
    """Whether a layer of that class becomes a loop in the file; an LSTM becomes one operator."""
    return any(name in kind for name in ("GRU", "SimpleRNN", "ConvLSTM"))


_WHAT = {"keras": "model that cannot be made one of tf_keras", "savedmodel": "SavedModel", "tflite": ".tflite file"}


def lines(found: Preflight) -> list[str]:
    """Return in a few words what asked techniques leave, and which will fail; nothing where they reach all there is."""
    told: dict[tuple[str, ...], str] = {}
    for step in found.steps:
        if step.error:
            told.setdefault((step.technique, step.error), f"{step.asked[0]} will fail: {step.error}")
        elif step.left:
            # The same after other steps goes by other names there, and by another share of what they made smaller.
            key = (step.technique, *sorted(f"{item.weights} {item.why}" for item in step.left))
            seen = warn.left_layers(step.technique, [item.to_json() for item in step.left]).seen
            told.setdefault(key, seen)
    return list(told.values())


def _refusal(step: Step, model: ModelInfo) -> str:
    technique, params = grammar.resolve(step)
    return technique.check(params, (), model.kind) or f"`{step.technique}` needs a Keras model"


def _steps(asked: Asked, chains: dict[Chain, ChainReach]) -> tuple[StepPreflight, ...]:
    """Return one entry for what is the same of one technique."""
    found: dict[tuple[str, str], list[str]] = {}
    for chain, deciding in asked.deciding.items():
        told = chains[deciding]
        alike = told.model_copy(update={"reached": {} if told.reached is not None else None})
        key = (chain[-1].technique, alike.model_dump_json())
        found.setdefault(key, []).append(_text(chain))
    return tuple(
        _step(technique, ChainReach.model_validate_json(text), texts) for (technique, text), texts in found.items()
    )


def _step(technique: str, told: ChainReach, texts: Sequence[str]) -> StepPreflight:
    known = told.error is not None or told.reached is not None
    return StepPreflight(technique=technique, asked=tuple(texts), left=told.left, error=told.error, known=known)


def _layer(size: LayerSize, chains: dict[Chain, ChainReach]) -> LayerFacts:
    can = {column: _can(size.layer, chains[(step,)]) for column, step in _columns().items()}
    return LayerFacts(**size.to_json(), **can)


def _columns() -> dict[str, Step]:
    """Return the steps whose answers are the columns of the table of layers."""
    return {column: _deciding(grammar.make_step(name, {})) for column, name in COLUMNS.items()}


def _can(layer: str, told: ChainReach) -> Can:
    if told.error is not None:
        return Can(state="no", why=told.error)
    why = "; ".join(dict.fromkeys(item.why for item in told.left if item.layer == layer))
    reached = told.reached or {}
    if why:
        return Can(state="part" if layer in reached else "no", why=why)
    return Can(state="yes", why=reached[layer]) if layer in reached else Can()


def _deciding(step: Step) -> Step:
    technique, params = grammar.resolve(step)
    if not isinstance(technique, KerasTechnique):
        raise TypeError(f"{step.technique} does not work on a Keras model")
    return grammar.make_step(step.technique, technique.deciding(params).to_json())


def _text(chain: Chain) -> str:
    return "+".join(grammar.step_text(step) for step in chain)
