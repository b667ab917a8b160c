import type { Kernel, Peer } from "../protocol";
import type { RawCatalog } from "./catalog";

export interface Preset {
  name: string;
  title: string;
  scenario: Record<string, unknown>;
}

/** What the kernel says: that the picture of the inputs was sent, what it refuses of them, or the picture itself. */
export type Message =
  | { type: "shown" }
  | { type: "problems"; problems: Record<string, string> }
  | { type: "picture"; data: Record<string, string> };

/** The part of JupyterLab's notebook that is used where a page was loaded again. */
interface Outputs {
  length: number;
  get(i: number): { toJSON(): { data?: Record<string, unknown> } };
  set(i: number, output: unknown): void;
}
export interface Manager {
  kernel?: Kernel | null;
  context?: { model?: { cells?: Iterable<{ outputs?: Outputs }> } };
}

/** anywidget's model of a calculator. */
export interface Model extends Peer {
  get(name: "calculator_id" | "code" | "html"): string;
  get(name: "mode"): "picture" | "widget";
  get(name: "catalog"): RawCatalog;
  get(name: "presets"): Preset[];
  get(name: "inputs" | "start"): Record<string, unknown>;
  set(name: "inputs", value: unknown): void;
  save_changes(): void;
  widget_manager?: Manager;
}
