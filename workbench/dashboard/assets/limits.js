// ---- limits: sliders for size, loss and latency, the sentence that names the smallest that keeps them, and the other picks

const SLIDER_MS = 60;
const ANSWER_MS = 1000;

function makeLimits(send, select) {
  const sliders = h("div", { class: "wb-sliders" });
  const words = h("p", { class: "wb-words", "aria-live": "polite" });
  const picks = h("ul", { class: "wb-picks", "aria-label": "Other picks" });
  const element = h("div", { class: "wb-limits", role: "group", "aria-label": "Limits", hidden: true }, sliders, words, picks);
  const runtime = labelledSelect("Latency on", () => push());
  const differs = changes();
  let inputs = [], data = null, sentAt = 0, waiting = false;

  const stopOf = (limit, index) => (index >= limit.texts.length - 1 ? null : limit.stops[index]);

  // Sent when the last answer is there, so that a slow kernel is not buried in values that nobody waits for.
  const push = paced(SLIDER_MS, () => {
    if (sentAt && performance.now() - sentAt < ANSWER_MS) {
      waiting = true;
      setTimeout(() => waiting && push(), ANSWER_MS);
      return;
    }
    waiting = false;
    sentAt = performance.now();
    const limits = Object.fromEntries(inputs.map(({ limit, input }) => [limit.name, stopOf(limit, Number(input.value))]));
    send({ do: "limit", limits, runtime: data?.runtimes?.length ? runtime.select.value : null });
  });

  function build(message) {
    const several = (message.runtimes || []).length > 1;
    inputs = message.limits.map((limit) => {
      const id = freshId("limit");
      const output = h("output", { for: id });
      const input = h("input", { type: "range", id, min: 0, max: limit.texts.length - 1, step: 1, "aria-label": `Limit: ${limit.label}` });
      const entry = { limit, input, output, touched: 0 };
      input.addEventListener("input", () => {
        entry.touched = performance.now();
        tell(entry);
        push();
      });
      // Where time is limited on one of several runtimes, the choice stands in the label's place.
      const chooses = limit.name === "latency_ms" && several;
      entry.element = h("div", { class: "wb-slider" }, chooses ? runtime.element : h("label", { for: id }, limit.label), output, input);
      return entry;
    });
    sliders.replaceChildren(...inputs.map((entry) => entry.element));
  }

  function tell({ limit, input, output }) {
    const text = limit.texts[Number(input.value)] ?? "";
    output.textContent = text;
    input.setAttribute("aria-valuetext", text);
    output.classList.toggle("wb-free", stopOf(limit, Number(input.value)) === null);
  }

  function show(message) {
    data = message;
    sentAt = 0;
    element.hidden = !message.limits.length;
    if (differs(message.limits.map(({ value, ...rest }) => rest).concat(message.runtimes))) build(message);
    inputs.forEach((entry, i) => {
      entry.limit = message.limits[i];
      // A slider under the user's hand knows better than an answer to where it was.
      if (performance.now() - entry.touched < ANSWER_MS && (waiting || entry.input === document.activeElement)) return;
      entry.input.value = entry.limit.value;
      tell(entry);
    });
    runtime.show((message.runtimes || []).map((name) => ({ name, label: name })), message.runtime);
    words.replaceChildren(message.best ? h("span", { class: "wb-star", "aria-hidden": "true" }, "★ ") : "", message.words || "");
    words.classList.toggle("wb-none", !message.best);
    showPicks(message.picks || []);
    if (waiting) push();
  }

  // The smallest has the sentence above; of the others, picks of one variant share a line.
  function showPicks(all) {
    const names = new Map();
    all.slice(1).forEach((pick) => names.set(pick.id, [...(names.get(pick.id) || []), pick.pick]));
    picks.replaceChildren(
      ...[...names].map(([id, called]) => {
        const pick = all.find((p) => p.id === id);
        const title = called.join(", ").replace(/^./, (c) => c.toUpperCase());
        if (id === all[0].id) return h("li", {}, `${title}: the same variant`);
        const kinds = [...new Set(pick.warnings.map((w) => w.kind))].join(", ");
        const button = h("button", { type: "button", class: "wb-pick", title: pick.why, onclick: () => select([id]) }, pick.recipe);
        return h("li", {}, `${title}: `, button, ` ${pick.text}: ${pick.cost}`, kinds ? h("span", { class: "wb-kinds" }, ` ⚠ ${kinds}`) : "");
      })
    );
  }

  return { element, show };
}
