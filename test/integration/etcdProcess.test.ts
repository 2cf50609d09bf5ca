/**
 * The embedded etcd as a process: killed at any moment, it has every write that it acknowledged, and
 * its clients go on by themselves (P1, P9). Needs the build (`npm run build`).
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import { fromUtf8, utf8 } from "../../services/base/bytes.ts";
import { codeOf } from "../../services/base/errors.ts";
import { createPrng } from "../../services/base/prng.ts";
import { createClock } from "../../services/platform/adapters/clock.ts";
import { createCoordinator } from "../../services/platform/adapters/coordinator.ts";
import { createRpc } from "../../services/platform/adapters/rpc.ts";
import type { Address } from "../../services/platform/net.ts";
import { createFakeLog } from "../support/fakeLog.ts";
import { eventually, passMs } from "../support/realTime.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

/** `ANTIPODE_TEST_DIST` names another build than the checkout's own. */
const DIST = process.env["ANTIPODE_TEST_DIST"] ?? join(import.meta.dirname, "..", "..", "dist");
const MAIN = join(DIST, "services", "etcd", "main.js");
const isBuilt = existsSync(MAIN);
if (!isBuilt) console.warn("etcd process: SKIPPED, there is no build (npm run build)");

const KILLS = 15;
const SEED = Number(process.env["ANTIPODE_SEED"] ?? 20_260_101);
const clock = createClock();

function configure(folder: string, name: string, listen: Address): string {
  const path = join(folder, `${name}.json`);
  mkdirSync(join(folder, name), { recursive: true });
  const config = { listen, dataFolder: join(folder, name), logLevel: "info" };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

function launch(config: string): ChildProcess {
  return spawn(process.execPath, [MAIN, config], { stdio: ["ignore", "pipe", "pipe"] });
}

/** The address that it says it serves. */
async function listening(child: ChildProcess): Promise<Address> {
  if (child.stdout === null) throw new Error("its output is piped");
  child.stderr?.resume();
  for await (const line of createInterface({ input: child.stdout })) {
    const said: unknown = JSON.parse(line);
    return (said as { listening: Address }).listening;
  }
  throw new Error("the server ended before it served");
}

async function kill(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const exit = once(child, "exit");
  child.kill(signal);
  const [code] = (await exit) as [number | null];
  return code;
}

/** Exit status and what it wrote, for a process that should not start. */
async function refusalOf(config: string): Promise<{ code: number | null; text: string }> {
  const child = launch(config);
  let text = "";
  child.stderr?.on("data", (part: Buffer) => {
    text += part.toString();
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, text };
}

describe.runIf(isBuilt)("etcd process", () => {
  const folder = temporaryFolder("etcd-process");

  it(`keeps every acknowledged write and every watch over ${KILLS} kills (P1, P9; seed ${SEED})`, async () => {
    const prng = createPrng(SEED);
    let child = launch(configure(folder, "kills", { host: "127.0.0.1", port: 0 }));
    const address = await listening(child);
    const config = configure(folder, "kills", address);
    const rpc = createRpc();
    const connect = () =>
      createCoordinator({ rpc, clock, log: createFakeLog(), endpoints: [address] });
    const etcd = connect();

    let acknowledged = 0;
    let attempted = 0;
    const writer = { stopped: false };
    let failures = 0;
    const writing = (async () => {
      while (!writer.stopped) {
        attempted += 1;
        try {
          const put = { kind: "put", key: "counter", value: utf8(String(attempted)) } as const;
          await etcd.transact({ when: [], then: [put] });
          acknowledged = attempted;
        } catch (error) {
          if (codeOf(error) !== "COORDINATOR_UNAVAILABLE") throw error;
          failures += 1;
        }
      }
    })();
    const seen: number[] = [];
    const watch = etcd.watch("counter", 2, {
      onEvents: (events) => {
        for (const event of events)
          if (event.kind === "put") seen.push(Number(fromUtf8(event.entry.value)));
      },
      onCompacted: () => seen.push(Number.NaN),
    });

    for (let round = 0; round < KILLS; round++) {
      await passMs(20 + prng.below(150));
      await kill(child, "SIGKILL");
      const [before, latest] = [acknowledged, attempted];
      child = launch(config);
      await listening(child);
      const stored = Number(fromUtf8((await connect().get("counter"))?.value ?? utf8("0")));
      expect(stored).toBeGreaterThanOrEqual(before);
      expect(stored, "nothing that was never asked for").toBeLessThanOrEqual(
        Math.max(latest, attempted),
      );
    }
    writer.stopped = true;
    await writing;
    const last = Number(fromUtf8((await etcd.get("counter"))?.value ?? utf8("0")));
    await eventually(() => seen.at(-1) === last, 20_000);
    watch.cancel();
    // Every attempt writes a greater number: a gap is a failed attempt, a repetition is a fault.
    for (const [index, value] of seen.entries())
      if (index > 0) expect(value).toBeGreaterThan(seen[index - 1] ?? 0);
    expect(seen.length).toBeGreaterThanOrEqual(attempted - failures);
    expect(readdirSync(join(folder, "kills", "wal")).length).toBeLessThanOrEqual(2);
    expect(await kill(child, "SIGTERM")).toBe(0);
    rpc.close();
  });

  it("ends with status 0 on SIGTERM while clients watch", async () => {
    const child = launch(configure(folder, "term", { host: "127.0.0.1", port: 0 }));
    const address = await listening(child);
    const rpc = createRpc();
    const etcd = createCoordinator({ rpc, clock, log: createFakeLog(), endpoints: [address] });
    etcd.watch("", 1, { onEvents: () => undefined, onCompacted: () => undefined });
    await etcd.get("x");
    expect(await kill(child, "SIGTERM")).toBe(0);
    await etcd.close();
    rpc.close();
  });

  it("says that its port is in use, and by whom where the system tells (P10)", async () => {
    const child = launch(configure(folder, "first", { host: "127.0.0.1", port: 0 }));
    const address = await listening(child);
    const { code, text } = await refusalOf(configure(folder, "second", address));
    expect(code).toBe(8);
    expect(text).toContain("PORT_IN_USE");
    await kill(child, "SIGTERM");
  });

  it("refuses a wrong configuration and a damaged log with typed errors (P10)", async () => {
    const wrong = join(folder, "wrong.json");
    writeFileSync(wrong, JSON.stringify({ listen: { host: "127.0.0.1", port: 0 }, data: "/x" }));
    expect((await refusalOf(wrong)).code).toBe(2);
    const config = configure(folder, "damaged", { host: "127.0.0.1", port: 0 });
    mkdirSync(join(folder, "damaged", "wal"));
    writeFileSync(join(folder, "damaged", "wal", "snapshot-0000000000000009"), "no snapshot");
    const { code, text } = await refusalOf(config);
    expect(code).toBe(6);
    expect(text).toContain("COORDINATOR_CORRUPT");
  });
});
