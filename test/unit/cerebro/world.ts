/**
 * Two sites of three CVMs each in one process, with virtual time: real Cerebros over an etcd in
 * memory and a fake network, simulated Stargates behind them. A Cerebro can be killed between any
 * two of its steps: a step is a call to etcd or to another process.
 */

import { isEnded } from "../../../services/base/jobStates.ts";
import { createPrng } from "../../../services/base/prng.ts";
import { type CvmConfig, parseCvmConfig } from "../../../services/base/siteConfig.ts";
import type { Method } from "../../../services/base/wire.ts";
import { Cerebro } from "../../../services/cerebro/cerebro.ts";
import type { Site } from "../../../services/cerebro/site.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import { createSigner } from "../../../services/platform/adapters/signer.ts";
import type { Codec } from "../../../services/platform/codec.ts";
import { CerebroService, type Job } from "../../../services/platform/wire/cerebro.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeLog, type FakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork, type FakeNetwork } from "../../support/fakeNetwork.ts";
import {
  createMemoryEtcd,
  type MemoryConnection,
  type MemoryEtcd,
} from "../../support/memoryCoordinator.ts";
import {
  killableClock,
  Lifeline,
  type StepMoment,
  steppedCoordinator,
  steppedRpc,
} from "./lifeline.ts";
import { SimSite } from "./simStargate.ts";
import { stargateBindings } from "./simStargateService.ts";

const CVMS = [1, 2, 3];
const CEREBRO_PORT = 2020;
const STARGATE_PORT = 2009;
/** No test waits longer, in virtual time. */
export const PATIENCE_MS = 600_000;

export interface Node {
  readonly cvm: number;
  readonly cerebro: Cerebro;
  readonly etcd: MemoryConnection;
  readonly host: string;
  /** Steps taken so far. */
  steps(): number;
  /** Ends, or freezes, the process at its n-th step from now. */
  strikeAt(step: number, moment: StepMoment): void;
  /** Was it struck? */
  isStruck(): boolean;
  /** Ends the process now: nothing of it runs any more. */
  kill(): void;
  isAlive(): boolean;
  /** What it did, for the message of a failing test. */
  readonly log: FakeLog;
}

export interface WorldSite {
  readonly name: string;
  readonly etcd: MemoryEtcd;
  readonly stargate: SimSite;
  readonly nodes: Map<number, Node>;
  /** A connection for looking into the site's etcd. */
  readonly look: MemoryConnection;
  start(cvm: number): Promise<Node>;
  /** Calls the Cerebro of a CVM as a user does, while time passes. */
  call<Q, A>(method: Method<Q, A, "unary">, request: Q, cvm?: number): Promise<A>;
  /** The node that leads now; waits for one. */
  leader(): Promise<Node>;
}

export interface World {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  readonly codec: Codec;
  readonly a: WorldSite;
  readonly b: WorldSite;
  /** Bugs that Cerebros reported; a test that finds one fails. */
  readonly bugs: unknown[];
  /** Cuts, or heals, everything between the sites. */
  cut(): void;
  heal(): void;
  /** Lets time pass until the promise settles. */
  run<T>(work: Promise<T>): Promise<T>;
  /** Waits until a job has ended. */
  finish(site: WorldSite, jobId: string, cvm?: number): Promise<Job>;
}

const hostOf = (service: string, site: string, cvm: number): string => `${service}-${site}-${cvm}`;

/** Addresses of a service of a site. */
export function addressesOf(
  service: "cerebro" | "stargate",
  site: string,
): { host: string; port: number }[] {
  const port = service === "cerebro" ? CEREBRO_PORT : STARGATE_PORT;
  return CVMS.map((cvm) => ({ host: hostOf(service, site, cvm), port }));
}

function configOf(site: string, cvm: number): CvmConfig {
  return parseCvmConfig({
    site,
    siteIncarnation: site.repeat(32).slice(0, 32),
    cvm,
    dataFolder: "/nowhere",
    coordinator: [{ host: "etcd", port: 2379 }],
    leaseTtlMs: 2000,
    members: CVMS.map((member) => ({
      cvm: member,
      stargate: { host: hostOf("stargate", site, member), port: STARGATE_PORT },
      nbd: { host: hostOf("stargate", site, member), port: 10_809 },
      cerebro: { host: hostOf("cerebro", site, member), port: CEREBRO_PORT },
    })),
    logLevel: "debug",
  });
}

interface Shared {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  readonly codec: Codec;
  readonly bugs: unknown[];
  readonly run: World["run"];
}

