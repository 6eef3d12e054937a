// ---- figure: what Python drew, with the page's colours, the limits and the selection put into it

const SELECTED = "selected", BEST = "best", CURSOR = "cursor";
const OUT_OPACITY = 0.3;

const roleOf = (trace) => trace.meta?.role || "";
const isPoints = (trace) => roleOf(trace) === "points";

/** Return a trace with only some of its points; every list as long as the points is cut. */
function subset(trace, places) {
  const length = trace.x.length;
  const cut = (value) => {
    if (Array.isArray(value)) return value.length === length ? places.map((i) => value[i]) : value;
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, cut(inner)]));
    return value;
  };
  return cut(trace);
}

/** Return the traces of points as they are drawn: those within the limits, and, pale, those that are out. */
function pointTraces(trace, look) {
  const ids = trace.meta.ids;
  const inside = [], outside = [];
  ids.forEach((id, i) => (look.out.has(id) ? outside : inside).push(i));
  const hidden = look.hidden.has(trace.legendgroup);
  const line = trace.meta.outlined ? { ...trace.marker.line, color: look.colours.outline } : trace.marker.line;
  const ink = trace.meta.ink ? { color: look.colours.ink } : {};
  const whole = {
    ...trace,
    type: trace.type === "scattergl" && !look.webgl ? "scatter" : trace.type || "scatter",
    marker: { ...trace.marker, ...ink, line },
    showlegend: false,
    selected: undefined,
    // A box or lasso goes to the selection, which is drawn as rings; the points keep their looks.
    unselected: { marker: { opacity: trace.marker.opacity ?? 1 } },
    visible: !hidden,
  };
  const part = (places) => {
    const cut = places.length === ids.length ? { ...whole } : subset(whole, places);
    return Object.assign(cut, { selectedpoints: undefined });
  };
  return [part(inside), { ...part(outside), opacity: OUT_OPACITY, visible: !hidden && outside.length > 0 }];
}

/** Return the base traces restyled, without the legend's own, and the rings on top. */
function allTraces(figure, look) {
  const traces = [];
  for (const trace of figure.data) {
    const role = roleOf(trace);
    if (role === "legend") continue;
    if (isPoints(trace)) traces.push(...pointTraces(trace, look));
    else if (role === "front") traces.push({ ...trace, showlegend: false, line: { ...trace.line, color: look.colours.ink } });
    else if (role === "baseline") traces.push(baselineTrace(trace, look));
    else traces.push({ ...trace, showlegend: false });
  }
  return [...traces, ...rings(figure, look)];
}

/** Return a trace of no data that takes what the points of a crowded chart take. */
function warmTrace() {
  return { type: "scattergl", mode: "markers", x: [0, 1], y: [0, 1], marker: { symbol: ["circle", "square"], line: { width: 1 } } };
}

function baselineTrace(trace, look) {
  const ink = look.colours.ink;
  return { ...trace, showlegend: false, textfont: { ...trace.textfont, color: ink }, marker: { ...trace.marker, color: ink, line: { ...trace.marker?.line, color: ink } } };
}

/** Return rings around the best, the selected and where the keyboard is; always three traces, so that Plotly keeps the rest. */
function rings(figure, look) {
  const places = placesOf(figure);
  const ring = (role, ids, size, colour, width, more = {}) => {
    const spots = ids.flatMap((id) => places.get(id) || []);
    return {
      type: "scatter", mode: "markers", x: spots.map((s) => s.x), y: spots.map((s) => s.y),
      marker: { symbol: "circle-open", size, color: colour, line: { width, color: colour } },
      hoverinfo: "skip", showlegend: false, cliponaxis: false, meta: { role }, ...more,
    };
  };
  return [
    ring(BEST, look.best ? [look.best] : [], 25, look.colours.good, 3),
    ring(SELECTED, look.selected, 19, look.colours.accent, 3),
    ring(CURSOR, look.cursor ? [look.cursor] : [], 31, look.colours.ink, 1.5, { marker: { symbol: "square-open", size: 31, color: look.colours.ink, line: { width: 1.5, color: look.colours.ink } } }),
  ];
}

/** Return where each trial stands: id to a list of {x, y, trace, place}; one trial may stand at a point per runtime. */
function placesOf(figure) {
  figure.places ??= (() => {
    const places = new Map();
    for (const trace of figure.data.filter(isPoints)) {
      trace.meta.ids.forEach((id, i) => {
        const [x, y] = [trace.x[i], trace.y[i]];
        if (!Number.isFinite(x) || !Number.isFinite(y)) return;
        if (!places.has(id)) places.set(id, []);
        places.get(id).push({ id, x, y, trace, place: i });
      });
    }
    return places;
  })();
  return figure.places;
}

// ---- axes: ranges are set here and not by Plotly, which would count the shades as something to show

function extent(figure, axis) {
  const found = [];
  for (const trace of figure.data.filter(isPoints)) {
    const error = trace[`error_${axis}`];
    trace[axis].forEach((value, i) => {
      if (!Number.isFinite(value)) return;
      found.push(value);
      if (error?.visible && Number.isFinite(error.array?.[i])) found.push(value + error.array[i], value - (error.arrayminus?.[i] ?? 0));
    });
  }
  let low = Infinity, high = -Infinity;
  for (const value of found) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return found.length ? [low, high] : null;
}

