"""Words that tell apart what one study has several of: trials of one recipe, machines of one runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from workbench.values.bulk import fill
from workbench.values.difference import MARK, UNRECORDED, difference
from workbench.values.graph import Machine
from workbench.values.study import StudyRecord
from workbench.values.trial import Trial


def mark_differences(trials: list[Trial], record: StudyRecord) -> None:
    """Give each trial just read an end to its recipe that says in what its settings differ from the study's.

    One whose settings were not recorded says so where its recipe was tried again. Where two are alike still, all but the last
    have their ids besides.
    """
    recipes = Counter(t.recipe for t in trials)
    for trial in trials:
        if trial.settings is not None:
            words = difference(trial.settings, record)
        else:
            words = [UNRECORDED] if recipes[trial.recipe] > 1 else []
        if words:
            end = MARK + ", ".join(words)
            fill(trial, recipe=trial.recipe + end, differs=end)
    baselines = [t for t in trials if t.baseline]
    today = next((t for t in reversed(baselines) if not t.differs), baselines[-1] if baselines else None)
    for trial in baselines:
        # One with other tools, say, is a trial like any other: the study's are held against that of today.
        fill(trial, baseline=trial is today)
    for trial in trials:
        if today is not None and trial.quality is not None and trial.against not in ("", today.id):
            # Paired with a baseline that is not the one beside which it is shown.
            figures = tuple(f.model_copy(update={"change": None}) for f in trial.quality.figures)
            fill(trial, quality=trial.quality.model_copy(update={"figures": figures}))
    seen: set[str] = set()
    for trial in reversed(trials):
        if trial.recipe in seen:
            end = f"{trial.differs}{MARK}{trial.id}"
            fill(trial, recipe=trial.recipe.removesuffix(trial.differs) + end, differs=end)
        seen.add(trial.recipe)


def mark_machines(trials: list[Trial], machines: Callable[[], Mapping[str, Machine]], current: str) -> None:
    """Give each measurement just read its machine's title, where they are of several; titles that are alike have ids besides.

    `current` is the id of the study's last machine, which is meant where none is named.
    """
    ids = {m.machine for t in trials for m in t.measurements}
    if len(ids) < 2:
        return
    known = machines()
    titles = {i: known[i].title if i in known else i or "machine not recorded" for i in ids}
    alike = Counter(titles.values())
    places = {i: title if alike[title] == 1 else f"{title} ({i})" for i, title in titles.items()}
    for trial in trials:
        for m in trial.measurements:
            fill(m, place=places[m.machine], elsewhere=m.machine != current)
        if any(w.machine in places for w in trial.warnings):
            fill(
                trial, warnings=tuple(w.model_copy(update={"place": places.get(w.machine, "")}) for w in trial.warnings)
            )
