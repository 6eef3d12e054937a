// ---- loading: plotly.js comes once per page, as bytes from the kernel; and the saved picture that the living dashboard hides

const PLOTLY = Symbol.for("workbench.plotly");
const HIDDEN = Symbol.for("workbench.hidden");

/** Whether the page has Plotly, or is about to. */
function hasPlotly() {
  return Boolean(globalThis[PLOTLY]);
}

/** Turn the bytes of plotly.min.js into its object; a second copy is not looked at. */
function loadPlotly(bytes) {
  globalThis[PLOTLY] ??= runPlotly(bytes).catch((error) => {
    globalThis[PLOTLY] = undefined;
    throw error;
  });
  return globalThis[PLOTLY];
}

/** Return the promise of Plotly, or null before its bytes came. */
function plotlyPromise() {
  return globalThis[PLOTLY] || null;
}

async function runPlotly(bytes) {
  // A module of its own hands Plotly over without leaving it to the page, where another version may live.
  const parts = ["const module = { exports: {} };\n", bytes, "\nexport default module.exports;\n"];
  const url = URL.createObjectURL(new Blob(parts, { type: "text/javascript" }));
  const others = Object.getOwnPropertyDescriptor(window, "Plotly");
  try {
    return (await import(url)).default;
  } finally {
    URL.revokeObjectURL(url);
    if (others) Object.defineProperty(window, "Plotly", others);
    else delete window.Plotly;
  }
}

/** Whether WebGL draws here; without it points are drawn as SVG, slower but drawn. */
function hasWebgl() {
  try {
    const context = document.createElement("canvas").getContext("webgl");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return Boolean(context);
  } catch {
    return false;
  }
}

/** Hide the static picture of this dashboard while a living view of it is in the page; return what shows it again. */
function hideStatic(key) {
  const hidden = (globalThis[HIDDEN] ??= new Map());
  const name = `workbench-static-${CSS.escape(key)}`;
  const entry = hidden.get(key) || { views: 0, style: h("style") };
  // A rule, not a change to the element: it holds for a picture that appears later, too.
  entry.style.textContent = `.${name}, .jp-OutputArea-child:has(.${name}) { display: none !important; }`;
  entry.views += 1;
  hidden.set(key, entry);
  document.head.append(entry.style);
  return () => {
    entry.views -= 1;
    if (entry.views > 0) return;
    entry.style.remove();
    hidden.delete(key);
  };
}
