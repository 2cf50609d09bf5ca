/**
 * How service processes end: in order when they are told to, else with one fatal line and the exit code
 * of what failed, at whatever moment it fails and whether or not anybody awaits it (P9, P10). Runs
 * built code (`npm run build`): the services themselves, and scripts over the runner they all use.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { createRpc } from "../../services/platform/adapters/rpc.ts";
import { VdiskService } from "../../services/platform/wire/stargate.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

/** `ANTIPODE_TEST_DIST` names another build than the checkout's own. */
const DIST = process.env["ANTIPODE_TEST_DIST"] ?? join(import.meta.dirname, "..", "..", "dist");
const SERVICES = join(DIST, "services");
const isBuilt = existsSync(join(SERVICES, "platform", "adapters", "serviceMain.js"));
if (!isBuilt) console.warn("service processes: SKIPPED, there is no build (npm run build)");

/** Port numbers that nothing else uses: loopback addresses are this test's own. */
const HOST = "127.77.77.1";
const NOBODY = { host: "127.77.77.9", port: 2379 };

interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly code?: string;
  readonly err?: { readonly message: string };
}

/** Whatever a failed test leaves. */
const children = new Set<ChildProcess>();
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
});

/** A line that is not JSON counts as a fatal one that nobody expects. */
function parseLine(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return { level: "fatal", event: `no log line: ${line}` };
  }
}

/** A process and what it has logged. */
class Child {
  readonly process: ChildProcess;
  readonly lines: LogLine[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #closed: Promise<unknown[]>;

  constructor(main: string, ...args: readonly string[]) {
    this.process = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    children.add(this.process);
    this.process.stdout?.resume();
    this.#closed = once(this.process, "close");
    if (this.process.stderr === null) throw new Error("its output is piped");
    createInterface({ input: this.process.stderr }).on("line", (line) => {
      this.lines.push(parseLine(line));
      for (const tell of this.#waiting) tell();
    });
  }

  /** Resolves when it has logged the event. */
  async logged(event: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (this.lines.some((line) => line.event === event)) resolve();
      };
      this.#waiting.add(look);
      look();
      this.#closed.then(() => {
        reject(new Error(`it ended without "${event}": ${JSON.stringify(this.lines)}`));
      }, reject);
    });
  }

  async ended(): Promise<{ code: number | null; fatal: readonly LogLine[] }> {
    const [code] = (await this.#closed) as [number | null];
    return { code, fatal: this.lines.filter((line) => line.level === "fatal") };
  }
}

describe.runIf(isBuilt)("a service process", () => {
  const folder = temporaryFolder("service-process");
  const services = ["stargate", "cerebro", "etcd", "wan", "genesis", "guest"];

  it.each(services)(
    "%s refuses a missing or wrong configuration with a code (P10)",
    async (name) => {
      const wrong = join(folder, `${name}-wrong.json`);
      writeFileSync(wrong, JSON.stringify({ version: 1, nonsense: true }));
      const broken = join(folder, `${name}-broken.json`);
      writeFileSync(broken, "{");
      const main = join(SERVICES, name, "main.js");
      for (const args of [[], [join(folder, "none.json")], [broken], [wrong]]) {
        const { code, fatal } = await new Child(main, ...args).ended();
        expect({ args, code, fatal }).toMatchObject({
          code: 2,
          fatal: [{ event: `${name}.failed`, code: "INVALID_ARGUMENT" }],
        });
      }
    },
  );
});

describe.runIf(isBuilt)("Stargate's process", () => {
  const folder = temporaryFolder("stargate-process");
  const main = join(SERVICES, "stargate", "main.js");
  const stargate = { host: HOST, port: 2009 };

  function configure(name: string): { readonly path: string; readonly dataFolder: string } {
    const dataFolder = join(folder, name);
    mkdirSync(dataFolder, { recursive: true });
    const path = join(folder, `${name}.json`);
    const addresses = {
      stargate,
      nbd: { host: HOST, port: 10_809 },
      cerebro: { host: HOST, port: 2020 },
    };
    const config = {
      site: "A",
      siteIncarnation: "0123456789abcdef0123456789abcdef",
      cvm: 1,
      dataFolder,
      coordinator: [NOBODY],
      leaseTtlMs: 2000,
      members: [{ cvm: 1, ...addresses }],
      logLevel: "debug",
    };
    writeFileSync(path, JSON.stringify(config));
    return { path, dataFolder };
  }

  it("says that it has no folder for its files, with a code (P10)", async () => {
    const { path, dataFolder } = configure("file");
    writeFileSync(join(dataFolder, "stargate"), "a file where its folder should be");
    const { code, fatal } = await new Child(main, path).ended();
    expect(code).toBe(8);
    expect(fatal).toMatchObject([{ event: "stargate.failed", code: "DISK_FAILED" }]);
    expect(fatal[0]?.err?.message).toContain("make folder");
  });

  it("ends with a code when its disk fails while it still waits for etcd (P9)", async () => {
    const { path, dataFolder } = configure("failing");
    const child = new Child(main, path);
    await child.logged("lease.failed");
    // The name that an accepted order's epoch is kept under is taken by a folder: the rename fails.
    mkdirSync(join(dataFolder, "stargate", "leader-epoch"));
    const rpc = createRpc();
    const stream = rpc.connect(stargate).stream(VdiskService.ship);
    const order = { subtrees: [], topRoot: "", topBaseRoot: "", sizeBytes: 0, targets: [] };
    await stream.send({ ...order, leaderEpoch: 7, leaderIncarnation: "", replicationFactor: 1 });
    stream.end();
    const { code, fatal } = await child.ended();
    rpc.close();
    expect(code).toBe(8);
    expect(fatal).toMatchObject([{ event: "stargate.failed", code: "DISK_FAILED" }]);
    expect(fatal[0]?.err?.message).toContain("leader-epoch");
  });

  it("ends with status 0 on SIGTERM while it still waits for etcd (P9)", async () => {
    const child = new Child(main, configure("waiting").path);
    await child.logged("lease.failed");
    child.process.kill("SIGTERM");
    expect(await child.ended()).toEqual({ code: 0, fatal: [] });
    expect(child.lines.at(-1)).toMatchObject({ level: "warn", event: "stargate.stopped" });
  });
});

