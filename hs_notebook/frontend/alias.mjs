// The bundle travels with every widget: what markdown-it needs only for features that are switched off, or that the
// browser has itself, is replaced by a few lines of our own.
import { fileURLToPath } from "node:url";

const stub = (name) => fileURLToPath(new URL(`src/stub/${name}.ts`, import.meta.url));

export const alias = {
  "linkify-it": stub("linkify"),
  "punycode.js": stub("punycode"),
  "uc.micro": stub("unicode"),
  entities: stub("entities"),
  mdurl: stub("mdurl"),
};
