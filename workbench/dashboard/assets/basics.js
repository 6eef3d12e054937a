// ---- basics: making elements, pacing what is sent, reading colours

/** Make an element. Properties that begin with "on" are listeners, others attributes; children that are text stay text. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let serial = 0;

/** Return an id that no other element of the page has. */
function freshId(what) {
  serial += 1;
  return `workbench-${what}-${serial}-${Math.random().toString(36).slice(2, 8)}`;
}

/** Return the plain text of what Python escaped for Plotly, which reads a little HTML. */
function plain(escaped) {
  if (!escaped || !/[&<]/.test(escaped)) return escaped || "";
  return new DOMParser().parseFromString(escaped, "text/html").body.textContent;
}

/** Return text as nodes, what stands between backticks as code. */
function withCode(text) {
  return String(text).split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));
}

/** Return a function that calls `run` at most every `ms`; the last call is always made. */
function paced(ms, run) {
  let timer = 0, last = -Infinity, waiting = null;
  const fire = () => {
    timer = 0;
    last = performance.now();
    const what = waiting;
    waiting = null;
    run(...what);
  };
  return (...what) => {
    waiting = what;
    if (timer) return;
    const left = last + ms - performance.now();
    if (left <= 0) fire();
    else timer = setTimeout(fire, left);
  };
}

/** Return a function that is true where the data differ from the last it saw, so that nothing is rebuilt under a user's hand. */
function changes() {
  let last;
  return (data) => {
    const now = JSON.stringify(data);
    if (now === last) return false;
    last = now;
    return true;
  };
}

/** A select with its label in front; `show` fills it, `choose` hears what the user took. */
function labelledSelect(label, choose) {
  const id = freshId("select");
  const select = h("select", { id, "aria-label": label, onchange: () => choose(select.value) });
  const differs = changes();
  return {
    element: h("span", { class: "wb-control" }, h("label", { for: id }, label), select),
    select,
    show(options, value) {
      if (differs(options)) select.replaceChildren(...options.map((o) => h("option", { value: o.name }, o.label)));
      select.value = value;
    },
  };
}

/** Put text on the clipboard; false where the page may not. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages that are not from localhost or https have no clipboard; the old way works there.
    const area = h("textarea", { class: "wb-hidden", "aria-hidden": "true", readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    let done = false;
    try {
      done = document.execCommand("copy");
    } catch {
      done = false;
    }
    area.remove();
    return done;
  }
}

/** Offer bytes as a download of the browser. */
function download(name, bytes) {
  const url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  const link = h("a", { href: url, download: name, class: "wb-hidden" });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

const PACKED = { f8: Float64Array, f4: Float32Array, i4: Int32Array, u4: Uint32Array, i2: Int16Array, u2: Uint16Array, i1: Int8Array, u1: Uint8Array };

/** Return a figure with plain lists where Plotly's JSON packs numbers as base64. */
function unpacked(value) {
  if (Array.isArray(value)) return typeof value[0] === "object" ? value.map(unpacked) : value;
  if (!value || typeof value !== "object") return value;
  if (typeof value.bdata === "string" && PACKED[value.dtype]) {
    const bytes = Uint8Array.from(atob(value.bdata), (letter) => letter.charCodeAt(0));
    return Array.from(new PACKED[value.dtype](bytes.buffer));
  }
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, unpacked(inner)]));
}

// ---- theme: the page's colours, as Plotly can read them

const COLOURS = ["paper", "ink", "soft", "grid", "outline", "accent", "good", "veil"];

/** Read the colours that the style sheet settled on; a probe turns variables into rgb(). */
function readColours(root) {
  const probe = h("span", { class: "wb-hidden" });
  root.append(probe);
  const colours = {};
  for (const name of COLOURS) {
    probe.style.color = `var(--wb-${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colours;
}

/** Return how light a colour is, 0 to 1 (relative luminance of WCAG 2). */
function luminance(rgb) {
  const parts = (rgb.match(/[\d.]+/g) || [255, 255, 255]).slice(0, 3).map((part) => {
    const share = Number(part) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
}

/** Set `data-theme` by the background that the page gives, now and when the page's theme changes; return a stop. */
function watchTheme(root, changed) {
  let timer = 0;
  const apply = () => {
    const before = JSON.stringify(readColours(root));
    root.dataset.theme = luminance(readColours(root).paper) < 0.4 ? "dark" : "light";
    const now = JSON.stringify(readColours(root));
    if (now !== before || now !== root.wbColours) {
      root.wbColours = now;
      changed();
    }
  };
  const soon = () => {
    apply();
    // A theme's style sheet arrives after the mark on the page that announces it.
    clearTimeout(timer);
    timer = setTimeout(apply, 400);
  };
  const observer = new MutationObserver(soon);
  for (const element of [document.documentElement, document.body]) {
    observer.observe(element, { attributes: true, attributeFilter: ["class", "style", "data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-kind", "data-theme"] });
  }
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", soon);
  apply();
  return () => {
    clearTimeout(timer);
    observer.disconnect();
    scheme.removeEventListener("change", soon);
  };
}
