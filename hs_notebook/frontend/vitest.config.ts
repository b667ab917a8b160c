import { defineConfig } from "vitest/config";
import { alias } from "./alias.mjs";

export default defineConfig({
  // markdown-it goes through the same stand-ins as in the bundle.
  resolve: { alias },
  test: {
    environment: "happy-dom",
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    server: { deps: { inline: ["markdown-it"] } },
  },
});
