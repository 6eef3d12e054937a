/** The commands: about files, about studies, and each verb's form. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import { Dialog, InputDialog, Notification, showDialog, showErrorMessage } from "@jupyterlab/apputils";
import type { IFileBrowserFactory } from "@jupyterlab/filebrowser";
import * as api from "./api";
import { modelIcon, studiesIcon } from "./icons";
import { type Notebooks, word } from "./notebook";
import type { Settings } from "./settings";
import type { StudiesModel } from "./studies/model";
import type { StudyName } from "./types";
import { FACTORY } from "./viewer/factory";

export const CATEGORY = "Workbench";

/** The verbs whose form, or result, a notebook shows; as `%wb` knows them. */
export const VERBS: Record<string, string> = {
  model: "Choose the model",
  data: "Choose the data",
  convert: "Convert",
  quantize: "Quantize",
  prune: "Prune",
  cluster: "Cluster",
  qat: "Train for quantization",
  delegate: "Try a delegate",
  sweep: "Sweep",
  preflight: "Preflight: what training will leave",
  studies: "List the studies",
  show: "Show a study's trials",
  pareto: "Show a study's Pareto front",
  best: "Name the best trial",
  dashboard: "Dashboard in the notebook",
  inspect: "Inspect a file",
  bench: "Bench a file",
  compare: "Compare runtimes",
  report: "Write a report",
  export: "Export a trial",
  batch: "Run a batch",
  store: "Look at the store",
  doctor: "What works on this machine",
};

interface Parts {
  app: JupyterFrontEnd;
  notebooks: Notebooks;
  model: StudiesModel;
  settings: Settings;
  browser: IFileBrowserFactory | null;
}

type Args = { path?: string; store?: string; study?: string; verb?: string; cwd?: string };

