// ---- main: one view of the dashboard: tabs, what arrives, what is sent

const TABS = [["tradeoff", "Trade-off"], ["table", "Table"], ["parallel", "Parallel coordinates"], ["failures", "Failures"], ["environment", "Environment"]];
const REFRESH_MS = 5000, REFRESH_MOST_MS = 30000, SILENCE_MS = 4000, ASK_AGAIN_MS = 150;

function makeView(model, el) {
  const name = freshId("view");
  const root = h("div", { class: "workbench-dashboard", "data-state": "", "data-best": "", "data-selected": "", "data-points": "0", "data-tab": "tradeoff", role: "region", "aria-label": "Workbench dashboard" });
  // JupyterLab takes keys for commands ("dd" deletes a cell) wherever the focus is not in a text field.
  root.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });
  const view = {
    root,
    send: (content) => model.send({ ...content, view: name }),
    select,
    pick(id, more) {
      if (more) select(selected.includes(id) ? selected.filter((one) => one !== id) : [...selected, id]);
      else select(selected.length === 1 && selected[0] === id ? [] : [id]);
    },
    notice,
    running: () => header?.state === "running",
    emptyText,
  };
  let selected = [], header = null, alive = false, unhide = null;

  // A notebook's kernel, unless the page says who else answers.
  const answering = model.get("answering") || "kernel";
  const silent = h("p", { class: "wb-waiting", role: "status" }, `Connecting to the ${answering} …`);
  const top = makeHeader(view.send);
  const chart = makeChart(view), limits = makeLimits(view.send, (ids) => select(ids)), selection = makeSelection(view);
  const parts = { table: makeTable(view), parallel: makeParallel(view), failures: makeFailures(view), environment: makeEnvironment(view) };
  const panels = {
    tradeoff: h("div", {}, chart.choices.element, limits.element, chart.element),
    ...Object.fromEntries(Object.entries(parts).map(([tab, part]) => [tab, part.element])),
  };
  const tabs = makeTabs(panels, (tab) => {
    root.dataset.tab = tab;
    view.send({ do: "tab", tab });
    selection.element.hidden = !["tradeoff", "table"].includes(tab);
    if (tab === "tradeoff") chart.draw();
    parts[tab]?.draw?.();
  });
  const notices = h("div", { class: "wb-notices", role: "status", "aria-live": "polite" });
  const living = h("div", { class: "wb-living", hidden: true }, top.element, tabs.list, notices, h("div", { class: "wb-body" }, tabs.panels, selection.element));
  root.append(silent, living);
  el.replaceChildren(root);

  function select(ids) {
    choose(ids);
    view.send({ do: "select", ids });
  }

  function choose(ids) {
    selected = ids;
    root.dataset.selected = ids.join(",");
    chart.selected(ids);
    parts.table.selected(ids);
  }

  function notice(kind, text) {
    const item = h("div", { class: "wb-notice", "data-kind": kind }, h("span", {}, text), h("button", { type: "button", class: "wb-close", "aria-label": "Dismiss", onclick: () => item.remove() }, "×"));
    notices.append(item);
    while (notices.children.length > 3) notices.firstChild.remove();
    if (kind !== "error") setTimeout(() => item.remove(), 15000);
  }

  function emptyText() {
    if (!header) return "";
    const { state, counts, trials } = header;
    if (state === "running") return "The sweep runs. The first variant appears here when it is built and checked.";
    if (!trials) return "No variant yet. A sweep fills this study; the dashboard follows while it runs.";
    if (counts.failed) return `No variant could be built: ${counts.failed} failed. The tab Failures tells why.`;
    return "No variant has run yet. Run the same sweep again: what is finished is found, not redone.";
  }

  const shows = {
    header(message) {
      header = message;
      root.dataset.state = message.state;
      top.show(message);
    },
    figure: (message) => chart.show(message),
    limits(message) {
      root.dataset.best = message.best?.id || "";
      limits.show(message);
      chart.limit(message);
    },
    selection(message) {
      const ids = message.selected ?? (message.kind === "card" ? [message.card.id] : message.ids || []);
      // An answer that a later click has overtaken is not shown.
      if (String(ids) !== String(selected)) choose(ids);
      selection.show(message);
    },
    table: (message) => parts.table.show(message),
    parallel: (message) => parts.parallel.show(message),
    failures: (message) => parts.failures.show(message),
    environment: (message) => parts.environment.show(message),
    notice: (message) => notice(message.kind, message.text),
    plotly(message, buffers) {
      loadPlotly(buffers[0]).then(programReady, () => notice("error", "The chart's program could not be loaded in this page; the table shows the same figures."));
    },
    file: (message, buffers) => message.view === name && download(message.name, buffers[0]),
  };

  function programReady(program) {
    chart.ready(program);
    parts.parallel.ready(program);
  }

  function hear(message, buffers) {
    if (!(message?.show in shows)) return;
    if (!alive) {
      alive = true;
      silent.remove();
      living.hidden = false;
      unhide = hideStatic(model.get("key"));
      plotlyPromise()?.then(programReady, () => {});
    }
    shows[message.show](message, buffers);
  }

  // ---- a sweep of another process sends nothing, so its study is read again while somebody looks

  let pause = REFRESH_MS, timer = 0, last = "";
  function poll() {
    timer = setTimeout(poll, pause);
    const unfinished = answering === "kernel" && header && !view.running() && header.counts.pending + header.counts.running > 0;
    if (!unfinished || document.hidden || !root.isConnected) return;
    // Less often where nothing happens: a stopped sweep stays stopped until somebody runs it.
    const now = JSON.stringify(header);
    pause = now === last ? Math.min(REFRESH_MOST_MS, pause * 1.5) : REFRESH_MS;
    last = now;
    view.send({ do: "refresh" });
  }

  const stopTheme = watchTheme(root, () => {
    chart.draw();
    parts.parallel.draw();
  });
  const size = new ResizeObserver(() => {
    chart.resized();
    if (root.dataset.tab === "parallel") parts.parallel.draw();
  });
  size.observe(root);
  model.on("msg:custom", hear);
  const silence = setTimeout(() => {
    if (!alive) silent.textContent = answering === "kernel" ? "No answer from the kernel: it is busy in another cell or no longer running. What the notebook kept of this dashboard is below." : `No answer from the ${answering} yet.`;
  }, SILENCE_MS);
  const ready = () => view.send({ do: "ready", plotly: hasPlotly() });
  ready();
  // The first question may come before there is a way past the cell that runs; the second then has one.
  const asking = setTimeout(() => alive || ready(), ASK_AGAIN_MS);
  poll();

  return () => {
    clearTimeout(timer);
    clearTimeout(silence);
    clearTimeout(asking);
    model.off("msg:custom", hear);
    stopTheme();
    size.disconnect();
    unhide?.();
    chart.close();
    parts.parallel.close();
    view.send({ do: "closed" });
  };
}

