"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const table = document.querySelector("table.trials");
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
  const button = (text) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    return made;
  };
  if (table) {
    // The notebook's table becomes one that can be sorted, filtered and picked from.
    table.id = "trials";
    for (const header of table.tHead.rows[0].cells) {
      const first = header.firstChild;
      first.replaceWith(button(first.textContent));
      header.querySelector("button").addEventListener("click", () => sortBy(header));
    }
    for (const row of body.rows) {
      const name = row.querySelector(".recipe"), made = button(name.textContent);
      made.disabled = !row.classList.contains("ok");
      made.setAttribute("aria-pressed", "false");
      name.replaceWith(made);
    }
    const controls = document.createElement("div");
    controls.className = "controls";
    controls.innerHTML = `<span class="control"><label for="filter">Filter</label><input id="filter" type="search"
      placeholder="recipe, state or warning" autocomplete="off" spellcheck="false"></span><output id="shown" for="filter"></output>`;
    table.closest(".scroll").before(controls);
    filter("");
    byId("filter").addEventListener("input", (event) => filter(event.target.value));
  }

  // ---- charts: a figure comes ready from Python; only coordinates, titles, the front and the page's colours change here
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--page-${name}`).trim();
  const config = { responsive: true, displaylogo: false, showSendToCloud: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  const lines = () => ({ gridcolor: css("grid"), linecolor: css("soft"), tickcolor: css("soft"), zerolinecolor: css("grid") });
  const coloured = (layout) => ({
    ...layout,
    autosize: true,
    paper_bgcolor: css("paper"),
    plot_bgcolor: css("paper"),
    font: { ...layout.font, color: css("ink") },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("soft"), activecolor: css("accent") },
  });
  const plain = (chart, figure) => {
    const draw = () => {
      const layout = coloured(figure.layout);
      for (const name of Object.keys(layout)) if (/^[xy]axis/.test(name)) layout[name] = { ...layout[name], ...lines() };
      const traces = figure.data.map((t) => (t.meta && t.meta.ink ? { ...t, marker: { ...t.marker, color: css("ink") } } : t));
      return Plotly.react(chart, traces, layout, config);
    };
    dark.addEventListener("change", draw);
    draw();
  };
  for (const source of document.querySelectorAll('script[id^="chart-data"]')) {
    const suffix = source.id.slice("chart-data".length), data = JSON.parse(source.textContent);
    if (data.plain) plain(byId(`chart${suffix}`), data.plain);
    else tradeoff(data, suffix);
  }
  function tradeoff(data, suffix) {
    const chart = byId(`chart${suffix}`);
    const selects = { x: byId(`x${suffix}`), y: byId(`y${suffix}`) }, logs = { x: byId(`x${suffix}-log`), y: byId(`y${suffix}-log`) };
    const position = new Map(data.ids.map((id, i) => [id, i]));
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
        if (role === "front") changed.line = { ...trace.line, shape: x.stair, color: css("ink") };
        if (role === "baseline") changed.textfont = { ...trace.textfont, color: css("ink") };
        if (role === "baseline") changed.marker = { ...trace.marker, color: css("ink"), line: { ...trace.marker.line, color: css("ink") } };
        if (ink) changed.marker = { ...trace.marker, color: css("ink") };
        if (outlined) changed.marker = { ...trace.marker, line: { ...trace.marker.line, color: css("outline") } };
        return changed;
      });
      const axis = (name, { axis: { range, ...own } }) => {
        const log = logs[name].checked;
        return { ...own, ...(range && !log ? { range } : {}), type: log ? "log" : "linear", ...lines() };
      };
      const layout = {
        ...coloured(data.figure.layout),
        xaxis: axis("x", x),
        yaxis: axis("y", y),
        annotations: data.figure.layout.annotations.map((a) => (a.name === "note" ? { ...a, text: pair.note } : a)),
      };
      return Plotly.react(chart, traces, layout, config);
    };
    const choose = (name) => {
      const metric = data.metrics[selects[name].value];
      logs[name].checked = metric.log;
      logs[name].disabled = !metric.log_possible;
    };
    const pick = (id, scroll) => {
      picked = id === picked ? null : id;
      for (const row of body ? body.rows : []) {
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
    if (body) body.addEventListener("click", (event) => {
      const button = event.target.closest("th button:not(:disabled)");
      if (button) pick(button.closest("tr").dataset.id, false);
    });
    dark.addEventListener("change", draw);
    draw();
    chart.on("plotly_click", (event) => {
      const point = event.points[0];
      if (point && point.customdata) pick(point.customdata[0], true);
    });
  }
})();
