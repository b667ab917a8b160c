import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const stub = (name: string): string => fileURLToPath(new URL(`src/stub/${name}.ts`, import.meta.url));

export default defineConfig({
  test: {
    environment: "happy-dom",
    include: ["test/**/*.test.ts"],
    // markdown-it goes through the same stand-ins as in the bundle.
    server: { deps: { inline: ["markdown-it"] } },
  },
  resolve: {
    alias: { "linkify-it": stub("linkify"), entities: stub("entities"), "uc.micro": stub("unicode") },
  },
});
