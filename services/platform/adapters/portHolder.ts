/**
 * Who listens on a port, where the system tells: on Linux from /proc (a process of another user
 * stays unnamed), elsewhere from `lsof` when it is installed.
 */

import { execFile } from "node:child_process";
import { readdir, readFile, readlink } from "node:fs/promises";
import { promisify } from "node:util";

const LSOF_TIMEOUT_MS = 2000;
/** State of a listening socket in /proc/net/tcp. */
const LISTEN = "0A";
const run = promisify(execFile);

/** "node (pid 12)", or `undefined` when nobody listens or the system does not tell. */
export function portHolder(host: string, port: number): Promise<string | undefined> {
  return process.platform === "linux" ? holderFromProc(host, port) : holderFromLsof(port);
}

async function holderFromProc(host: string, port: number): Promise<string | undefined> {
  const tables = await Promise.all(["/proc/net/tcp", "/proc/net/tcp6"].map(readText));
  const wanted = hexOfIpv4(host);
  const inodes = new Set<string>();
  for (const line of tables.join("\n").split("\n")) {
    const columns = line.trim().split(/\s+/);
    const [address, portHex] = (columns[1] ?? "").split(":");
    if (columns[3] !== LISTEN || Number.parseInt(portHex ?? "", 16) !== port) continue;
    if (wanted === undefined || address?.endsWith(wanted) || /^0+$/.test(address ?? ""))
      inodes.add(`socket:[${columns[9]}]`);
  }
  return inodes.size === 0 ? undefined : processWithSocket(inodes);
}

async function processWithSocket(links: ReadonlySet<string>): Promise<string | undefined> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    for (const fd of await namesIn(`/proc/${pid}/fd`)) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "");
      if (links.has(target)) return `${(await readText(`/proc/${pid}/comm`)).trim()} (pid ${pid})`;
    }
  }
  return undefined;
}

/** An IPv4 address as /proc/net/tcp writes it: the bytes reversed, upper-case hexadecimal. */
function hexOfIpv4(host: string): string | undefined {
  const parts = host.split(".").map(Number);
  if (parts.length !== 4 || parts.some((part) => !(part >= 0 && part <= 255))) return undefined;
  return parts
    .reverse()
    .map((part) => part.toString(16).padStart(2, "0"))
    .join("")
    .toUpperCase();
}

async function holderFromLsof(port: number): Promise<string | undefined> {
  try {
    const { stdout } = await run("lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-Fpc"], {
      timeout: LSOF_TIMEOUT_MS,
    });
    const pid = /^p(\d+)$/m.exec(stdout)?.[1];
    const name = /^c(.+)$/m.exec(stdout)?.[1];
    return pid === undefined ? undefined : `${name ?? "a process"} (pid ${pid})`;
  } catch {
    // No lsof, or it found nobody: the system does not tell.
    return undefined;
  }
}

/** Processes vanish while they are looked at, and some belong to others: both read as nothing. */
function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}
