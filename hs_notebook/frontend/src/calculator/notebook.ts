import type { Manager } from "./model";

/**
 * Writes a picture into the notebook itself.
 *
 * JupyterLab forgets which output has which display id when its page is loaded again, and drops the kernel's updates from
 * then on. What is saved would be an old picture. The widget manager knows the open notebook; where it does not,
 * nothing is done.
 */
export function rewrite(manager: Manager | undefined, id: string, data: Record<string, string>): void {
  for (const { outputs } of manager?.context?.model?.cells ?? []) {
    for (let i = 0; outputs && i < outputs.length; i++) {
      const output = outputs.get(i).toJSON();
      if (htmlOf(output.data).includes(`data-roi="${id}"`)) outputs.set(i, { ...output, data: { ...output.data, ...data } });
    }
  }
}

function htmlOf(data: Record<string, unknown> | undefined): string {
  const html = data?.["text/html"];
  return Array.isArray(html) ? html.join("") : String(html ?? "");
}
