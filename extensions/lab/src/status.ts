/** The status bar's item: the sweep that runs, how far it is; a click cancels it. */

import type { CommandRegistry } from "@lumino/commands";
import { Widget } from "@lumino/widgets";
import { h, leftText } from "./dom";
import { progressText, type StudiesModel } from "./studies/model";

export class SweepStatus extends Widget {
  private readonly button: HTMLButtonElement;

  constructor(
    private readonly model: StudiesModel,
    commands: CommandRegistry,
  ) {
    super();
    this.addClass("wb-Status");
    this.button = h("button", {
      type: "button",
      class: "wb-StatusButton",
      onclick: () => {
        const row = model.running[0];
        if (row) {
          void commands.execute("workbench:stop", { store: row.store, study: row.study });
        }
      },
    });
    this.node.append(this.button);
    model.changed.connect(this.draw, this);
    this.draw();
  }

  private draw(): void {
    const [row, ...others] = this.model.running;
    if (row) {
      const left = row.progress ? leftText(row.progress.eta_s) : "";
      const more = others.length ? `${others.length} more` : "";
      this.button.textContent = [`Sweep ${row.study}: ${progressText(row)}`, left, more].filter(Boolean).join(", ");
      this.button.title = `${row.progress?.label ?? ""}\nClick to cancel this sweep.`.trim();
    }
  }
}
