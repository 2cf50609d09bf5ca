/**
 * P10 on a real lab: names that are not there, sizes that cannot be, ports that are taken, and clients
 * that send garbage or vanish in the middle. Each gets its typed refusal; the lab serves on, with the
 * same processes, the same sockets and the same memory as before.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createPrng } from "../../services/base/prng.ts";
import type { Method } from "../../services/base/wire.ts";
import { connectNbd, type NbdClient } from "../../services/guest/index.ts";
import { createClock } from "../../services/platform/adapters/clock.ts";
import { createNet } from "../../services/platform/adapters/net.ts";
import type { Address } from "../../services/platform/net.ts";
import { CerebroService } from "../../services/platform/wire/cerebro.ts";
import {
  KvService,
  LeaseService,
  Maintenance,
  WatchService,
} from "../../services/platform/wire/etcd.ts";
import { GenesisService } from "../../services/platform/wire/genesis.ts";
import { IoService, PeerService } from "../../services/platform/wire/oplog.ts";
import {
  CerebroPeerService,
  RemoteCerebroService,
} from "../../services/platform/wire/remoteCerebro.ts";
import {
  ChunkService,
  ReceiveService,
  VdiskService,
} from "../../services/platform/wire/stargate.ts";
import { WanService } from "../../services/platform/wire/wan.ts";
import {
  attackNbd,
  attackPorts,
  callWithGarbage,
  figuresOf,
  inParallel,
  type ProcessFigures,
} from "./hostileClients.ts";
import { LabCli, type LabStatus, type ProcessStatus, until } from "./labCli.ts";

const SEED = Number(process.env["ANTIPODE_SEED"] ?? 20_262);
const MIB = 1024 * 1024;
const DISK_BYTES = 4 * MIB;
const BLOCK_BYTES = 4096;
/**
 * Attacks in a row. What leaks grows by as much in each of them; a heap, the caches and the compiled code
 * of a young process grow in the first ones only. One attack after which nothing is held shows which it is.
 */
const ATTACKS_MAX = 5;
const NBD_SESSIONS = 640;
const PORT_SESSIONS = 480;
const VANISHED_ROUNDS = 10;
/**
 * What a healthy heap wanders by. Each of two servers gets nearly 4 MiB each of about 25 writes that
 * never end, and owes 280 MiB of answers that nobody takes: keeping either is more.
 */
const GROWTH_BYTES_MAX = 48 * MIB;
/** Sockets among the services come and go; a leak would be hundreds. */
const DESCRIPTORS_MAX = 12;
const SETTLE_LIMIT_MS = 6_000;
const HAS_PROC = existsSync("/proc/self/fd");

type Methods = Readonly<Record<string, Method<never, never>>>;
const pathsOf = (...services: readonly unknown[]): readonly string[] =>
  services.flatMap((service) => Object.values(service as Methods).map(({ path }) => path));

/** Every method that a process of a role serves. */
const SERVED: Readonly<Record<string, readonly string[]>> = {
  stargate: pathsOf(VdiskService, ChunkService, ReceiveService, PeerService, IoService),
  cerebro: pathsOf(CerebroService, RemoteCerebroService, CerebroPeerService),
  etcd: pathsOf(KvService, LeaseService, WatchService, Maintenance),
  wan: pathsOf(WanService),
  genesis: pathsOf(GenesisService),
};

const roleOf = (id: string): string => /^[a-z]+/.exec(id)?.[0] ?? "";
const allRunning = (status: LabStatus): boolean =>
  status.processes.every((process) => process.state === "running");

/** Processes and what they hold more than when it began. */
class Figures {
  readonly #processes: readonly { readonly id: string; readonly pid: number }[];
  readonly #before: ReadonlyMap<number, ProcessFigures>;

  constructor(processes: readonly { readonly id: string; readonly pid: number }[]) {
    this.#processes = processes;
    this.#before = new Map(processes.map(({ pid }) => [pid, figuresOf(pid)]));
  }

