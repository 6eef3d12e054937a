/** How JupyterLab opens a `.tflite` file: without reading its bytes, which may be many. */

import { ABCWidgetFactory, type DocumentRegistry, TextModelFactory } from "@jupyterlab/docregistry";
import type { Contents } from "@jupyterlab/services";
import { ToolbarButton } from "@jupyterlab/ui-components";
import type { CommandRegistry } from "@lumino/commands";
import { modelIcon } from "../icons";
import { ModelDocument, ModelView } from "./viewer";

export const FACTORY = "Workbench model";
export const MODEL = "workbench-file";

export const FILE_TYPE: Partial<DocumentRegistry.IFileType> = {
  name: "tflite",
  displayName: "TensorFlow Lite model",
  extensions: [".tflite"],
  mimeTypes: ["application/octet-stream"],
  contentType: "file",
  fileFormat: "base64",
  icon: modelIcon,
};

/** A document whose content stays on the server. */
export class FileModelFactory extends TextModelFactory {
  override get name(): string {
    return MODEL;
  }

  override get fileFormat(): Contents.FileFormat {
    // Nothing is read where there is no format.
    return null;
  }
}

const ACTIONS = [
  ["bench", "Bench", "Measure this file"],
  ["compare", "Compare", "Measure this file on several runtimes side by side"],
  ["sweep", "Sweep …", "Optimize this model: the form of a sweep in a notebook"],
  ["use", "Use in notebook", "Write the code that opens this file"],
] as const;

export class ModelFactory extends ABCWidgetFactory<ModelDocument> {
  constructor(private readonly commands: CommandRegistry) {
    super({
      name: FACTORY,
      label: FACTORY,
      modelName: MODEL,
      fileTypes: ["tflite"],
      defaultFor: ["tflite"],
      readOnly: true,
    });
  }

  protected createNewWidget(context: DocumentRegistry.Context): ModelDocument {
    const content = new ModelView(context);
    const widget = new ModelDocument({ content, context });
    widget.title.icon = modelIcon;
    for (const [name, label, tooltip] of ACTIONS) {
      const onClick = () => void this.commands.execute(`workbench:${name}`, { path: context.path });
      widget.toolbar.addItem(name, new ToolbarButton({ label, tooltip, onClick }));
    }
    return widget;
  }
}
