"""Detection: COCO's figures against pycocotools used directly, on random boxes; how labels and outputs are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from judging import directly, random_found, random_truth

from workbench import registry
from workbench.data.dataset import from_arrays
from workbench.errors import StageFailed, WorkbenchError
from workbench.evaluate.quality import quality
from workbench.recipes.task import choose_tasks, parse_tasks
from workbench.tasks import average_precision as ap
from workbench.tasks import intervals
from workbench.tasks.detection import Detection
from workbench.tasks.detection_outputs import DetectionParams, read, roles
from workbench.values.boxes import padded
from workbench.values.labels import label_info

Array = np.ndarray[Any, Any]
NAMES = ("map", "ap50", "ap75")


def one_output(found: Sequence[ap.Detections]) -> Array:
    """Detections as one output `(n, boxes, 6)`, filled up with zeros."""
    most = max(len(d.scores) for d in found)
    output = np.zeros((len(found), most, 6))
    for row, d in zip(output, found, strict=True):
        row[: len(d.scores)] = np.concatenate([d.boxes, d.scores[:, None], d.classes[:, None]], axis=1)
    return output


def four_outputs(found: Sequence[ap.Detections]) -> dict[str, Array]:
    flat = one_output(found)
    count = np.array([len(d.scores) for d in found], dtype="f4")
    # Behind the count an operator leaves what was there before.
    for row, many in zip(flat, count, strict=True):
        row[int(many) :] = [np.nan, 0, 1e30, 1, np.inf, 0.5]
    return {"b": flat[..., [1, 0, 3, 2]], "c": flat[..., 5], "s": flat[..., 4], "n": count}


def xyxy(**more: Any) -> DetectionParams:
    return DetectionParams(format="xyxy-score-class", **more)


@pytest.mark.parametrize("crowds", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_pycocotools(seed: int, crowds: bool) -> None:
    draw = np.random.default_rng(seed)
    truth = random_truth(draw, 40, crowds)
    found = random_found(draw, truth, 0.02)
    expected = directly(truth, found)
    for params, outputs in ((xyxy(), {"o": one_output(found)}), (DetectionParams(), four_outputs(found))):
        scores = Detection().judge(params, outputs, padded(truth))
        assert [s.name for s in scores] == list(NAMES)
        np.testing.assert_allclose([s.value for s in scores], expected, atol=1e-12)
    assert 0.2 < expected[0] < 0.95


def test_more_than_a_hundred_detections_of_a_class_are_cut_as_by_pycocotools() -> None:
    draw = np.random.default_rng(9)
    truth = random_truth(draw, 6)
    many = [
        ap.Detections(np.concatenate([d.boxes] * 60), draw.random(len(d.scores) * 60), np.concatenate([d.classes] * 60))
        for d in random_found(draw, truth, 0.02)
    ]
    scores = Detection().judge(xyxy(), {"o": one_output(many)}, padded(truth))
    np.testing.assert_allclose([s.value for s in scores], directly(truth, many), atol=1e-12)


def test_figures_of_images_drawn_again_are_those_of_pycocotools_on_them() -> None:
    draw = np.random.default_rng(3)
    truth = random_truth(draw, 25)
    found = random_found(draw, truth, 0.03)
    scores = Detection().judge(xyxy(), {"o": one_output(found)}, padded(truth))
    draws = intervals.redraws(25)
    again = np.stack([s.of(draws) for s in scores], axis=1)
    for n in range(0, len(draws), 20):
        # In the order of images, as copies of one image lie together where weights count them.
        chosen = np.sort(draws[n])
        expected = directly([truth[i] for i in chosen], [found[i] for i in chosen])
        np.testing.assert_allclose(again[n], expected, atol=1e-9)


@pytest.mark.slow
def test_intervals_hold_the_truth_and_changes_are_paired() -> None:
    """Of small test sets drawn from a large one, most have intervals with the large one's figures in them; AP of 60 images is biased."""
    draw = np.random.default_rng(5)
    truth = random_truth(draw, 1500)
    found = random_found(draw, truth, 0.025)
    worse = [d._replace(boxes=d.boxes + 0.01) for d in found]
    value, lower = (directly(truth, f) for f in (found, worse))
    inside, changes, narrower = [], [], []
    for _ in range(20):
        some = draw.choice(len(truth), 60, replace=False)
        y = padded([truth[i] for i in some])
        outputs = [{"o": one_output([f[i] for i in some])} for f in (worse, found)]
        mine, base = (Detection().judge(xyxy(), o, y) for o in outputs)
        for n, figure in enumerate(intervals.figures(mine, base)):
            change = figure.change
            assert change is not None
            assert figure.low <= figure.value <= figure.high
            assert change.value == pytest.approx(figure.value - base[n].value)
            inside.append(figure.low <= lower[n] <= figure.high)
            changes.append(change.low <= lower[n] - value[n] <= change.high)
            narrower.append(change.high - change.low < figure.high - figure.low)
    assert np.mean(inside) >= 0.75
    assert np.mean(changes) >= 0.85
    assert np.mean(narrower) >= 0.8


