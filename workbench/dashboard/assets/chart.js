// ---- chart: the plot, its choices and its legend; what is drawn is made in figure.js

const CONFIG = {
  responsive: false,
  displaylogo: false,
  displayModeBar: true,
  // Plotly would go back to the ranges of the axes that were drawn first, whatever they are now.
  doubleClick: false,
  showSendToCloud: false,
  showTips: false,
  modeBarButtonsToRemove: ["autoScale2d", "resetScale2d", "zoomIn2d", "zoomOut2d"],
  toImageButtonOptions: { filename: "workbench-tradeoff", scale: 2 },
};
const HOME = { width: 1000, height: 1000, path: "M500 90L60 480h130v390h230V620h160v250h230V480h130Z" };
const HEIGHT = 460, SOON_MS = 20;
let webglWorks = null;

function makeChart(view) {
  const plot = h("div", { class: "wb-plot" });
  const told = h("p", { class: "wb-note", "aria-live": "polite" });
  const frame = h("div", {
    class: "wb-frame", tabindex: "0", role: "group", onkeydown: (event) => step(event), onblur: () => moveTo(null),
    "aria-label": "Trade-off chart. Left and right arrows step through the variants, Enter selects one, Shift and Enter adds it, Escape clears.",
  }, plot);
  const waiting = h("p", { class: "wb-waiting", hidden: true });
  const note = h("p", { class: "wb-note", hidden: true });
  const hidden = new Set();
  const legend = makeLegend((group) => {
    if (!hidden.delete(group)) hidden.add(group);
    draw();
  });
  const choices = makeChoices(view.send);
  const home = { name: "reset", title: "Reset axes", icon: HOME, click: () => reset() };
  const config = { ...CONFIG, modeBarButtonsToAdd: [home] };
  const element = h("div", { class: "wb-chart" }, waiting, frame, told, legend.element, note);
  let closed = false, boxes = 0, resets = 0, hit = "", data = null, limits = null, selected = [], cursor = null, Plotly = null, drawing = null, again = false, drawn = false, warm = false, width = 0;

  function look() {
    webglWorks ??= hasWebgl();
    return {
      out: new Set(limits?.out || []), best: limits?.best?.id || "", selected, cursor, hidden, webgl: webglWorks, boxes, resets, shown: drawn ? plot.layout : null,
      colours: readColours(view.root), height: HEIGHT, narrow: element.offsetWidth < 560,
    };
  }

  // Messages come in groups, so what they change is drawn once, after the page has shown the words.
  let scheduled = 0, spare = 0;
  // What came while a tab hid the chart is drawn when it is shown again.
  let missed = false;
  function draw() {
    if (scheduled) return;
    const now = () => {
      cancelAnimationFrame(scheduled);
      clearTimeout(spare);
      scheduled = 0;
      redraw();
    };
    scheduled = requestAnimationFrame(() => setTimeout(now, 0));
    // A page in the background has no frames.
    spare = setTimeout(now, 150);
  }

  function redraw() {
    if (!data || closed) return;
    const figure = data.figure;
    const count = placesOf(figure).size;
    const empty = count === 0;
    frame.hidden = empty || !Plotly;
    waiting.hidden = !frame.hidden;
    waiting.textContent = empty ? view.emptyText() : "Waiting for the chart's program from the kernel …";
    note.textContent = figureNote(figure);
    note.hidden = !note.textContent;
    view.root.toggleAttribute("data-empty", empty);
    legend.element.hidden = empty;
    legend.show(figure, hidden, Boolean(limits?.best));
    choices.show(data);
    const shown = () => (view.root.dataset.points = String([...placesOf(figure).values()].flat().filter((spot) => !hidden.has(spot.trace.legendgroup)).length));
    missed = !plot.offsetWidth;
    if (frame.hidden || missed) {
      if (empty) shown();
      return;
    }
    // One drawing at a time; what came meanwhile is drawn once, after it.
    if (drawing) {
      again = true;
      return;
    }
    const now = look();
    width = plot.offsetWidth;
    if (warm) coolDown(figure);
    drawing = Plotly.react(plot, allTraces(figure, now), pageLayout(figure, now, limits), config)
      .then(listen)
      .then(shown)
      .catch((error) => console.error("workbench: the chart could not be drawn", error))
      .finally(() => {
        drawing = null;
        if (again) {
          again = false;
          draw();
        }
      });
  }

  /** Have the graphics card ready for very many points while the kernel still reads them: it takes most of the first drawing. */
  function warmUp() {
    const now = look();
    if (!now.webgl) return;
    warm = true;
    Plotly.newPlot(plot, [warmTrace()], { width: element.offsetWidth, height: now.height }, config);
  }

  function coolDown(figure) {
    warm = false;
    // Few points are drawn without it, and a page has few of its contexts.
    if (!figure.data.some((trace) => trace.type === "scattergl")) Plotly.purge(plot);
  }

  function listen() {
    if (drawn) return;
    drawn = true;
    plot.on("plotly_click", (event) => {
      const id = idOf(event.points?.[0]);
      const more = event.event?.shiftKey || event.event?.ctrlKey || event.event?.metaKey;
      if (id) view.pick(more ? id : underneath(id), more);
    });
    // Ticks and the note on what stands together hang on how far the reader zoomed in.
    plot.on("plotly_relayout", draw);
    plot.on("plotly_doubleclick", reset);
    plot.on("plotly_selected", (event) => {
      const ids = [...new Set((event?.points || []).map(idOf).filter(Boolean))];
      if (ids.length) view.select([...new Set([...selected, ...ids])]);
      // The rings tell what is selected.
      boxes += 1;
      draw();
    });
  }

  function reset() {
    resets += 1;
    draw();
  }

  /** Where several variants stand at one point, each click takes the next. */
  function underneath(id) {
    const same = id === hit;
    hit = id;
    const ids = together(data.figure, id, hidden, plot);
    const at = same && selected.length === 1 ? ids.indexOf(selected[0]) : -1;
    return ids.length > 1 && at >= 0 ? ids[(at + 1) % ids.length] : id;
  }

  function tellOthers() {
    const others = selected.length === 1 && data ? together(data.figure, selected[0], hidden, plot).length - 1 : 0;
    told.textContent = others > 0 ? `${others === 1 ? "Another variant stands" : `${others.toLocaleString("en")} more variants stand`} at the same point; click it again for the next.` : "";
  }

  const idOf = (point) => (point && isPoints(point.data) ? point.data.meta.ids[point.pointNumber] : "");

  /** The keyboard's way through the points, by rising x. */
  function step(event) {
    if (!data || event.target !== frame) return;
    const spots = [...placesOf(data.figure).values()].flat().filter((spot) => !hidden.has(spot.trace.legendgroup)).sort((a, b) => a.x - b.x || a.y - b.y);
    const ids = [...new Set(spots.map((spot) => spot.id))];
    const at = ids.indexOf(cursor);
    const moves = { ArrowRight: at + 1, ArrowLeft: at < 0 ? ids.length - 1 : at - 1, Home: 0, End: ids.length - 1 };
    if (event.key in moves && ids.length) {
      moveTo(ids[Math.max(0, Math.min(ids.length - 1, moves[event.key]))]);
    } else if (event.key === "Enter" || event.key === " ") {
      if (cursor) view.pick(cursor, event.shiftKey || event.ctrlKey || event.metaKey);
    } else if (event.key === "Escape") {
      view.select([]);
    } else {
      return;
    }
    event.preventDefault();
  }

  function moveTo(id) {
    if (id === cursor) return;
    cursor = id;
    const spot = id && data ? placesOf(data.figure).get(id)?.[0] : null;
    const hover = spot?.trace.customdata?.[spot.place];
    const text = Array.isArray(hover) ? hover[1] : spot?.trace.text?.[spot.place];
    if (spot) told.textContent = plain(String(text || id).replace(/<br>/g, "; ").replace(/<\/?b>/g, ""));
    else tellOthers();
    draw();
  }

  const resized = paced(100, () => {
    // A card that opens below changes the height of the page, which the chart does not follow.
    if (!plot.offsetWidth) return;
    if (missed) return draw();
    if (plot.offsetWidth === width) return;
    width = plot.offsetWidth;
    if (drawn) Plotly.Plots.resize(plot);
    else draw();
  });

  return {
    element, choices, draw, resized,
    ready(program) {
      Plotly = program;
      if (data) draw();
      // What has arrived meanwhile is handed over first.
      else setTimeout(() => data || closed || warmUp(), SOON_MS);
    },
    show(message) {
      data = { ...message, figure: unpacked(message.figure) };
      draw();
    },
    limit(message) {
      limits = message;
      draw();
    },
    selected(ids) {
      selected = ids;
      if (!cursor) tellOthers();
      draw();
    },
    close() {
      closed = true;
      if (Plotly) Plotly.purge(plot);
    },
  };
}

