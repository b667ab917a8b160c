import { BlockSplitter } from "../src/blocks";
import { createMarkdown, render } from "../src/markdown";
import { Page } from "../src/page";
import { Intake } from "../src/visible";

const md = createMarkdown();

export interface BothWays {
  /** Of the text in one go, as a string. */
  html: string;
  /** The same as the page holds it, and the page after all pieces. */
  whole: string;
  grown: string;
}

/** The page after all pieces, with the tail painted now and then on the way; as the painter does, whole where links are defined. */
export function bothWays(pieces: string[], paintEvery = 3): BothWays {
  const html = render(md, pieces.join(""));
  const body = document.createElement("div");
  const page = new Page(body);
  const splitter = new BlockSplitter(md, page);
  const intake = new Intake();
  pieces.forEach((piece, index) => {
    splitter.push(intake.push(piece));
    if (index % paintEvery === 0) page.setTail(splitter.tail());
  });
  splitter.push(intake.push("", true));
  splitter.finish();
  page.setTail(splitter.tail());
  const whole = inPage(html);
  return { html, whole, grown: splitter.hasDefinitions ? whole : withoutParts(body).innerHTML };
}

/** The parts serve only while the page grows. */
export function withoutParts(body: HTMLElement): HTMLElement {
  for (const part of body.querySelectorAll(".hs-part")) part.replaceWith(...part.childNodes);
  return body;
}

function inPage(html: string): string {
  const body = document.createElement("div");
  body.innerHTML = html;
  return body.innerHTML;
}
