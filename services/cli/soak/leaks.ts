/**
 * What a run left behind. Everything that a run starts inherits the folder for temporary files that was
 * made for it alone, so whoever bears that path in environment or command line is of the run, whatever
 * its name; and whatever lies there when a good run has ended was forgotten.
 */

import { execFile } from "node:child_process";
import { readdir, readFile, readlink } from "node:fs/promises";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { knownLabs, type LabWorld } from "../../lab/index.ts";

/** Processes that were told to end are gone by then. */
const GRACE_MS = 5000;
const POLL_MS = 100;
const PS_TIMEOUT_MS = 10_000;
const PS_BYTES_MAX = 64 * 1024 * 1024;
/** More are not told one by one. */
const FILES_TOLD_MAX = 20;
/** State of a listening socket in /proc/net/tcp. */
const LISTEN = "0A";
const runProgram = promisify(execFile);

interface LeftProcess {
  readonly pid: number;
  readonly commandLine: string;
}

/**
 * Processes with the ports they listen on, labs, and files of a run that has ended.
 * @param folder the run's own folder for temporary files, absolute
 * @returns a sentence for each; empty when nothing was left
 */
export async function leaksOf(world: LabWorld, folder: string): Promise<readonly string[]> {
  const processes = await processesLeft(world, folder);
  const labs = (await knownLabs(world)).filter((one) => one.directory.startsWith(`${folder}/`));
  const files = await filesIn(folder);
  const told = files.slice(0, FILES_TOLD_MAX).map((path) => `file ${relative(folder, path)}`);
  const more = files.length - told.length;
  return [
    ...processes,
    ...labs.map((one) => `lab ${one.directory} is still listed`),
    ...told,
    ...(more > 0 ? [`and ${more} more files`] : []),
  ];
}

async function processesLeft(world: LabWorld, folder: string): Promise<readonly string[]> {
  const untilMs = world.clock.now() + GRACE_MS;
  for (;;) {
    const left = await processesOf(folder);
    if (left.length === 0) return [];
    if (world.clock.now() > untilMs) return Promise.all(left.map(describe));
    await world.clock.sleep(POLL_MS);
  }
}

async function describe({ pid, commandLine }: LeftProcess): Promise<string> {
  const ports = await portsOf(pid);
  const listens = ports.length === 0 ? "" : `, listens on ${ports.join(", ")}`;
  return `process ${pid}: ${commandLine}${listens}`;
}

async function processesOf(folder: string): Promise<readonly LeftProcess[]> {
  return process.platform === "linux" ? processesInProc(folder) : processesByPs(folder);
}

/** Zombies have neither command line nor environment. */
async function processesInProc(folder: string): Promise<readonly LeftProcess[]> {
  const pids = (await namesIn("/proc")).filter((name) => /^\d+$/.test(name));
  const found = pids.map(async (name): Promise<readonly LeftProcess[]> => {
    const commandLine = (await readText(`/proc/${name}/cmdline`)).replaceAll("\0", " ").trim();
    const environment = await readText(`/proc/${name}/environ`);
    const isOfRun =
      Number(name) !== process.pid && `${commandLine}\0${environment}`.includes(folder);
    return isOfRun ? [{ pid: Number(name), commandLine }] : [];
  });
  return (await Promise.all(found)).flat();
}

/** By command lines only: every service of a lab names its configuration there. */
async function processesByPs(folder: string): Promise<readonly LeftProcess[]> {
  const { stdout } = await runProgram("ps", ["-axww", "-o", "pid=,command="], {
    timeout: PS_TIMEOUT_MS,
    maxBuffer: PS_BYTES_MAX,
  });
  return stdout.split("\n").flatMap((line) => {
    const [, pid, commandLine = ""] = /^\s*(\d+)\s+(.*)$/.exec(line) ?? [];
    return pid !== undefined && Number(pid) !== process.pid && commandLine.includes(folder)
      ? [{ pid: Number(pid), commandLine }]
      : [];
  });
}

/** Where Linux says so. */
async function portsOf(pid: number): Promise<readonly number[]> {
  const descriptors = await namesIn(`/proc/${pid}/fd`);
  const links = await Promise.all(
    descriptors.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => "")),
  );
  const sockets = new Set(links);
  const tables = await Promise.all(["/proc/net/tcp", "/proc/net/tcp6"].map(readText));
  return tables
    .join("\n")
    .split("\n")
    .flatMap((line) => {
      const columns = line.trim().split(/\s+/);
      const port = Number.parseInt(columns[1]?.split(":")[1] ?? "", 16);
      return columns[3] === LISTEN && sockets.has(`socket:[${columns[9]}]`) ? [port] : [];
    });
}

/** Absolute paths of everything below but folders that hold something. */
async function filesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.map((entry) => join(entry.parentPath, entry.name));
  const holders = new Set(entries.map((entry) => entry.parentPath));
  return paths.filter((path) => !holders.has(path)).sort();
}

/** Processes vanish while they are looked at, and some belong to others: both read as nothing. */
function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}
