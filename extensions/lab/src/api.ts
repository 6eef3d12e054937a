/** The only door to the server: typed requests with Jupyter's token, and errors that say what to do. */

import { URLExt } from "@jupyterlab/coreutils";
import { ServerConnection } from "@jupyterlab/services";
import type { Inspection, Listing, Message, StudyName } from "./types";

const ABSENT =
  "The server does not answer for Workbench. Install it where Jupyter runs, `pip install tflite-workbench`, and start Jupyter anew.";

async function request(path: string, init: RequestInit): Promise<Response> {
  const settings = ServerConnection.makeSettings();
  const response = await ServerConnection.makeRequest(URLExt.join(settings.baseUrl, "workbench", path), init, settings);
  if (response.ok) {
    return response;
  }
  const told = (await response.json().catch(() => null)) as { message?: string; reason?: unknown } | null;
  // Ours come with a message that explains; Jupyter's own page of a 404 does not.
  throw new Error(
    told?.message && told.message !== "Not Found"
      ? told.message
      : response.status === 404
        ? ABSENT
        : `${response.status} ${response.statusText}`,
  );
}

async function json<T>(path: string, body?: unknown, method = body === undefined ? "GET" : "POST"): Promise<T> {
  const init: RequestInit = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  return (await request(path, init)).json() as Promise<T>;
}

function ofStudy({ store, study }: StudyName, what = ""): string {
  return `study/${encodeURIComponent(study)}${what}?store=${encodeURIComponent(store)}`;
}

export const inspect = (path: string) => json<Inspection>(`inspect?path=${encodeURIComponent(path)}`);
export const listing = () => json<Listing>("studies");
export const stop = (name: StudyName) => json<{ stopping: boolean }>(ofStudy(name, "/stop"), {});
export const tag = (name: StudyName, tags: string[], remove: boolean) =>
  json<{ tags: string[] }>(ofStudy(name, "/tags"), { tags, remove });
export const note = (name: StudyName, text: string) => json<null>(ofStudy(name, "/note"), { text });
export const remove = (name: StudyName) =>
  json<{ removed: Record<string, number> }>(ofStudy(name), undefined, "DELETE");
export const report = (name: StudyName, out: string) => json<{ path: string }>(ofStudy(name, "/report"), { out });
export const exportTrial = (name: StudyName, trial: string, out: string) =>
  json<{ path: string }>(ofStudy(name, "/export"), { trial, out });
export const copyNotebook = (name: string, folder: string) => json<{ path: string }>("notebooks", { name, folder });
export const messages = (name: StudyName, body: { page: string; messages: Message[] }) =>
  json<{ messages: Message[]; gone: boolean }>(ofStudy(name, "/messages"), body);
export const assetText = async (name: string) => (await request(`assets/${name}`, {})).text();
export const assetBytes = async (name: string) => (await request(`assets/${name}`, {})).arrayBuffer();

/** The address of the graph's page, which a frame loads with the page's cookies. */
export function graphUrl(path: string, dark: boolean): string {
  const { baseUrl } = ServerConnection.makeSettings();
  return `${URLExt.join(baseUrl, "workbench/netron/index.html")}?path=${encodeURIComponent(path)}&dark=${dark ? 1 : 0}`;
}
