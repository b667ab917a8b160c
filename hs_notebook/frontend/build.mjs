// Builds static/loader.js, stream.js and stream.css. Run by hatch_build.py, or by hand: npm run build.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build, transformSync } from "esbuild";
import { alias } from "./alias.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const target = "es2022";

await build({
  entryPoints: [here("src/loader.ts"), here("src/stream.ts")],
  outdir: here("../static"),
  bundle: true,
  format: "esm",
  target,
  minify: true,
  charset: "utf8",
  legalComments: "inline",
  alias,
});

// One sheet for the live view and the final picture; the live view adds its few own rules.
const sheets = ["../display/answer.css", "src/live.css"].map(here).filter(existsSync);
const css = sheets.map((path) => readFileSync(path, "utf8")).join("\n");
mkdirSync(here("../static"), { recursive: true });
writeFileSync(here("../static/stream.css"), transformSync(css, { loader: "css", target, minify: true, charset: "utf8" }).code);
