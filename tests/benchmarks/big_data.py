"""What processes hold while data larger than they may hold is swept: a folder of images, and TFRecord files.

    python tests/benchmarks/big_data.py [--images 20000] [--records-gb 2] [--jobs 2]

Both are made in a temporary folder, read, stored, pruned on, calibrated with and evaluated. Printed is the most that each kind of process held
at once: memory of its own, and with the pages of files and of other processes that it shares.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import psutil

import workbench

SIDE = 64
CLASSES = 4
PER_SHARD = 20_000
DESCRIPTION = """
features:
  image: {encoding: raw, dtype: uint8, shape: [64, 64, 3]}
  label: {dtype: int64}
inputs: image
labels: label
"""


def pixels(draw: np.random.Generator, label: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return noise, brighter for higher classes."""
    return draw.integers(40 * label, 40 * label + 100, (SIDE, SIDE, 3), np.uint8)


def write_images(job: tuple[Path, int, int]) -> None:
    """Write some JPEG images into class folders."""
    from PIL import Image

    root, begin, end = job
    draw = np.random.default_rng(begin)
    for n in range(begin, end):
        folder = root / f"class{n % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(draw, n % CLASSES)).save(folder / f"{n:06d}.jpg", quality=90)


def write_records(job: tuple[Path, int, int]) -> None:
    """Write a shard of examples."""
    import tensorflow as tf

    path, begin, end = job
    draw, train = np.random.default_rng(begin), tf.train
    with tf.io.TFRecordWriter(str(path)) as writer:
        for n in range(begin, end):
            image = train.Feature(bytes_list=train.BytesList(value=[pixels(draw, n % CLASSES).tobytes()]))
            label = train.Feature(int64_list=train.Int64List(value=[n % CLASSES]))
            features = train.Features(feature={"image": image, "label": label})
            writer.write(train.Example(features=features).SerializeToString())


def save_model(job: tuple[Path, float]) -> None:
    """Write a small tf_keras classifier of images, which scales their values itself."""
    import tf_keras

    path, scale = job
    layers = tf_keras.layers
    image = layers.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(scale)(image)
    x = layers.Conv2D(8, 4, strides=4, activation="relu")(x)
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    tf_keras.Model(image, layers.Dense(CLASSES, activation="softmax")(x)).save(path, include_optimizer=False)


class Peaks:
    """The most that this process and those that it started hold, by what they are, looked at several times a second."""

    def __init__(self) -> None:
        self.own: dict[str, int] = {}
        self.whole: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peaks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        here = psutil.Process()
        while not self._stop.wait(0.2):
            for process in [here, *here.children(recursive=True)]:
                try:
                    role, memory = self._role(here, process), _status(process.pid)
                    own, whole = memory["RssAnon"], memory["VmHWM"]
                except (psutil.Error, OSError, KeyError):
                    continue  # it ended
                self.own[role], self.whole[role] = max(self.own.get(role, 0), own), max(self.whole.get(role, 0), whole)

    def _role(self, here: psutil.Process, process: psutil.Process) -> str:
        if process.pid == here.pid:
            return "main, with scheduler"
        line = " ".join(process.cmdline())
        if "nursery" in line or "fork" in line:
            parent = process.parent()
            return "worker" if parent is not None and parent.pid != here.pid else "nursery"
        return "measuring host" if " -c " in line else f"other ({line[-40:]})"


def _status(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {k: int(v.split()[0]) * 1024 for k, _, v in (x.partition(":") for x in lines) if k in ("RssAnon", "VmHWM")}


def alone(work: Callable[..., None], jobs: list[tuple[object, ...]]) -> None:
    """Do something in processes of its own, so that nothing of it counts here."""
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(work, jobs))


def size_of(folder: Path) -> float:
    """Return the gigabytes of all files of a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e9


def sweep(what: str, model: Path, data: str, root: Path, jobs: int) -> None:
    """Sweep and print what came of it, and what each process held."""
    grid = {
        "recipes": ["int8", "prune:0.5+int8"],
        "train": {"epochs": 1, "batch_size": 256, "learning_rate": 0.003},
        "measure": {"budget": 2},
    }
    begin = time.monotonic()
    with Peaks() as peaks:
        study = workbench.sweep(model, data, grid, store=root / "store", jobs=jobs)
    took = time.monotonic() - begin
    stored = root / "store" / "data" / study.record.dataset.sha256
    print(f"{what}: {study.record.dataset.splits}, {size_of(stored):.2f} GB as arrays, {took:.0f} s")
    for trial in study.trials:
        accuracy = f"{trial.quality.accuracy:.2%}" if trial.quality and trial.quality.accuracy is not None else "-"
        print(f"  {trial.recipe:20} {trial.state} accuracy {accuracy} {trial.error or ''}")
    for role in sorted(peaks.own):
        print(
            f"  {role:24} {peaks.own[role] / 1e9:.2f} GB of its own, {peaks.whole[role] / 1e9:.2f} GB with shared pages"
        )


def main() -> None:
    """Make the data, sweep, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--records-gb", type=float, default=2.0)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="big-data-") as made:
        root = Path(made)
        alone(save_model, [(root / "images.h5", 1.0), (root / "records.h5", 1 / 255)])
        if asked.images:
            step = max(1, asked.images // 8)
            alone(
                write_images, [(root / "images", n, min(n + step, asked.images)) for n in range(0, asked.images, step)]
            )
            print(f"{asked.images:,} JPEG images, {size_of(root / 'images'):.2f} GB")
            sweep("images", root / "images.h5", os.fspath(root / "images"), root, asked.jobs)
        if asked.records_gb:
            count, folder = int(asked.records_gb * 1e9 / (SIDE * SIDE * 3 + 80)), root / "records"
            folder.mkdir()
            (folder / "features.yaml").write_text(DESCRIPTION)
            starts = range(0, count, PER_SHARD)
            alone(
                write_records,
                [(folder / f"part-{n // PER_SHARD:05d}.tfrecord", n, min(n + PER_SHARD, count)) for n in starts],
            )
            print(f"{count:,} records in {len(starts)} files, {size_of(folder):.2f} GB")
            sweep("records", root / "records.h5", os.fspath(folder), root, asked.jobs)


if __name__ == "__main__":
    main()
