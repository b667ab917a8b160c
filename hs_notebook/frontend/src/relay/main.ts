import { Call, type World } from "./call";
import { AnswerView } from "./answer";
import { listModels } from "./models";

const world: World = {
  fetch: (url, init) => fetch(url, init),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  random: Math.random,
};
const base = new URL(".", document.baseURI).href;
const find = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;

const key = find<HTMLInputElement>("key"); // the key is here and nowhere else
const model = find<HTMLInputElement>("model");
const prompt = find<HTMLTextAreaElement>("prompt");
const form = find<HTMLFormElement>("ask");
const go = find<HTMLButtonElement>("go");
const stop = find<HTMLButtonElement>("stop");
const known = find("known");
let call: Call | null = null;

async function ask(): Promise<void> {
  if (call) return;
  const missing = [key, model, prompt].find((field) => !field.value.trim());
  if (missing) return missing.focus();
  const name = model.value.trim();
  const view = new AnswerView(find("answer"), name);
  const body = {
    model: name,
    messages: [{ role: "user", content: prompt.value }],
    stream: true,
    stream_options: { include_usage: true },
  };
  call = new Call(world, base, key.value.trim(), body, view);
  show(true);
  const asked = call;
  try {
    view.end(await asked.run(), asked.reading, asked.resumed);
  } catch (error) {
    view.end({ state: "error", note: String(error) }, asked.reading, asked.resumed);
  } finally {
    call = null;
    show(false);
  }
}

function show(running: boolean): void {
  const focused = document.activeElement === (running ? go : stop);
  go.hidden = running;
  stop.hidden = !running;
  if (focused) (running ? stop : go).focus();
}

async function look(): Promise<void> {
  const given = key.value.trim();
  const found = given ? await listModels(world, base, given) : { models: [], problem: "" };
  if (given !== key.value.trim()) return; // it was changed meanwhile
  known.textContent = found.problem;
  known.toggleAttribute("data-wrong", found.problem !== "");
  find("models").replaceChildren(...found.models.map((name) => new Option(name, name)));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void ask();
});
stop.addEventListener("click", () => call?.stop());
key.addEventListener("change", () => void look());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && call) call.stop();
  else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.repeat) void ask();
  else return;
  event.preventDefault();
});
window.addEventListener("pagehide", () => call?.stop());
if (/Mac|iPhone|iPad/.test(navigator.platform)) document.querySelector(".keys kbd")!.textContent = "⌘";
(key.value ? prompt : key).focus();
