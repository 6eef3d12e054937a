/** What the server answers below `/workbench/`, as `workbench/server` makes it. */

export interface Progress {
  phase: string;
  label: string;
  done: number;
  total: number;
  failed: number;
  eta_s: number | null;
}

export interface StudyRow {
  store: string;
  study: string;
  model: string;
  dataset: string;
  state: "empty" | "running" | "done" | "stopped" | "failed";
  done: number;
  total: number;
  counts: Record<string, number>;
  best: string;
  tags: string[];
  note: string;
  started: string;
  progress: Progress | null;
}

export interface StoreRow {
  store: string;
  studies: number;
  error: string | null;
}

export interface Listing {
  studies: StudyRow[];
  stores: StoreRow[];
}

export interface TensorRow {
  name: string;
  operator: string;
  type: string;
  shape: number[];
  bytes: number;
  sparsity: number;
  unique: number;
}

export interface OperatorRow {
  graph: number;
  index: number;
  name: string;
  inputs: string[];
  outputs: string[];
  weights: number;
  custom: boolean;
}

export interface Inspection {
  file: string;
  size: { file: number; gzip: number };
  census: {
    weights: Record<string, number>;
    operators: Record<string, number>;
    sparsity: number;
    unique_weights: number;
    inputs: string[];
    outputs: string[];
    tensors: TensorRow[];
  };
  warnings: string[];
  operators: OperatorRow[];
  operators_total: number;
}

export type Message = Record<string, unknown> & { buffers?: string[] };

/** A study by its store and name. */
export interface StudyName {
  store: string;
  study: string;
}
