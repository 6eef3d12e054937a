"""Warnings that follow from comparing a trial with the baseline and from its measurements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench import registry
from workbench.errors import WorkbenchError
from workbench.flatbuffer.shares import shares_of
from workbench.recipes import grammar
from workbench.values.explained import explain
from workbench.values.recipe import Step
from workbench.values.trial import Agreement, Measurement, Quality, Trial
from workbench.values.warning import Warning_, warning
from workbench.views.runtimes import size_of_inputs

# A loss of accuracy above this is worth a word (2 points).
DROP = 0.02
# Of an error, a rise by this share of the baseline's.
WORSE = 0.1
# Noise of a tenth of the signal, or another top class in one of sixteen samples, is more than rounding.
DIFFERS_DB = 20.0
DIFFERS_AGREEMENT = 0.95
# Operators that are left out of an accelerator's work are a note while they are less than this share (1 %) of the time by operator where
# that is known, else of both the weights' bytes and the activations' elements.
LITTLE = 0.01
_HELD = {"float16": "as float16", "sparse": "in sparse form"}
# Layers that a trained step does not reach are a note while they hold less than this share of the weights.
FEW = 0.05
MEASURED = (
    "slower-than-baseline",
    "reference-kernels",
    "partial-delegation",
    "delegate-differs",
    "software-device",
    "several-a-call",
    "open-size",
    "noisy-measurement",
)


# Operators of LiteRT that have state by their definition, in variable tensors.
STATEFUL = (
    *("UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "LSTM", "SVDF"),
    *("UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN", "RNN"),
)
QUANTIZED_WHOLE = ("int8", "int8-float-io")
# By step, what of it may have been too much; by scheme, what rounds less.
_LESS = {
    "prune": "a lower sparsity",
    "cluster": "more clusters",
    "qat": "more epochs of `qat`, or a lower learning rate",
}
_INTEGERS = (
    "`int16x8`, which keeps activations in 16 bits (columns of very different scale share one scale of 8)",
    "`qat` before the scheme",
    "more calibration samples",
)
_MORE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(QUANTIZED_WHOLE, _INTEGERS),
    "int16x8": ("`dynamic` or `float16`, which leave activations float", "more calibration samples"),
    "dynamic": ("`weight-only-int8` or `float16`, which leave activations float",),
    "weight-only-int8": ("`float16`",),
    **dict.fromkeys(("int4-dynamic", "int4-weight-only"), ("a scheme of 8 bits", "`int4-block32`")),
    "int4-block32": ("a scheme of 8 bits",),
    "float16": ("`float32`",),
}


def after_build(trial: Trial, baseline: Trial | None, notes: list[str]) -> tuple[Warning_, ...]:
    """Return what comparing quality with the baseline and the way of conversion gives."""
    found: list[Warning_] = []
    if notes:
        found.append(warning("slow-conversion", notes[0], "note"))
    found += _state(trial)
    if trial.quality and baseline and baseline.quality and not trial.baseline:
        advice = more_exact(trial.steps)
        found += [w.model_copy(update={"advice": advice}) for w in _dropped(trial.quality, baseline.quality)]
    return tuple(found)


def _state(trial: Trial) -> list[Warning_]:
    """Return that a file remembers what it was called with: figures are of samples that each begin anew."""
    held = [name for name in STATEFUL if trial.census and name in trial.census.operators]
    if not held:
        return []
    seen = f"{', '.join(held)} keeps its state from one call to the next; quality here is of samples before each of which the state was reset"
    return [warning("keeps-state", seen)]


def more_exact(steps: Sequence[Step]) -> str:
    """Return what may bring back what these steps lost, of what they leave open."""
    names, scheme = [s.technique for s in steps], str(steps[-1].params.get("scheme", "")) if steps else ""
    tries = [advice for name, advice in _LESS.items() if name in names]
    tries += () if "qat" in names and scheme in QUANTIZED_WHOLE else _MORE.get(scheme, ())
    return f"Try {', or '.join(tries)}." if tries else "Look at what the last step does."


def of_import(unfolded: dict[str, int]) -> tuple[Warning_, ...]:
    """Return what was unfolded of a `.tflite` source: bytes of weights by how they were held, and of the `source` itself."""
    held = [f"{unfolded[k]:,} bytes {said}" for k, said in _HELD.items() if unfolded.get(k)]
    if not held:
        return ()
    seen = f"the source ({unfolded['source']:,} bytes) holds weights, {' and '.join(held)}; here they are float32, with the same values"
    return (warning("unfolded-weights", seen, "note"),)


def left_layers(technique: str, left: list[dict[str, Any]]) -> Warning_:
    """Return what a trained step did not reach: `left` has a layer, why, and its share of the model's weights each; a note where they are few."""
    share = sum(item["share"] for item in left)
    reasons: dict[str, list[str]] = {}
    for item in left:
        reasons.setdefault(item["why"], []).append(item["layer"])
    told = "; ".join(f"{_named(layers)} ({why})" for why, layers in reasons.items())
    layers = len({item["layer"] for item in left})
    many = f"{layers} layer{'s' if layers > 1 else ''}, {share:.1%} of the weights".replace("%", " %")
    return warning("layers-left", f"{technique} does not reach {many}: {told}", "note" if share < FEW else "warning")


