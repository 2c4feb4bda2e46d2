// Prints what the first page loads, gzipped, and fails above the budget: the entry, what it imports, and the
// largest page, fonts and images included.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const BUDGET_KB = 350;
const out = new URL("../../gateway/milepost_gateway/static/", import.meta.url).pathname;
const manifest = JSON.parse(readFileSync(join(out, ".vite/manifest.json"), "utf8"));

const zipped = (file) => gzipSync(readFileSync(join(out, file)), { level: 9 }).length;

function files(key, seen = new Set()) {
  const chunk = manifest[key];
  if (!chunk || seen.has(chunk.file)) return seen;
  seen.add(chunk.file);
  for (const file of [...(chunk.css ?? []), ...(chunk.assets ?? [])]) seen.add(file);
  for (const imported of chunk.imports ?? []) files(imported, seen);
  return seen;
}

const total = (set) => [...set].reduce((sum, file) => sum + zipped(file), 0) / 1024;
const entry = Object.keys(manifest).find((key) => manifest[key].isEntry);
const shell = files(entry, new Set(["index.html"]));
console.log(`${"shell".padEnd(40)} ${total(shell).toFixed(1).padStart(7)} kB gzipped`);

let worst = total(shell);
for (const [key, chunk] of Object.entries(manifest)) {
  if (!chunk.isDynamicEntry) continue;
  const page = total(files(key, new Set(shell)));
  worst = Math.max(worst, page);
  console.log(`${`shell + ${key}`.padEnd(40)} ${page.toFixed(1).padStart(7)} kB gzipped`);
}
if (worst > BUDGET_KB) {
  console.error(`The first page is ${worst.toFixed(1)} kB gzipped; at most ${BUDGET_KB} kB are allowed.`);
  process.exit(1);
}
