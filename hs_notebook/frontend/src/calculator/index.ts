import { Live } from "./live";
import type { Model } from "./model";

const nothing = (): void => undefined;

/** anywidget's first hook, for each model: in JupyterLab the calculator is laid over its picture, without a view. */
function initialize({ model }: { model: Model }): () => void {
  if (model.get("mode") !== "picture") return nothing;
  const live = new Live(model);
  live.follow();
  return () => live.dispose();
}

/** anywidget's second hook, for each view: where no model without a view is made. */
function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const live = new Live(model);
  live.mount(el);
  return () => live.dispose();
}

export default { initialize, render };
