"""Result cards: a tried variant beside its baseline, as HTML that stays in the saved notebook."""

from __future__ import annotations

from typing import Any

from workbench.notebook.html import parts
from workbench.notebook.techniques import Tried

MARKS = {"better": "▲ better", "worse": "▼ worse", "same": "= same"}


def cards_html(tried: Tried) -> str:
    """Return the cards of the recipes tried, each against the study's baseline."""
    from workbench.views.card import trial_card

    trials, record = tried.study.trials, tried.study.record
    chosen = [t for t in trials if t.recipe in tried.recipes]
    cards = [card_html(trial_card(t, trials, record, tried.study.store.location).to_json()) for t in chosen]
    missing = [r for r in tried.recipes if r not in {t.recipe for t in chosen}]
    return str(parts().cards([*cards, *(parts().paragraph(f"{r} was not tried") for r in missing)]))


def card_html(card: dict[str, Any]) -> str:
    """Return one card: figures beside the baseline's with what is better, runtimes, warnings, how to go on."""
    found: str = parts().card(card, MARKS)
    return found
