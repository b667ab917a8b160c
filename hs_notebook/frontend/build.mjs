// Builds static/stream.js and static/stream.css. Run by hatch_build.py, or by hand: npm run build.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build, transformSync } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const target = "es2022";

await build({
  entryPoints: [here("src/stream.ts")],
  outfile: here("../static/stream.js"),
  bundle: true,
  format: "esm",
  target,
  minify: true,
  charset: "utf8",
  legalComments: "inline",
  // The bundle travels with every widget: what markdown-it needs only for features that are
  // switched off, or that the browser has itself, is replaced by a few lines of our own.
  alias: {
    "linkify-it": here("src/stub/linkify.ts"),
    entities: here("src/stub/entities.ts"),
    "uc.micro": here("src/stub/unicode.ts"),
  },
});

// One sheet for the live view and the final picture; the live view adds its few own rules.
const sheets = ["../display/answer.css", "src/live.css"].map(here).filter(existsSync);
const css = sheets.map((path) => readFileSync(path, "utf8")).join("\n");
mkdirSync(here("../static"), { recursive: true });
writeFileSync(here("../static/stream.css"), transformSync(css, { loader: "css", target, minify: true, charset: "utf8" }).code);