/** The selects for axes, colour and symbol, and the switches for logarithmic axes. */
function makeChoices(send) {
  const axes = ["x", "y"].map((name) => {
    const select = labelledSelect(name === "x" ? "Across" : "Up", (value) => send({ do: "choose", [name]: value }));
    const log = h("input", { type: "checkbox", "aria-label": `Logarithmic ${name} axis`, onchange: () => send({ do: "choose", [`${name}_log`]: log.checked }) });
    select.select.setAttribute("aria-label", name === "x" ? "X axis" : "Y axis");
    select.element.append(h("label", { class: "wb-switch" }, log, "log"));
    return { name, select, log };
  });
  const colour = labelledSelect("Colour", (value) => send({ do: "choose", colour: value }));
  const symbol = labelledSelect("Symbol", (value) => send({ do: "choose", symbol: value }));
  const element = h("div", { class: "wb-choices" }, axes.map((a) => a.select.element), colour.element, symbol.element);

  function show({ choices }) {
    for (const { name, select, log } of axes) {
      select.show(choices.metrics, choices[name]);
      log.checked = Boolean(choices[`${name}_log`]);
      log.disabled = !choices[`${name}_log_possible`];
    }
    colour.show(choices.colours, choices.colour);
    symbol.show(choices.symbols, choices.symbol);
  }

  return { element, show };
}
