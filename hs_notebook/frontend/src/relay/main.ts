import { Call, type World } from "./call";
import { AnswerView } from "./answer";
import { type Found, listModels, nothing } from "./models";

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
const answer = find("answer");
const known = find("known");
let call: Call | null = null;
let refused = ""; // a key that the relay does not know
const needed = [
  [key, "A key is needed: hs-notebook relay keys add NAME"],
  [model, "A model is needed"],
  [prompt, "A prompt is needed"],
] as const;

async function ask(): Promise<void> {
  if (call) return;
  answer.querySelector(".hs-answer[data-state=error]")?.remove(); // of another question
  const [missing, said] = needed.find(([field]) => !field.value.trim()) ?? [];
  if (missing) {
    mark(missing, said ?? "");
    return missing.focus();
  }
  const given = key.value.trim();
  if (given === refused) await look(); // it may be known by now
  if (call) return;
  if (given === refused) return key.focus();
  mark(null, "");
  const name = model.value.trim();
  const view = new AnswerView(answer, name);
  const body = {
    model: name,
    messages: [{ role: "user", content: prompt.value }],
    stream: true,
    stream_options: { include_usage: true },
  };
  call = new Call(world, base, given, body, view);
  show(true);
  const asked = call;
  try {
    const ending = await asked.run();
    view.end(ending, asked.reading, asked.resumed);
    if (asked.refused && given === key.value.trim()) {
      answer.replaceChildren(); // it is said once, beside the key
      tell(nothing(ending.note, true), given);
    }
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
  const found = given ? await listModels(world, base, given) : nothing("");
  if (given === key.value.trim()) tell(found, given); // else it was changed meanwhile
}

/** Shows what was found for a key. */
function tell(found: Found, given: string): void {
  refused = found.refused ? given : "";
  mark(found.refused ? key : null, found.problem);
  find("models").replaceChildren(...found.models.map((name) => new Option(name, name)));
}

/** Says what is wrong, beside the fields, and in which. */
function mark(wrong: HTMLElement | null, said: string): void {
  known.textContent = said;
  known.toggleAttribute("data-wrong", said !== "");
  for (const [field] of needed) field.removeAttribute("aria-invalid");
  wrong?.setAttribute("aria-invalid", "true");
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void ask();
});
stop.addEventListener("click", () => call?.stop());
key.addEventListener("change", () => void look());
for (const [field] of needed) {
  field.addEventListener("input", () => {
    if (field.hasAttribute("aria-invalid")) mark(null, "");
  });
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && call) call.stop();
  else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.repeat) void ask();
  else return;
  event.preventDefault();
});
window.addEventListener("pagehide", () => call?.stop());
if (/Mac|iPhone|iPad/.test(navigator.platform)) document.querySelector(".keys kbd")!.textContent = "⌘";
(key.value ? prompt : key).focus();