/** Run what a command does; a mistake is shown with its message. */
async function told<T>(title: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    await showErrorMessage(title, error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

export function addFileCommands({ app, notebooks, settings, browser }: Parts): string[] {
  const { commands } = app;
  const chosen = (args: Args) =>
    args.path ??
    [...(browser?.tracker.currentWidget?.selectedItems() ?? [])].find((item) => item.path.endsWith(".tflite"))?.path;

  const asked = async (args: Args) =>
    chosen(args) ??
    (await InputDialog.getText({ title: "Which .tflite file?", placeholder: "path/to/model.tflite" })).value ??
    undefined;
  const add = (name: string, label: string, act: (path: string) => Promise<unknown>) =>
    commands.addCommand(`workbench:${name}`, {
      label,
      caption: `${label}: a .tflite file`,
      icon: modelIcon,
      execute: async (args) => {
        const path = await asked(args as Args);
        return path ? told(label, () => act(path)) : undefined;
      },
    });
  const store = () => (settings.store ? ` --store ${word(settings.store)}` : "");
  add("inspect", "Inspect", (path) => commands.execute("docmanager:open", { path, factory: FACTORY }));
  add("bench", "Bench", (path) =>
    notebooks.write(
      path,
      [(name) => `%wb bench ${word(name)} --runtime ${word(settings.runtimes.split(",")[0]?.trim() || "xnnpack")}`],
      true,
    ),
  );
  add("compare", "Compare", (path) =>
    notebooks.write(path, [(name) => `%wb compare ${word(name)} --runtimes ${word(settings.runtimes)}`], true),
  );
  add("sweep", "Sweep …", (path) =>
    notebooks.write(path, [(name) => `%wb model ${word(name)}${store()}`, () => "%wb sweep"], true),
  );
  add("use", "Use in notebook", (path) =>
    notebooks.write(
      path,
      [(name) => `import workbench\n\nfile = ${JSON.stringify(name)}\nworkbench.inspect(file)`],
      false,
    ),
  );
  return ["inspect", "bench", "compare", "sweep", "use"].map((name) => `workbench:${name}`);
}

export function addStudyCommands({ app, model }: Parts, open: (name: StudyName) => void): string[] {
  const { commands } = app;
  const clicked = (): StudyName | undefined => {
    const node = app.contextMenuHitTest((one) => one.classList.contains("wb-Study"));
    const { store, study } = node?.dataset ?? {};
    return store !== undefined && study !== undefined ? { store, study } : undefined;
  };
  const asked = async (args: Args, only: (state: string) => boolean): Promise<StudyName | undefined> => {
    if (args.store !== undefined && args.study !== undefined) {
      return { store: args.store, study: args.study };
    }
    await model.refresh();
    const rows = model.studies.filter((row) => only(row.state));
    if (!rows.length) {
      await showDialog({
        title: "No study",
        body: "No study below this server's folder fits.",
        buttons: [Dialog.okButton()],
      });
      return undefined;
    }
    const items = rows.map((row) => `${row.study} (${row.store})`);
    const { value } = await InputDialog.getItem({ title: "Which study?", items });
    return value === null ? undefined : rows[items.indexOf(value)];
  };
  const add = (
    name: string,
    label: string,
    act: (study: StudyName) => Promise<unknown>,
    only = (_state: string) => true,
  ) =>
    commands.addCommand(`workbench:${name}`, {
      label,
      icon: studiesIcon,
      isVisible: () => {
        const at = clicked();
        return !at || only(model.find(at)?.state ?? "");
      },
      execute: async (args) => {
        const given = args as Args;
        const study = (given.study === undefined ? clicked() : undefined) ?? (await asked(given, only));
        return study ? told(label, () => act(study)) : undefined;
      },
    });

  add("open-study", "Open dashboard", async (study) => open(study));
  add(
    "stop",
    "Cancel sweep",
    (study) => cancel(study, model),
    (state) => state === "running",
  );
  add("report", "Write report …", (study) => report(study, commands));
  add("export", "Export a trial …", exportTrial);
  add("tag", "Change tags …", (study) => changeTags(study, model));
  add("note", "Write note …", (study) => writeNote(study, model));
  add(
    "delete",
    "Delete study …",
    (study) => deleteStudy(study, model),
    (state) => state !== "running",
  );
  return ["open-study", "stop", "report", "export", "tag", "note", "delete"].map((name) => `workbench:${name}`);
}

export function addStartCommands({ app, notebooks, settings, browser }: Parts): void {
  const { commands } = app;
  const folder = (args: Args) => args.cwd ?? browser?.tracker.currentWidget?.model.path ?? "";
  commands.addCommand("workbench:new-study", {
    label: "New study",
    caption: "A notebook with the forms of model, data and sweep",
    icon: modelIcon,
    execute: (args) =>
      told("New study", () => {
        const store = settings.store ? ` --store ${word(settings.store)}` : "";
        const at = folder(args as Args);
        return notebooks.write(
          at ? `${at}/.` : "",
          [() => "%wb model", () => "%wb data", () => `%wb sweep${store && ` ${store.trim()}`}`],
          true,
        );
      }),
  });
  commands.addCommand("workbench:quickstart", {
    label: "Quickstart",
    caption: "A copy of the quickstart notebook",
    icon: studiesIcon,
    execute: (args) =>
      told("Quickstart", async () => {
        const { path } = await api.copyNotebook("quickstart", folder(args as Args));
        return commands.execute("docmanager:open", { path });
      }),
  });
  commands.addCommand("workbench:verb", {
    label: (args) => VERBS[(args as Args).verb ?? ""] ?? "A verb in a notebook",
    caption: (args) => `%wb ${(args as Args).verb ?? ""}`,
    execute: (args) =>
      told("Workbench", () => notebooks.write("", [() => `%wb ${(args as Args).verb ?? "doctor"}`], true)),
  });
}

async function cancel(study: StudyName, model: StudiesModel): Promise<void> {
  const { button } = await showDialog({
    title: `Cancel the sweep of ${study.study}?`,
    body: "Finished variants stay. The same sweep again goes on where this one ends.",
    buttons: [Dialog.cancelButton({ label: "Go on" }), Dialog.warnButton({ label: "Cancel sweep" })],
  });
  if (button.accept) {
    const { stopping } = await api.stop(study);
    Notification.info(
      stopping ? `The sweep of ${study.study} is asked to stop.` : `No sweep of ${study.study} runs any more.`,
      { autoClose: 5000 },
    );
    await model.refresh();
  }
}

async function report({ store, study }: StudyName, commands: JupyterFrontEnd["commands"]): Promise<void> {
  const { value } = await InputDialog.getText({
    title: `Report of ${study}`,
    label: "File, from the server's folder",
    text: `${fileStem(study)}.html`,
  });
  if (value) {
    const work = api.report({ store, study }, value);
    Notification.promise(work, {
      pending: { message: `Writing the report of ${study} …` },
      success: {
        message: (result) => `Wrote ${(result as { path: string }).path}.`,
        options: {
          actions: [
            {
              label: "Open",
              callback: () => void work.then(({ path }) => commands.execute("docmanager:open", { path })),
            },
          ],
        },
      },
      error: { message: (reason) => (reason instanceof Error ? reason.message : String(reason)) },
    });
    await work.catch(() => undefined);
  }
}

async function exportTrial(study: StudyName): Promise<void> {
  const trial = (
    await InputDialog.getText({ title: `Export a trial of ${study.study}`, label: "Id or recipe, e.g. int8" })
  ).value;
  const out =
    trial &&
    (
      await InputDialog.getText({
        title: `Export ${trial}`,
        label: "Folder, from the server's",
        text: `exported/${fileStem(trial)}`,
      })
    ).value;
  if (trial && out) {
    const { path } = await api.exportTrial(study, trial, out);
    Notification.success(`Exported ${trial} to ${path}.`, { autoClose: 5000 });
  }
}

async function changeTags(study: StudyName, model: StudiesModel): Promise<void> {
  const had = model.find(study)?.tags ?? [];
  const { value } = await InputDialog.getText({
    title: `Tags of ${study.study}`,
    label: "Parted by spaces",
    text: had.join(" "),
  });
  if (value === null) {
    return;
  }
  const wanted = value.split(/[\s,]+/).filter(Boolean);
  const [fresh, gone] = [wanted.filter((tag) => !had.includes(tag)), had.filter((tag) => !wanted.includes(tag))];
  if (fresh.length) {
    await api.tag(study, fresh, false);
  }
  if (gone.length) {
    await api.tag(study, gone, true);
  }
  await model.refresh();
}

async function writeNote(study: StudyName, model: StudiesModel): Promise<void> {
  const { value } = await InputDialog.getText({ title: `Note on ${study.study}`, text: model.find(study)?.note ?? "" });
  if (value !== null) {
    await api.note(study, value);
    await model.refresh();
  }
}

async function deleteStudy(study: StudyName, model: StudiesModel): Promise<void> {
  const { button } = await showDialog({
    title: `Delete study ${study.study}?`,
    body: `Its trials and measurements in ${study.store} are lost. Files stay until \`workbench store gc\`.`,
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: "Delete" })],
  });
  if (button.accept) {
    await api.remove(study);
    await model.refresh();
  }
}

function fileStem(text: string): string {
  return text.replace(/[^\w.-]+/g, "-").replace(/^[.-]+|-+$/g, "") || "study";
}
