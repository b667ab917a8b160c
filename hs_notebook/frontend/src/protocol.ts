/** What passes between kernel and page. Offsets and lengths count UTF-16 code units. */
export type FinalState = "complete" | "truncated" | "stopped" | "error";
export type State = "streaming" | FinalState;
export type Action = "code" | "hello" | "stop" | "picture" | `run ${number}` | `refuse ${number}`;

export type Message =
  | { type: "delta"; offset: number; text: string; tokens: number | null }
  | { type: "snapshot"; text: string; tokens: number | null; elapsed: number }
  | { type: "notice"; text: string }
  | { type: "ask"; number: number; question: string }
  | { type: "end"; state: FinalState; summary: string; note?: string };

/** What the kernel says of answers side by side: the messages of some columns, by their numbers. */
export interface Columns {
  type: "columns";
  parts: ({ column: number } & Message)[];
}

/** The part of a Jupyter kernel connection that is used here. */
export interface Kernel {
  clientId?: string;
  username?: string;
  sendControlMessage?(message: unknown): unknown;
  interrupt?(): Promise<void>;
  statusChanged?: {
    connect(slot: (sender: unknown, status: string) => void): unknown;
    disconnect(slot: (sender: unknown, status: string) => void): unknown;
  };
}

/** What all of our models have, as far as it is used here. */
export interface Peer {
  get(name: "code"): string;
  on(name: string, callback: (...args: never[]) => void): void;
  off(name: string, callback: (...args: never[]) => void): void;
  send(content: unknown): void;
  widget_manager?: { kernel?: Kernel | null } | undefined;
}

/** anywidget's model of an answer. */
export interface Model extends Peer {
  get(name: "stream_id" | "model" | "code"): string;
}

/** anywidget's model of answers side by side; `stream_id` names all of them. */
export interface ComparisonModel extends Model {
  get(name: "stream_id" | "model" | "code"): string;
  get(name: "columns"): { stream_id: string; model: string }[];
}
