"""Tables as datasets: what becomes samples, labels and splits, what is refused, and a sweep of a model of sensors' numbers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench
from workbench.batches.content import data_sha256
from workbench.data.load import load_dataset
from workbench.errors import WorkbenchError

FLOWERS = """petal, sepal,kind
1.5,0.2,setosa
4.5,1.5,versicolor
1.4,0.2,setosa
6.0,2.5,virginica
5.1,1.9,virginica
1.3,0.4,setosa
4.7,1.4,versicolor
5.9,2.1,virginica
"""


def table(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def rows(path: str | Path, **options: Any) -> dict[tuple[float, ...], Any]:
    """Every sample with its label, whatever its split."""
    dataset = load_dataset(str(path) + ("?" + "&".join(f"{k}={v}" for k, v in options.items()) if options else ""))
    found = {}
    for split in dataset.splits().values():
        for i, sample in enumerate(split.inputs[""]):
            found[tuple(float(v) for v in sample)] = split.y[i].item() if isinstance(split.y, np.ndarray) else None
    return found


def test_the_last_column_is_the_label_and_words_are_classes(tmp_path: Path) -> None:
    dataset = load_dataset(table(tmp_path, FLOWERS))
    assert dataset.name == "table"
    assert dataset.labels == "class"
    assert dataset.class_names == ("setosa", "versicolor", "virginica")
    assert dataset.train is not None
    assert (len(dataset.train), len(dataset.test)) == (6, 2)
    assert dataset.test.inputs[""].dtype == np.float32
    found = rows(tmp_path / "table.csv")
    assert found[(1.5, np.float32(0.2).item())] == 0
    assert found[(6.0, 2.5)] == 2


def test_a_column_named_label_or_asked_for_comes_first(tmp_path: Path) -> None:
    path = table(tmp_path, "label,a,b\n0,1,2\n1,3,4\n0,5,6\n")
    assert rows(path) == {(1.0, 2.0): 0, (3.0, 4.0): 1, (5.0, 6.0): 0}
    assert rows(path, label="a") == {(0.0, 2.0): 1, (1.0, 4.0): 3, (0.0, 6.0): 5}
    assert rows(path, label="none") == {(0.0, 1.0, 2.0): None, (1.0, 3.0, 4.0): None, (0.0, 5.0, 6.0): None}


def test_numbers_are_values_where_they_are_not_whole_or_where_it_is_asked(tmp_path: Path) -> None:
    path = table(tmp_path, "a,y\n1,0.5\n2,3\n")
    assert load_dataset(path).labels == "value"
    assert rows(path) == {(1.0,): 0.5, (2.0,): 3.0}
    assert load_dataset(table(tmp_path, "a,y\n1,7\n2,3\n")).labels == "class"
    assert load_dataset(f"{path}?labels=value").labels == "value"
    table(tmp_path, "a,y\n1,0.5\n2,3.5\n")
    worded = load_dataset(f"{path}?labels=class")
    assert worded.class_names == ("0.5", "3.5")


def test_a_column_of_splits(tmp_path: Path) -> None:
    text = "a,split,y\n1,train,0\n2,test,1\n3,train,1\n4,calibration,0\n"
    dataset = load_dataset(table(tmp_path, text))
    assert dataset.train is not None
    assert dataset.calibration is not None
    assert dataset.train.inputs[""].ravel().tolist() == [1, 3]
    assert dataset.test.inputs[""].ravel().tolist() == [2]
    assert dataset.calibration.inputs[""].ravel().tolist() == [4]
    renamed = table(tmp_path, text.replace("split", "part"))
    assert len(load_dataset(f"{renamed}?split=part").test) == 1
    with pytest.raises(WorkbenchError, match=r"column 'part' of .* is 'train'. Expected a number"):
        load_dataset(renamed)


def test_the_share_of_the_test_split_and_its_seed(tmp_path: Path) -> None:
    path = table(tmp_path, "a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    assert len(load_dataset(f"{path}?test=0.5").test) == 20
    first, second = (load_dataset(path).test.inputs[""].ravel().tolist() for _ in range(2))
    assert first == second


def test_rows_are_shaped_to_the_model(tmp_path: Path) -> None:
    path = table(tmp_path, "a,b,c,d,e,f,y\n1,2,3,4,5,6,0\n7,8,9,10,11,12,1\n")
    dataset = load_dataset(path, (None, 3, 2))
    assert dataset.test.inputs[""].shape == (1, 3, 2)
    assert dataset.train is not None
    both = np.concatenate([dataset.train.inputs[""], dataset.test.inputs[""]])
    assert [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]] in both.tolist()
    assert load_dataset(path, (None, 4, 2)).test.inputs[""].shape == (1, 6)


@pytest.mark.parametrize(
    ("text", "query", "said"),
    [
        ("a,y\n", "", "has 1 rows. Expected a row of column names"),
        ("1,2\n3,4\n", "", "first row of .* has only numbers"),
        ("a;y\n1;2\n", "", "Expected commas between columns"),
        ("a,a,y\n1,2,3\n", "", "two columns named 'a'"),
        ("a,y\n1,2\n3\n", "", "row 3 of .* has 1 cells, but the first row names 2"),
        ("a,y\n1,0\nlow,1\n", "", "row 3, column 'a' of .* is 'low'. Expected a number"),
        ("a,y\n1,0\n,1\n", "", "row 3, column 'a' of .* is ''"),
        ("a,y\n1,0\nnan,1\n", "", "not finite"),
        ("a,y\n1,yes\n2,\n", "", "row 3 of .* has no label in column 'y'"),
        ("y\n1\n2\n", "", "no column besides 'y'"),
        ("a,kind\n1,x\n2,z\n", "label=knd", "unknown column of table.csv 'knd'. Did you mean 'kind'"),
        ("a,y\n1,0\n2,1\n", "lable=y", "unknown table setting 'lable'. Did you mean 'label'"),
        ("a,y\n1,0\n2,1\n", "test=2", "test"),
        ("a,split,y\n1,train,0\n2,tst,1\n", "", "row 3, column 'split' of .* is 'tst'. Allowed: train, calibration, test"),
        ("a,split,y\n1,train,0\n", "", "needs x_test"),
        ('a,y\n1,"0\n', "", "cannot be read as a table"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used(text: str, query: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=said):
        load_dataset(f"{table(tmp_path, text)}{'?' if query else ''}{query}")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,y\n\xff\xfe,1\n")
    with pytest.raises(WorkbenchError, match="cannot be read as a table"):
        load_dataset(tmp_path / "t.csv")


def test_a_spreadsheets_mark_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\ufeff"a, first",y\r\n"1","left, turn"\r\n2,right\r\n', encoding="utf-8")
    assert load_dataset(path).class_names == ("left, turn", "right")


FIGURES = st.floats(-1e6, 1e6, allow_nan=False, width=32)


@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.tuples(*[FIGURES] * n, FIGURES), min_size=2, max_size=20)))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, written: list[tuple[float, ...]]) -> None:
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"x{i}" for i in range(len(written[0]) - 1)] + ["y"])
        writer.writerows(written)
    dataset = load_dataset(f"{path}?labels=value")
    read = [
        (*map(float, sample), float(label))
        for split in dataset.splits().values()
        if split.y is not None
        for sample, label in zip(split.inputs[""], split.y, strict=True)
    ]
    assert sorted(read) == sorted(written)


def test_the_options_are_part_of_what_a_batch_knows_it_by(tmp_path: Path) -> None:
    path = table(tmp_path, FLOWERS)
    assert data_sha256(str(path)) != data_sha256(f"{path}?test=0.5")
    assert data_sha256(f"{path}?test=0.5") == data_sha256(f"{path}?test=0.5")


@pytest.mark.slow
def test_a_model_of_numbers_is_swept_on_its_table(warm_engine: workbench.Engine, tmp_path: Path) -> None:
    import tf_keras
    from sklearn.datasets import load_iris

    iris = load_iris()
    path = tmp_path / "iris.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*iris.feature_names, "species"])
        writer.writerows([*x, iris.target_names[y]] for x, y in zip(iris.data, iris.target, strict=True))
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [
            tf_keras.layers.Input(4, name="flower"),
            tf_keras.layers.Dense(16, activation="relu"),
            tf_keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(iris.data, iris.target, epochs=120, verbose=0)
    grid = {"quantize": ["float32", "int8"], "measure": {"skip": True}}
    study = workbench.sweep(model, str(path), grid, store=tmp_path / "store", engine=warm_engine)
    assert study.record.dataset.class_names == ("setosa", "versicolor", "virginica")
    test = load_dataset(path).test
    assert test.y is not None
    truth = float((model.predict(test.inputs[""], verbose=0).argmax(1) == test.y).mean())
    assert truth > 0.8
    by_recipe = {t.recipe: t.quality.accuracy for t in study.trials if t.quality}
    assert by_recipe["float32"] == pytest.approx(truth)
    assert abs((by_recipe["int8"] or 0) - truth) < 0.08


@pytest.mark.slow
def test_a_sweep_shapes_rows_to_the_model(small_tflite: Path, warm_engine: workbench.Engine, tmp_path: Path) -> None:
    """The model takes images of 8 x 8 x 1; a row has 64 numbers."""
    draw = np.random.default_rng(0)
    names = ",".join(f"p{i}" for i in range(64))
    body = "\n".join(",".join(f"{v:.3f}" for v in draw.random(64)) + f",{i % 6}" for i in range(60))
    path = table(tmp_path, f"{names},y\n{body}\n")
    grid = {"quantize": ["float32"], "measure": {"skip": True}}
    study = workbench.sweep(small_tflite, path, grid, store=tmp_path / "store", engine=warm_engine)
    assert study.record.dataset.inputs == {"": (8, 8, 1)}
    assert [t.state for t in study.trials] == ["ok"]
