/**
 * Child processes. A process is known by its pid and its start: on Linux the boot's id and field 22
 * of /proc/<pid>/stat (clock ticks since boot), elsewhere what `ps` prints. A zombie counts as gone.
 */

import { execFile, spawn as spawnChild } from "node:child_process";
import { constants } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { AntipodeError, messageOf } from "../../base/errors.ts";
import type { Processes, ProcessHandle, Signal, SpawnRequest } from "../processes.ts";
import { portHolder } from "./portHolder.ts";

const PS_TIMEOUT_MS = 2000;
/** USER_HZ, which is 100 on every Linux that Node runs on. */
const MS_PER_TICK = 10;
const LOG_MODE = 0o644;
const run = promisify(execFile);
const onLinux = process.platform === "linux";

type OnExit = Parameters<Processes["spawn"]>[1];

/** What the system says of one process now. */
interface Sample {
  readonly startedAt: string;
  readonly cpuMs: number;
  readonly residentBytes: number;
}

/** The machine's processes. */
export function createProcesses(): Processes {
  return {
    spawn,
    find,
    isAlive: async (handle) => (await sampleOf(handle)) !== undefined,
    signal,
    residentBytes: async (handle) => (await sampleOf(handle))?.residentBytes ?? 0,
    proportionalBytes: async (handle) =>
      (await sampleOf(handle)) === undefined ? 0 : proportionalBytesOf(handle.pid),
    cpuMs: async (handle) => (await sampleOf(handle))?.cpuMs ?? 0,
    whoListens: portHolder,
  };
}

async function spawn(request: SpawnRequest, onExit: OnExit): Promise<ProcessHandle> {
  const log = await open(
    request.logFile,
    constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND,
    LOG_MODE,
  );
  try {
    const child = spawnChild(request.command, request.args, {
      detached: true,
      env: request.env,
      stdio: ["ignore", log.fd, log.fd],
    });
    child.once("exit", (code, signalName) => {
      onExit({ code: code ?? undefined, signal: signalName ?? undefined });
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (error) => {
        reject(
          new AntipodeError(
            "LAB_START_FAILED",
            `cannot start ${request.command}: ${messageOf(error)}`,
            { command: request.command, logFile: request.logFile },
            error,
          ),
        );
      });
    });
    child.unref();
    const pid = child.pid ?? 0;
    return { pid, startedAt: (await sampleOfPid(pid))?.startedAt ?? "" };
  } finally {
    await log.close();
  }
}

async function find(
  pid: number,
): Promise<{ readonly handle: ProcessHandle; readonly commandLine: string } | undefined> {
  const [sample, commandLine] = await Promise.all([sampleOfPid(pid), commandLineOf(pid)]);
  if (sample === undefined) return undefined;
  return { handle: { pid, startedAt: sample.startedAt }, commandLine };
}

/** Words of the command joined by blanks, or "" where the system does not tell. */
async function commandLineOf(pid: number): Promise<string> {
  if (onLinux) return (await readText(`/proc/${pid}/cmdline`)).replaceAll("\0", " ").trim();
  try {
    const { stdout } = await run("ps", ["-o", "command=", "-p", String(pid)], {
      timeout: PS_TIMEOUT_MS,
    });
    return stdout.trim();
  } catch {
    return "";
  }
}

async function signal(handle: ProcessHandle, name: Signal): Promise<boolean> {
  if ((await sampleOf(handle)) === undefined) return false;
  try {
    return process.kill(handle.pid, name);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
    throw new AntipodeError(
      "INTERNAL",
      `cannot send ${name} to pid ${handle.pid}`,
      { pid: handle.pid },
      error,
    );
  }
}

/** `undefined` when the process is gone, a zombie, or its pid belongs to somebody else now. */
async function sampleOf(handle: ProcessHandle): Promise<Sample | undefined> {
  const sample = await sampleOfPid(handle.pid);
  if (sample === undefined) return undefined;
  return handle.startedAt === "" || handle.startedAt === sample.startedAt ? sample : undefined;
}

function sampleOfPid(pid: number): Promise<Sample | undefined> {
  return onLinux ? sampleFromProc(pid) : sampleFromPs(pid);
}

async function sampleFromProc(pid: number): Promise<Sample | undefined> {
  const [statText, statusText, boot] = await Promise.all([
    readText(`/proc/${pid}/stat`),
    readText(`/proc/${pid}/status`),
    bootId(),
  ]);
  // The name in field 2 may hold blanks and brackets; fields count from after its last bracket.
  const fields = statText.slice(statText.lastIndexOf(")") + 2).split(" ");
  const [state, userTicks, systemTicks, startTicks] = [
    fields[0],
    fields[11],
    fields[12],
    fields[19],
  ];
  if (startTicks === undefined || state === "Z" || state === "X") return undefined;
  const residentKib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(statusText)?.[1] ?? 0);
  return {
    startedAt: `${boot}:${startTicks}`,
    cpuMs: (Number(userTicks) + Number(systemTicks)) * MS_PER_TICK,
    residentBytes: residentKib * 1024,
  };
}

async function proportionalBytesOf(pid: number): Promise<number> {
  try {
    const text = await readText(`/proc/${pid}/smaps_rollup`);
    return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
  } catch {
    // Another system, or the process ended meanwhile.
    return 0;
  }
}

let knownBootId: Promise<string> | undefined;

/** Start ticks count from boot, so that they name a process only together with the boot. */
function bootId(): Promise<string> {
  knownBootId ??= readText("/proc/sys/kernel/random/boot_id").then((text) => text.trim());
  return knownBootId;
}

async function sampleFromPs(pid: number): Promise<Sample | undefined> {
  try {
    const { stdout } = await run("ps", ["-o", "lstart=,state=,rss=,time=", "-p", String(pid)], {
      timeout: PS_TIMEOUT_MS,
      env: { ...process.env, LC_ALL: "C" },
    });
    const match = /^\s*(.{24})\s+(\S+)\s+(\d+)\s+(\S+)\s*$/.exec(stdout);
    if (match === null || (match[2] ?? "").startsWith("Z")) return undefined;
    return {
      startedAt: match[1] ?? "",
      residentBytes: Number(match[3]) * 1024,
      cpuMs: cpuMsOf(match[4] ?? ""),
    };
  } catch {
    // ps ends with 1 when there is no such process.
    return undefined;
  }
}

/** "1-02:03:04" or "2:03.45" as `ps` prints it, in ms. */
function cpuMsOf(text: string): number {
  const [clock = "", days = "0"] = text.split("-").reverse();
  const seconds = clock.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
  return Math.round((Number(days) * 86_400 + seconds) * 1000);
}

function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}