def _named(layers: list[str]) -> str:
    unique = list(dict.fromkeys(layers))
    return ", ".join(unique[:5]) + (f" and {len(unique) - 5} more" if len(unique) > 5 else "")


def explained(warnings: tuple[Warning_, ...], recipe: str) -> tuple[Warning_, ...]:
    """Return warnings of a recipe's file, what is known of one in its advice."""
    known = {w: explain(f"{recipe}: {w.seen}") for w in warnings}
    return tuple(w.model_copy(update={"advice": f"{w.advice} {k.text}"}) if (k := known[w]) else w for w in warnings)


def _dropped(mine: Quality, base: Quality) -> list[Warning_]:
    """Return a warning for the first figure of each output that is clearly worse than the baseline's, with the interval of its loss."""
    found, seen = [], set()
    for figure in mine.figures:
        if figure.output in seen:
            continue
        seen.add(figure.output)
        loss, before = figure.loss, base.figure(figure.key)
        if loss is None or before is None or loss.low <= 0:
            # Nothing was lost, or no more than so few samples may show by chance.
            continue
        if loss.value > (DROP if figure.unit == "share" else WORSE * abs(before.value)):
            many = 100 if figure.unit == "share" else 1
            unit = " points" if figure.unit == "share" else ""
            found.append(
                warning(
                    "accuracy-dropped",
                    f"{figure.key} {figure.value:.4g}, baseline {before.value:.4g}: worse by {many * loss.value:.3g}{unit} "
                    f"(95 % interval {many * loss.low:.3g} to {many * loss.high:.3g})",
                )
            )
    return found


def after_measuring(
    measurement: Measurement, narrow: bool, is_baseline: bool, file: Path | None = None
) -> tuple[Warning_, ...]:
    """Return what a measurement shows: slower than the baseline, not accelerated, other outputs, or too noisy.

    `file` is the one that was measured; it tells how much of the model the operators are that were left out.
    """
    if measurement.state != "ok":
        return ()
    found: list[Warning_] = []
    where = place(measurement)
    ratio, latency = measurement.ratio, measurement.latency_ms
    if ratio and not is_baseline and ratio.low > 1.02:
        found.append(warning("slower-than-baseline", f"{where} {ratio.median:.2f}x the baseline's latency"))
    total, taken = measurement.ops_total, measurement.ops_delegated
    if total and taken is not None and taken < total / 2 and registry.runtimes.get(measurement.runtime).accelerated:
        found.append(warning("reference-kernels", f"{where} {measurement.runtime} took {taken} of {total} operators"))
    if total and taken and taken < total and registry.runtimes.get(measurement.runtime).accelerated:
        found.append(_partial(measurement, f"{where} {total - taken} of {total} operators were left", file))
    if (differs := _differs(measurement.reference)) is not None:
        found.append(warning("delegate-differs", f"{where} {differs}"))
    if measurement.software:
        found.append(warning("software-device", f"{where} it ran on {measurement.device}"))
    found += _sized(measurement, where)
    if latency and latency.cut_short:
        found.append(warning("noisy-measurement", f"{where} {latency.cut_short}"))
    elif latency and not narrow:
        half = (latency.high - latency.low) / 2 / latency.median
        found.append(
            warning(
                "noisy-measurement",
                f"{where} the interval is {latency.low:.4g} to {latency.high:.4g} ms (half-width {half:.1%})",
            )
        )
    return tuple(w.model_copy(update={"machine": measurement.machine}) for w in found)


