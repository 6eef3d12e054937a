/** A study's dashboard as a tab of the main area: the notebook's own, answered by the server, so that no kernel is needed. */

import { MainAreaWidget } from "@jupyterlab/apputils";
import type { Message as LuminoMessage } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";
import * as api from "../api";
import { h } from "../dom";
import { studiesIcon } from "../icons";
import type { Message, StudyName } from "../types";

interface Dashboard {
  default: { render(of: { model: unknown; el: HTMLElement }): () => void };
  remoteModel(carrier: {
    ask(body: { page: string; messages: Message[] }): Promise<unknown>;
    asset(name: string): Promise<ArrayBuffer>;
  }): { close(): void };
}

let loading: Promise<Dashboard> | null = null;

/** Load the dashboard's script and style once for the page. */
function load(): Promise<Dashboard> {
  loading ??= Promise.all([api.assetText("dashboard.js"), api.assetText("dashboard.css")])
    .then(([script, style]) => {
      document.head.append(h("style", { "data-workbench": "dashboard" }, style));
      const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
      return import(/* webpackIgnore: true */ url) as Promise<Dashboard>;
    })
    .catch((error) => {
      loading = null;
      throw error;
    });
  return loading;
}

class DashboardView extends Widget {
  private closers: (() => void)[] = [];

  constructor(readonly name: StudyName) {
    super();
    this.addClass("wb-Tab");
    this.node.tabIndex = -1;
    void this.open();
  }

  private async open(): Promise<void> {
    try {
      const program = await load();
      if (this.isDisposed) {
        return;
      }
      const model = program.remoteModel({ ask: (body) => api.messages(this.name, body), asset: api.assetBytes });
      this.closers = [program.default.render({ model, el: this.node }), () => model.close()];
    } catch (error) {
      this.node.replaceChildren(
        h("p", { class: "wb-Error", role: "alert" }, error instanceof Error ? error.message : String(error)),
      );
    }
  }

  protected override onActivateRequest(msg: LuminoMessage): void {
    super.onActivateRequest(msg);
    this.node.focus();
  }

  override dispose(): void {
    if (!this.isDisposed) {
      for (const close of this.closers) {
        close();
      }
    }
    super.dispose();
  }
}

/** The tab of one study. */
export class DashboardTab extends MainAreaWidget<Widget> {
  constructor(readonly name: StudyName) {
    super({ content: new DashboardView(name) });
    this.id = DashboardTab.idOf(name);
    this.title.label = name.study;
    this.title.caption = `Study ${name.study} in ${name.store}`;
    this.title.icon = studiesIcon;
    this.title.closable = true;
    this.toolbar.hide();
  }

  static idOf(name: StudyName): string {
    return `workbench-dashboard-${encodeURIComponent(name.store)}-${encodeURIComponent(name.study)}`;
  }
}