function rangeOf(figure, axis, log) {
  const seen = extent(figure, axis);
  if (!seen) return null;
  let [low, high] = seen;
  if (log) {
    if (low <= 0) return null;
    [low, high] = [Math.log10(low), Math.log10(high)];
  }
  const span = high - low || Math.abs(high) * 0.1 || 1;
  // Room above for the baseline's name and below for the best's.
  const pad = axis === "y" ? 0.11 * span : 0.07 * span;
  return [low - pad, high + pad];
}

/** Return the ids of the variants that stand where this one does, to a few pixels, itself among them. */
function together(figure, id, hidden, plot) {
  const [spot] = placesOf(figure).get(id) || [];
  if (!spot) return [];
  // What is together hangs on how far the reader zoomed in.
  const part = (axis, value, pixels) => {
    const { range, type } = plot.layout?.[`${axis}axis`] || {};
    return range ? (pixels * (type === "log" ? Math.log10(value) : value)) / (range[1] - range[0]) : value;
  };
  const apart = (axis, other, pixels) => part(axis, other[axis], pixels) - part(axis, spot[axis], pixels);
  // Behind another tab the plot has no size.
  const near = (other) => Math.hypot(apart("x", other, plot.offsetWidth || 800), apart("y", other, plot.offsetHeight || 450)) < 4;
  const spots = [...placesOf(figure).values()].flat().filter((other) => !hidden.has(other.trace.legendgroup) && near(other));
  return [...new Set(spots.map((other) => other.id))];
}

/** Return whole numbers as ticks of a logarithmic axis; Plotly's own write 0.2 and 20 as a bare "2" between decades. */
function logTicks(axis, range) {
  const span = range ? range[1] - range[0] : 0;
  if (axis.type !== "log" || span < 0.6 || span > 4) return {};
  const steps = span > 2 ? [1] : span > 1.2 ? [1, 2, 5] : [1, 2, 3, 5, 7];
  const tickvals = [];
  for (let power = Math.floor(range[0]); power <= range[1]; power += 1) {
    for (const step of steps) tickvals.push(Number(`${step}e${power}`));
  }
  return { tickmode: "array", tickvals };
}

/** Return the rectangles over what a limit rules out, and the limits' lines. */
function shades(limits, ranges, types, look) {
  return (limits?.shade || []).flatMap((shade) => {
    const { axis, beyond, side } = shade;
    const range = ranges[axis];
    if (!range || !Number.isFinite(beyond)) return [];
    const log = types[axis] === "log";
    if (log && beyond <= 0) return [];
    const far = (range[1] - range[0]) * 20;
    const end = side === "above" ? range[1] + far : range[0] - far;
    const other = axis === "x" ? "y" : "x";
    const edge = log ? 10 ** Math.max(-300, Math.min(300, end)) : end;
    const area = { type: "rect", layer: "below", [`${axis}ref`]: axis, [`${other}ref`]: "paper", [`${axis}0`]: beyond, [`${axis}1`]: edge, [`${other}0`]: 0, [`${other}1`]: 1, fillcolor: look.colours.veil, line: { width: 0 } };
    const line = { ...area, type: "line", [`${axis}1`]: beyond, line: { width: 1.5, dash: "dash", color: look.colours.soft } };
    delete line.fillcolor;
    return [area, line];
  });
}

/** Return the layout for this page: colours, ranges, shades; legends and notes stand beside the plot, as text. */
function pageLayout(figure, look, limits) {
  const { legend, legend2, annotations, ...layout } = figure.layout;
  const colours = look.colours;
  const revision = ["x", "y"].map((name) => [layout[`${name}axis`]?.title?.text, layout[`${name}axis`]?.type].join("|")).concat(look.resets).join("|");
  // Where the reader zoomed, if these are still the axes in which that was done.
  const seen = Object.fromEntries(["x", "y"].map((name) => [name, look.shown?.uirevision === revision ? look.shown[`${name}axis`]?.range : null]));
  const axis = (name) => {
    const old = layout[`${name}axis`] || {};
    figure.ranges ??= {};
    figure.ranges[name] ??= rangeOf(figure, name, old.type === "log");
    const range = figure.ranges[name] ? { range: [...figure.ranges[name]], autorange: false } : {};
    const title = { ...old.title, font: { size: 13 } };
    return { ...old, ...range, ...logTicks(old, seen[name] || figure.ranges[name]), title, gridcolor: colours.grid, linecolor: colours.soft, tickcolor: colours.soft, zerolinecolor: colours.grid };
  };
  const [xaxis, yaxis] = [axis("x"), axis("y")];
  const types = { x: xaxis.type, y: yaxis.type };
  return {
    ...layout,
    xaxis, yaxis,
    autosize: true, width: undefined, height: look.height, showlegend: false,
    margin: { ...layout.margin, t: 30, r: 16, l: look.narrow ? 50 : 70, b: 52 },
    paper_bgcolor: colours.paper, plot_bgcolor: colours.paper, font: { ...layout.font, color: colours.ink },
    annotations: (annotations || []).filter((note) => note.name !== "note" && note.name !== "empty"),
    shapes: shades(limits, figure.ranges, types, look),
    // A box or lasso goes when it has done its work; without a revision of its own the zoom's would keep it.
    selections: [], selectionrevision: look.boxes,
    modebar: { uirevision: "kept", bgcolor: "rgba(0,0,0,0)", color: colours.soft, activecolor: colours.accent },
    // The same axes keep the reader's zoom when new trials come in.
    uirevision: revision,
  };
}

/** Return the sentence that Python put above the chart: what is not drawn, and why. */
function figureNote(figure) {
  return plain(figure.layout.annotations?.find((note) => note.name === "note")?.text);
}
