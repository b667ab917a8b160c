// Builds static/: for each view the loader that travels with its widget, its code and its sheet.
// Run by hatch_build.py, or by hand: npm run build.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build, transformSync } from "esbuild";
import { alias } from "./alias.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const target = "es2022";

await build({
  entryPoints: {
    loader: here("src/loader.ts"),
    stream: here("src/stream.ts"),
    "calculator-loader": here("src/calculator/loader.ts"),
    calculator: here("src/calculator/index.ts"),
    relay: here("src/relay/main.ts"),
  },
  outdir: here("../static"),
  bundle: true,
  format: "esm",
  target,
  minify: true,
  charset: "utf8",
  legalComments: "inline",
  alias,
});

// For answers one sheet for the live view and the final picture; the live view adds its few own rules. A calculator's
// picture brings its sheet along.
writeSheet("stream.css", "../display/answer.css", "../display/comparison.css", "src/live.css");
writeSheet("calculator.css", "src/calculator/calculator.css");
writeSheet("relay.css", "../display/answer.css", "src/live.css", "src/relay/relay.css");
copyFileSync(here("src/relay/index.html"), here("../static/relay.html"));

function writeSheet(name, ...sheets) {
  const css = sheets.map(here).filter(existsSync).map((path) => readFileSync(path, "utf8")).join("\n");
  mkdirSync(here("../static"), { recursive: true });
  writeFileSync(here(`../static/${name}`), transformSync(css, { loader: "css", target, minify: true, charset: "utf8" }).code);
}
