/** A real lab through the real CLI: up, drills, down, up again. */

import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  isListening,
  LabCli,
  type LabStatus,
  type ProcessStatus,
  processesWith,
  until,
} from "./labCli.ts";

const SMALL = ["--sites", "A,B", "--cvms", "1"] as const;
const allRunning = (status: LabStatus): boolean =>
  status.processes.every((process) => process.state === "running");
const pidOf = (status: LabStatus, id: string): number =>
  status.processes.find((process) => process.id === id)?.pid ?? 0;

describe("the life of a lab", () => {
  const cli = new LabCli();
  const dir = cli.directory();
  const at = ["--dir", dir] as const;
  afterAll(() => cli.cleanUp());

  it("is up with every service answering, sites that know each other and a container", async () => {
    const up = await cli.json<LabStatus>("lab", "up", ...SMALL, ...at);
    expect(up.processes.map((process) => process.id).sort()).toEqual([
      "cerebro@A/1",
      "cerebro@B/1",
      "etcd@A",
      "etcd@B",
      "stargate@A/1",
      "stargate@B/1",
      "wan",
    ]);
    expect(allRunning(up)).toBe(true);
    const { remotes } = await cli.json<{ remotes: { name: string }[] }>("remote", "list", ...at);
    expect(remotes.map((remote) => remote.name)).toEqual(["B"]);
    const listed = await cli.json<{ containers: { name: string; replicationFactor: number }[] }>(
      "container",
      "list",
      "--site",
      "B",
      ...at,
    );
    expect(listed.containers).toMatchObject([{ name: "default", replicationFactor: 1 }]);
  });

  it("refuses a second `lab up` and says what to do", async () => {
    const error = await cli.failure("lab", "up", ...at);
    expect([error.code, error.exit]).toEqual(["LAB_RUNNING", 4]);
    expect(error.remedy).toContain("antipode lab down");
  });

  it("is on the list of this user's labs", async () => {
    const { labs } = await cli.json<{ labs: { directory: string; state: string }[] }>(
      "lab",
      "list",
    );
    expect(labs).toEqual([{ directory: dir, state: "up", sites: ["A", "B"] }]);
  });

  it.each(["stargate@A/1", "cerebro@B/1", "etcd@A", "wan"])(
    "P9: %s killed with kill -9 is there again",
    async (id) => {
      const before = await cli.statusWhen(dir, allRunning);
      await cli.json("chaos", "kill", id, ...at);
      const after = await cli.statusWhen(
        dir,
        (status) => allRunning(status) && pidOf(status, id) !== pidOf(before, id),
      );
      expect(pidOf(after, id)).toBeGreaterThan(0);
      for (const other of before.processes)
        if (other.id !== id) expect(pidOf(after, other.id)).toBe(other.pid);
    },
  );

  it("a leader killed just after another one is the next that leads, not nobody", async () => {
    const kill = ["chaos", "kill", "leader@A", ...at];
    const killed: number[] = [];
    for (let i = 0; i < 2; i++) {
      const { services } = await cli.json<{ services: { pid: number }[] }>(...kill);
      killed.push(...services.map(({ pid }) => pid));
    }
    expect(new Set(killed).size).toBe(2);
    await cli.statusWhen(dir, allRunning);
  });

  it("G7: a killed genesis is started by the next command and adopts every process", async () => {
    const before = await cli.statusWhen(dir, allRunning);
    process.kill(before.genesis.pid, "SIGKILL");
    const after = await cli.statusWhen(dir, allRunning);
    expect(after.genesis.pid).not.toBe(before.genesis.pid);
    const pids = (list: readonly ProcessStatus[]): number[] => list.map(({ pid }) => pid);
    expect(pids(after.processes)).toEqual(pids(before.processes));
  });

  it("P9: a process killed while genesis was dead is there again, too", async () => {
    const before = await cli.statusWhen(dir, allRunning);
    process.kill(before.genesis.pid, "SIGKILL");
    process.kill(pidOf(before, "cerebro@A/1"), "SIGKILL");
    const after = await cli.statusWhen(dir, allRunning);
    expect(pidOf(after, "cerebro@A/1")).not.toBe(pidOf(before, "cerebro@A/1"));
    expect(pidOf(after, "stargate@A/1")).toBe(pidOf(before, "stargate@A/1"));
  });

  it("a lost site stays lost until it is started", async () => {
    await cli.json("chaos", "kill", "site@A", "--stay-dead", ...at);
    const error = await cli.failure("vdisk", "list", "--site", "A", ...at);
    expect([error.code, error.exit]).toEqual(["PEER_UNREACHABLE", 5]);
    const lost = await cli.json<LabStatus>("lab", "status", ...at);
    const states = lost.processes.map((one) => `${one.id} ${one.state}`);
    expect(states).toContain("stargate@A/1 dead");
    expect(states).toContain("stargate@B/1 running");
    await cli.json("chaos", "start", "site@A", ...at);
    await cli.statusWhen(dir, allRunning);
  });

  it("keeps links as they were set when the process of the links is killed", async () => {
    await cli.json("link", "set", "A", "B", "--one-way", "--latency", "17ms", ...at);
    await cli.json("chaos", "kill", "wan", ...at);
    await cli.statusWhen(dir, allRunning);
    const { links } = await cli.json<{ links: { from: string; latencyMs: number }[] }>(
      "link",
      "show",
      ...at,
    );
    expect(links.map((link) => [link.from, link.latencyMs])).toEqual([
      ["A", 17],
      ["B", 5],
    ]);
  });

  it("leaves no process and no port after `lab down`", async () => {
    const status = await cli.json<LabStatus>("lab", "status", ...at);
    await cli.json("lab", "down", ...at);
    expect(processesWith(dir)).toEqual([]);
    for (const { host, port } of status.processes)
      expect(await isListening(host, port)).toBe(false);
    const { host, port } = status.genesis.address;
    expect(await isListening(host, port)).toBe(false);
    expect((await cli.failure("vdisk", "list", ...at)).code).toBe("LAB_NOT_RUNNING");
    // What is down already is as wanted: a script that ends twice does not fail.
    expect(await cli.json("lab", "down", ...at)).toMatchObject({ wasRunning: false, killed: [] });
  });

  it("goes on with everything that was there at the next `lab up`", async () => {
    await cli.json("lab", "up", ...at);
    await cli.json("vdisk", "create", "kept", "--size", "1MiB", ...at);
    await cli.json("lab", "down", ...at);
    await cli.json("lab", "up", ...at);
    const { vdisks } = await cli.json<{ vdisks: { name: string }[] }>("vdisk", "list", ...at);
    expect(vdisks.map((vdisk) => vdisk.name)).toEqual(["kept"]);
    expect((await cli.failure("lab", "up", "--cvms", "3", ...at)).code).toBe("INVALID_ARGUMENT");
  });

  it("ends whatever lives although genesis was killed before", async () => {
    const status = await cli.json<LabStatus>("lab", "status", ...at);
    process.kill(status.genesis.pid, "SIGKILL");
    await cli.json("lab", "down", ...at);
    expect(processesWith(dir)).toEqual([]);
  });

  it("is gone after `lab delete`", async () => {
    await cli.json("lab", "delete", ...at);
    expect(existsSync(dir)).toBe(false);
    expect((await cli.json<{ labs: unknown[] }>("lab", "list")).labs).toEqual([]);
  });
});

