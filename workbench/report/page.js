"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const table = document.querySelector("table.trials");
  const body = table && table.tBodies[0];

  const make = (name, text, changes) => Object.assign(document.createElement(name), { textContent: text, ...changes });
  const button = (text) => make("button", text, { type: "button" });
  // What is packed (JSON, gzip, base64) is unpacked by the browser itself; all else is ready.
  const unpack = async (text) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  };
  const ready = (data, use, place) => {
    if (!data.packed) return use(data);
    const failed = (error) => place.append(make("p", `This browser cannot show all of it (${error.message}); a newer one can.`, { className: "note" }));
    return unpack(data.packed).then(use).catch(failed);
  };

  // ---- table: sort and filter, of rows that stand in the page or of data from which a page of rows at a time is made
  const compare = (a, b, numeric) => (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
  // What is not known stays at the end whichever way the rest is sorted.
  const ordered = (left, right, up, numeric) => {
    if (left === "" || right === "") return (left === "") - (right === "");
    return up ? compare(left, right, numeric) : compare(right, left, numeric);
  };
  const matcher = (text) => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return (content) => words.every((word) => content.includes(word));
  };
  const sortValue = (row, column) => row.cells[column].dataset.sort;
  // Both kinds of table do three things: sort by a column, show what a text matches and say how many that are, and show one row.
  const standing = () => ({
    size: body.rows.length,
    sort: (column, up, numeric) => {
      body.append(...[...body.rows].sort((a, b) => ordered(sortValue(a, column), sortValue(b, column), up, numeric)));
    },
    filter: (text) => {
      const matches = matcher(text);
      let shown = 0;
      for (const row of body.rows) {
        row.hidden = !matches(row.textContent.toLowerCase());
        shown += !row.hidden;
      }
      return shown;
    },
    find: (id) => [...body.rows].find((row) => row.dataset.id === id),
  });
  const paged = (data, changed) => {
    const all = data.ids.map((_, i) => i), tags = (i) => (data.warnings[i] ? `${data.warnings[i]} warning${data.warnings[i] === 1 ? "" : "s"}` : "");
    const baselines = new Set(data.baselines);
    const known = (column, i) => (column.number ? column.ranks[i] ?? "" : column.texts[i]);
    const contents = all.map((i) => [data.recipes[i], baselines.has(i) ? "baseline" : "", tags(i),
      ...data.columns.flatMap((c) => [c.texts[i], c.details[i] || ""])].join(" ").toLowerCase());
    let order = all, shown = all, page = 0;
    const cell = (column, i) => {
      const made = make("td", "", { className: column.number ? "number" : "" }), reason = column.reasons[i];
      made.append(reason ? make("span", column.texts[i], { className: `state ${column.texts[i]}`, title: reason }) : column.texts[i]);
      if (column.details[i]) made.append(" ", make("small", column.details[i]));
      return made;
    };
    const row = (i) => {
      const made = make("tr", "", { className: data.states[i] }), name = make("th", "", { scope: "row" });
      made.dataset.id = data.ids[i];
      name.append(make("span", data.recipes[i], { className: "recipe" }));
      if (baselines.has(i)) name.append(" ", make("small", "baseline", { className: "tag" }));
      if (tags(i)) name.append(" ", make("small", tags(i), { className: "tag warned" }));
      made.append(name, ...data.columns.map((c) => cell(c, i)));
      return made;
    };
    const pages = () => Math.max(1, Math.ceil(shown.length / data.page));
    const turn = document.createElement("span"), back = button("Previous"), on = button("Next"), told = document.createElement("output");
    turn.className = "control pages";
    turn.append(back, told, on);
    const show = (to) => {
      page = Math.min(Math.max(to, 0), pages() - 1);
      body.replaceChildren(...shown.slice(page * data.page, (page + 1) * data.page).map(row));
      told.value = `Page ${page + 1} of ${pages()}`;
      back.disabled = page === 0;
      on.disabled = page === pages() - 1;
      changed();
    };
    back.addEventListener("click", () => show(page - 1));
    on.addEventListener("click", () => show(page + 1));
    const place = new Map(data.ids.map((id, i) => [id, i]));
    return {
      size: all.length,
      turn,
      sort: (column, up, numeric) => {
        const value = column === 0 ? (i) => data.recipes[i] : (i) => known(data.columns[column - 1], i);
        const chosen = new Set(shown);
        order = [...order].sort((a, b) => ordered(value(a), value(b), up, numeric));
        shown = order.filter((i) => chosen.has(i));
        show(0);
      },
      filter: (text) => {
        const matches = matcher(text);
        shown = order.filter((i) => matches(contents[i]));
        show(0);
        return shown.length;
      },
      find: (id) => {
        const at = shown.indexOf(place.get(id));
        if (at < 0) return null;
        show(Math.floor(at / data.page));
        return body.rows[at % data.page];
      },
    };
  };
  let rows = null, picked = null;
  const filter = (text) => { byId("shown").value = `${rows.filter(text)} of ${rows.size} shown`; };
  // Rows that are new, or another choice: recipes become buttons, the chosen one is marked.
  const mark = () => {
    for (const row of body ? body.rows : []) {
      const name = row.querySelector(".recipe"), on = row.dataset.id === picked;
      if (name) {
        const made = button(name.textContent);
        made.disabled = !row.classList.contains("ok");
        name.replaceWith(made);
      }
      row.classList.toggle("picked", on);
      row.querySelector("th button").setAttribute("aria-pressed", String(on));
    }
  };
  const reveal = (id) => {
    let row = rows && rows.find(id);
    if (rows && (!row || row.hidden)) {
      // A row that the filter hides cannot be shown, so the filter gives way.
      byId("filter").value = "";
      filter("");
      row = rows.find(id);
    }
    if (row) row.scrollIntoView({ block: "center" });
  };
  const begin = (found) => {
    rows = found;
    // The notebook's table becomes one that can be sorted, filtered and picked from.
    table.id = "trials";
    for (const header of table.tHead.rows[0].cells) {
      const first = header.firstChild;
      first.replaceWith(button(first.textContent));
      header.querySelector("button").addEventListener("click", () => {
        const up = header.getAttribute("aria-sort") !== "ascending";
        rows.sort(header.cellIndex, up, header.classList.contains("number"));
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        header.setAttribute("aria-sort", up ? "ascending" : "descending");
      });
    }
    const controls = document.createElement("div");
    controls.className = "controls";
    controls.innerHTML = `<span class="control"><label for="filter">Filter</label><input id="filter" type="search"
      placeholder="recipe, state or warning" autocomplete="off" spellcheck="false"></span><output id="shown" for="filter"></output>`;
    if (rows.turn) controls.append(rows.turn);
    table.closest(".scroll").before(controls);
    filter("");
    mark();
    byId("filter").addEventListener("input", (event) => filter(event.target.value));
  };
  if (table && byId("rows")) {
    const report = table.closest(".workbench-report");
    ready(JSON.parse(byId("rows").textContent), (data) => {
      report.classList.add("paged");
      begin(paged(data, mark));
    }, report);
  } else if (table) begin(standing());

  // ---- charts: a figure comes ready from Python; only coordinates, titles, the front and the page's colours change here
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--page-${name}`).trim();
  // Where there is no WebGL a crowd is drawn like all else, which takes a while.
  const webgl = Boolean(document.createElement("canvas").getContext("webgl"));
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
    else ready(data, (found) => tradeoff(found, suffix), byId(`trade-off${suffix}`));
  }
  function tradeoff(data, suffix) {
    const chart = byId(`chart${suffix}`);
    const selects = { x: byId(`x${suffix}`), y: byId(`y${suffix}`) }, logs = { x: byId(`x${suffix}-log`), y: byId(`y${suffix}-log`) };
    const position = new Map(data.ids.map((id, i) => [id, i]));

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
        const changed = { ...trace, type: trace.type === "scattergl" && !webgl ? "scatter" : trace.type };
        if (ids) {
          const places = role === "front" ? pair.front : ids.map((id) => position.get(id));
          changed.x = places.map((i) => x.values[i]);
          changed.y = places.map((i) => y.values[i]);
          if (role === "points") {
            // A crowd has none.
            if (trace.error_x) changed.error_x = whiskers(trace.error_x, x, places);
            if (trace.error_y) changed.error_y = whiskers(trace.error_y, y, places);
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
      if (picked !== null && scroll) reveal(picked);
      mark();
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
