import type { FinalState } from "../protocol";

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
}

export interface Ending {
  state: FinalState;
  note: string;
}

interface Choice {
  index?: number;
  delta?: { content?: unknown } | null;
  message?: { content?: unknown } | null;
  finish_reason?: unknown;
}

const CUT: Record<string, string> = {
  length: "cut at the largest number of tokens",
  content_filter: "cut by the content filter",
};

/** What was said so far, and how it ended: the same states, for the same reasons, as in the notebook. */
export class Reading {
  text = "";
  model = "";
  usage: Usage | null = null;
  simulated = false;
  #reason = "";
  #done = false;
  #failure = "";

  /** Whether nothing more is to come. */
  get over(): boolean {
    return this.#done || this.#failure !== "";
  }

  /** Takes the data of an event, and returns the text that is new. */
  take(data: string): string {
    if (this.over) return "";
    if (data === "[DONE]") {
      this.#done = true;
      return "";
    }
    const frame = parsed(data);
    if (frame === null) this.#failure = "the stream holds a frame that is no JSON object";
    return frame === null ? "" : this.#frame(frame);
  }

  /** Takes a reply that is no stream. */
  takeWhole(body: string): string {
    const said = this.take(body);
    this.#done = true;
    return said;
  }

  /** How the answer ended; `broken` says why there is no more of it, where it broke off. */
  ending(broken = ""): Ending {
    if (this.#failure) return { state: "error", note: this.#failure };
    if (this.#reason in CUT) return { state: "truncated", note: CUT[this.#reason] ?? "" };
    if (this.text && (this.#reason || this.#done)) return { state: "complete", note: "" };
    if (this.text) return { state: "truncated", note: broken || "the relay has no more of it" };
    return { state: "error", note: broken || "the answer is empty" };
  }

  #frame(frame: Record<string, unknown>): string {
    if (frame["error"]) {
      this.#failure = messageOf(frame) || "the relay reports an error";
      return "";
    }
    if (typeof frame["model"] === "string" && frame["model"]) this.model = frame["model"];
    this.simulated ||= String(frame["system_fingerprint"] ?? "").startsWith("simulated");
    if (isUsage(frame["usage"])) this.usage = frame["usage"];
    const choices = Array.isArray(frame["choices"]) ? (frame["choices"] as Choice[]) : [];
    return choices.map((choice) => this.#choice(choice)).join("");
  }

  #choice(choice: Choice | null): string {
    if (!choice || (choice.index ?? 0) !== 0) return ""; // alternatives are never mixed
    if (choice.finish_reason === "error") this.#failure = "the model reports an error";
    else if (typeof choice.finish_reason === "string") this.#reason = choice.finish_reason;
    const said = choice.delta?.content ?? choice.message?.content;
    if (typeof said !== "string" || !said) return "";
    this.text += said;
    return said;
  }
}

/** The message of an error in OpenAI's shape; empty where there is none. */
export function messageOf(body: unknown): string {
  const error = (body as { error?: unknown } | null)?.error;
  if (typeof error === "string") return error;
  const message = (error as { message?: unknown } | null)?.message;
  return typeof message === "string" ? message : "";
}

export function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function isUsage(value: unknown): value is Usage {
  const usage = value as Partial<Usage> | null;
  return typeof usage?.prompt_tokens === "number" && typeof usage.completion_tokens === "number";
}
