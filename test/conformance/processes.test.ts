/** The contract of platform/processes.ts, for the machine's processes. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createNet } from "../../services/platform/adapters/net.ts";
import { createProcesses } from "../../services/platform/adapters/processes.ts";
import type { ProcessHandle } from "../../services/platform/processes.ts";
import { codeOfFailure } from "../support/outcome.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const root = temporaryFolder("processes");
const processes = createProcesses();
let count = 0;

interface Exit {
  readonly code: number | undefined;
  readonly signal: string | undefined;
}

/** Starts Node with a script; `exit` resolves when it ended. */
async function startNode(
  script: string,
): Promise<{ handle: ProcessHandle; exit: Promise<Exit>; logFile: string }> {
  const logFile = `${root}/${++count}.log`;
  let onExit: (why: Exit) => void = () => undefined;
  const exit = new Promise<Exit>((resolve) => {
    onExit = resolve;
  });
  const handle = await processes.spawn(
    { command: process.execPath, args: ["-e", script], env: { GREETING: "hello" }, logFile },
    (why) => {
      onExit(why);
    },
  );
  return { handle, exit, logFile };
}

const FOREVER = "process.stdin.resume(); require('node:net').createServer().listen(0, '127.0.0.1')";

describe("processes", () => {
  it("starts a process with its environment and appends what it says to its log", async () => {
    const { exit, logFile } = await startNode(
      "console.log(process.env.GREETING); console.error('err'); process.exit(7)",
    );
    expect(await exit).toEqual({ code: 7, signal: undefined });
    expect(readFileSync(logFile, "utf8")).toBe("hello\nerr\n");
  });

  it("knows a process from its start to its end", async () => {
    const { handle, exit } = await startNode(FOREVER);
    expect(await processes.isAlive(handle)).toBe(true);
    expect(await processes.signal(handle, "SIGKILL")).toBe(true);
    expect(await exit).toEqual({ code: undefined, signal: "SIGKILL" });
    expect(await processes.isAlive(handle)).toBe(false);
    expect(await processes.signal(handle, "SIGTERM")).toBe(false);
    expect([await processes.residentBytes(handle), await processes.cpuMs(handle)]).toEqual([0, 0]);
  });

  it("measures memory and CPU time of a process", async () => {
    const self: ProcessHandle = { pid: process.pid, startedAt: "" };
    const resident = await processes.residentBytes(self);
    expect(resident).toBeGreaterThan(20 * 1024 * 1024);
    const proportional = await processes.proportionalBytes(self);
    expect(proportional).toBeLessThanOrEqual(resident);
    expect(proportional > 0).toBe(process.platform === "linux");
    expect(await processes.cpuMs(self)).toBeGreaterThan(50);
  });

  it("never signals a pid that was given to somebody else since", async () => {
    const { handle, exit } = await startNode(FOREVER);
    const stranger = { pid: handle.pid, startedAt: `${handle.startedAt}0` };
    expect(await processes.isAlive(stranger)).toBe(false);
    expect(await processes.signal(stranger, "SIGKILL")).toBe(false);
    expect(await processes.isAlive(handle)).toBe(true);
    await processes.signal(handle, "SIGKILL");
    await exit;
  });

  it("says that a program cannot be started, and why (P10)", async () => {
    const request = {
      command: `${root}/no-such-program`,
      args: [],
      env: {},
      logFile: `${root}/none.log`,
    };
    expect(await codeOfFailure(processes.spawn(request, () => undefined))).toBe("LAB_START_FAILED");
  });

  it("names who listens on a port, and nobody on a free one", async () => {
    const listener = await createNet().listen({ host: "127.0.0.1", port: 0 }, () => undefined);
    const { host, port } = listener.address;
    expect(await processes.whoListens(host, port)).toContain(`(pid ${process.pid})`);
    await listener.close();
    expect(await processes.whoListens(host, port)).toBeUndefined();
  });
});