def _sized(measurement: Measurement, where: str) -> list[Warning_]:
    """Return notes on what one invocation is: several samples, or a size that the file leaves open."""
    found = []
    if measurement.batch > 1 and measurement.latency_ms:
        each = measurement.latency_ms.median / measurement.batch
        seen = f"{where} one invocation takes {measurement.batch} samples, all of which its latency is for: {each:.4g} ms a sample"
        found.append(warning("several-a-call", seen, "note"))
    if measurement.inputs:
        found.append(
            warning(
                "open-size", f"{where} the file leaves sizes open, and ran at {size_of_inputs(measurement)}", "note"
            )
        )
    return found


def replaced(warning: Warning_, measurement: Measurement) -> bool:
    """Return whether a warning is of an earlier measurement of the same on the same machine (layout 1 did not record which)."""
    same = warning.machine in ("", measurement.machine)
    return warning.kind in MEASURED and same and warning.seen.startswith(place(measurement))


def _partial(measurement: Measurement, seen: str, file: Path | None) -> Warning_:
    """Return the warning of operators that were left out; a note where they are known to be little of the model."""
    seen = f"{seen}: {', '.join(measurement.left) or 'not named'}"
    part, of = _left_share(measurement, file)
    if part is None:
        return warning("partial-delegation", seen)
    told = "less than 0.1 %" if part < 0.001 else f"{part:.1%}".replace("%", " %")
    return warning("partial-delegation", f"{seen}, {told} of {of}", "note" if part < LITTLE else "warning")


def _left_share(measurement: Measurement, file: Path | None) -> tuple[float | None, str]:
    """Return at most what share of the model the operators are that were left out, and of what; None where nothing tells."""
    profile, names = measurement.profile, set(measurement.left)
    if profile and profile.total_ms > 0 and {o.name for o in profile.operators} >= names != set():
        return sum(o.ms for o in profile.operators if o.name in names) / profile.total_ms, "the time by operator"
    try:
        shares = shares_of(file, names) if file and names else None
    except (WorkbenchError, OSError):
        # It was damaged or cleared away meanwhile; that is told elsewhere.
        shares = None
    if shares is None:
        return None, ""
    return shares.most, "the weights' bytes" if shares.bytes > shares.elements else "the activations' elements"


def _differs(reference: Agreement | None) -> str | None:
    """Return how far outputs are from the reference kernels', None where that is rounding."""
    if reference is None:
        return None
    noisy = reference.sqnr_db is not None and reference.sqnr_db < DIFFERS_DB
    flipped = reference.agreement is not None and reference.agreement < DIFFERS_AGREEMENT
    if not (noisy or flipped):
        return None
    figures = [f"{reference.sqnr_db:.1f} dB signal to noise"] if reference.sqnr_db is not None else []
    figures += [f"{reference.agreement:.0%} the same top class"] if reference.agreement is not None else []
    return f"against the reference kernels on {reference.samples} samples: {', '.join(figures)}, largest error {reference.max_error:.3g}"


def place(measurement: Measurement) -> str:
    """Return the words with which a measurement's warnings begin."""
    return f"on {grammar.runtime_text(measurement.runtime, measurement.options)}:"
