import { KernelLink } from "./kernel";
import type { Peer } from "./protocol";

/** The code of a view, fetched from the kernel once a page. What is here travels with every widget: it is short. */
interface Code {
  type: "code";
  script: string;
  style: string;
}

const PATIENCE = 3000; // ms; then another widget may ask
const AGAIN = 700; // ms; then the widget's own way is tried, too
const loaded: Map<string, Promise<unknown>> = ((globalThis as Record<symbol, unknown>)[
  Symbol.for("hs_notebook.views")
] ??= new Map()) as Map<string, Promise<unknown>>;

/** What the code of the model's view exports. */
export function codeOf<T>(model: Peer, id: string): Promise<T> {
  const version = model.get("code");
  let code = loaded.get(version);
  if (!code) {
    code = ask(model, id).then(install);
    code.catch(() => loaded.delete(version));
    loaded.set(version, code);
  }
  return code as Promise<T>;
}

function ask(model: Peer, id: string): Promise<Code> {
  return new Promise((resolve, reject) => {
    const link = new KernelLink(model, id);
    const again = setTimeout(() => link.sendByWidget("code"), AGAIN);
    const over = setTimeout(() => settle(() => reject(new Error("The kernel sent no view."))), PATIENCE);
    const take = (message: Code): void => {
      if (message.type === "code") settle(() => resolve(message));
    };
    const settle = (end: () => void): void => {
      clearTimeout(again);
      clearTimeout(over);
      model.off("msg:custom", take);
      end();
    };
    model.on("msg:custom", take);
    link.send("code");
  });
}

async function install({ script, style }: Code): Promise<unknown> {
  const sheet = document.createElement("style");
  sheet.textContent = style;
  document.head.append(sheet);
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  try {
    return ((await import(url)) as { default: unknown }).default;
  } finally {
    URL.revokeObjectURL(url);
  }
}