async function startNode(shared: Shared, site: WorldSite, cvm: number): Promise<Node> {
  const config = configOf(site.name, cvm);
  const host = hostOf("cerebro", site.name, cvm);
  const etcd = site.etcd.connect();
  const log = createFakeLog();
  const rpc = shared.network.host(host).rpc;
  const life = new Lifeline(shared.clock, () => {
    void etcd.close();
    shared.network.kill(host);
    rpc.close();
  });
  const prng = createPrng(1000 * site.nodes.size + cvm + shared.clock.now());
  const parts: Site = {
    config,
    coordinator: steppedCoordinator(etcd, life),
    rpc: steppedRpc(rpc, life),
    clock: killableClock(shared.clock, life),
    random: { bytes: (length) => prng.fill(new Uint8Array(length)) },
    codec: shared.codec,
    signer: createSigner(),
    log,
  };
  const cerebro = await Cerebro.start({ site: parts, onBug: (error) => shared.bugs.push(error) });
  const node: Node = {
    cvm,
    cerebro,
    etcd,
    host,
    log,
    steps: () => life.steps,
    strikeAt: (step, moment) => {
      life.arm(step, moment);
    },
    isStruck: () => life.struck,
    kill: () => {
      life.kill();
    },
    isAlive: () => life.alive,
  };
  site.nodes.set(cvm, node);
  return node;
}

function createSite(shared: Shared, name: string): WorldSite {
  const etcd = createMemoryEtcd(shared.clock);
  const look = etcd.connect();
  const stargate = new SimSite({
    codec: shared.codec,
    clock: shared.clock,
    coordinator: etcd.connect(),
  });
  for (const cvm of CVMS) {
    const host = hostOf("stargate", name, cvm);
    const { rpc } = shared.network.host(host);
    const bindings = stargateBindings({ site: stargate, cvm, rpc, clock: shared.clock });
    void rpc.serve({ host, port: STARGATE_PORT }, bindings);
  }
  const site: WorldSite = {
    name,
    etcd,
    look,
    stargate,
    nodes: new Map(),
    start: (cvm) => startNode(shared, site, cvm),
    call(method, request, cvm = 3) {
      const client = shared.network.host("user").rpc.connect({
        host: hostOf("cerebro", name, cvm),
        port: CEREBRO_PORT,
      });
      return shared.run(client.unary(method, request, { deadlineMs: PATIENCE_MS }));
    },
    async leader() {
      const leading = (): Node | undefined =>
        [...site.nodes.values()].find((node) => node.isAlive() && node.cerebro.term()?.isLeader());
      await shared.clock.tickUntil(() => leading() !== undefined, PATIENCE_MS);
      const node = leading();
      if (node === undefined) throw new Error("nobody leads");
      return node;
    },
  };
  return site;
}

let codec: Codec | undefined;

/** Two sites, A and B, all CVMs up, CVM 1 of each the leader, each the remote site of the other. */
export async function createWorld(): Promise<World> {
  codec ??= await createCodec();
  const clock = createFakeClock();
  const network = createFakeNetwork({ clock, log: createFakeLog() });
  const bugs: unknown[] = [];
  const run = async <T>(work: Promise<T>): Promise<T> => {
    let settled = false;
    const noted = work.finally(() => {
      settled = true;
    });
    noted.catch(() => undefined);
    await clock.tickUntil(() => settled, PATIENCE_MS);
    return await noted;
  };
  const shared: Shared = { clock, network, codec, bugs, run };
  const a = createSite(shared, "A");
  const b = createSite(shared, "B");
  for (const site of [a, b])
    for (const cvm of CVMS) {
      await run(site.start(cvm));
      // The first one leads: tests know whom they kill.
      if (cvm === 1) await site.leader();
    }
  await connectSites(a, b);
  const services = (site: WorldSite): string[] =>
    CVMS.flatMap((cvm) => [hostOf("cerebro", site.name, cvm), hostOf("stargate", site.name, cvm)]);
  const between = (act: (x: string, y: string) => void): void => {
    for (const x of services(a)) for (const y of services(b)) act(x, y);
  };
  return {
    clock,
    network,
    codec,
    a,
    b,
    bugs,
    run,
    cut: () => {
      between((x, y) => {
        network.cut(x, y);
      });
    },
    heal: () => {
      between((x, y) => {
        network.heal(x, y);
      });
    },
    async finish(site, jobId, cvm = 3) {
      for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += 200) {
        const { job } = await site.call(CerebroService.showJob, { id: jobId }, cvm);
        if (job !== undefined && isEnded(job.state)) return job;
        await clock.tick(200);
      }
      throw new Error(`the job ${jobId} did not end`);
    },
  };
}

async function connectSites(a: WorldSite, b: WorldSite): Promise<void> {
  for (const [here, there] of [
    [a, b],
    [b, a],
  ] as const)
    await here.call(CerebroService.createRemote, {
      name: there.name,
      cerebros: addressesOf("cerebro", there.name),
      stargates: addressesOf("stargate", there.name),
      containers: [],
      requestId: "",
    });
}

/** Calls a method of a site and expects an answer with all its parts. */
export async function makeProtected(
  site: WorldSite,
  names: readonly string[],
  sizeBytes: number,
): Promise<void> {
  for (const name of names) await site.stargate.createVdisk(name, sizeBytes, "");
  await site.call(CerebroService.createPd, { name: "pd", requestId: "" });
  await site.call(CerebroService.protect, { pd: "pd", group: "", vdisks: names });
}