def test_other_columns_and_units_say_the_same() -> None:
    draw = np.random.default_rng(1)
    truth = random_truth(draw, 30)
    found = random_found(draw, truth, 0.02)
    flat, y = one_output(found), padded(truth)
    expected = [s.value for s in Detection().judge(xyxy(), {"o": flat}, y)]

    def figures(params: DetectionParams, output: Array) -> list[float]:
        return [s.value for s in Detection().judge(params, {"o": output}, y)]

    pixels = flat * np.array([320, 200, 320, 200, 1, 1])
    assert figures(xyxy(size="200x320"), pixels) == pytest.approx(expected, abs=1e-12)
    assert figures(xyxy(class_offset=-1), flat + np.array([0, 0, 0, 0, 0, 1])) == pytest.approx(expected, abs=1e-12)
    each = np.eye(4)[flat[..., 5].astype(int)]
    scored = np.concatenate([flat[..., :5], each], axis=2)
    assert figures(DetectionParams(format="xyxy-score-classes"), scored) == pytest.approx(expected, abs=1e-12)
    middle, extent = (flat[..., :2] + flat[..., 2:4]) / 2, flat[..., 2:4] - flat[..., :2]
    centred = np.concatenate([middle, extent, scored[..., 4:]], axis=2)
    assert figures(DetectionParams(format="cxcywh-score-classes"), centred) == pytest.approx(expected, abs=1e-9)
    bare = np.concatenate([middle, extent, each * flat[..., 4:5]], axis=2)
    assert figures(DetectionParams(format="cxcywh-classes"), bare) == pytest.approx(expected, abs=1e-9)
    with pytest.raises(StageFailed, match=r"not \(n, boxes, 6\)"):
        figures(xyxy(), scored)


def test_suppression_is_tensorflows() -> None:
    import tensorflow as tf

    draw = np.random.default_rng(2)
    low = draw.random((80, 2)) * 0.5
    boxes = np.concatenate([low, low + 0.2 + 0.2 * draw.random((80, 2))], axis=1)
    scores = draw.random(80)
    output = np.concatenate([boxes, scores[:, None], np.zeros((80, 1))], axis=1)[None]
    (kept,) = read(xyxy(nms=0.4, min_score=0.2), {"o": output})
    chosen = tf.image.non_max_suppression(boxes[:, [1, 0, 3, 2]], scores, 100, 0.4, 0.2).numpy()
    np.testing.assert_array_equal(kept.scores, scores[chosen])
    assert len(chosen) < (scores > 0.2).sum()


