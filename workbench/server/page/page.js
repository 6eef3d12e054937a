// The dashboard as a page of its own: its questions go to the server with the page's cookies.

const { study, store, base } = document.getElementById("dashboard").dataset;
const { default: dashboard, remoteModel } = await import(`${base}/assets/dashboard.js`);

function xsrf() {
  return document.cookie.split("; ").find((one) => one.startsWith("_xsrf="))?.slice(6) ?? "";
}

async function told(response) {
  const found = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(found.message || `the server answered ${response.status}`);
  return found;
}

const model = remoteModel({
  ask: (body) =>
    fetch(`${base}/study/${encodeURIComponent(study)}/messages?store=${encodeURIComponent(store)}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-XSRFToken": xsrf() },
      body: JSON.stringify(body),
    }).then(told),
  asset: (name) => fetch(`${base}/assets/${name}`).then((response) => response.arrayBuffer()),
});
const close = dashboard.render({ model, el: document.getElementById("dashboard") });
addEventListener("pagehide", () => {
  close();
  model.close();
});
