// ---- card: what is known of the selected variant, and the comparison of several

const BETTER = { better: ["▲", "better"], worse: ["▼", "worse"], same: ["=", "same"] };

/** A change against the baseline, told by a sign, a word and a colour. */
function delta(text, better) {
  if (!text) return null;
  const [mark, word] = BETTER[better] || ["", ""];
  return h("span", { class: `wb-delta ${better ? `wb-${better}` : ""}` }, mark && h("span", { "aria-hidden": "true" }, `${mark} `), text, word && better !== "same" ? ` ${word}` : "");
}

function makeSelection(view) {
  const element = h("section", { class: "wb-selection", "aria-label": "Selected variants" });
  const differs = changes();

  function show(message) {
    if (!differs(message)) return;
    const focused = element.contains(document.activeElement);
    element.dataset.kind = message.kind;
    element.dataset.many = String((message.ids || []).length > 2);
    if (message.kind === "card") element.replaceChildren(card(message.card, view));
    else if (message.kind === "comparison") element.replaceChildren(comparison(message, view));
    else element.replaceChildren(hint());
    if (focused) element.querySelector("button")?.focus();
  }

  show({ kind: "none" });
  return { element, show };
}

function hint() {
  return h("div", { class: "wb-hint" }, h("b", {}, "Select a variant to see all about it"), h("ul", {},
    h("li", {}, "Click a point, or a row of the table."),
    h("li", {}, "Shift or Ctrl and a click, or box and lasso, add to the selection: two or more are compared side by side."),
    h("li", {}, "With the keyboard: go to the chart, step with the arrows, press Enter.")));
}

const closeButton = (view) => h("button", { type: "button", class: "wb-close", "aria-label": "Clear the selection", title: "Clear the selection", onclick: () => view.select([]) }, "×");

function card(data, view) {
  const parts = [
    h("div", { class: "wb-card-head" }, h("h3", {}, data.recipe), closeButton(view)),
    h("p", { class: "wb-tags" }, h("span", { class: "wb-tag", "data-state": data.state }, data.state), data.baseline ? h("span", { class: "wb-tag" }, "baseline") : null, h("code", { title: `Trial ${data.id}` }, data.id.slice(0, 12))),
    data.error ? h("p", { class: "wb-error" }, data.error) : null,
    data.path ? actions(data, view) : null,
    ...(data.warnings || []).map((w) => h("div", { class: w.level === "note" ? "wb-warning wb-remark" : "wb-warning" }, h("b", {}, w.level === "note" ? `Note: ${w.kind}` : `⚠ ${w.kind}`), h("p", {}, withCode(w.seen)), w.advice ? h("p", { class: "wb-advice" }, withCode(w.advice)) : null)),
    figuresTable(data),
    runtimesList(data.runtimes || []),
    settings(data.settings),
    census(data),
  ];
  return h("article", { class: "wb-card", "data-id": data.id }, parts.filter(Boolean));
}

