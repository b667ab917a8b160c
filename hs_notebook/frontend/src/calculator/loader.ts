import { codeOf } from "../code";
import type { Model } from "./model";

/** What travels with every calculator. Its model has no view where its picture stands in the page already. */
interface Calculator {
  initialize(context: { model: Model }): () => void;
  render(context: { model: Model; el: HTMLElement }): () => void;
}

const fetched = (model: Model): Promise<Calculator> => codeOf(model, model.get("calculator_id"));

// The model hears nothing before this has returned. Where no code comes, the picture stands.
function initialize(context: { model: Model }): () => void {
  let gone = false;
  let end = (): void => void (gone = true);
  const begin = (more: number): unknown =>
    fetched(context.model).then(
      (calculator) => gone || (end = calculator.initialize(context)),
      () => gone || (more && begin(more - 1)),
    );
  begin(4);
  return () => end();
}

async function render(context: { model: Model; el: HTMLElement }): Promise<() => void> {
  return (await fetched(context.model)).render(context);
}

export default { initialize, render };
