const HOLD = 500; // ms; the final picture is there long before

/**
 * Keeps the output area as high as it is for a moment, so that the page does not jump when the kernel replaces the
 * live view by the final picture. One measurement, once an answer.
 */
export function reserveHeight(view: HTMLElement): void {
  const area = view.closest<HTMLElement>(".jp-OutputArea, .cell-output, .output_area");
  if (!area) return;
  const height = `${area.offsetHeight}px`;
  area.style.minHeight = height;
  setTimeout(() => {
    if (area.style.minHeight === height) area.style.minHeight = "";
  }, HOLD);
}
