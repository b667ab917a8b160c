import Factory, { type MarkdownIt } from "markdown-it";

/** The one dialect of the live view and the final picture: CommonMark with tables and strikethrough, without raw HTML. */
export function createMarkdown(): MarkdownIt {
  const md = new Factory("commonmark", { html: false, linkify: false, typographer: false });
  md.enable(["table", "strikethrough"]);
  md.disable("image");
  return md;
}
