/** Small helpers for the elements of a page: children that are text stay text. */

type Child = Node | string | null | false | undefined;

/** Make an element; properties that begin with "on" are listeners, the others attributes. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | boolean | EventListener | null> = {},
  ...children: (Child | Child[])[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value);
    } else if (value !== null && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(
    ...children
      .flat()
      .filter((child): child is Node | string => child !== null && child !== false && child !== undefined),
  );
  return element;
}

/** Bytes as Workbench writes them: `512 B`, `128 kB`, `1.28 MB`. */
export function sizeText(bytes: number): string {
  let scaled = bytes;
  for (const unit of ["B", "kB", "MB"]) {
    if (scaled < 999.5) {
      return unit === "B" ? `${scaled} B` : `${digits(scaled)} ${unit}`;
    }
    scaled /= 1000;
  }
  return `${digits(scaled)} GB`;
}

function digits(value: number): string {
  const rounded = Number(value.toPrecision(3));
  return rounded.toFixed(rounded < 10 ? 2 : rounded < 100 ? 1 : 0);
}

/** A share as a percentage. */
export const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** Seconds that are left as people say them, or nothing where they are not known. */
export function leftText(seconds: number | null): string {
  if (seconds === null || !(seconds >= 0)) {
    return "";
  }
  if (seconds < 60) {
    return `about ${Math.max(5, 5 * Math.round(seconds / 5))} s left`;
  }
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `about ${minutes} min left` : `about ${Math.floor(minutes / 60)} h ${minutes % 60} min left`;
}

/** Whether Lab's theme is dark. */
export const isDark = () => document.body.dataset.jpThemeLight === "false";
