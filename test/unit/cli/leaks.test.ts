/** What a run leaves behind is found: processes by whatever they inherited, with ports; files. */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { leaksOf } from "../../../services/cli/soak/leaks.ts";
import { createDisk } from "../../../services/platform/adapters/disk.ts";
import { createFakeClock } from "../../support/fakeClock.ts";

const LISTENER = `
  const server = require("node:net").createServer();
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
`;
let base = "";
let folder = "";
let children: ChildProcess[] = [];

/** The grace passes at once. */
function createWorld() {
  const clock = createFakeClock();
  const world = {
    clock,
    diskAt: createDisk,
    registryFolder: join(base, "home"),
    tell: () => undefined,
  };
  const found = async (): Promise<readonly string[]> => {
    const leaks = leaksOf(world as unknown as Parameters<typeof leaksOf>[0], folder);
    const look = { isDone: false };
    void leaks.finally(() => {
      look.isDone = true;
    });
    // Looks at processes take real time, the waits between them none.
    while (!look.isDone) {
      await clock.tick(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return leaks;
  };
  return { found };
}

/** A process that has the folder in its environment only. @returns the port that it listens on */
function startListener(): Promise<number> {
  const child = spawn(process.execPath, ["-e", LISTENER], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  return new Promise((resolve) => {
    child.stdout.once("data", (part: Buffer) => {
      resolve(Number(part.toString()));
    });
  });
}

async function end(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once("close", resolve));
  child.kill("SIGKILL");
  await ended;
}

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "antipode-leaks-"));
  folder = join(base, "tmp");
  mkdirSync(folder);
});
afterEach(async () => {
  for (const child of children) await end(child);
  children = [];
  rmSync(base, { recursive: true, force: true });
});

describe.runIf(existsSync("/proc/self/environ"))("leaks of a run", () => {
  it("are none when nothing is left", async () => {
    expect(await createWorld().found()).toEqual([]);
  });

  it("are processes that inherited its folder, with their ports, until they have ended", async () => {
    const port = await startListener();
    const [child] = children;
    const found = await createWorld().found();
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(`process ${child?.pid}: `);
    expect(found[0]).toMatch(new RegExp(`listens on ${port}$`));
    for (const one of children.splice(0)) await end(one);
    expect(await createWorld().found()).toEqual([]);
  });

  it("are files, empty folders too, of which many are counted only", async () => {
    mkdirSync(join(folder, "a", "empty"), { recursive: true });
    writeFileSync(join(folder, "a", "file"), "");
    expect(await createWorld().found()).toEqual(["file a/empty", "file a/file"]);
    for (let i = 0; i < 30; i++) writeFileSync(join(folder, `f${i}`), "");
    const found = await createWorld().found();
    expect([found.length, found.at(-1)]).toEqual([21, "and 12 more files"]);
  });
});
