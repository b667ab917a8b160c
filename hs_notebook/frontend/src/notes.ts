/*
 * What is ours in a text that is else the model's stands between two marks that no model can say: they are
 * noncharacters of Unicode, and who hands a model's own text on takes them out. The kernel has the same.
 */
export const MARK = "\ufdd0"; // the note begins, and the note ends
export const AS_IS = "\ufdd1as-is"; // the language of a fence whose lines wrap and that has no frame

/** A model's text, or a part of it, with nothing in it that would pass for ours. */
export function foreign(text: string): string {
  return text.replaceAll("\ufdd0", "⟦U+FDD0⟧").replaceAll("\ufdd1", "⟦U+FDD1⟧");
}
