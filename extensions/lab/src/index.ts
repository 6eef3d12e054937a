/** Workbench in JupyterLab: a viewer of `.tflite` files, a panel of studies, their dashboards as tabs. */

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, IThemeManager, Notification, WidgetTracker } from "@jupyterlab/apputils";
import { IFileBrowserFactory } from "@jupyterlab/filebrowser";
import { ILauncher } from "@jupyterlab/launcher";
import { INotebookTracker } from "@jupyterlab/notebook";
import { IRunningSessionManagers } from "@jupyterlab/running";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { IStatusBar } from "@jupyterlab/statusbar";
import * as api from "./api";
import { addFileCommands, addStartCommands, addStudyCommands, CATEGORY, VERBS } from "./commands";
import { leftText } from "./dom";
import { studiesIcon } from "./icons";
import { Notebooks } from "./notebook";
import { Settings } from "./settings";
import { SweepStatus } from "./status";
import { progressText, StudiesModel } from "./studies/model";
import { StudiesPanel } from "./studies/panel";
import { DashboardTab } from "./studies/tab";
import type { StudyName } from "./types";
import { FILE_TYPE, FileModelFactory, ModelFactory } from "./viewer/factory";
import type { ModelDocument } from "./viewer/viewer";

const ID = "tflite-workbench-lab:plugin";

const plugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: "Models, studies and dashboards of TFLite Workbench.",
  autoStart: true,
  optional: [
    ICommandPalette,
    ILauncher,
    ILayoutRestorer,
    INotebookTracker,
    IFileBrowserFactory,
    ISettingRegistry,
    IStatusBar,
    IRunningSessionManagers,
    IThemeManager,
  ],
  activate,
};

async function activate(
  app: JupyterFrontEnd,
  palette: ICommandPalette | null,
  launcher: ILauncher | null,
  restorer: ILayoutRestorer | null,
  notebooks: INotebookTracker | null,
  browser: IFileBrowserFactory | null,
  registry: ISettingRegistry | null,
  statusBar: IStatusBar | null,
  running: IRunningSessionManagers | null,
  themes: IThemeManager | null,
): Promise<void> {
  const model = new StudiesModel();
  const settings = new Settings();
  const parts = { app, notebooks: new Notebooks(app, notebooks), model, settings, browser };

  const open = addDashboards(app, restorer);
  const named = [...addFileCommands(parts), ...addStudyCommands(parts, open)];
  addStartCommands(parts);
  addViewer(app, restorer, themes);

  const panel = new StudiesPanel(model, app.commands);
  restorer?.add(panel, panel.id);
  app.shell.add(panel, "left", { rank: 600 });
  statusBar?.registerStatusItem(ID, {
    item: new SweepStatus(model, app.commands),
    align: "left",
    rank: 90,
    isActive: () => model.running.length > 0,
    activeStateChanged: model.changed,
  });
  if (running) {
    addRunning(running, model, app);
  }
  for (const command of [...named, "workbench:new-study", "workbench:quickstart"]) {
    palette?.addItem({ command, category: CATEGORY });
  }
  for (const verb of Object.keys(VERBS)) {
    palette?.addItem({ command: "workbench:verb", args: { verb }, category: `${CATEGORY} in the notebook` });
  }
  for (const [rank, command] of ["workbench:new-study", "workbench:quickstart", "workbench:open-study"].entries()) {
    launcher?.add({ command, category: CATEGORY, rank });
  }
  model.ended.connect((_, row) => {
    if (settings.notify) {
      const actions = [{ label: "Open dashboard", callback: () => open(row) }];
      Notification.info(`Sweep ${row.study}: ${row.state}, ${progressText(row)}.`, { autoClose: 10000, actions });
    }
  });
  const changed = () => {
    model.refreshMs = 1000 * settings.refreshSeconds;
  };
  void registry?.load(ID).then((found) => settings.follow(found, changed), console.error);
  void app.restored.then(() => model.refresh());
}

/** Tabs with dashboards, which come back when the page is loaded anew; returns what opens one. */
function addDashboards(app: JupyterFrontEnd, restorer: ILayoutRestorer | null): (name: StudyName) => void {
  const tracker = new WidgetTracker<DashboardTab>({ namespace: "workbench-dashboards" });
  const open = ({ store, study }: StudyName) => {
    const id = DashboardTab.idOf({ store, study });
    let tab = tracker.find((one) => one.id === id);
    if (!tab) {
      tab = new DashboardTab({ store, study });
      app.shell.add(tab, "main");
      void tracker.add(tab);
    }
    app.shell.activateById(id);
  };
  void restorer?.restore(tracker, {
    command: "workbench:open-study",
    args: ({ name }) => ({ store: name.store, study: name.study }),
    name: ({ id }) => id,
  });
  return open;
}

/** The viewer of `.tflite` files, opened by a double click. */
function addViewer(app: JupyterFrontEnd, restorer: ILayoutRestorer | null, themes: IThemeManager | null): void {
  const factory = new ModelFactory(app.commands);
  const tracker = new WidgetTracker<ModelDocument>({ namespace: "workbench-models" });
  app.docRegistry.addFileType(FILE_TYPE);
  app.docRegistry.addModelFactory(new FileModelFactory());
  app.docRegistry.addWidgetFactory(factory);
  factory.widgetCreated.connect((_, widget) => {
    void tracker.add(widget);
    widget.context.pathChanged.connect(() => void tracker.save(widget));
  });
  themes?.themeChanged.connect(() => {
    tracker.forEach((widget) => {
      widget.content.themed();
    });
  });
  void restorer?.restore(tracker, {
    command: "workbench:inspect",
    args: (widget) => ({ path: widget.context.path }),
    name: (widget) => widget.context.path,
  });
}

/** Running sweeps in Lab's own list of what runs. */
function addRunning(running: IRunningSessionManagers, model: StudiesModel, app: JupyterFrontEnd): void {
  running.add({
    name: "Sweeps",
    running: () =>
      model.running.map((row) => ({
        open: () => void app.commands.execute("workbench:open-study", { store: row.store, study: row.study }),
        icon: () => studiesIcon,
        label: () => row.study,
        labelTitle: () => `${row.model} on ${row.dataset}`,
        detail: () => [progressText(row), row.progress ? leftText(row.progress.eta_s) : ""].filter(Boolean).join(", "),
        shutdown: () => void api.stop(row).then(() => model.refresh()),
      })),
    shutdownAll: () => void Promise.all(model.running.map((row) => api.stop(row))).then(() => model.refresh()),
    refreshRunning: () => void model.refresh(),
    runningChanged: model.changed,
    shutdownLabel: "Cancel",
    shutdownAllLabel: "Cancel All",
    shutdownAllConfirmationText: "Cancel all running sweeps? Finished variants stay.",
  });
}

export default plugin;
