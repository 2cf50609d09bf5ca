// Exits 0 when node_modules holds what package-lock.json asks for, by comparing it with the list
// that npm keeps of what it installed. Takes milliseconds where `npm ci` takes many seconds.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");

/** Packages by their folder. npm writes the second file last, so it is missing after a broken run. */
function packagesOf(...path) {
  return JSON.parse(readFileSync(join(ROOT, ...path), "utf8")).packages;
}

const wanted = packagesOf("package-lock.json");
const installed = packagesOf("node_modules", ".package-lock.json");
const missing = Object.entries(wanted).filter(
  ([folder, entry]) =>
    folder !== "" && !entry.optional && installed[folder]?.version !== entry.version,
);
const foreign = Object.entries(installed).filter(
  ([folder, entry]) => wanted[folder]?.version !== entry.version,
);
if (missing.length + foreign.length > 0) process.exitCode = 1;
