import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { sizeBudget } from "./build/sizeBudget.ts";

const gateway = process.env.MILEPOST_GATEWAY ?? "http://127.0.0.1:8400";

export default defineConfig({
  // Relative, so that the same build works below any path: the gateway writes the prefix into <base>.
  base: "./",
  plugins: [react(), sizeBudget(350)],
  build: {
    outDir: "../gateway/milepost_gateway/static",
    emptyOutDir: true,
    target: "es2023",
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: {
    host: "127.0.0.1",
    port: 5173,
    proxy: { "/api": { target: gateway, changeOrigin: false } },
  },
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["./test/setup.ts"],
    restoreMocks: true,
    maxWorkers: 2,
    testTimeout: 60_000,
  },
});
