// Adds to package-lock.json the optional packages of other platforms that npm left out. A registry
// mirror that keeps only its own platform's packages makes npm write a lock which `npm ci` then
// refuses, on every machine. Run it after `npm install`; the house test says when it is needed.
//
// The version is exact in the parent's `optionalDependencies`, and the platform is the package's
// name. The checksum is unknown here, so npm takes these packages without one.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const LOCK_PATH = join(import.meta.dirname, "..", "..", "package-lock.json");
const SYSTEMS = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"];
const PROCESSORS = {
  aarch64: "arm64",
  arm: "arm",
  arm64: "arm64",
  armv7: "arm",
  ia32: "ia32",
  ppc64: "ppc64",
  riscv64: "riscv64",
  s390x: "s390x",
  x64: "x64",
};
const LIBRARIES = { gnu: "glibc", musl: "musl" };

/** The platform fields that npm would have copied from the package itself. */
function platformOf(name) {
  const words = name.split(/[-/]/);
  const system = words.find((word) => SYSTEMS.includes(word));
  const processor = words.map((word) => PROCESSORS[word]).find((word) => word !== undefined);
  const library = words.map((word) => LIBRARIES[word]).find((word) => word !== undefined);
  if (system === undefined || processor === undefined) {
    throw new Error(`${name}: no platform in its name; complete package-lock.json by hand`);
  }
  return { cpu: [processor], libc: library === undefined ? undefined : [library], os: [system] };
}

const lock = JSON.parse(readFileSync(LOCK_PATH, "utf8"));
const { packages } = lock;
let added = 0;
for (const [parent, { optionalDependencies = {}, dev }] of Object.entries(packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const nested = `${parent === "" ? "" : `${parent}/`}node_modules/${name}`;
    const hoisted = `node_modules/${name}`;
    if (packages[nested] !== undefined || packages[hoisted] !== undefined) continue;
    if (!/^\d/.test(version)) throw new Error(`${name}@${version}: not one exact version`);
    const { cpu, libc, os } = platformOf(name);
    // npm's own order of fields; JSON leaves out what is undefined.
    packages[hoisted] = { version, cpu, dev, libc, optional: true, os };
    added++;
  }
}
if (added > 0) {
  // npm's own order, so that its next change of the file is a small one.
  const byName = Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, "en"));
  lock.packages = Object.fromEntries(byName);
  writeFileSync(LOCK_PATH, `${JSON.stringify(lock, null, 2)}\n`);
}
console.log(`package-lock.json: ${added} optional packages added`);
