"""Result cards: a tried variant beside its baseline, as HTML that stays in the saved notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

from workbench.notebook.html import page, paragraph
from workbench.notebook.techniques import Tried

STYLE = """<style>
.workbench-card{border:1px solid var(--jp-border-color2,#ccc);border-radius:4px;padding:.6em 1em;margin:.3em 0;max-width:46em}
.workbench-card h4.workbench-card-title{margin:0 0 .3em;font-size:1.05em;overflow-wrap:anywhere}
.workbench-card .note{color:var(--jp-ui-font-color2,#616161);padding-left:.6em;margin:.4em 0}
.workbench-card .warning{border-left:3px solid var(--jp-warn-color0,#b35900);padding-left:.6em;margin:.4em 0}
.workbench-card .failed{border-left:3px solid var(--jp-error-color1,#b00020);padding-left:.6em}
.workbench-card details{margin-top:.4em}.workbench-card summary{cursor:pointer}
</style>"""
MARKS = {"better": "▲ better", "worse": "▼ worse", "same": "= same"}


def cards_html(tried: Tried) -> str:
    """Return the cards of the recipes tried, each against the study's baseline."""
    from workbench.views.card import trial_card

    trials, record = tried.study.trials, tried.study.record
    chosen = [t for t in trials if t.recipe in tried.recipes]
    cards = [card_html(trial_card(t, trials, record).to_json()) for t in chosen]
    missing = [r for r in tried.recipes if r not in {t.recipe for t in chosen}]
    return STYLE + page([*cards, *(paragraph(f"{r} was not tried") for r in missing)])


def card_html(card: dict[str, Any]) -> str:
    """Return one card: figures beside the baseline's with what is better, runtimes, warnings, how to go on."""
    title = f"<h4 class=workbench-card-title>{_text(card['recipe'])}{' (baseline)' if card['baseline'] else ''}</h4>"
    if card["state"] != "ok":
        reason = f'<p class="failed"><b>{_text(card["state"])}</b>: {_text(card["error"] or "no reason recorded")}</p>'
        return f'<section class="workbench-card">{title}{reason}</section>'
    return f"""<section class="workbench-card">{title}{_figures(card)}{_runtimes(card["runtimes"])}{_warnings(card["warnings"])}
<details><summary>In the file</summary><p>weights {_text(", ".join(f"{w['type']} {w['text']}" for w in card["weights"]) or "none")}</p>
<p>operators {_text(", ".join(f"{o['count']} {o['name']}" for o in card["operators"]))}</p><p class="quiet">{_text(card["path"] or "")}</p></details>
<details><summary>How it was made</summary>{"".join(f"<p>{_text(r['name'])}: {_text(r['text'])}</p>" for r in card["settings"])}</details>
<details><summary>Take it along</summary><p><code>{_text(card["code"]["cli"])}</code></p><p><code>{_text(card["code"]["python"])}</code></p></details></section>"""


def _figures(card: dict[str, Any]) -> str:
    compared = not card["baseline"]
    head = "<th></th><th class=n>this</th>" + (
        "<th class=n>baseline</th><th class=n>change</th><th></th>" if compared else ""
    )
    rows = []
    for figure in card["figures"]:
        interval = f" <span class=quiet>{_text(figure['interval'])}</span>" if figure["interval"] else ""
        cells = f"<td>{_text(figure['label'])}</td><td class=n>{_text(figure['text'])}{interval}</td>"
        if compared:
            mark = MARKS.get(figure["better"], "")
            cells += (
                f"<td class=n>{_text(figure['baseline'])}</td><td class=n>{_text(figure['delta'])}</td><td>{mark}</td>"
            )
        rows.append(f"<tr>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _runtimes(found: Iterable[dict[str, Any]]) -> str:
    told = [r for r in found if r["taken"] or r["state"] != "ok" or r["note"]]
    return "".join(
        paragraph(
            f"{r['runtime']}: "
            + "; ".join(
                str(part)
                for part in (
                    r["state"] if r["state"] != "ok" else "",
                    f"operators taken {r['taken']}" if r["taken"] else "",
                    r["note"],
                )
                if part
            ),
            "quiet",
        )
        for r in told
    )


def _warnings(found: Iterable[dict[str, Any]]) -> str:
    return "".join(
        f'<div class="{"note" if w.get("level") == "note" else "warning"}">{"Note, " if w.get("level") == "note" else ""}<b>{_text(w["kind"])}</b>: {_text(w["seen"])}<br>{_text(w["advice"])}</div>'
        for w in found
    )


def _text(value: Any) -> str:
    return html.escape(str(value if value is not None else ""))
