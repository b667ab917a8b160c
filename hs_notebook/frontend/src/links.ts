import type { StateCore, Token } from "markdown-it";

const ALLOWED = /^(?:https?:\/\/|mailto:)/i;

/** Keeps, of all links, those that lead to the web or to mail and are not within another; of images, what a link needs. */
export function filterLinks(state: StateCore): void {
  for (const block of state.tokens) {
    if (block.children) block.children = safeLinks(block.children, state);
  }
}

function safeLinks(tokens: Token[], state: StateCore): Token[] {
  const kept: Token[] = [];
  const closers: (Token | null)[] = []; // what will stand for the link_close of each link that is open
  for (const token of tokens) {
    const within = closers.some((closer) => closer?.type === "link_close");
    if (token.type === "link_open") closers.push(openLink(token, kept, within, state));
    else if (token.type === "link_close") {
      const closer = closers.pop();
      if (closer) kept.push(closer);
    } else {
      if (token.type === "image") token.meta = { anchor: !within && allowed(token, "src") };
      kept.push(token);
    }
  }
  return kept;
}

function openLink(token: Token, kept: Token[], within: boolean, state: StateCore): Token | null {
  if (!within && allowed(token, "href")) {
    token.attrs = [
      ["href", String(token.attrGet("href"))],
      ["rel", "noopener noreferrer"],
      ["target", "_blank"],
    ];
    kept.push(token);
    return new state.Token("link_close", "a", -1);
  }
  if (within || token.markup !== "autolink") return null;
  // "List<std::string>" is no link to std:, so its brackets stay.
  kept.push(textToken("<", state));
  return textToken(">", state);
}

function textToken(content: string, state: StateCore): Token {
  const token = new state.Token("text", "", 0);
  token.content = content;
  return token;
}

function allowed(token: Token, attribute: string): boolean {
  return ALLOWED.test(String(token.attrGet(attribute)));
}
