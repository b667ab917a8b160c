// What the tests need inside JupyterLab's page. Times are seconds since the epoch, so that they compare with
// those of the relay and of the kernel on the same machine.
window.hsTest = (() => {
  const now = () => (performance.timeOrigin + performance.now()) / 1000;
  const app = () => window.jupyterapp;
  const panel = () => app().shell.currentWidget;
  const session = () => panel().context.sessionContext;
  const cell = (n) => panel().content.widgets[n];
  const outputNode = (n) => cell(n).node.querySelector(".jp-Cell-outputArea");
  const until = async (what, test, timeout = 30000) => {
    const deadline = performance.now() + timeout;
    while (!test()) {
      if (performance.now() > deadline) throw new Error(`not within ${timeout} ms: ${what}; ${situation()}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  // For a time-out's message.
  const situation = () => {
    const kernel = app()?.shell?.currentWidget?.context && session().session?.kernel;
    const prompts = [...document.querySelectorAll(".jp-InputPrompt")].map((node) => node.textContent);
    return `kernel ${kernel?.status}, connection ${kernel?.connectionStatus}, prompts ${prompts.join(" ")}`;
  };
  const shutDown = () => app()?.shell?.currentWidget?.context && session().shutdown().catch(() => {});
  const kernelStatus = () => session().session?.kernel?.status ?? "none";
  const idle = (timeout) => until("kernel idle", () => kernelStatus() === "idle", timeout);
  const ready = async () => {
    await until("the app", () => app()?.shell?.currentWidget?.context);
    await panel().context.ready;
    await panel().revealed;
    await until("cells", () => panel().content.widgets.every((w) => w.node.isConnected));
  };
  const running = new Set();
  const start = (name, command) => {
    running.add(name);
    const done = () => running.delete(name);
    app().commands.execute(command).then(done, done);
  };
  const run = (n) => {
    panel().content.activeCellIndex = n;
    panel().content.deselectAll();
    start(`cell ${n}`, "notebook:run-cell");
  };
  const runAll = () => start("all", "notebook:run-all-cells");
  const isRunning = () => running.size > 0;

  // One sample after each painted frame in which the cell's output changed.
  const recorders = new Map();
  const afterPaint = (callback) =>
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = callback;
      channel.port2.postMessage(null);
    });
  const readers = {
    text: (node) => node.innerText,
    tail: (node) => {
      let last = node;
      while (last.lastElementChild) last = last.lastElementChild;
      return last.textContent.slice(-200);
    },
    none: () => "",
  };
  const record = (n, selector, how) => {
    const samples = [];
    let pending = false;
    const sample = () => {
      pending = false;
      const node = selector ? outputNode(n).querySelector(selector) : outputNode(n);
      if (node) samples.push({ at: now(), text: readers[how](node) });
    };
    const observer = new MutationObserver(() => {
      if (pending) return;
      pending = true;
      afterPaint(sample);
    });
    observer.observe(outputNode(n), { subtree: true, childList: true, characterData: true });
    recorders.set(n, { samples, observer });
  };
  const recorded = (n) => recorders.get(n).samples;
  const stopRecording = (n) => {
    const { samples, observer } = recorders.get(n);
    observer.disconnect();
    recorders.delete(n);
    return samples;
  };

  // The place of what follows a cell's output, once a frame: what a reader sees jump.
  let layout = null;
  const recordLayout = (n) => {
    const frames = [];
    layout = { frames, running: true };
    const mine = layout;
    const step = () => {
      if (!mine.running) return;
      const box = outputNode(n).getBoundingClientRect();
      const next = cell(n + 1)?.node.getBoundingClientRect();
      frames.push({ at: now(), height: box.height, top: box.top, next: next ? next.top : null });
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  };
  const stopLayout = () => {
    layout.running = false;
    return layout.frames;
  };

  // JupyterLab starts a kernel for every notebook it opens; a reader without one has none to start.
  const withoutKernel = () => {
    const registry = app().docRegistry;
    const original = registry.getKernelPreference.bind(registry);
    registry.getKernelPreference = (...given) => ({
      ...original(...given),
      shouldStart: false,
      canStart: false,
      autoStartDefault: false,
    });
  };

  return {
    now, app, panel, session, cell, outputNode, until, kernelStatus, shutDown, idle, ready, run, runAll, isRunning,
    record, recorded, stopRecording, recordLayout, stopLayout, withoutKernel,
  };
})();
