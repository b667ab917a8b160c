/** Of each kind so much is drawn; the final picture ends at the same character. */
const MOST = {
  size: 300_000, // code units; of a pair each counts thrice, what has its font sought twenty times
  line: 8_000,
  blank: 4_000, // lines with nothing in them, which part blocks
  start: 2_500, // marks at the start of a line that begin a list, a quote, a heading or are a rule
  fence: 2_100, // backticks and tildes there
  bar: 6_000, // between the cells of tables
  mark: 20_000, // other marks of Markdown, of `-----` three; what may begin a tag counts thrice
};

type Kind = keyof typeof MOST;

const TEX = 600; // so many marks of formulas count against all kinds together, and two kinds' worth of these

const KIND = 21_000_000; // what each kind may cost
const ALL = 4 * KIND; // and all of them together: as if four were drawn to their ends
const ALL_TEX = 2 * KIND;

const PAIR = 6;
const DEAR = 20;
const TAG = 3;
const IS_DEAR = /[⟦⟧\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]/;
const KINDS = new Map<string, Kind>();
const ROW = "#*+-.)"; // a blank behind one makes it the beginning of something
for (const kind of ["line \n", "bar |", "fence `~", "start >", `mark !$&(<[\\]_${ROW}`]) {
  const [name, marks] = kind.split(" ") as [Kind, string];
  for (const mark of marks) KINDS.set(mark, name);
}

/** Lets through as much of an answer as is drawn: a page that must lay out ten megabytes, or a million marks, stands still. */
export class Fold {
  readonly #left = { ...MOST };
  #all = ALL;
  #tex = TEX;
  #inCode = false; // about: between two fences of backticks
  #blank = true; // nothing stands in the line yet
  #start = true; // nothing but marks
  #before = ""; // the character before
  #row = 0; // how many of the same there are
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
    let end = 0;
    for (const character of text) {
      if (!this.#fits(character)) break;
      end += character.length;
    }
    return text.slice(0, end);
  }

  /** Whether there is room for a character. */
  #fits(character: string): boolean {
    const kind = KINDS.get(character);
    let room = this.#pay("size", character.length > 1 ? PAIR : character >= "\u0300" && IS_DEAR.test(character) ? DEAR : 1);
    if (character === "$") this.#payTex(1);
    else if (this.#before === "\\" && (character === "(" || character === "[")) this.#payTex(2);
    this.#row = character === this.#before ? this.#row + 1 : 1;
    if (character === "`" && this.#start && this.#row === 3) this.#inCode = !this.#inCode;
    const isRow = ROW.includes(character);
    const isMore = isRow && character !== "*" && this.#row > 3;
    if (kind && !isMore)
      room &&= this.#pay((kind === "start" || kind === "fence") && !this.#start ? "mark" : kind, character === "<" ? TAG : 1);
    const space = character === " " || character === "\t";
    if (kind === "line" && this.#blank) room &&= this.#pay("blank", 1);
    if ((kind === "line" || space) && this.#start && this.#before && ROW.includes(this.#before)) room &&= this.#pay("start", 1);
    this.#before = character;
    this.#blank = kind === "line" || (this.#blank && space);
    this.#start = kind === "line" || (this.#start && (space || kind === "start" || kind === "fence" || isRow || /[0-9]/.test(character)));
    return room;
  }

  #payTex(cost: number): void {
    const paid = this.#inCode ? 0 : Math.min(cost, this.#tex);
    this.#tex -= paid;
    this.#all -= (paid * ALL_TEX) / TEX;
  }

  #pay(kind: Kind, cost: number): boolean {
    this.#left[kind] -= cost;
    this.#all -= (cost * KIND) / MOST[kind];
    return this.#left[kind] >= 0 && this.#all >= 0;
  }
}

/** A pair of surrogates is one; in a visible text none stands alone. */
function characters(text: string): number {
  return text.length - (text.match(/[\ud800-\udbff]/g)?.length ?? 0);
}