def test_the_four_outputs_are_found_by_name_shape_and_order() -> None:
    shapes: dict[str, tuple[int | None, ...]] = {"a": (10, 4), "b": (10,), "c": (10,), "d": ()}
    assert roles(DetectionParams(), shapes) == ("a", "b", "c", "d")
    scrambled: dict[str, tuple[int | None, ...]] = {"s": (10,), "n": (), "k": (10,), "b": (10, 4)}
    assert roles(DetectionParams(scores="s"), scrambled) == ("b", "k", "s", "n")
    numbered: dict[str, tuple[int | None, ...]] = {"o_10": (9,), "o_3": (), "o_2": (9,), "o_0": (9, 4)}
    assert roles(DetectionParams(), numbered) == ("o_0", "o_2", "o_10", "o_3")
    told: dict[str, tuple[int | None, ...]] = {
        "detection_scores": (10,),
        "num": (1,),
        "detection_classes": (10,),
        "boxes": (10, 4),
        "kind": (7,),
    }
    assert roles(DetectionParams(), told) == ("boxes", "detection_classes", "detection_scores", "num")
    with pytest.raises(WorkbenchError, match="not the four of TFLite_Detection_PostProcess"):
        roles(DetectionParams(), {"x": (10, 6)})
    with pytest.raises(WorkbenchError, match="not the four"):
        roles(DetectionParams(), {**shapes, "kind": (7,)})
    with pytest.raises(WorkbenchError, match=r"unknown output 'ss'\. Did you mean 's'"):
        roles(DetectionParams(scores="ss"), scrambled)


def test_scores_and_classes_are_told_apart_by_their_numbers_unless_named() -> None:
    draw = np.random.default_rng(4)
    truth = random_truth(draw, 10)
    found = random_found(draw, truth, 0.02)
    outputs = four_outputs(found)
    outputs["c"], outputs["s"] = outputs["s"], outputs["c"]
    values = [s.value for s in Detection().judge(DetectionParams(), outputs, padded(truth))]
    np.testing.assert_allclose(values, directly(truth, found), atol=1e-12)
    with pytest.raises(StageFailed, match=r"detection\[classes=NAME,scores=NAME\]"):
        Detection().judge(DetectionParams(classes="c", scores="s"), outputs, padded(truth))


def test_labels_are_boxes_of_any_number() -> None:
    boxes = [np.array([[0, 0, 5, 5, 1], [1, 1, 2, 3, 0]]), np.zeros((0, 5)), [[0, 0, 1.5, 2, 2]]]
    data = from_arrays({"x_test": np.zeros((3, 4)), "y_test": boxes})
    y = data.test.targets[""]
    assert y.shape == (3, 2, 5)
    np.testing.assert_array_equal(y[1], np.full((2, 5), -1))
    np.testing.assert_array_equal(y[2], [[0, 0, 1.5, 2, 2], [-1] * 5])
    assert label_info(y).boxes
    objects = np.empty(3, dtype=object)
    objects[:] = [np.asarray(b, dtype=float) for b in boxes]
    np.testing.assert_array_equal(from_arrays({"x_test": np.zeros((3, 4)), "y_test": objects}).test.targets[""], y)
    named = from_arrays({"x_test": np.zeros((3, 4)), "y_test": {"where": boxes, "kind": [0, 1, 0]}})
    assert named.test.targets["where"].shape == (3, 2, 5)
    crowd = padded([np.array([[0, 0, 1, 1, 0, 1.0]]), np.array([[0, 0, 1, 1, 2.0]])])
    assert crowd[:, 0, 5].tolist() == [1, 0]
    for wrong in ([[[2, 0, 1, 1, 0]]], [[[0, 0, 1, 1, 0.5]]], [[[0, 0, 1, 1, 0], [0, 0, 0, 0, -1]]]):
        assert not label_info(np.array(wrong, dtype=float)).boxes
    with pytest.raises(WorkbenchError, match="labels of sample 1 are of shape"):
        from_arrays({"x_test": np.zeros((2, 4)), "y_test": [np.zeros((2, 5)), np.zeros((1, 7))]})
    # What is no list of boxes is read as before.
    assert from_arrays({"x_test": np.zeros((2, 4)), "y_test": [np.ones((3, 3)), np.ones((3, 3))]}).test.targets[
        ""
    ].shape == (2, 3, 3)


