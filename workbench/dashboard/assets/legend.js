// ---- legend: Plotly's legends as part of the page, so that they wrap at any width and the keyboard reaches them

// Plotly's symbols on a field of 16 by 16.
const SHAPES = {
  circle: "M8 3a5 5 0 1 0 0.01 0Z",
  square: "M3.5 3.5h9v9h-9Z",
  diamond: "M8 2l6 6-6 6-6-6Z",
  cross: "M6 2.5h4V6h3.5v4H10v3.5H6V10H2.5V6H6Z",
  x: "M5 2.5l3 3 3-3 2.5 2.5-3 3 3 3-2.5 2.5-3-3-3 3L2.5 11l3-3-3-3Z",
  "triangle-up": "M8 2.5l6 10.5H2Z",
  "triangle-down": "M8 13.5L2 3h12Z",
  pentagon: "M8 2.5l5.5 4-2.1 6.5H4.6L2.5 6.5Z",
  hexagon: "M4.5 3h7l3 5-3 5h-7l-3-5Z",
  octagon: "M6 2.5h4L13.5 6v4L10 13.5H6L2.5 10V6Z",
  star: "M8 1.5l2 4.5 4.8.5-3.6 3.2 1 4.8L8 12l-4.2 2.5 1-4.8L1.2 6.5 6 6Z",
  hexagram: "M8 1.5l2 3.5h4l-2 3 2 3h-4l-2 3.5L6 11H2l2-3-2-3h4Z",
  hourglass: "M3 3h10l-5 5 5 5H3l5-5Z",
  bowtie: "M3 3l5 5 5-5v10L8 8l-5 5Z",
  "star-square": "M2.5 2.5L8 5l5.5-2.5L11 8l2.5 5.5L8 11l-5.5 2.5L5 8Z",
  "star-diamond": "M8 1.5L10 6l4.5 2-4.5 2-2 4.5L6 10 1.5 8 6 6Z",
};

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Draw the sign of a legend's entry: a marker, the front's line or the baseline's ring. */
function sign(trace) {
  const picture = svg("svg", { viewBox: "0 0 16 16", width: "14", height: "14", "aria-hidden": "true" });
  const role = trace.meta?.role;
  if (role === "front") {
    picture.append(svg("path", { d: "M1 12h5V5h9", fill: "none", stroke: "currentColor", "stroke-width": "1.6", "stroke-dasharray": "2 2" }));
    return picture;
  }
  if (role === "baseline") {
    picture.append(svg("circle", { cx: "8", cy: "8", r: "6", fill: "none", stroke: "currentColor", "stroke-width": "1.8" }));
    return picture;
  }
  if (role === BEST) {
    picture.append(svg("circle", { cx: "8", cy: "8", r: "6", fill: "none", stroke: "var(--wb-good)", "stroke-width": "2.5" }));
    return picture;
  }
  const symbol = String(trace.marker?.symbol || "circle");
  const open = symbol.endsWith("-open");
  const ink = trace.meta?.ink ? "currentColor" : trace.marker?.color || "currentColor";
  const line = open ? ink : "var(--wb-outline)";
  picture.append(svg("path", { d: SHAPES[symbol.replace(/-open$/, "")] || SHAPES.circle, fill: open ? "none" : ink, stroke: line, "stroke-width": open ? "2" : "1" }));
  return picture;
}

/** Two rows of entries; a press on one of the first row hides or shows what it names. */
function makeLegend(toggle) {
  const element = h("div", { class: "wb-legend" });
  const differs = changes();

  function row(title, entries) {
    return entries.length ? h("div", { class: "wb-legend-row", role: "group", "aria-label": title || "Legend" }, h("b", {}, title), entries) : null;
  }

  function show(figure, hidden, best) {
    const legends = figure.data.filter((trace) => trace.meta?.role === "legend");
    if (!differs([legends, figure.layout.legend, figure.layout.legend2, [...hidden], best])) return;
    const entry = (trace) => {
      const name = plain(trace.name);
      const group = trace.legendgroup;
      if (!group) return h("span", { class: "wb-entry" }, sign(trace), name);
      const shown = !hidden.has(group);
      const press = () => toggle(group);
      return h("button", { type: "button", class: "wb-entry", "aria-pressed": String(shown), title: shown ? `Hide ${name}` : `Show ${name}`, onclick: press }, sign(trace), name);
    };
    const focused = element.contains(document.activeElement) ? document.activeElement.textContent : null;
    const marks = figure.data.filter((trace) => ["front", "baseline"].includes(trace.meta?.role) && trace.x?.length);
    if (best) marks.push({ name: "best that fits", meta: { role: BEST } });
    const first = legends.filter((trace) => trace.legend !== "legend2");
    const second = legends.filter((trace) => trace.legend === "legend2");
    const title = (legend) => plain(legend?.title?.text);
    element.replaceChildren(
      ...[row(title(figure.layout.legend), first.map(entry)), row(title(figure.layout.legend2), [...second.map(entry), ...marks.map(entry)])].filter(Boolean),
    );
    if (focused !== null) [...element.querySelectorAll("button")].find((button) => button.textContent === focused)?.focus();
  }

  return { element, show };
}