describe.runIf(isBuilt)("the runner of services", () => {
  const folder = temporaryFolder("service-runner");
  const url = (path: string): string => JSON.stringify(pathToFileURL(join(SERVICES, path)).href);

  /** A service whose start is this script: `error` is a DISK_FAILED, `own` is its process. */
  function script(name: string, start: string): Child {
    const path = join(folder, `${name}.mjs`);
    const config = join(folder, "config.json");
    writeFileSync(config, "{}");
    writeFileSync(
      path,
      `import { AntipodeError } from ${url("base/errors.js")};
      import { createClock } from ${url("platform/adapters/clock.js")};
      import { runService } from ${url("platform/adapters/serviceMain.js")};
      const error = new AntipodeError("DISK_FAILED", "the disk is gone");
      const clock = createClock();
      const never = () => clock.sleep(1e9);
      async function start(config, own) { ${start} }
      await runService({ service: "scripted", argument: "C.json", configure: (v) => v, start });`,
    );
    return new Child(path, config);
  }

  it.each([
    ["fails to start", "throw error;"],
    ["reports a failure while it starts", "own.fail(error); await never();"],
    ["loses a promise while it starts", "void Promise.reject(error); await never();"],
    ["throws in a callback", "setImmediate(() => { throw error; }); return { close: never };"],
    ["reports a failure while it runs", "setImmediate(own.fail, error); return { close: never };"],
    ["ends by itself badly", "return { done: Promise.reject(error), close: never };"],
    ["fails to end", "own.end(); return { close: () => Promise.reject(error) };"],
    [
      "reports a failure while it ends",
      "own.end(); return { close: () => { setImmediate(own.fail, error); return never(); } };",
    ],
  ])("ends one that %s with its code, once", async (what, start) => {
    const { code, fatal } = await script(what.replaceAll(" ", "-"), start).ended();
    expect(code).toBe(8);
    expect(fatal).toMatchObject([{ event: "scripted.failed", code: "DISK_FAILED" }]);
  });

  it("ends one that has a bug with status 1", async () => {
    const { code, fatal } = await script("bug", "throw new TypeError('a bug');").ended();
    expect(code).toBe(1);
    expect(fatal).toMatchObject([{ event: "scripted.failed", err: { message: "a bug" } }]);
  });

  it("closes one that is done, once, and ends with status 0", async () => {
    const close = "close: async () => own.log.info({ event: 'scripted.closed' }, 'closed')";
    const child = script("done", `return { done: Promise.resolve(), ${close} };`);
    expect(await child.ended()).toEqual({ code: 0, fatal: [] });
    const events = child.lines.map((line) => line.event);
    expect(events).toEqual(["scripted.closed", "scripted.stopped"]);
  });

  it.each(["SIGTERM", "SIGINT"] as const)("closes one in order on %s", async (signal) => {
    const child = script(
      signal,
      `void never();
      own.log.info({ event: "scripted.ready" }, "ready");
      return { close: async () => own.log.info({ event: "scripted.closed" }, "closed") };`,
    );
    await child.logged("scripted.ready");
    child.process.kill(signal);
    expect(await child.ended()).toEqual({ code: 0, fatal: [] });
    expect(child.lines.map((line) => line.event)).toContain("scripted.closed");
  });

  it("closes one in order that was told to end while it started", async () => {
    const child = script(
      "early",
      `own.end(); await clock.sleep(10);
      return { close: async () => own.log.info({ event: "scripted.closed" }, "closed") };`,
    );
    expect(await child.ended()).toEqual({ code: 0, fatal: [] });
    expect(child.lines.map((line) => line.event)).toEqual(["scripted.closed", "scripted.stopped"]);
  });
});