def test_the_task_is_chosen_where_outputs_leave_no_doubt_and_asked_else() -> None:
    info = label_info(padded(random_truth(np.random.default_rng(0), 10)))
    four: dict[str, tuple[int | None, ...]] = {"b": (10, 4), "c": (10,), "s": (10,), "n": ()}
    tasks = choose_tasks({"": info}, four)
    assert {n: t.name for n, t in tasks.items()} == {"b": "detection", "c": "none", "s": "none", "n": "none"}
    assert tasks["b"].reads == ("b", "c", "s", "n")
    assert "detection of b reads it" in tasks["s"].why
    one: dict[str, tuple[int | None, ...]] = {"o": (20, 6)}
    with pytest.raises(WorkbenchError, match=r"which can be boxes .*--task 'detection\[format=xyxy-score-class\]'"):
        choose_tasks({"": info}, one)
    asked = choose_tasks({"": info}, one, parse_tasks("detection[format=xyxy-score-class]"))
    assert (asked["o"].name, asked["o"].reads) == ("detection", ())
    heads = {**four, "kind": (7,)}
    kinds = label_info(np.arange(7))
    text = "b=detection[boxes=b,classes=c,scores=s,count=n],kind=classification"
    several = choose_tasks({"b": info, "kind": kinds}, heads, parse_tasks(text))
    assert [t.name for t in several.values()] == ["detection", "none", "none", "none", "classification"]
    with pytest.raises(WorkbenchError, match="not rows of x1 y1 x2 y2 class"):
        choose_tasks({"": kinds}, one, parse_tasks("detection:xyxy-score-class"))
    with pytest.raises(WorkbenchError, match="format"):
        parse_tasks("detection[format=yolo]")


def test_a_missing_library_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.tasks.detection.find_spec", lambda name: None)
    task = registry.tasks.get("detection")
    assert "pip install 'tflite-workbench[detection]'" in str(task.available())
    info = label_info(padded(random_truth(np.random.default_rng(0), 10)))
    with pytest.raises(WorkbenchError, match=r"cannot work here: .*pip install"):
        choose_tasks({"": info}, {"o": (20, 6)}, parse_tasks("detection:xyxy-score-class"))
    with pytest.raises(StageFailed, match="pip install"):
        Detection().judge(xyxy(), {"o": np.zeros((1, 2, 6))}, np.zeros((1, 1, 5)))


def test_quality_reads_several_outputs_beside_another_head() -> None:
    draw = np.random.default_rng(8)
    truth = random_truth(draw, 30)
    found = random_found(draw, truth, 0.02)
    kinds = draw.integers(0, 3, 30)
    outputs = {**four_outputs(found), "kind": np.eye(3)[kinds]}
    base = {**four_outputs(random_found(draw, truth, 0.001)), "kind": np.eye(3)[kinds]}
    labels = {"b": padded(truth), "kind": kinds}
    shapes = {n: v.shape[1:] for n, v in outputs.items()}
    text = "b=detection[boxes=b,classes=c,scores=s,count=n],kind=classification"
    tasks = choose_tasks({n: label_info(v) for n, v in labels.items()}, shapes, parse_tasks(text))
    # A file may have renamed its outputs; their order is kept.
    renamed = dict(zip(("p", "q", "r", "t", "u"), outputs.values(), strict=True))
    judged = quality(renamed, base, labels, tasks, 1)
    assert [f.key for f in judged.figures] == [*NAMES, "kind.accuracy"]
    np.testing.assert_allclose([f.value for f in judged.figures[:3]], directly(truth, found), atol=1e-12)
    assert judged.figures[0].change is not None
    assert judged.figures[0].change.high < 0
    assert judged.figures[3].value == 1


def test_no_box_at_all_is_told() -> None:
    with pytest.raises(StageFailed, match="none of 2 samples has a box"):
        Detection().judge(xyxy(), {"o": np.zeros((2, 3, 6))}, np.full((2, 1, 5), -1.0))
