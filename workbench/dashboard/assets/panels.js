// ---- panels: parallel coordinates, failures, environment

function makeParallel(view) {
  const plot = h("div", { class: "wb-plot" });
  const scroll = h("div", { class: "wb-scroll wb-borderless" }, plot);
  const note = h("p", { class: "wb-waiting" }, LOADING);
  const help = h("p", { class: "wb-note", hidden: true }, "Drag along an axis to keep the variants that pass there; drag an axis by its name to move it.");
  const left = h("p", { class: "wb-note", hidden: true });
  const element = h("div", {}, note, help, scroll, left);
  let data = null, Plotly = null;

  function draw() {
    if (!data) return;
    const drawable = Boolean(data.figure?.data?.length);
    note.hidden = drawable && Boolean(Plotly);
    note.textContent = drawable ? "Waiting for the chart's program from the kernel …" : data.note || view.emptyText();
    left.textContent = drawable ? data.note : "";
    left.hidden = !left.textContent;
    scroll.hidden = help.hidden = !drawable;
    if (!drawable || !Plotly || !scroll.offsetWidth) return;
    const colours = readColours(view.root);
    const traces = data.figure.data.map((trace) => ({ ...trace, labelfont: { ...trace.labelfont, color: colours.ink }, tickfont: { ...trace.tickfont, color: colours.soft }, rangefont: { color: "rgba(0,0,0,0)" } }));
    const axes = Math.max(...traces.map((trace) => trace.dimensions?.length || 0));
    // Axes closer than this are not read; the rest is reached by scrolling.
    const width = Math.max(scroll.clientWidth, axes * 105 + 80);
    plot.style.width = `${width}px`;
    const layout = { ...data.figure.layout, width, height: 460, paper_bgcolor: colours.paper, plot_bgcolor: colours.paper, font: { ...data.figure.layout.font, color: colours.ink } };
    Plotly.react(plot, traces, layout, { displaylogo: false, displayModeBar: false }).catch((error) => console.error("workbench: parallel coordinates could not be drawn", error));
  }

  return {
    element, draw,
    ready(program) {
      Plotly = program;
      draw();
    },
    show(message) {
      data = { ...message, figure: message.figure ? unpacked(message.figure) : null };
      draw();
    },
    close() {
      if (Plotly) Plotly.purge(plot);
    },
  };
}

function makeFailures(view) {
  const element = h("div", { class: "wb-failures" }, h("p", { class: "wb-waiting" }, LOADING));
  const differs = changes();
  return {
    element,
    show({ groups }) {
      if (!differs(groups)) return;
      if (!groups.length) {
        element.replaceChildren(h("p", { class: "wb-waiting" }, view.running() ? "Nothing has failed so far." : "Nothing failed."));
        return;
      }
      element.replaceChildren(...groups.map((group) => h("section", { class: "wb-failure" },
        h("h3", {}, h("span", { class: "wb-tag", "data-state": group.state }, group.state), ` ${group.what || ""}`),
        h("pre", { tabindex: "0" }, group.reason),
        recipes(group.recipes, group.count ?? group.recipes.length))));
    },
  };
}

function recipes(names, count) {
  const list = h("ul", { class: "wb-plain" }, names.map((name) => h("li", {}, h("code", {}, name))));
  if (count <= 4) return list;
  const more = count > names.length ? h("p", { class: "wb-note" }, `and ${(count - names.length).toLocaleString("en")} more`) : null;
  return h("details", {}, h("summary", {}, `${count.toLocaleString("en")} variants`), list, more);
}

function makeEnvironment(view) {
  const element = h("div", { class: "wb-environment" }, h("p", { class: "wb-waiting" }, LOADING));
  const differs = changes();
  const pairs = (facts) => h("dl", { class: "wb-pairs" }, facts.map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]));
  const words = (key) => {
    if (key === "sha256") return "SHA-256";
    const text = key.replaceAll("_", " ");
    return text[0].toUpperCase() + text.slice(1);
  };
  const written = (value) => (value && typeof value === "object" ? (Array.isArray(value) ? value.map(written).join(" × ") : Object.entries(value).map(([k, v]) => `${k} ${written(v)}`.trim()).join(", ")) : String(value));
  const facts = (record) => Object.entries(record || {}).filter(([, value]) => value !== null && value !== "" && written(value) !== "").map(([key, value]) => [words(key), written(value)]);
  return {
    element,
    show(message) {
      if (!differs(message)) return;
      const block = (title, text) => {
        if (!text) return null;
        const button = h("button", { type: "button", class: "wb-button wb-small", "aria-label": `Copy: ${title}`, onclick: async () => {
          const done = await copyText(text);
          button.textContent = done ? "Copied" : "Copy";
          if (!done) view.notice("error", "This page may not write to the clipboard. Select the text and copy it.");
        } }, "Copy");
        return h("section", {}, h("div", { class: "wb-code" }, h("div", {}, h("h3", {}, title), button), h("pre", { tabindex: "0" }, text)));
      };
      const section = (title, list) => (list.length ? h("section", {}, h("h3", {}, title), pairs(list)) : null);
      const parts = [section("Machine", [...(message.facts || []), ...(message.started ? [["Started", message.started]] : [])]), section("Model", facts(message.model)), section("Dataset", facts(message.dataset)), block("Command", message.command), block("Grid", message.grid)];
      element.replaceChildren(...parts.filter(Boolean));
    },
  };
}
