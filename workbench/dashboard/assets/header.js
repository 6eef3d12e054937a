// ---- header: what the dashboard is about, how far the sweep is, and its Cancel button

const STATE_WORDS = { empty: "nothing yet", running: "running", done: "done", stopped: "stopped", failed: "failed" };
const PHASES = { prepare: "Preparing", build: "Building", measure: "Measuring", done: "Done" };

function makeHeader(send) {
  const title = h("span", { class: "wb-study" });
  const about = h("span", { class: "wb-about" });
  const badge = h("span", { class: "wb-badge", role: "status" });
  const cancel = h("button", { type: "button", class: "wb-button wb-cancel", "aria-label": "Cancel the sweep", hidden: true, onclick: () => stop() }, "Cancel");
  const bar = h("div", { class: "wb-bar", role: "progressbar", "aria-label": "Progress of the sweep", "aria-valuemin": "0" }, h("i"));
  const phase = h("span", { class: "wb-phase" });
  const label = h("span", { class: "wb-label" });
  const numbers = h("span", { class: "wb-numbers" });
  const progress = h("div", { class: "wb-progress", hidden: true }, bar, h("div", { class: "wb-progress-text" }, phase, label, numbers));
  const error = h("p", { class: "wb-error", role: "alert", hidden: true });
  const element = h("header", { class: "wb-header" }, h("div", { class: "wb-title" }, title, about, badge, cancel), progress, error);
  let stopping = false;

  function stop() {
    stopping = true;
    cancel.disabled = true;
    cancel.textContent = "Stopping …";
    send({ do: "cancel" });
  }

  function show(data) {
    title.textContent = data.study;
    about.textContent = [data.model, data.dataset && `on ${data.dataset}`, countsText(data)].filter(Boolean).join(" · ");
    badge.textContent = STATE_WORDS[data.state] || data.state;
    badge.dataset.state = data.state;
    const running = data.state === "running";
    if (!running) stopping = false;
    cancel.hidden = !(running && data.can_cancel);
    cancel.disabled = stopping;
    cancel.textContent = stopping ? "Stopping …" : "Cancel";
    progress.hidden = !running;
    if (running) showProgress(data);
    // That it was cancelled is no error: the state says "stopped".
    error.textContent = data.error && data.error !== "cancelled" ? data.error : "";
    error.hidden = !error.textContent;
  }

  function showProgress(data) {
    const known = data.total > 0;
    bar.classList.toggle("wb-unknown", !known);
    bar.setAttribute("aria-valuemax", known ? data.total : 1);
    if (known) bar.setAttribute("aria-valuenow", data.done);
    else bar.removeAttribute("aria-valuenow");
    bar.firstChild.style.width = known ? `${Math.min(100, (100 * data.done) / data.total)}%` : "";
    phase.textContent = PHASES[data.phase] || data.phase || "Starting";
    label.textContent = data.label || "";
    const failed = data.failed ? `${data.failed} failed` : "";
    numbers.textContent = [known && `${data.done} of ${data.total}`, failed, data.eta].filter(Boolean).join(" · ");
    bar.setAttribute("aria-valuetext", [phase.textContent, numbers.textContent].filter(Boolean).join(", "));
  }

  return { element, show };
}

function countsText(data) {
  if (!data.trials) return "no variants";
  const told = ["ok", "failed", "skipped", "running", "pending"].filter((state) => data.counts[state]);
  const whole = `${data.trials.toLocaleString("en")} variant${data.trials === 1 ? "" : "s"}`;
  if (told.length === 1 && told[0] === "ok") return whole;
  return `${whole}: ${told.map((state) => `${data.counts[state].toLocaleString("en")} ${state}`).join(", ")}`;
}
