/** The studies below the server's root, asked for again and again: what panel, status bar and *Running* show. */

import { type ISignal, Signal } from "@lumino/signaling";
import { listing } from "../api";
import type { StoreRow, StudyName, StudyRow } from "../types";

const RUNNING_MS = 2000;

export const keyOf = ({ store, study }: StudyName) => `${store}\0${study}`;

/** State and signals; views stand apart. `error` is why the last answer is missing, null where it is not. */
export class StudiesModel {
  studies: StudyRow[] = [];
  stores: StoreRow[] = [];
  error: string | null = null;
  loaded = false;
  refreshMs = 6000;

  private timer = 0;
  private asking: Promise<void> | null = null;
  private readonly changedSignal = new Signal<this, void>(this);
  private readonly endedSignal = new Signal<this, StudyRow>(this);

  constructor(private readonly ask = listing) {
    document.addEventListener("visibilitychange", () => document.hidden || void this.refresh());
  }

  /** Something that is shown is another than before. */
  get changed(): ISignal<this, void> {
    return this.changedSignal;
  }

  /** A sweep that was seen running has ended; its study as it is now. */
  get ended(): ISignal<this, StudyRow> {
    return this.endedSignal;
  }

  get running(): StudyRow[] {
    return this.studies.filter((row) => row.state === "running");
  }

  find(name: StudyName): StudyRow | undefined {
    return this.studies.find((row) => keyOf(row) === keyOf(name));
  }

  /** Ask now, and from now on. */
  async refresh(): Promise<void> {
    this.asking ??= this.look().finally(() => {
      this.asking = null;
    });
    return this.asking;
  }

  private async look(): Promise<void> {
    window.clearTimeout(this.timer);
    const before = JSON.stringify([this.studies, this.stores, this.error]);
    const wasRunning = new Set(this.running.map(keyOf));
    try {
      const found = await this.ask();
      this.studies = found.studies;
      this.stores = found.stores;
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
    const first = !this.loaded;
    this.loaded = true;
    if (first || JSON.stringify([this.studies, this.stores, this.error]) !== before) {
      this.changedSignal.emit();
    }
    for (const row of this.studies) {
      if (row.state !== "running" && wasRunning.has(keyOf(row))) {
        this.endedSignal.emit(row);
      }
    }
    const pause = this.running.length ? Math.min(RUNNING_MS, this.refreshMs) : this.refreshMs;
    this.timer = window.setTimeout(() => (document.hidden ? undefined : void this.refresh()), pause);
  }
}

/** How far a study is, in words. */
export function progressText(row: StudyRow): string {
  const { progress } = row;
  if (row.state === "running" && progress) {
    return progress.total ? `${progress.phase} ${progress.done} of ${progress.total}` : progress.phase;
  }
  if (!row.total) {
    return "no variants";
  }
  const failed = row.counts.failed ? `, ${row.counts.failed} failed` : "";
  return row.done === row.total
    ? `${row.total} variant${row.total === 1 ? "" : "s"}${failed}`
    : `${row.done} of ${row.total}${failed}`;
}