describe("labs beside other things", () => {
  const cli = new LabCli();
  afterAll(() => cli.cleanUp());

  it("two labs run at once, each at its own addresses", async () => {
    const [one, two] = [cli.directory("one"), cli.directory("two")];
    const small = ["--sites", "A", "--cvms", "1"];
    const [first, second] = await Promise.all([
      cli.json<LabStatus>("lab", "up", "--dir", one, ...small),
      cli.json<LabStatus>("lab", "up", "--dir", two, ...small),
    ]);
    const addresses = [first, second].flatMap((lab) =>
      lab.processes.map(({ host, port }) => `${host}:${port}`),
    );
    expect(new Set(addresses).size).toBe(addresses.length);
    await cli.json("lab", "down", "--dir", one);
    expect(allRunning(await cli.json<LabStatus>("lab", "status", "--dir", two))).toBe(true);
    await cli.json("lab", "down", "--dir", two);
  });

  it("a lab moves to other addresses when somebody has taken its own while it was down", async () => {
    const dir = cli.directory("moving");
    const before = await cli.json<LabStatus>("lab", "up", "--dir", dir, ...SMALL);
    await cli.json("lab", "down", "--dir", dir);
    const taken = before.processes.find((process) => process.id === "stargate@B/1");
    const squatter = createServer();
    await new Promise<void>((resolve) => {
      squatter.listen({ host: taken?.host, port: taken?.port }, resolve);
    });
    try {
      const after = await cli.json<LabStatus>("lab", "up", "--dir", dir);
      expect(allRunning(after)).toBe(true);
      const moved = after.processes.find((process) => process.id === "stargate@B/1");
      expect(moved?.host).not.toBe(taken?.host);
      // The sites were told of each other's new addresses.
      const shown = await cli.json<{ reachable: boolean }>("remote", "show", "B", "--dir", dir);
      expect(shown.reachable).toBe(true);
    } finally {
      squatter.close();
      await cli.json("lab", "delete", "--dir", dir);
    }
  });

  it("P10: a directory that holds other things is left as it is", async () => {
    const dir = join(cli.base, "photos");
    mkdirSync(dir);
    writeFileSync(join(dir, "cat.jpg"), "meow");
    const error = await cli.failure("lab", "up", "--dir", dir);
    expect(error.code).toBe("INVALID_ARGUMENT");
    expect(readdirSync(dir)).toEqual(["cat.jpg"]);
  });

  it("P10: a directory that cannot be made is a typed failure", async () => {
    writeFileSync(join(cli.base, "file"), "");
    const error = await cli.failure("lab", "up", "--dir", join(cli.base, "file", "lab"));
    expect([error.code, error.exit]).toEqual(["INVALID_ARGUMENT", 2]);
  });

  it("P10: a damaged lab.json is told, and nothing is changed", async () => {
    const dir = join(cli.base, "damaged");
    mkdirSync(dir);
    writeFileSync(join(dir, "lab.json"), '{"version":1');
    expect((await cli.failure("lab", "up", "--dir", dir)).code).toBe("FORMAT_UNSUPPORTED");
    expect(readdirSync(dir)).toEqual(["lab.json"]);
  });

  it("P10: what does not exist has stable codes", async () => {
    const nowhere = join(cli.base, "nowhere");
    expect(await cli.failure("lab", "status", "--dir", nowhere)).toMatchObject({
      code: "LAB_NOT_FOUND",
      exit: 3,
    });
    expect(existsSync(nowhere)).toBe(false);
    expect(await cli.failure("vdisk", "creat")).toMatchObject({
      code: "INVALID_ARGUMENT",
      exit: 2,
    });
  });

  it("Ctrl-C during `lab up` leaves no process and no directory", async () => {
    const dir = cli.directory("interrupted");
    const child = cli.start("lab", "up", "--dir", dir, ...SMALL);
    const ended = new Promise<number | null>((resolve) => {
      child.on("close", (status) => {
        resolve(status);
      });
    });
    await until(() => processesWith(dir).length > 3, 20_000, "the lab's processes start");
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(processesWith(dir)).toEqual([]);
    expect(existsSync(dir)).toBe(false);
  });
});

describe.runIf(process.env["ANTIPODE_ETCD"] !== undefined)("a lab over real etcd", () => {
  const cli = new LabCli();
  const dir = cli.directory();
  afterAll(() => cli.cleanUp());

  it("is up, takes a vDisk, and goes on with it after down and up", async () => {
    const up = await cli.json<LabStatus>("lab", "up", "--etcd", "real", ...SMALL, "--dir", dir);
    expect(allRunning(up)).toBe(true);
    await cli.json("vdisk", "create", "kept", "--size", "1MiB", "--dir", dir);
    await cli.json("chaos", "kill", "etcd@A", "--dir", dir);
    await cli.statusWhen(dir, allRunning);
    await cli.json("lab", "down", "--dir", dir);
    expect(processesWith(dir)).toEqual([]);
    await cli.json("lab", "up", "--dir", dir);
    const { vdisks } = await cli.json<{ vdisks: { name: string }[] }>(
      "vdisk",
      "list",
      "--dir",
      dir,
    );
    expect(vdisks.map((vdisk) => vdisk.name)).toEqual(["kept"]);
  });
});
