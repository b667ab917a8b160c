import type { Model } from "./protocol";
import { StreamView } from "./view";

/** anywidget's entry: mounts a view of the model and returns what takes it down again. */
function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const view = new StreamView(model, el);
  return () => view.dispose();
}

export default { render };
