/*
 * Characters that would act without being seen, shown as text: C0 (but tab and newline), DEL and C1, bidirectional
 * marks and line separators, deprecated format characters, byte-order mark, interlinear marks, surrogates that
 * stand alone, tag characters. The same set as in the final picture.
 */
const HIDDEN =
  /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\u{e0000}-\u{e007f}]/gu;

function codePoint(character: string): string {
  return `⟦U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}⟧`;
}

/** `text` with each hidden control character as `⟦U+202E⟧`, and plain newlines. */
export function visible(text: string): string {
  return text.replace(/\r\n?/g, "\n").replace(HIDDEN, codePoint);
}

/** `text` for HTML, between tags or in a double-quoted attribute. */
export function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** Takes text piece by piece and gives it back visible and with plain newlines, wherever it was cut. */
export class Intake {
  #held = "";

  /** `last`: nothing follows, so nothing is held back. */
  push(text: string, last = false): string {
    let all = this.#held + text;
    // A carriage return may be half of a line end, a high surrogate half of a character.
    this.#held = last ? "" : (/[\r\ud800-\udbff]$/.exec(all)?.[0] ?? "");
    if (this.#held) all = all.slice(0, -1);
    return visible(all);
  }
}
