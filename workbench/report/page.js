"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const table = byId("trials");
  const body = table && table.tBodies[0];

  // ---- table: sort and filter
  const sortValue = (row, column) => row.cells[column].dataset.sort;
  const compare = (a, b, numeric) => (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
  const sortBy = (header) => {
    const column = header.cellIndex;
    const up = header.getAttribute("aria-sort") !== "ascending";
    const numeric = header.classList.contains("number");
    const rows = [...body.rows];
    rows.sort((a, b) => {
      const left = sortValue(a, column), right = sortValue(b, column);
      // What is not known stays at the end whichever way the rest is sorted.
      if (left === "" || right === "") return (left === "") - (right === "");
      return up ? compare(left, right, numeric) : compare(right, left, numeric);
    });
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...rows);
  };
  const filter = (text) => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const content = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => content.includes(word));
      shown += !row.hidden;
    }
    byId("shown").value = `${shown} of ${body.rows.length} shown`;
  };
  if (table) {
    for (const header of table.tHead.rows[0].cells) header.querySelector("button").addEventListener("click", () => sortBy(header));
    byId("filter").addEventListener("input", (event) => filter(event.target.value));
  }

  // ---- chart: the figure comes ready from Python; only coordinates, titles and the front change here
  const source = byId("chart-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const chart = byId("chart"), selects = { x: byId("x"), y: byId("y") }, logs = { x: byId("x-log"), y: byId("y-log") };
  const position = new Map(data.ids.map((id, i) => [id, i]));
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let picked = null;

  const whiskers = (old, metric, places) => {
    const pair = (i) => (metric.values[i] === null ? null : metric.intervals[i]);
    return {
      ...old,
      array: places.map((i) => (pair(i) ? pair(i)[1] - metric.values[i] : null)),
      arrayminus: places.map((i) => (pair(i) ? metric.values[i] - pair(i)[0] : null)),
      visible: places.some((i) => pair(i)),
    };
  };
  const draw = () => {
    const x = data.metrics[selects.x.value], y = data.metrics[selects.y.value];
    const pair = data.pairs[selects.x.value][selects.y.value];
    const css = getComputedStyle(document.documentElement);
    const colour = (name) => css.getPropertyValue(name).trim();
    const traces = data.figure.data.map((trace) => {
      const { role, ids, ink, outlined } = trace.meta;
      const changed = { ...trace };
      if (ids) {
        const places = role === "front" ? pair.front : ids.map((id) => position.get(id));
        changed.x = places.map((i) => x.values[i]);
        changed.y = places.map((i) => y.values[i]);
        if (role === "points") {
          changed.error_x = whiskers(trace.error_x, x, places);
          changed.error_y = whiskers(trace.error_y, y, places);
          changed.selectedpoints = picked === null ? null : ids.flatMap((id, i) => (id === picked ? [i] : []));
        }
      }
      if (role === "front") changed.line = { ...trace.line, shape: x.stair, color: colour("--ink") };
      if (role === "baseline") changed.textfont = { ...trace.textfont, color: colour("--ink") };
      if (role === "baseline") changed.marker = { ...trace.marker, color: colour("--ink"), line: { ...trace.marker.line, color: colour("--ink") } };
      if (ink) changed.marker = { ...trace.marker, color: colour("--ink") };
      if (outlined) changed.marker = { ...trace.marker, line: { ...trace.marker.line, color: colour("--outline") } };
      return changed;
    });
    const axis = (name, metric) => ({
      ...metric.axis, type: logs[name].checked ? "log" : "linear", gridcolor: colour("--grid"), linecolor: colour("--soft"), tickcolor: colour("--soft"),
    });
    const layout = {
      ...data.figure.layout,
      autosize: true,
      xaxis: axis("x", x),
      yaxis: axis("y", y),
      paper_bgcolor: colour("--paper"),
      plot_bgcolor: colour("--paper"),
      font: { ...data.figure.layout.font, color: colour("--ink") },
      annotations: data.figure.layout.annotations.map((a) => (a.name === "note" ? { ...a, text: pair.note } : a)),
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--accent") },
    };
    return Plotly.react(chart, traces, layout, { responsive: true, displaylogo: false, showSendToCloud: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
  };
  const choose = (name) => {
    const metric = data.metrics[selects[name].value];
    logs[name].checked = metric.log;
    logs[name].disabled = !metric.log_possible;
  };
  const pick = (id, scroll) => {
    picked = id === picked ? null : id;
    for (const row of body.rows) {
      const on = row.dataset.id === picked;
      row.classList.toggle("picked", on);
      row.querySelector("th button").setAttribute("aria-pressed", String(on));
      if (on && scroll) {
        // A row that the filter hides cannot be shown, so the filter gives way.
        if (row.hidden) { byId("filter").value = ""; filter(""); }
        row.scrollIntoView({ block: "center" });
      }
    }
    draw();
  };
  for (const name of ["x", "y"]) {
    selects[name].addEventListener("change", () => { choose(name); draw(); });
    logs[name].addEventListener("change", draw);
    choose(name);
  }
  body.addEventListener("click", (event) => {
    const button = event.target.closest("th button:not(:disabled)");
    if (button) pick(button.closest("tr").dataset.id, false);
  });
  dark.addEventListener("change", draw);
  draw();
  chart.on("plotly_click", (event) => {
    const point = event.points[0];
    if (point && point.customdata) pick(point.customdata[0], true);
  });
})();
