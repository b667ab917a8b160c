/** Cost of what is drawn: 1 for each code unit, 20 for each character that may be a mark of Markdown or stands above or below another. The final picture ends at the same character. */
const MOST = 500_000;
const MARK = 19; // more than another character costs
const MARKS = /[\n!#$&()*+<>[\\\]_`|~\-\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]/g;

/** What it costs to draw a text. */
export function cost(text: string): number {
  return text.length + MARK * (text.match(MARKS)?.length ?? 0);
}

/** Lets through as much of an answer as is drawn: a page that must lay out ten megabytes, or a million marks, stands still. */
export class Fold {
  #left = MOST;
  #shown = 0;
  #whole = 0;
  #full = false;

  /** What of the next part of a visible text is drawn. */
  take(text: string): string {
    const fits = this.#full ? "" : this.#fitting(text);
    this.#full ||= fits.length < text.length;
    this.#shown += characters(fits);
    this.#whole += characters(text);
    return fits;
  }

  /** The line under an answer that is not drawn to its end. */
  get line(): string {
    if (!this.#full) return "";
    const [shown, whole] = [this.#shown, this.#whole].map((count) => count.toLocaleString("en-US"));
    return `Only the first ${shown} of ${whole} characters are drawn; the answer's text holds all of them.`;
  }

  #fitting(text: string): string {
    const all = cost(text);
    if (all <= this.#left) {
      this.#left -= all;
      return text;
    }
    let end = 0;
    for (const character of text) {
      this.#left -= cost(character);
      if (this.#left < 0) break;
      end += character.length;
    }
    return text.slice(0, end);
  }
}

/** A pair of surrogates is one; in a visible text none stands alone. */
function characters(text: string): number {
  return text.length - (text.match(/[\ud800-\udbff]/g)?.length ?? 0);
}