/** Tabs after the ARIA pattern: arrows move, Home and End go to the ends. */
function makeTabs(panels, opened) {
  const entries = TABS.map(([name, label]) => {
    const [id, panelId] = [freshId("tab"), freshId("panel")];
    const tab = h("button", { type: "button", role: "tab", id, "aria-controls": panelId, "data-name": name, onclick: () => open(name) }, label);
    const panel = h("div", { role: "tabpanel", id: panelId, "aria-labelledby": id, class: `wb-panel wb-panel-${name}` }, panels[name]);
    return { name, tab, panel };
  });
  const list = h("div", { class: "wb-tabs", role: "tablist", "aria-label": "Views of the study", onkeydown: (event) => {
    const at = entries.findIndex(({ tab }) => tab === event.target);
    const moves = { ArrowRight: (at + 1) % entries.length, ArrowLeft: (at + entries.length - 1) % entries.length, Home: 0, End: entries.length - 1 };
    if (at < 0 || !(event.key in moves)) return;
    event.preventDefault();
    open(entries[moves[event.key]].name);
    entries[moves[event.key]].tab.focus();
  } }, entries.map(({ tab }) => tab));

  function mark(name) {
    for (const { name: own, tab, panel } of entries) {
      tab.setAttribute("aria-selected", String(own === name));
      tab.tabIndex = own === name ? 0 : -1;
      panel.hidden = own !== name;
    }
  }

  function open(name) {
    mark(name);
    opened(name);
  }

  mark(TABS[0][0]);
  return { list, panels: h("div", { class: "wb-panels" }, entries.map(({ panel }) => panel)) };
}

export default {
  render({ model, el }) {
    return makeView(model, el);
  },
};
