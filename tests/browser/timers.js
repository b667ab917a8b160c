// Counts the timers and animation frames that come true for our code: it is the code that comes from a blob.
// What repeats is counted each time, so that nothing that was begun earlier goes unseen.
(() => {
  const count = (window.hsTimers = { fired: 0 });
  const ours = () => new Error().stack.includes("blob:");
  for (const name of ["setTimeout", "setInterval", "requestAnimationFrame"]) {
    const original = window[name];
    window[name] = (task, ...rest) => {
      if (typeof task !== "function" || !ours()) return original.call(window, task, ...rest);
      const counted = (...given) => {
        count.fired += 1;
        return task(...given);
      };
      return original.call(window, counted, ...rest);
    };
  }
})();
