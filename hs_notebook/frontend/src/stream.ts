import { ComparisonView } from "./comparison/view";
import type { ComparisonModel, Model } from "./protocol";
import { StreamView } from "./view";

/** anywidget's entry: mounts a view of the model and returns what takes it down again. */
function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const view = isComparison(model) ? new ComparisonView(model, el) : new StreamView(model, el);
  return () => view.dispose();
}

function isComparison(model: Model): model is ComparisonModel {
  return (model as ComparisonModel).get("columns") !== undefined;
}

export default { render };
