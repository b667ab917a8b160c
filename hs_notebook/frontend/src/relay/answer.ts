import { Counters } from "../counters";
import { element } from "../dom";
import { createMarkdown } from "../markdown";
import { foreign } from "../notes";
import { Painter } from "../painter";
import type { State } from "../protocol";
import { visible } from "../visible";
import type { Watcher } from "./call";
import type { Ending, Reading } from "./reading";

const TICK = 200; // ms between two paintings of the figures

/** An answer on the page: its text as the notebook shows it, and a line under it. */
export class AnswerView implements Watcher {
  readonly #root = element("div", "hs-answer hs-live");
  readonly #body = element("div", "hs-body");
  readonly #notice = element("div", "hs-notice");
  readonly #line = element("div", "hs-receipt");
  readonly #figures = element("span", "hs-figures");
  /** Heard, not seen: the few turns of an answer, never its text or figures. */
  readonly #spoken = element("span", "hs-spoken");
  readonly #painter = new Painter(this.#body, strictMarkdown());
  readonly #counters = new Counters();
  readonly #model: string;
  readonly #asked = performance.now();
  #first = 0;
  #latest = 0;
  #tokens = 0;
  readonly #ticker: ReturnType<typeof setInterval>;

  constructor(host: HTMLElement, model: string) {
    this.#model = model;
    this.#spoken.setAttribute("role", "status");
    this.#notice.hidden = true;
    this.#line.append(element("span", "hs-dot"), this.#figures, this.#spoken);
    this.#root.append(this.#body, this.#notice, this.#line);
    host.replaceChildren(this.#root);
    this.#setState("streaming");
    this.#spoken.textContent = `${visible(model)} is answering`;
    this.#paint();
    this.#ticker = setInterval(() => this.#paint(), TICK);
  }

  text(added: string): void {
    this.#latest = performance.now();
    this.#first ||= this.#latest;
    this.#counters.update(++this.#tokens, true);
    this.#painter.append(foreign(added));
  }

  notice(text: string): void {
    this.#notice.textContent = visible(text);
    this.#notice.hidden = !text;
    if (text) this.#spoken.textContent = visible(text);
  }

  end({ state, note }: Ending, reading: Reading, resumed: number): void {
    clearInterval(this.#ticker);
    this.notice(note);
    this.#painter.finish();
    this.#setState(state);
    this.#spoken.textContent = `Answer ${state}`;
    const badge = state === "complete" ? [] : [element("span", "hs-state", state)];
    this.#line.replaceChildren(...badge, element("span", "hs-summary", this.#summary(reading, resumed)), this.#spoken);
  }

  #paint(): void {
    this.#figures.textContent = visible(this.#counters.line(this.#model));
  }

  #summary(reading: Reading, resumed: number): string {
    const { usage } = reading;
    const number = (count: number): string => count.toLocaleString("en");
    const parts = [visible(reading.model || this.#model)];
    if (usage) parts.push(`${number(usage.prompt_tokens)} in, ${number(usage.completion_tokens)} out`);
    else if (this.#tokens) parts.push(`≈${number(this.#tokens)} out (estimated)`);
    if (this.#first) parts.push(`first token ${seconds(this.#first - this.#asked)}`);
    const spent = this.#latest - this.#first;
    const counted = usage?.completion_tokens ?? this.#tokens;
    if (spent > 100 && counted > 1) parts.push(`${number(Math.round(((counted - 1) / spent) * 1000))} tokens/s`);
    parts.push(seconds(performance.now() - this.#asked));
    if (resumed) parts.push(resumed === 1 ? "resumed once" : `resumed ${resumed} times`);
    if (reading.simulated) parts.push("simulated");
    return parts.join(" · ");
  }

  #setState(state: State): void {
    this.#root.dataset["state"] = state;
  }
}

/** The notebook's renderer without style attributes, which the page's policy forbids: columns are aligned by the sheet. */
function strictMarkdown(): ReturnType<typeof createMarkdown> {
  const md = createMarkdown();
  for (const rule of ["th_open", "td_open"]) {
    md.renderer.rules[rule] = (tokens, index, options, _env, self) => {
      const cell = tokens[index]!;
      cell.attrs = (cell.attrs ?? []).map(([name, value]) => (name === "style" ? ["data-align", String(value).replace("text-align:", "")] : [name, value]));
      return self.renderToken(tokens, index, options);
    };
  }
  return md;
}

function seconds(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
