/** What a `.tflite` file is, as elements: a summary, its operators, its weight tensors. */

import { h, percent, sizeText } from "../dom";
import type { Inspection } from "../types";

const MOST_ROWS = 2000;

/** Sizes, weights by type, ends, operators by kind, warnings. */
export function summary({ size, census, warnings }: Inspection): HTMLElement {
  const total = Object.values(census.weights).reduce((sum, bytes) => sum + bytes, 0);
  return h(
    "div",
    { class: "wb-Summary" },
    warnings.map((text) => h("p", { class: "wb-Warning" }, text)),
    h(
      "dl",
      { class: "wb-Figures" },
      figure("File", sizeText(size.file)),
      figure("Compressed (gzip)", sizeText(size.gzip)),
      figure("Weights", sizeText(total)),
      figure("Zeros in kernels", percent(census.sparsity)),
      figure("Most values in a kernel", census.unique_weights.toLocaleString("en")),
    ),
    h("h3", {}, "Weights by type"),
    Object.keys(census.weights).length ? bars(census.weights, total, sizeText) : h("p", {}, "none"),
    h("h3", {}, "Operators"),
    bars(
      census.operators,
      Object.values(census.operators).reduce((sum, n) => sum + n, 0),
      String,
    ),
    h("h3", {}, "Inputs and outputs"),
    table(
      ["", "Name", "Type and shape"],
      [
        ...census.inputs.map((end) => ["input", ...splitEnd(end)]),
        ...census.outputs.map((end) => ["output", ...splitEnd(end)]),
      ],
      [],
    ),
  );
}

/** Every operator of the file, in its order. */
export function operators({ operators: rows, operators_total }: Inspection): HTMLElement {
  const several = rows.some((row) => row.graph > 0);
  return list(
    ["#", ...(several ? ["Graph"] : []), "Operator", "Inputs", "Outputs", "Weights"],
    rows.map((row) => [
      String(row.index),
      ...(several ? [String(row.graph)] : []),
      row.custom ? `${row.name} (custom)` : row.name,
      row.inputs.join(", "),
      row.outputs.join(", "),
      row.weights ? sizeText(row.weights) : "",
    ]),
    operators_total,
    [0, several ? 5 : 4],
  );
}

/** Every tensor of weights, in the file's order. */
export function tensors({ census }: Inspection): HTMLElement {
  return list(
    ["Tensor", "Operator", "Type", "Shape", "Bytes", "Zeros", "Values"],
    census.tensors.map((t) => [
      t.name,
      t.operator,
      t.type,
      t.shape.join("×"),
      sizeText(t.bytes),
      percent(t.sparsity),
      t.unique.toLocaleString("en"),
    ]),
    census.tensors.length,
    [4, 5, 6],
  );
}

function figure(title: string, value: string): HTMLElement {
  return h("div", {}, h("dt", {}, title), h("dd", {}, value));
}

function bars(values: Record<string, number>, total: number, text: (value: number) => string): HTMLElement {
  const rows = Object.entries(values).sort(([, a], [, b]) => b - a);
  return h(
    "table",
    { class: "wb-Bars" },
    h(
      "tbody",
      {},
      rows.map(([name, value]) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, name),
          h("td", {}, text(value)),
          h("td", { "aria-hidden": "true" }, h("i", { style: `width: ${total ? (100 * value) / total : 0}%` })),
        ),
      ),
    ),
  );
}

function splitEnd(end: string): [string, string] {
  const at = end.lastIndexOf(":");
  return [end.slice(0, at), end.slice(at + 1).replaceAll(",", "×")];
}

function list(head: string[], rows: string[][], total: number, numbers: number[]): HTMLElement {
  const left = total - Math.min(rows.length, MOST_ROWS);
  return h(
    "div",
    {},
    rows.length ? table(head, rows.slice(0, MOST_ROWS), numbers) : h("p", { class: "wb-Empty" }, "none"),
    left > 0 && h("p", {}, `${left.toLocaleString("en")} more are not shown; \`workbench inspect\` lists all.`),
  );
}

function table(head: string[], rows: string[][], numbers: number[]): HTMLElement {
  const cell = (tag: "td" | "th", text: string, at: number) =>
    h(tag, numbers.includes(at) ? { class: "wb-Number" } : {}, text);
  return h(
    "div",
    { class: "wb-Scroll", tabindex: "0", role: "region", "aria-label": "table" },
    h(
      "table",
      { class: "wb-Table" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          head.map((text, at) => cell("th", text, at)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            row.map((text, at) => cell("td", text, at)),
          ),
        ),
      ),
    ),
  );
}
