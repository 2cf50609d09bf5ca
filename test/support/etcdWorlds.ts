/** The etcds that the coordinator's conformance suite runs against. */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EtcdEngine, etcdBindings } from "../../services/etcd/index.ts";
import { createClock } from "../../services/platform/adapters/clock.ts";
import { createCodec } from "../../services/platform/adapters/codec.ts";
import { createCoordinator } from "../../services/platform/adapters/coordinator.ts";
import { createDisk } from "../../services/platform/adapters/disk.ts";
import { createNet } from "../../services/platform/adapters/net.ts";
import { createRandom } from "../../services/platform/adapters/random.ts";
import { createRpc } from "../../services/platform/adapters/rpc.ts";
import type { Coordinator } from "../../services/platform/coordinator.ts";
import type { Address } from "../../services/platform/net.ts";
import type { RpcServer } from "../../services/platform/rpc.ts";
import { KvService } from "../../services/platform/wire/etcd.ts";
import { createFakeClock } from "./fakeClock.ts";
import { createFakeLog } from "./fakeLog.ts";
import { createMemoryEtcd } from "./memoryCoordinator.ts";
import { eventually } from "./realTime.ts";

const DEBIAN_ETCD = "/usr/bin/etcd";
const LOOPBACK = "127.0.0.1";
const WAIT_LIMIT_MS = 20_000;

/** Path of etcd's binary, or `undefined` when there is none. */
export const REAL_ETCD: string | undefined =
  process.env["ANTIPODE_ETCD"] ?? (existsSync(DEBIAN_ETCD) ? DEBIAN_ETCD : undefined);

export interface EtcdWorld {
  connect(): Coordinator;
  /** Lets time pass until the condition holds; fails the test after a while. */
  until(condition: () => boolean): Promise<void>;
  compact(revision: number): Promise<void>;
  /** The server ends (real etcd: kill -9) and comes back with what its disk has. */
  readonly killAndRestart: (() => Promise<void>) | undefined;
  /** A client of a server that is not there. */
  readonly nobody: (() => Coordinator) | undefined;
  end(): Promise<void>;
}

/** Our core, with virtual time. */
export function memoryWorld(): Promise<EtcdWorld> {
  const clock = createFakeClock();
  const etcd = createMemoryEtcd(clock);
  return Promise.resolve({
    connect: () => etcd.connect(),
    until: (condition) => clock.tickUntil(condition, WAIT_LIMIT_MS),
    compact(revision) {
      etcd.compact(revision);
      return Promise.resolve();
    },
    killAndRestart: undefined,
    nobody: undefined,
    end: () => Promise.resolve(),
  });
}

/** The embedded server in this process, its log on the machine's disk. */
export interface EmbeddedServer {
  readonly address: Address;
  restart(): Promise<void>;
  end(): Promise<void>;
}

export async function startEmbedded(): Promise<EmbeddedServer> {
  const root = mkdtempSync(join(tmpdir(), "antipode-etcd-"));
  const checksum = await createCodec();
  const clock = createClock();
  const start = async (address: Address): Promise<{ server: RpcServer; engine: EtcdEngine }> => {
    const engine = await EtcdEngine.open({
      disk: createDisk(root),
      clock,
      checksum,
      random: createRandom(),
      log: createFakeLog(),
      folder: "wal",
      logBytesMax: 2048,
      onFailed: (error) => {
        throw error;
      },
    });
    return { engine, server: await createRpc().serve(address, etcdBindings(engine)) };
  };
  let running = await start({ host: LOOPBACK, port: 0 });
  const stop = async (): Promise<void> => {
    await running.server.close();
    await running.engine.close();
  };
  const { address } = running.server;
  return {
    address,
    async restart() {
      await stop();
      running = await start(address);
    },
    async end() {
      await stop();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** The embedded server with gRPC between. */
export async function embeddedWorld(): Promise<EtcdWorld> {
  const server = await startEmbedded();
  return realWorld(server.address, {
    killAndRestart: () => server.restart(),
    end: () => server.end(),
  });
}

/** etcd itself, one member. */
export async function realEtcdWorld(): Promise<EtcdWorld> {
  const binary = REAL_ETCD;
  if (binary === undefined) throw new Error("there is no etcd here");
  const root = mkdtempSync(join(tmpdir(), "antipode-real-etcd-"));
  const [client, peer] = [await freePort(), await freePort()];
  const start = (): ChildProcess => startEtcd(binary, root, client, peer);
  let running = start();
  const address = { host: LOOPBACK, port: client };
  const world = realWorld(address, {
    async killAndRestart() {
      await endOf(running, "SIGKILL");
      running = start();
      await answered(world.connect());
    },
    async end() {
      await endOf(running, "SIGKILL");
      rmSync(root, { recursive: true, force: true });
    },
  });
  await answered(world.connect());
  return world;
}

function realWorld(
  address: Address,
  server: Pick<EtcdWorld, "end"> & { readonly killAndRestart: () => Promise<void> },
): EtcdWorld {
  const clock = createClock();
  const rpc = createRpc();
  const open: Coordinator[] = [];
  const connect = (endpoints: readonly Address[]): Coordinator => {
    const coordinator = createCoordinator({ rpc, clock, log: createFakeLog(), endpoints });
    open.push(coordinator);
    return coordinator;
  };
  return {
    connect: () => connect([address]),
    until: (condition) => eventually(condition, WAIT_LIMIT_MS),
    async compact(revision) {
      const request = { revision, physical: true };
      await rpc.connect(address).unary(KvService.compact, request, { deadlineMs: WAIT_LIMIT_MS });
    },
    killAndRestart: server.killAndRestart,
    nobody: () => connect([{ host: LOOPBACK, port: 1 }]),
    async end() {
      for (const coordinator of open) await coordinator.close();
      rpc.close();
      await server.end();
    },
  };
}

function startEtcd(binary: string, root: string, client: number, peer: number): ChildProcess {
  const clientUrl = `http://${LOOPBACK}:${client}`;
  const peerUrl = `http://${LOOPBACK}:${peer}`;
  const args = [
    ["--data-dir", join(root, "data")],
    ["--listen-client-urls", clientUrl],
    ["--advertise-client-urls", clientUrl],
    ["--listen-peer-urls", peerUrl],
    ["--initial-advertise-peer-urls", peerUrl],
    ["--initial-cluster", `default=${peerUrl}`],
  ];
  return spawn(binary, args.flat(), { stdio: "ignore" });
}

async function answered(coordinator: Coordinator): Promise<void> {
  const clock = createClock();
  const endMs = clock.now() + WAIT_LIMIT_MS;
  for (;;) {
    try {
      await coordinator.get("ready");
      return;
    } catch (error) {
      if (clock.now() > endMs) throw error;
    }
  }
}

function endOf(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => {
      resolve();
    });
    child.kill(signal);
  });
}

async function freePort(): Promise<number> {
  const listener = await createNet().listen({ host: LOOPBACK, port: 0 }, (one) => {
    one.destroy();
  });
  await listener.close();
  return listener.address.port;
}
