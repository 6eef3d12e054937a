/** The document of a `.tflite` file: tabs with summary, operators, tensors and graph. */

import { type DocumentRegistry, DocumentWidget } from "@jupyterlab/docregistry";
import { Widget } from "@lumino/widgets";
import * as api from "../api";
import { h, isDark } from "../dom";
import type { Inspection } from "../types";
import { operators, summary, tensors } from "./summary";

const TABS = [
  ["summary", "Summary"],
  ["operators", "Operators"],
  ["tensors", "Tensors"],
  ["graph", "Graph"],
] as const;
type Tab = (typeof TABS)[number][0];

/** What is in the file, asked of the server; the file's bytes stay there. */
export class ModelView extends Widget {
  private readonly panel = h("div", { class: "wb-ModelPanel", role: "tabpanel" });
  private readonly tabs: Map<Tab, HTMLButtonElement>;
  private readonly frames = new Map<string, HTMLIFrameElement>();
  private found: Inspection | null = null;
  private error: string | null = null;
  private shown: Tab = "summary";

  constructor(private readonly context: DocumentRegistry.Context) {
    super();
    this.addClass("wb-Model");
    this.tabs = new Map(
      TABS.map(([name, label]) => [
        name,
        h("button", { type: "button", role: "tab", "data-tab": name, onclick: () => this.open(name) }, label),
      ]),
    );
    const list = h("div", { class: "wb-ModelTabs", role: "tablist", "aria-label": "Views of the model" }, [
      ...this.tabs.values(),
    ]);
    list.addEventListener("keydown", (event) => this.move(event));
    this.node.append(list, this.panel);
    this.draw();
    void context.ready
      .then(() => this.load())
      .then(() => {
        context.fileChanged.connect(() => void this.load());
        context.pathChanged.connect(() => void this.load());
      });
  }

  /** Read the file again. */
  async load(): Promise<void> {
    try {
      this.found = await api.inspect(this.context.localPath);
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
    this.frames.clear();
    if (!this.isDisposed) {
      this.draw();
    }
  }

  /** The theme is another one: the graph's frame has colours of its own. */
  themed(): void {
    if (this.shown === "graph") {
      this.draw();
    }
  }

  private open(tab: Tab): void {
    this.shown = tab;
    this.draw();
  }

  private move(event: KeyboardEvent): void {
    const names = TABS.map(([name]) => name);
    const at = names.indexOf(this.shown);
    const to = {
      ArrowRight: (at + 1) % names.length,
      ArrowLeft: (at + names.length - 1) % names.length,
      Home: 0,
      End: names.length - 1,
    }[event.key];
    const name = to === undefined ? undefined : names[to];
    if (name) {
      event.preventDefault();
      this.open(name);
      this.tabs.get(name)?.focus();
    }
  }

  private draw(): void {
    for (const [name, tab] of this.tabs) {
      tab.setAttribute("aria-selected", String(name === this.shown));
      tab.tabIndex = name === this.shown ? 0 : -1;
    }
    this.panel.setAttribute("aria-label", this.shown);
    this.panel.replaceChildren(this.content());
  }

  private content(): Node {
    if (this.error !== null) {
      return h("p", { class: "wb-Error", role: "alert" }, this.error);
    }
    if (this.found === null) {
      return h("p", { class: "wb-Empty", role: "status" }, "Reading the file …");
    }
    return { summary, operators, tensors, graph: () => this.graph() }[this.shown](this.found);
  }

  private graph(): HTMLElement {
    const url = api.graphUrl(this.context.localPath, isDark());
    const frame = this.frames.get(url) ?? h("iframe", { class: "wb-Graph", title: "Graph of the model", src: url });
    this.frames.set(url, frame);
    return frame;
  }
}

/** The tab of the document, with a toolbar of what can be done with the file. */
export class ModelDocument extends DocumentWidget<ModelView> {}
