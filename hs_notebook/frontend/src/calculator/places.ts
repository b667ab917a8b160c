/** Finds a calculator's pictures in the page, now and whenever one appears or goes. */
const QUIET = 30; // ms; a page that streams changes all the time
const watchers = new Set<() => void>();
let observer: MutationObserver | undefined;
let waiting: ReturnType<typeof setTimeout> | undefined;

/** Calls back soon after the page has changed; returns what ends the watch. */
export function watch(changed: () => void): () => void {
  watchers.add(changed);
  observer ??= new MutationObserver(() => (waiting ??= setTimeout(tell, QUIET)));
  observer.observe(document.body, { childList: true, subtree: true });
  return () => {
    watchers.delete(changed);
    if (watchers.size) return;
    observer?.disconnect();
    clearTimeout(waiting);
    observer = waiting = undefined;
  };
}

function tell(): void {
  waiting = undefined;
  for (const changed of watchers) changed();
}

/** The pictures of a calculator that are not copies of ours. */
export function pictures(id: string): HTMLElement[] {
  return [...document.querySelectorAll<HTMLElement>(`[data-roi="${CSS.escape(id)}"]`)];
}

/** What stays when a picture is drawn again: the node of JupyterLab's renderer. */
export function rendererOf(picture: HTMLElement): HTMLElement | null {
  return picture.closest<HTMLElement>(".jp-OutputArea-output") ?? picture.parentElement;
}