  /** A line for each that holds more than it may. */
  spare(): readonly string[] {
    return this.#processes.flatMap(({ id, pid }) => {
      const before = this.#before.get(pid);
      if (before === undefined) throw new Error(`${id} was not looked at before`);
      const now = figuresOf(pid);
      const descriptors = now.descriptors - before.descriptors;
      const bytes = now.residentBytes - before.residentBytes;
      return descriptors > DESCRIPTORS_MAX || bytes > GROWTH_BYTES_MAX
        ? [`${id}: ${descriptors} descriptors and ${Math.round(bytes / MIB)} MiB more`]
        : [];
    });
  }
}

/** Lines of the lab's logs in which something failed, by process in order. */
function failuresIn(dir: string): readonly string[] {
  const logs = join(dir, "logs");
  return readdirSync(logs).flatMap((name) =>
    readFileSync(join(logs, name), "utf8")
      .split("\n")
      .filter((line) => line !== "" && !/"level":"(debug|info|warn)"/.test(line)),
  );
}

function listening(address: Address): Promise<Server> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, () => {
      resolve(server);
    });
  });
}

/** Writes blocks and reads each back until told to stop; how many there were. */
async function writeAndReadBack(client: NbdClient, stop: AbortSignal): Promise<number> {
  const block = new Uint8Array(BLOCK_BYTES);
  const prng = createPrng(SEED);
  for (let count = 0; ; count++) {
    if (stop.aborted) return count;
    const offset = BLOCK_BYTES * prng.below(DISK_BYTES / BLOCK_BYTES);
    prng.fill(block);
    await client.write(offset, block);
    const read = await client.read(offset, BLOCK_BYTES);
    if (Buffer.compare(read, block) !== 0) throw new Error(`block ${count} reads as another`);
  }
}

