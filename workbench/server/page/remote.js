// ---- remote: carries a dashboard's messages to a server and back, in the place of a notebook's kernel

const LOOK_MS = 1500, LOOK_HIDDEN_MS = 15000, RETRY_MS = 5000;

/** A model as the dashboard's view expects one. `ask({page, messages})` resolves to what the page is told; `asset(name)` to bytes. */
export function remoteModel({ ask, asset }) {
  const page = freshId("page") + Math.random().toString(36).slice(2), listeners = new Set();
  let waiting = [], timer = 0, busy = false, closed = false, ready = null, failing = false;

  const tell = (message, buffers = []) => listeners.forEach((hear) => hear(message, buffers));

  function later(ms) {
    clearTimeout(timer);
    if (!closed) timer = setTimeout(go, ms);
  }

  async function go() {
    if (busy) return;
    busy = true;
    const messages = waiting;
    waiting = [];
    let pause = document.hidden ? LOOK_HIDDEN_MS : LOOK_MS;
    try {
      const answer = await ask({ page, messages });
      if (failing) tell({ show: "notice", kind: "info", text: "The server answers again." });
      failing = false;
      // A server that was started anew does not know this page.
      if (answer.gone && ready) waiting.unshift(ready);
      for (const message of answer.messages) await pass(message);
    } catch (error) {
      if (!failing) tell({ show: "notice", kind: "error", text: `No answer from the server: ${error.message}` });
      failing = true;
      pause = RETRY_MS;
    }
    busy = false;
    later(waiting.length && !failing ? 0 : pause);
  }

  async function pass({ buffers = [], asset: name, ...message }) {
    if (name) tell(message, [await asset(name)]);
    else tell(message, buffers.map((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))));
  }

  const look = () => document.hidden || later(0);
  document.addEventListener("visibilitychange", look);
  return {
    get: (name) => (name === "answering" ? "server" : undefined),
    on: (_event, hear) => listeners.add(hear),
    off: (_event, hear) => listeners.delete(hear),
    send(message) {
      if (message.do === "ready") {
        // Asked again where a kernel may be busy; a server is asked once.
        if (ready) return;
        ready = message;
      }
      waiting.push(message);
      if (!busy) later(0);
    },
    /** Say what was left to say, and no more. */
    close() {
      closed = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
      if (waiting.length) ask({ page, messages: waiting }).catch(() => {});
    },
  };
}
