"""Whole studies put into a store at once, where a sweep writes each measurement as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from trials import make_record

from workbench.store.store import Store, runtime_key
from workbench.store.tables import MEASUREMENTS
from workbench.values.trial import Trial


def store_study(folder: Path, name: str, trials: Sequence[Trial], samples: int = 0) -> None:
    """Write a study of these trials and their measurements, with so many raw samples each, into the store in `folder`."""
    store = Store(folder)
    store.save_study(make_record(name))
    store.save_trials(name, [(t, "key", i) for i, t in enumerate(trials)])
    rows = [
        {
            "study": name,
            "trial": t.id,
            "runtime": runtime_key(m.runtime, m.options),
            "machine": m.machine,
            "at": float(i),
            "key": "key",
            "measurement": {**m.to_json(), "profile": None},
            "samples_ns": bytes(8 * samples),
        }
        for t in trials
        for i, m in enumerate(t.measurements)
    ]
    with store.engine.begin() as db:
        db.execute(sa.insert(MEASUREMENTS), rows)
    store.close()
