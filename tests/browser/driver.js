// What the tests need inside JupyterLab's page. Times are seconds since the epoch, so that they compare with
// those of the relay and of the kernel on the same machine.
window.hsTest = (() => {
  const now = () => (performance.timeOrigin + performance.now()) / 1000;
  const app = () => window.jupyterapp;
  const panel = () => app() && [...app().shell.widgets("main")].find((widget) => widget.context);
  const session = () => panel().context.sessionContext;
  const cell = (n) => panel().content.widgets[n];
  const outputNode = (n) => cell(n).node.querySelector(".jp-Cell-outputArea");
  const isLive = (n) => outputNode(n).querySelector(".hs-live") !== null;
  const until = async (what, test, timeout = 30000) => {
    const deadline = performance.now() + timeout;
    while (!test()) {
      if (performance.now() > deadline) throw new Error(`not within ${timeout} ms: ${what}; ${situation()}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  // For a time-out's message.
  const situation = () => {
    const kernel = panel() && session().session?.kernel;
    const prompts = [...document.querySelectorAll(".jp-InputPrompt")].map((node) => node.textContent);
    return `kernel ${kernel?.status}, connection ${kernel?.connectionStatus}, prompts ${prompts.join(" ")}`;
  };
  // ipykernel 7.0 to 7.3 may overlook a request that arrives while it replies to another (about once in 60 openings,
  // with none of our code loaded; issue 1554 of ipython/ipykernel), until somebody connects to it.
  const OVERLOOKED = 2000; // ms without a sign of life
  const awaited = new Map(); // when a request to the kernel was sent, or the kernel last woken for it
  let watched = null;
  let woken = 0;
  const wake = ({ id, serverSettings }) => {
    const socket = new WebSocket(`${serverSettings.wsUrl}api/kernels/${id}/channels?session_id=wake-${++woken}`);
    socket.onopen = () => setTimeout(() => socket.close(), 500);
  };
  const hear = (_, { msg, direction }) => {
    if (direction === "recv") awaited.delete(msg.parent_header?.msg_id);
    else if (msg.channel === "shell") awaited.set(msg.header.msg_id, performance.now());
  };
  const watchKernel = () => {
    const kernel = panel() && session().session?.kernel;
    if (kernel?.name !== "ipykernel-7.3") return;
    if (kernel !== watched) {
      watched = kernel;
      awaited.clear();
      kernel.anyMessage.connect(hear);
    }
    const late = performance.now() - OVERLOOKED;
    const overlooked = [...awaited].filter(([, since]) => since < late).map(([request]) => request);
    for (const request of overlooked) awaited.set(request, performance.now());
    if (overlooked.length > 0) wake(kernel);
  };
  setInterval(watchKernel, 20);
  const shutDown = () => panel() && session().shutdown().catch(() => {});
  const kernelStatus = () => session().session?.kernel?.status ?? "none";
  const idle = (timeout) => until("kernel idle", () => kernelStatus() === "idle", timeout);
  const ready = async () => {
    await until("the notebook", panel);
    app().shell.activateById(panel().id);
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

  // One sample after each painted frame in which the cell's output changed. What changes before or in a frame's
  // animation callbacks is painted with that frame, and the message posted from there arrives after the painting.
  const recorders = new Map();
  const readers = {
    text: (node) => node.innerText,
    tail: (node) => node.textContent.slice(-200),
    none: () => "",
    ends: (node) => [...node.querySelectorAll(".hs-body")].map((body) => body.textContent.trimEnd().slice(-4)).join("|"),
  };
  const record = (n, selector, how) => {
    const recorder = { samples: [], running: true, frames: 0 };
    let changed = false;
    const observer = new MutationObserver(() => (changed = true));
    observer.observe(outputNode(n), { subtree: true, childList: true, characterData: true });
    const painted = new MessageChannel();
    painted.port1.onmessage = () => {
      if (!changed) return;
      changed = false;
      const at = now();
      const node = selector ? outputNode(n).querySelector(selector) : outputNode(n);
      if (node) recorder.samples.push({ at, live: isLive(n), text: readers[how](node) });
    };
    const frame = () => {
      if (!recorder.running) return observer.disconnect();
      recorder.frames += 1;
      painted.port2.postMessage(null);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    recorders.set(n, recorder);
  };
  const framesPainted = (n) => recorders.get(n).frames;
  const stopRecording = (n) => {
    const { samples } = recorders.get(n);
    recorders.get(n).running = false;
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
      frames.push({ at: now(), live: isLive(n), height: box.height, top: box.top, next: next ? next.top : null });
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  };
  const stopLayout = () => {
    layout.running = false;
    return layout.frames;
  };

  // How long the page could do nothing else, in ms, at worst: while a cell's answer was live, and from the task that
  // put the final picture in its place. The browser tells of tasks over 50 ms; shorter ones are told as 50.
  let tasks = null;
  const watchTasks = (n) => {
    tasks?.stop();
    const long = [];
    const mine = { long, replaced: Infinity };
    const note = (entries) => long.push(...entries.map(({ startTime, duration }) => ({ duration, end: startTime + duration })));
    const observer = new PerformanceObserver((list) => note(list.getEntries()));
    observer.observe({ type: "longtask" });
    let wasLive = false;
    const swap = new MutationObserver(() => {
      const live = isLive(n);
      if (wasLive && !live) mine.replaced = Math.min(mine.replaced, performance.now());
      wasLive ||= live;
    });
    swap.observe(outputNode(n), { subtree: true, childList: true });
    mine.stop = () => {
      note(observer.takeRecords());
      observer.disconnect();
      swap.disconnect();
    };
    tasks = mine;
  };
  const quiet = async () => {
    let before = -1;
    while (before !== tasks.long.length) {
      before = tasks.long.length;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  };
  const longestTasks = async () => {
    await quiet();
    tasks.stop();
    const longest = (some) => Math.max(50, ...some.map(({ duration }) => duration));
    const live = tasks.long.filter(({ end }) => end < tasks.replaced);
    return { live: longest(live), final: longest(tasks.long.filter((task) => !live.includes(task))) };
  };

  const clicks = [];
  addEventListener("pointerdown", () => clicks.push(now()), true);
  const interrupt = async () => {
    const at = now();
    await session().session.kernel.interrupt();
    return at;
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
    now, app, panel, session, cell, outputNode, until, kernelStatus, shutDown, idle, ready, run, runAll, isRunning, woken: () => woken,
    record, framesPainted, stopRecording, recordLayout, stopLayout, watchTasks, quiet, longestTasks, withoutKernel, clicks, interrupt,
  };
})();
