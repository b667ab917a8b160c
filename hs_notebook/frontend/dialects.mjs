// The live view's renderer as a filter, for tests/test_dialects.py: a JSON line with the pieces of a text comes in, one with its HTML goes out,
// rendered in one go and grown piece by piece.
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { Window } from "happy-dom";
import { alias } from "./alias.mjs";

const window = new Window();
for (const name of ["document", "Element", "Node"]) globalThis[name] = window[name];

const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL("test/both-ways.ts", import.meta.url))],
  bundle: true,
  format: "esm",
  write: false,
  alias,
});
const { bothWays } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(bothWays(JSON.parse(line)))}\n`);
}