function figuresTable(data) {
  const figures = data.figures || [];
  if (!figures.length) return null;
  // The baseline beside itself would say everything twice.
  const beside = !data.baseline && figures.some((f) => f.baseline);
  return h("table", { class: "wb-figures" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Figure"), h("th", { scope: "col" }, "This"), beside ? [h("th", { scope: "col" }, "Baseline"), h("th", { scope: "col" }, "Change")] : null)),
    h("tbody", {}, figures.map((f) => h("tr", {},
      h("th", { scope: "row" }, f.label),
      h("td", {}, f.text, f.interval ? h("small", {}, f.interval) : null),
      beside ? [h("td", { class: "wb-soft" }, f.baseline || "–"), h("td", {}, delta(f.delta, f.better))] : null))));
}

function runtimesList(runtimes) {
  if (!runtimes.length) return null;
  return h("details", { open: true }, h("summary", {}, runtimes.length === 1 ? "Runtime" : `${runtimes.length} runtimes`), h("dl", { class: "wb-runtimes" }, runtimes.map((r) => [
    h("dt", {}, r.runtime, r.state && r.state !== "ok" ? h("span", { class: "wb-tag", "data-state": r.state }, r.state) : null),
    h("dd", {}, [r.latency, r.ratio].filter(Boolean).join(" · ") || null, r.taken ? h("div", {}, `Operators taken: ${r.taken}`) : null, left(r.left), r.note ? h("div", { class: "wb-soft" }, r.note) : null),
  ])));
}

function left(names) {
  const text = Array.isArray(names) ? names.join(", ") : names;
  return text ? h("div", {}, `Left to the processor: ${text}`) : null;
}

function census(data) {
  const weights = data.weights || [], operators = data.operators || [];
  if (!weights.length && !operators.length) return null;
  const list = (title, pairs) => (pairs.length ? [h("dt", {}, title), h("dd", {}, h("ul", { class: "wb-plain" }, pairs.map(([name, text]) => h("li", {}, h("code", {}, name), ` ${text}`))))] : null);
  return h("details", {}, h("summary", {}, "What is in the file"), h("dl", {},
    list("Weights by type", weights.map((w) => [w.type, w.text])),
    list("Operators", operators.map((o) => [o.name, `× ${o.count}`])),
    data.sha256 ? [h("dt", {}, "SHA-256"), h("dd", {}, h("code", {}, data.sha256))] : null));
}

function settings(rows) {
  if (!rows || !rows.length) return null;
  return h("details", {}, h("summary", {}, "How it was made"), h("dl", {}, rows.map((r) => [h("dt", {}, r.name), h("dd", {}, r.text)])));
}

function actions(data, view) {
  const id = freshId("folder");
  const folder = h("input", { type: "text", id, value: `export-${data.recipe.replace(/[^\w.-]+/g, "-")}`, spellcheck: "false", "aria-label": "Folder of the export, on the kernel's machine" });
  const form = h("form", { class: "wb-export", hidden: true, onsubmit: (event) => {
    event.preventDefault();
    view.send({ do: "export", id: data.id, folder: folder.value.trim() });
  } }, h("label", { for: id }, "Folder on the kernel's machine"), h("div", {}, folder, h("button", { type: "submit", class: "wb-button" }, "Export")));
  const opener = h("button", { type: "button", class: "wb-button", "aria-expanded": "false", "aria-label": "Export bundle: to a folder on the kernel's machine", onclick: () => {
    form.hidden = !form.hidden;
    opener.setAttribute("aria-expanded", String(!form.hidden));
    if (!form.hidden) folder.focus();
  } }, "Export bundle …");
  const code = h("div", { hidden: true }, codes(data.code, view));
  const writer = h("button", { type: "button", class: "wb-button", "aria-expanded": "false", onclick: () => {
    code.hidden = !code.hidden;
    writer.setAttribute("aria-expanded", String(!code.hidden));
  } }, "Copy code …");
  const save = h("button", { type: "button", class: "wb-button wb-primary", "aria-label": "Save .tflite", onclick: () => view.send({ do: "save", id: data.id }) }, "Save .tflite");
  return h("div", { class: "wb-actions" }, h("div", { class: "wb-row" }, save, opener, writer), form, code);
}

function codes(code, view) {
  const kinds = [["python", "Python"], ["cli", "Command line"], ["magic", "Notebook"]].filter(([key]) => code?.[key]);
  return kinds.map(([key, label]) => {
    const button = h("button", { type: "button", class: "wb-button wb-small", "aria-label": `Copy code: ${label}`, onclick: async () => {
      const done = await copyText(code[key]);
      button.textContent = done ? "Copied" : "Copy";
      if (!done) view.notice("error", "This page may not write to the clipboard. Select the text and copy it.");
      setTimeout(() => (button.textContent = "Copy"), 2000);
    } }, "Copy");
    return h("div", { class: "wb-code" }, h("div", {}, h("span", {}, label), button), h("pre", { tabindex: "0" }, code[key]));
  });
}

function comparison(data, view) {
  const head = h("tr", {}, h("th", { scope: "col" }, "Figure"), data.recipes.map((recipe, i) => h("th", { scope: "col" }, h("button", { type: "button", class: "wb-link", title: "Show this one's card", onclick: () => view.select([data.ids[i]]) }, recipe))));
  const rows = data.rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.label), row.cells.map((cell) => h("td", {}, cell.text, cell.delta ? h("small", {}, delta(cell.delta, cell.better)) : null))));
  return h("article", { class: "wb-comparison" },
    h("div", { class: "wb-card-head" }, h("h3", {}, `${data.ids.length} variants side by side`), closeButton(view)),
    data.note ? h("p", { class: "wb-note" }, data.note) : null,
    h("div", { class: "wb-scroll", tabindex: "0", role: "group", "aria-label": "Comparison" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows))));
}
