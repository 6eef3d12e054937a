// ---- table: all trials, sorted, filtered and in pages by Python; rows are selected here

const LOADING = "Loading …";
const STATES = ["all", "ok", "failed", "skipped", "running", "pending"];

function makeTable(view) {
  const filter = h("input", { type: "search", placeholder: "Filter: int8 prune …", "aria-label": "Filter the table" });
  const state = labelledSelect("State", (value) => view.send({ do: "arrange", state: value === "all" ? "" : value, page: 0 }));
  state.show(STATES.map((name) => ({ name, label: name })), "all");
  const count = h("span", { class: "wb-soft", role: "status" });
  const ask = paced(200, () => view.send({ do: "arrange", filter: filter.value, page: 0 }));
  filter.addEventListener("input", ask);
  const head = h("thead"), body = h("tbody", { onkeydown: (event) => key(event), onclick: (event) => click(event) });
  const table = h("table", { class: "wb-trials", "aria-label": "Trials" }, head, body);
  const scroll = h("div", { class: "wb-scroll", hidden: true }, table);
  const nothing = h("p", { class: "wb-waiting" }, LOADING);
  const pages = h("nav", { class: "wb-pages", "aria-label": "Pages of the table" });
  const element = h("div", { class: "wb-table" }, h("div", { class: "wb-choices" }, filter, state.element, count), scroll, nothing, pages);
  const differs = changes();
  let selected = [], data = null;

  function show(message) {
    data = message;
    if (document.activeElement !== filter) filter.value = message.filter || "";
    state.select.value = message.state || "all";
    count.textContent = message.matched === message.total ? `${message.total.toLocaleString("en")} variants` : `${message.matched.toLocaleString("en")} of ${message.total.toLocaleString("en")} variants`;
    nothing.hidden = message.rows.length > 0;
    nothing.textContent = message.total ? "No variant matches the filter." : view.emptyText();
    scroll.hidden = !message.rows.length;
    if (differs([message.columns, message.sort, message.descending])) head.replaceChildren(heads(message));
    fill(message);
    turn(message);
  }

  function heads(message) {
    return h("tr", {}, h("th", { class: "wb-pick" }, h("span", { class: "wb-hidden" }, "Select")), message.columns.map((column) => {
      const sorted = column.key === message.sort;
      const aria = sorted ? (message.descending ? "descending" : "ascending") : "none";
      const press = () => view.send({ do: "arrange", sort: column.key, descending: sorted ? !data.descending : false, page: 0 });
      return h("th", { scope: "col", class: column.numeric ? "wb-number" : "", "aria-sort": aria }, h("button", { type: "button", onclick: press }, column.label));
    }));
  }

  function fill(message) {
    const focused = document.activeElement?.closest?.("tr")?.dataset.id;
    const hadFocus = body.contains(document.activeElement);
    const wasBox = document.activeElement?.type === "checkbox";
    body.replaceChildren(...message.rows.map((row, i) => line(row, i, message.columns)));
    mark();
    if (!hadFocus) return;
    const again = [...body.rows].find((row) => row.dataset.id === focused);
    if (again) (wasBox ? again.querySelector("input") : again).focus();
  }

  function line(row, i, columns) {
    const cells = row.cells.map((cell, at) => {
      const text = [cell.text, cell.detail ? h("small", {}, cell.detail) : null];
      if (at === 0) return h("th", { scope: "row" }, text, row.baseline ? h("span", { class: "wb-tag" }, "baseline") : null);
      const state = columns[at].key === "state" ? row.state : null;
      return h("td", { class: columns[at].numeric ? "wb-number" : cell.text.length > 30 ? "wb-prose" : "", title: cell.reason || null, "data-state": state }, text);
    });
    const box = h("input", { type: "checkbox", tabindex: "-1", "aria-label": `Select ${row.cells[0]?.text || row.id}` });
    return h("tr", { tabindex: i === 0 ? "0" : "-1", "data-id": row.id, "data-state": row.state }, h("td", { class: "wb-pick" }, box), cells);
  }

  function mark() {
    for (const row of body.rows) {
      const on = selected.includes(row.dataset.id);
      row.classList.toggle("wb-picked", on);
      row.setAttribute("aria-selected", String(on));
      row.querySelector("input").checked = on;
    }
  }

  function click(event) {
    const row = event.target.closest("tr");
    // A drag that marks text to copy is no click on the row.
    if (!row || String(window.getSelection())) return;
    view.pick(row.dataset.id, event.target.type === "checkbox" || event.shiftKey || event.ctrlKey || event.metaKey);
  }

  function key(event) {
    const row = event.target.closest("tr");
    if (event.key === "Enter" || event.key === " ") {
      view.pick(row.dataset.id, true);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const next = event.key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling;
      if (!next) return;
      row.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    } else {
      return;
    }
    event.preventDefault();
  }

  function turn(message) {
    pages.hidden = message.pages < 2;
    const go = (page, text, label) => h("button", { type: "button", class: "wb-button wb-small", "aria-label": label, disabled: page < 0 || page >= message.pages, onclick: () => view.send({ do: "arrange", page }) }, text);
    const focused = pages.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    pages.replaceChildren(
      go(message.page > 0 ? 0 : -1, "« First", "First page"), go(message.page - 1, "‹ Back", "Page before"),
      h("span", {}, `Page ${message.page + 1} of ${message.pages}`),
      go(message.page + 1, "Next ›", "Next page"), go(message.page < message.pages - 1 ? message.pages - 1 : -1, "Last »", "Last page"));
    if (focused) [...pages.querySelectorAll("button:not(:disabled)")].find((button) => button.getAttribute("aria-label") === focused)?.focus();
  }

  return {
    element, show,
    selected(ids) {
      selected = ids;
      mark();
    },
  };
}
