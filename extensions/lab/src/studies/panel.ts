/** The panel in the left bar: each study with state, progress, best figure and tags. */

import { refreshIcon, Toolbar, ToolbarButton } from "@jupyterlab/ui-components";
import type { CommandRegistry } from "@lumino/commands";
import { Panel, Widget } from "@lumino/widgets";
import { h, leftText } from "../dom";
import { studiesIcon } from "../icons";
import type { StudyRow } from "../types";
import { keyOf, progressText, type StudiesModel } from "./model";

const STATES = { empty: "nothing yet", running: "running", done: "done", stopped: "stopped", failed: "failed" };

/** The studies of all stores below the server's root; a click or Enter opens one's dashboard. */
export class StudiesPanel extends Panel {
  constructor(model: StudiesModel, commands: CommandRegistry) {
    super();
    this.id = "workbench-studies";
    this.addClass("wb-Panel");
    this.title.icon = studiesIcon;
    this.title.caption = "Workbench studies";
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", "Workbench studies");
    const toolbar = new Toolbar();
    toolbar.addItem("title", new Widget({ node: h("h2", {}, "Studies") }));
    toolbar.addItem(
      "refresh",
      new ToolbarButton({ icon: refreshIcon, tooltip: "Look for studies now", onClick: () => void model.refresh() }),
    );
    this.addWidget(toolbar);
    this.addWidget(new StudyList(model, commands));
  }
}

class StudyList extends Widget {
  constructor(
    private readonly model: StudiesModel,
    private readonly commands: CommandRegistry,
  ) {
    super();
    this.addClass("wb-List");
    model.changed.connect(this.show_, this);
    this.show_();
  }

  private show_(): void {
    const { model } = this;
    // What has the focus keeps it, whatever is drawn anew.
    const focused = (document.activeElement as HTMLElement | null)?.dataset.key;
    const several = new Set(model.studies.map((row) => row.store)).size > 1;
    const parts: Node[] = [];
    if (model.error) {
      parts.push(h("p", { class: "wb-Error", role: "alert" }, model.error));
    }
    parts.push(...model.stores.filter((s) => s.error).map((s) => h("p", { class: "wb-Error" }, s.error)));
    if (!model.loaded) {
      parts.push(h("p", { class: "wb-Empty" }, "Looking for studies …"));
    } else if (!model.studies.length && !model.error) {
      parts.push(
        h("p", { class: "wb-Empty" }, "No study below this server's folder yet."),
        h(
          "button",
          {
            type: "button",
            class: "jp-Button jp-mod-styled jp-mod-accept",
            onclick: () => void this.commands.execute("workbench:new-study"),
          },
          "New study",
        ),
      );
    }
    parts.push(
      h(
        "ul",
        {},
        model.studies.map((row) => this.item(row, several)),
      ),
    );
    this.node.replaceChildren(...parts);
    if (focused) {
      this.node.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    }
  }

  private item(row: StudyRow, several: boolean): HTMLElement {
    const open = () => void this.commands.execute("workbench:open-study", { store: row.store, study: row.study });
    const key = keyOf(row).replace("\0", "/");
    const left = row.progress ? leftText(row.progress.eta_s) : "";
    const share = row.progress?.total ? row.progress.done / row.progress.total : null;
    const about = [`${row.model} on ${row.dataset}`, several && row.store].filter(Boolean).join(" · ");
    const bar = h("i", { class: "wb-Bar" }, h("i", { style: `width: ${Math.round(100 * (share ?? 0))}%` }));
    return h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          class: "wb-Study",
          "data-key": key,
          "data-store": row.store,
          "data-study": row.study,
          "data-state": row.state,
          title: row.note || about,
          onclick: open,
        },
        h("span", { class: "wb-Dot", "aria-hidden": "true" }),
        h("span", { class: "wb-Name" }, row.study),
        h("span", { class: "wb-State" }, STATES[row.state]),
        h("span", { class: "wb-About" }, about),
        h(
          "span",
          { class: "wb-Facts" },
          [progressText(row), left, row.state === "running" ? "" : row.best].filter(Boolean).join(" · "),
        ),
        share !== null && bar,
        row.tags.length > 0 &&
          h(
            "span",
            { class: "wb-Tags" },
            row.tags.map((tag) => h("span", {}, tag)),
          ),
      ),
    );
  }
}
