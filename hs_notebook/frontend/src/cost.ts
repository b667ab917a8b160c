const MARKS = /[\n!#$&()*+<>[\\\]_`|~-]/g;
const MARK = 19; // more than another character costs

/** What it costs to draw a text, about: 1 for each code unit, 20 for each that may be a mark of Markdown. */
export function cost(text: string): number {
  return text.length + MARK * (text.match(MARKS)?.length ?? 0);
}
