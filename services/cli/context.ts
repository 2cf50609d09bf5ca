/**
 * The machine as commands see it, made when the first command needs it: gRPC and logging are not
 * loaded for `--help`.
 */

import { constants } from "node:fs";
import { access, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, extname, join, resolve } from "node:path";
import type { LabWorld } from "../lab/index.ts";

/** Directory of the lab: given, from the environment, or the default below the current one. */
export function labDirectory(given: string | undefined): string {
  return resolve(given ?? process.env["ANTIPODE_DIR"] ?? ".antipode");
}

/**
 * The command as it was called, for lines that people copy: scripts/antipode says how, e.g.
 * `scripts/antipode` before anyone has made it short.
 */
export function ownCommand(): string {
  const given = process.env["ANTIPODE_SELF"];
  return given === undefined || given === "" ? "antipode" : given;
}

/** Where this user's labs are listed: XDG's place for state when it is set. */
function registryFolder(): string {
  const xdg = process.env["XDG_STATE_HOME"];
  return (
    process.env["ANTIPODE_HOME"] ??
    (xdg === undefined ? join(homedir(), ".antipode") : join(xdg, "antipode"))
  );
}

/** Entry points lie beside this file: `.ts` in a checkout under test, `.js` when built. */
function entryOf(service: string): string {
  return join(import.meta.dirname, "..", service, `main${extname(import.meta.filename)}`);
}

async function findProgram(name: string): Promise<string | undefined> {
  const given = process.env[`ANTIPODE_${name.toUpperCase()}`];
  const candidates = (process.env["PATH"] ?? "").split(delimiter).map((dir) => join(dir, name));
  for (const candidate of given === undefined ? candidates : [given, ...candidates]) {
    try {
      await access(candidate, constants.X_OK);
      return resolve(candidate);
    } catch {
      // Not there, or not to be run: the next one.
    }
  }
  return undefined;
}

/** The machine. `tell` prints to standard error. */
export async function createLabWorld(tell: (line: string) => void): Promise<LabWorld> {
  const [clock, net, rpc, processes, random, disk] = await Promise.all([
    import("../platform/adapters/clock.ts"),
    import("../platform/adapters/net.ts"),
    import("../platform/adapters/rpc.ts"),
    import("../platform/adapters/processes.ts"),
    import("../platform/adapters/random.ts"),
    import("../platform/adapters/disk.ts"),
  ]);
  return {
    clock: clock.createClock(),
    net: net.createNet(),
    rpc: rpc.createRpc(),
    processes: processes.createProcesses(),
    random: random.createRandom(),
    launch: { node: process.execPath, entryOf },
    environment: Object.fromEntries(
      Object.entries(process.env).flatMap(([key, value]) =>
        value === undefined ? [] : [[key, value] as const],
      ),
    ),
    ownPid: process.pid,
    diskAt: disk.createDisk,
    removeTree: (path) => rm(path, { recursive: true, force: true }),
    registryFolder: registryFolder(),
    findProgram,
    tell,
  };
}
