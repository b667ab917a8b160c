import { codeOf } from "./code";
import type { Model } from "./protocol";

/**
 * What travels with every widget, and is saved by tools that save widgets: it fetches the view's code once a page.
 */
interface View {
  render(context: { model: Model; el: HTMLElement }): () => void;
}

async function render(context: { model: Model; el: HTMLElement }): Promise<() => void> {
  return (await codeOf<View>(context.model, context.model.get("stream_id"))).render(context);
}

export default { render };
