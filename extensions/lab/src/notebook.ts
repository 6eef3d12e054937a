/** Writes code cells: into the notebook that is open, else into a new one. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import { PathExt } from "@jupyterlab/coreutils";
import { type INotebookTracker, NotebookActions, type NotebookPanel } from "@jupyterlab/notebook";

const LOAD = "%load_ext workbench";

/** What a cell says of a file; `path` is how the notebook's kernel names it. */
export type Cell = (path: string) => string;

/** A word as `%wb` reads it. */
export function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}

export class Notebooks {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly tracker: INotebookTracker | null,
  ) {}

  /** Write cells about a file (or none, "") and run them where asked to; returns the notebook. */
  async write(path: string, cells: Cell[], run: boolean): Promise<NotebookPanel | null> {
    const open = this.tracker?.currentWidget;
    const panel = open?.isVisible ? open : await this.create(PathExt.dirname(path));
    if (!panel) {
      return null;
    }
    await panel.context.ready;
    const named = path && PathExt.relative(PathExt.dirname(panel.context.localPath), path);
    let sources = cells.map((cell) => cell(named));
    if (run && !this.loads(panel)) {
      sources = sources.map((source, at) => (at ? source : `${LOAD}\n${source}`));
    }
    for (const source of sources) {
      await this.add(panel, source, run);
    }
    this.app.shell.activateById(panel.id);
    return panel;
  }

  private async create(folder: string): Promise<NotebookPanel | null> {
    const kernelName = this.app.serviceManager.kernelspecs.specs?.default;
    const made: unknown = await this.app.commands.execute("notebook:create-new", { cwd: folder, kernelName });
    return (made as NotebookPanel | null) ?? this.tracker?.currentWidget ?? null;
  }

  private loads(panel: NotebookPanel): boolean {
    const cells = panel.content.model?.cells;
    return !!cells && [...Array(cells.length).keys()].some((at) => cells.get(at).sharedModel.source.includes(LOAD));
  }

  private async add(panel: NotebookPanel, source: string, run: boolean): Promise<void> {
    const { content } = panel;
    const active = content.activeCell;
    if (active?.model.type !== "code" || active.model.sharedModel.source.trim()) {
      NotebookActions.insertBelow(content);
    }
    const cell = content.activeCell;
    cell?.model.sharedModel.setSource(source);
    if (run && cell) {
      // Another cell may be the active one by then.
      await panel.sessionContext.ready;
      // A form or a measurement takes its time; who asked for it sees it run.
      void NotebookActions.runCells(content, [cell], panel.sessionContext);
    }
  }
}
