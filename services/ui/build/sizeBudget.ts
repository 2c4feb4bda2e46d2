import { gzipSync } from "node:zlib";
import type { Plugin, Rolldown } from "vite";

type Output = Rolldown.OutputBundle[string];

/**
 * Tells what each first page loads, gzipped (shell, page and their styles), and fails the build when one is above
 * `budgetKb`.
 */
export function sizeBudget(budgetKb: number): Plugin {
  return {
    name: "size-budget",
    apply: "build",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        const sizes = firstPages(bundle);
        for (const [page, size] of sizes) {
          this.info(`${page}: ${size.toFixed(1)} kB gzipped of at most ${budgetKb}`);
        }
        const over = [...sizes].filter(([, size]) => size > budgetKb);
        if (over.length > 0) {
          this.error(
            over.map(([page, size]) => `${page}: ${size.toFixed(1)} kB gzipped, at most ${budgetKb}`).join("; "),
          );
        }
      },
    },
  };
}

function firstPages(bundle: Rolldown.OutputBundle): Map<string, number> {
  const sizes = new Map<string, number>();
  const chunks = Object.values(bundle).filter((output) => output.type === "chunk");
  const shell = new Set<string>();
  for (const chunk of chunks.filter((one) => one.isEntry)) collect(bundle, chunk.fileName, shell);
  sizes.set("shell", total(bundle, shell));
  for (const chunk of chunks.filter((one) => one.isDynamicEntry)) {
    const page = collect(bundle, chunk.fileName, new Set(shell));
    sizes.set(`shell and ${chunk.name}`, total(bundle, page));
  }
  return sizes;
}

function collect(bundle: Rolldown.OutputBundle, file: string, seen: Set<string>): Set<string> {
  const output = bundle[file];
  if (!output || seen.has(file)) return seen;
  seen.add(file);
  if (output.type !== "chunk") return seen;
  const styles = output.viteMetadata?.importedCss ?? new Set<string>();
  for (const next of [...output.imports, ...styles]) collect(bundle, next, seen);
  return seen;
}

function total(bundle: Rolldown.OutputBundle, files: Set<string>): number {
  return [...files].reduce((sum, file) => sum + zipped(bundle[file]), 0) / 1024;
}

function zipped(output: Output | undefined): number {
  if (!output) return 0;
  return gzipSync(output.type === "chunk" ? output.code : output.source, { level: 9 }).length;
}