describe("a real lab and bad input", () => {
  const cli = new LabCli();
  const dir = cli.directory();
  const at = ["--dir", dir] as const;
  const world = { net: createNet(), clock: createClock() };
  let status: LabStatus;
  let nbd: readonly Address[] = [];

  const processOf = (id: string): ProcessStatus => {
    const found = status.processes.find((process) => process.id === id);
    if (found === undefined) throw new Error(`the lab has no ${id}`);
    return found;
  };
  const pidsNow = async (): Promise<readonly string[]> => {
    const now = await cli.json<LabStatus>("lab", "status", ...at);
    return [...now.processes.map(({ id, pid }) => `${id} ${pid}`), `genesis ${now.genesis.pid}`];
  };

  beforeAll(async () => {
    status = await cli.json<LabStatus>("lab", "up", "--sites", "A,B", "--cvms", "2,1", ...at);
    for (const name of ["disk", "attacked"])
      await cli.json("vdisk", "create", name, "--size", "4MiB", ...at);
    await cli.json("pd", "create", "gold", ...at);
    const { uris } = await cli.json<{ uris: string[] }>("vdisk", "show", "disk", ...at);
    nbd = uris.map((uri) => ({ host: new URL(uri).hostname, port: Number(new URL(uri).port) }));
  });
  afterAll(() => cli.cleanUp());

  /** The counters of a link go on by themselves. */
  const linkSettings = async (): Promise<readonly unknown[]> => {
    const { links } = await cli.json<{ links: Record<string, unknown>[] }>("link", "show", ...at);
    return links.map((link) => [
      link["from"],
      link["cut"],
      link["latencyMs"],
      link["bitsPerSecond"],
    ]);
  };

  it("refuses what is not there and what cannot be, and nothing has changed", async () => {
    const everything = async (): Promise<readonly unknown[]> => [
      await cli.json("vdisk", "list", ...at),
      await cli.json("pd", "list", ...at),
      await cli.json("container", "list", ...at),
      await linkSettings(),
      await pidsNow(),
    ];
    const before = await everything();
    const cases: readonly (readonly [code: string, exit: number, command: string])[] = [
      ["SIZE_INVALID", 2, "vdisk create v --size 1000"],
      ["SIZE_INVALID", 2, "vdisk create v --size 65TiB"],
      ["SIZE_INVALID", 2, "vdisk create v --size 2000001"],
      ["SIZE_INVALID", 2, "vdisk create v --size much"],
      ["NAME_INVALID", 2, "vdisk create ../v --size 1MiB"],
      ["VDISK_EXISTS", 4, "vdisk create disk --size 1MiB"],
      ["CONTAINER_NOT_FOUND", 3, "vdisk create v --size 1MiB --container nope"],
      ["RECOVERY_POINT_NOT_FOUND", 3, "vdisk create v --from disk@nope"],
      ["VDISK_NOT_FOUND", 3, "vdisk show nope"],
      ["VDISK_NOT_FOUND", 3, "vdisk delete nope"],
      ["SITE_NOT_FOUND", 3, "vdisk list --site C"],
      ["PD_NOT_FOUND", 3, "pd show nope"],
      ["VDISK_NOT_FOUND", 3, "pd protect gold nope"],
      ["PD_EMPTY", 4, "pd snapshot gold"],
      ["REMOTE_NOT_FOUND", 3, "pd replicate gold --to C"],
      ["PD_NOT_FOUND", 3, "pd activate gold --site B"],
      ["JOB_NOT_FOUND", 3, "job show 00000000000000000000000000000000"],
      ["SITE_NOT_FOUND", 3, "link cut A C"],
      ["PROCESS_NOT_FOUND", 3, "chaos kill stargate@A/9"],
    ];
    await inParallel(cases.length, async (index) => {
      const [code, exit, command] = cases[index] ?? ["", 0, ""];
      const error = await cli.failure(...command.split(" "), ...at);
      expect([error.code, error.exit], command).toEqual([code, exit]);
      expect(error.message, command).not.toBe("");
      expect(error.remedy, command).not.toBe("");
    });
    expect(await everything()).toEqual(before);
  });

  it("refuses `lab up` while it runs, also with another shape, and starts nothing again", async () => {
    const before = await pidsNow();
    for (const [code, ...shape] of [
      ["LAB_RUNNING"],
      ["LAB_RUNNING", "--sites", "A,B", "--cvms", "2,1"],
      ["INVALID_ARGUMENT", "--sites", "A,B,C"],
      ["INVALID_ARGUMENT", "--cvms", "3"],
    ])
      expect((await cli.failure("lab", "up", ...shape, ...at)).code).toBe(code);
    expect(await pidsNow()).toEqual(before);
  });

  it("of two `lab up` at once one starts the lab, and the other says so", async () => {
    const both = cli.directory("both");
    const up = ["lab", "up", "--sites", "S", "--cvms", "1", "--dir", both, "--json"];
    const runs = await Promise.all([cli.run(...up), cli.run(...up)]);
    const outcomes = runs.map((run) => {
      const { error } = JSON.parse(run.stdout) as { error?: { code: string } };
      return [run.status, error?.code];
    });
    expect(outcomes).toContainEqual([0, undefined]);
    expect(outcomes).toContainEqual([4, "LAB_RUNNING"]);
    expect(allRunning(await cli.json<LabStatus>("lab", "status", "--dir", both))).toBe(true);
    await cli.json("lab", "delete", "--dir", both);
  });

  it("P9: a port that somebody took from a dead service is told, and used when it is free", async () => {
    const { host, port } = processOf("cerebro@B/1");
    await cli.json("chaos", "kill", "cerebro@B/1", "--stay-dead", ...at);
    const squatter = await listening({ host, port });
    const log = join(dir, "logs", "cerebro@B-1.log");
    try {
      await cli.json("chaos", "start", "cerebro@B/1", ...at);
      const told = (): boolean => readFileSync(log, "utf8").includes("PORT_IN_USE");
      await until(told, SETTLE_LIMIT_MS, "the service says that its port is in use");
      const line = readFileSync(log, "utf8")
        .split("\n")
        .find((one) => one.includes("PORT_IN_USE"));
      expect(line).toContain(`${host}:${port}`);
      if (HAS_PROC) expect(line).toContain(`${process.pid}`);
    } finally {
      squatter.close();
    }
    await cli.statusWhen(dir, allRunning);
  });

  it("answers every method of every service that bytes are no message of it", async () => {
    const prng = createPrng(SEED);
    const before = await pidsNow();
    status = await cli.statusWhen(dir, allRunning);
    const servers = [
      ...status.processes.map(({ id, host, port }) => ({ id, host, port })),
      { id: "genesis", ...status.genesis.address },
    ];
    for (const { id, ...server } of servers) {
      const paths = SERVED[roleOf(id)] ?? [];
      expect(paths.length, id).toBeGreaterThan(0);
      const answers = await callWithGarbage(prng, server, paths, "whole");
      const others = [...answers].filter(
        ([, { grpcStatus, code }]) => grpcStatus !== 3 || code !== "MESSAGE_INVALID",
      );
      expect(others, id).toEqual([]);
      expect(answers.size, id).toBe(paths.length);
    }
    expect(await pidsNow()).toEqual(before);
  });

  it.runIf(HAS_PROC)(
    `serves on while clients send garbage or vanish, and keeps nothing of them (seed ${SEED})`,
    async () => {
      status = await cli.statusWhen(dir, allRunning);
      const failuresBefore = failuresIn(dir);
      const prng = createPrng(SEED);
      const grpc = status.processes.map(({ host, port }) => ({ host, port }));
      const attack = async (): Promise<void> => {
        await attackNbd(prng, {
          servers: nbd,
          exportName: "attacked",
          sizeBytes: DISK_BYTES,
          sessions: NBD_SESSIONS,
        });
        await attackPorts(prng, [...grpc, ...nbd, status.genesis.address], PORT_SESSIONS);
        for (let round = 0; round < VANISHED_ROUNDS; round++)
          for (const { id, host, port } of status.processes)
            await callWithGarbage(prng, { host, port }, SERVED[roleOf(id)] ?? [], "vanish");
      };
      const [address] = nbd;
      if (address === undefined) throw new Error("the disk has no address");
      const client = await connectNbd(world, { address, exportName: "disk" });
      const attacked = [...status.processes, { id: "genesis", pid: status.genesis.pid }];
      const held: string[] = [];
      const leavesNothing = async (): Promise<boolean> => {
        const figures = new Figures(attacked);
        await attack();
        return until(
          () => figures.spare().length === 0,
          SETTLE_LIMIT_MS,
          "sockets and memory are given back",
        ).then(
          () => true,
          () => {
            held.push(figures.spare().join(", "));
            return false;
          },
        );
      };

      const stop = new AbortController();
      const served = writeAndReadBack(client, stop.signal);
      while (!(await leavesNothing()))
        if (held.length === ATTACKS_MAX)
          throw new Error(`every attack left something: ${held.join("; then ")}`);
      stop.abort();
      expect(await served).toBeGreaterThan(10);

      await client.close();
      const after = await cli.json<LabStatus>("lab", "status", ...at);
      expect(after.processes.map(({ id, pid }) => [id, pid])).toEqual(
        status.processes.map(({ id, pid }) => [id, pid]),
      );
      // Nothing of the attack was written.
      const shown = await cli.json<{ lastLsn: number }>("vdisk", "show", "attacked", ...at);
      expect(shown.lastLsn).toBe(0);
      expect(failuresIn(dir).filter((line) => !failuresBefore.includes(line))).toEqual([]);
    },
  );
});
