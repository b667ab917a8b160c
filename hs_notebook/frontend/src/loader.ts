import { KernelLink } from "./kernel";
import type { Model } from "./protocol";

/**
 * What travels with every widget, and is saved by tools that save widgets: it fetches the view's code once a page.
 */
interface View {
  render(context: { model: Model; el: HTMLElement }): () => void;
}
interface Code {
  type: "code";
  script: string;
  style: string;
}

const PATIENCE = 3000; // ms; then another view may ask
const AGAIN = 700; // ms; then the widget's own way is tried, too
const loaded: Map<string, Promise<View>> = ((globalThis as Record<symbol, unknown>)[
  Symbol.for("hs_notebook.views")
] ??= new Map()) as Map<string, Promise<View>>;

function viewOf(model: Model): Promise<View> {
  const version = model.get("code");
  let view = loaded.get(version);
  if (!view) {
    view = ask(model).then(install);
    view.catch(() => loaded.delete(version));
    loaded.set(version, view);
  }
  return view;
}

function ask(model: Model): Promise<Code> {
  return new Promise((resolve, reject) => {
    const link = new KernelLink(model);
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

async function install({ script, style }: Code): Promise<View> {
  const sheet = document.createElement("style");
  sheet.textContent = style;
  document.head.append(sheet);
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  try {
    return ((await import(url)) as { default: View }).default;
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function render(context: { model: Model; el: HTMLElement }): Promise<() => void> {
  return (await viewOf(context.model)).render(context);
}

export default { render };
