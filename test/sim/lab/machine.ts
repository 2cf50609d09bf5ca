/**
 * A simulated machine: one clock, one network, one tree of files, and processes. It is what
 * `services/lab` asks of a real one (LabWorld), so `lab up`, genesis and a chaos run work on it as they
 * are. One seed gives one execution; all time is virtual.
 */

import { parseJson } from "../../../services/base/checkedJson.ts";
import { AntipodeError } from "../../../services/base/errors.ts";
import { createPrng } from "../../../services/base/prng.ts";
import type { LabWorld } from "../../../services/lab/index.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import type { Codec } from "../../../services/platform/codec.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeKeyIndexes, type FakeKeyIndexes } from "../../support/fakeKeyIndex.ts";
import { createFakeLog, type FakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork, type FakeNetwork } from "../../support/fakeNetwork.ts";
import { createTrace, type Trace, type TraceEvent } from "../trace.ts";
import { mortalNet, mortalRpc } from "../world/mortalNetwork.ts";
import { type ClockSkew, mortalClock } from "../world/mortalPorts.ts";
import { seedOf } from "../world/site.ts";
import type { WorldTap } from "../world/tap.ts";
import { Addresses, GENESIS_HOST, hostOf } from "./addresses.ts";
import { SiteLinks } from "./links.ts";
import { MachineFiles } from "./machineFiles.ts";
import { MachineProcess } from "./machineProcess.ts";
import { ProcessTable } from "./processTable.ts";
import { type ProgramWorld, programs } from "./programs.ts";

/** The host of commands and clients. */
export const OUTSIDE = "outside";
const PROGRAMS = "/antipode/";
const INSIDE_DELAY_MS = 0.2;
const NO_SKEW: ClockSkew = { offsetMs: 0, rate: 1, wallOffsetMs: () => 0 };
/** Time that a wait lets pass at once; timers of one are bounded. */
const WAIT_SLICE_MS = 1000;

export interface MachinePlan {
  readonly seed: number;
  /** Events after which it is given up. */
  readonly eventsMax: number;
  readonly onEvent?: ((event: TraceEvent) => void) | undefined;
  readonly tap?: WorldTap;
}

/** A process that ended by itself: a failed disk is an expected reason, a bug is not. */
interface Failure {
  readonly process: string;
  readonly error: unknown;
}

export interface SimMachine {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  readonly log: FakeLog;
  readonly trace: Trace;
  readonly codec: Codec;
  readonly failures: readonly Failure[];
  /** Names of the processes that live. */
  readonly alive: readonly string[];
  /** As somebody has it who works on the machine. */
  readonly world: LabWorld;
  /** Waits for the promise while virtual time passes. */
  wait<T>(work: Promise<T>, limitMs: number): Promise<T>;
  /** Kills everything, so that nothing keeps running. */
  end(): void;
}

let sharedCodec: Codec | undefined;

/** A machine without files and processes. */
export async function createMachine(plan: MachinePlan): Promise<SimMachine> {
  sharedCodec ??= await createCodec();
  return new Machine(plan, sharedCodec);
}

class Machine implements SimMachine {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  readonly log = createFakeLog();
  readonly trace: Trace;
  readonly codec: Codec;
  readonly failures: Failure[] = [];
  readonly world: LabWorld;
  readonly #plan: MachinePlan;
  readonly #files = new MachineFiles();
  readonly #addresses = new Addresses();
  readonly #links: SiteLinks;
  readonly #indexes = new Map<string, FakeKeyIndexes>();
  readonly #table: ProcessTable;

  constructor(plan: MachinePlan, codec: Codec) {
    this.#plan = plan;
    this.codec = codec;
    this.clock = createFakeClock(0, () => {
      if (this.trace.isFull)
        throw new Error(`it does not come to its end in ${this.trace.count} events`);
    });
    this.trace = createTrace(() => this.clock.now(), plan);
    this.#links = new SiteLinks({
      siteOf: (host) => this.#addresses.siteOf(host),
      tear: (from, to) => {
        this.network.tear(from, to);
      },
    });
    this.network = createFakeNetwork({
      ...{ clock: this.clock, log: this.log },
      pipeOver: (from, to) => this.#links.pipe(from, to),
    });
    this.#table = new ProcessTable({
      launch: (order) => this.#launch(order),
      nowMs: () => this.clock.now(),
      hostAt: (address) => this.#addresses.hostAt(address),
    });
    this.world = this.#outside();
  }

  get alive(): readonly string[] {
    return this.#table.all.map(({ name }) => name);
  }

  async wait<T>(work: Promise<T>, limitMs: number): Promise<T> {
    const state = { isSettled: false };
    const noted = work.finally(() => {
      state.isSettled = true;
    });
    noted.catch(() => undefined);
    const untilMs = this.clock.now() + limitMs;
    while (!state.isSettled) {
      const now = this.clock.now();
      if (now > untilMs)
        throw new Error(`what is waited for does not come within ${limitMs} virtual ms`);
      const isOver = (): boolean => state.isSettled || this.clock.now() >= now + WAIT_SLICE_MS;
      await this.clock.tickUntil(isOver, 2 * WAIT_SLICE_MS);
    }
    return noted;
  }

  end(): void {
    for (const process of this.#table.all) process.signal("SIGKILL");
  }

  #outside(): LabWorld {
    const { net, rpc } = this.network.host(OUTSIDE);
    const prng = createPrng(seedOf(this.#plan.seed, "outside"));
    return {
      clock: this.clock,
      net: this.#addresses.net(net),
      rpc: this.#addresses.rpc(rpc),
      processes: this.#table.of(undefined),
      random: { bytes: (length) => prng.fill(new Uint8Array(length)) },
      launch: { node: "node", entryOf: (service) => `${PROGRAMS}${service}` },
      environment: {},
      ownPid: 1,
      diskAt: (path) => this.#files.diskAt(path),
      removeTree: (path) => this.#files.removeTree(path),
      registryFolder: "/registry",
      findProgram: () => Promise.resolve(undefined),
      tell: (line) => {
        this.trace.event("outside", "tell", line);
      },
    };
  }

  #launch(order: Parameters<ConstructorParameters<typeof ProcessTable>[0]["launch"]>[0]) {
    const { args } = order.request;
    const entry = args.find((arg) => arg.startsWith(PROGRAMS))?.slice(PROGRAMS.length) ?? "";
    const program = this.#programs[entry];
    if (program === undefined)
      throw new AntipodeError("INVALID_ARGUMENT", `a simulated machine has no program "${entry}"`);
    const config = args.at(-1) ?? "";
    if (entry === "genesis") this.#meetLab(config);
    const name = entry === "genesis" ? GENESIS_HOST : this.#nameOf(config, entry);
    this.#table.requireFree(name);
    const process = new MachineProcess({
      ...{ name, handle: order.handle, request: order.request, onExit: order.onExit },
      ...{ trace: this.trace, tap: this.#plan.tap, host: (host) => this.network.host(host) },
      onEnded: (ended) => {
        order.onEnded(ended);
        this.network.kill(name);
      },
      onFailed: (failed, error) => this.failures.push({ process: failed, error }),
    });
    process.start(program);
    return process;
  }

  /** The lab tells by the layout of its genesis where everything is. */
  #meetLab(layoutPath: string): void {
    const layout = this.#addresses.learn(this.#mustRead(layoutPath), (path) =>
      parseJson(this.#mustRead(path), path),
    );
    for (const { id, role, args } of layout.services)
      this.#names.set(`${role} ${args.at(-1) ?? ""}`, hostOf(id));
    const hosts = [OUTSIDE, ...this.#addresses.hosts];
    for (const [i, a] of hosts.entries())
      for (const b of hosts.slice(i + 1)) this.network.setDelay(a, b, INSIDE_DELAY_MS);
  }

  readonly #names = new Map<string, string>();

  #nameOf(config: string, entry: string): string {
    const name = this.#names.get(`${entry} ${config}`);
    if (name === undefined) throw new Error(`no lab has a ${entry} of ${config}`);
    return name;
  }

  #mustRead(path: string): Uint8Array {
    const content = this.#files.content(path);
    if (content === undefined)
      throw new AntipodeError("INVALID_ARGUMENT", `${path} cannot be read`, { path });
    return content;
  }

  get #programs() {
    const world: ProgramWorld = {
      ...{ seed: this.#plan.seed, codec: this.codec, log: this.log },
      clockOf: (life) => mortalClock(this.clock, life, NO_SKEW),
      rpcOf: ({ host, life }) => mortalRpc(this.#addresses.rpc(host.rpc), life),
      netOf: ({ host, life }) => mortalNet(this.#addresses.net(host.net), life),
      processesOf: (life) => this.#table.of(life),
      configOf: ({ request }) => {
        const path = request.args.at(-1) ?? "";
        return parseJson(this.#mustRead(path), path);
      },
      content: (path) => this.#files.content(path),
      mount: (path) => this.#files.mount(path),
      indexesAt: (path) => {
        const indexes = this.#indexes.get(path) ?? createFakeKeyIndexes();
        this.#indexes.set(path, indexes);
        return indexes;
      },
      carriedBy: (carrier) => {
        this.#links.carriedBy(carrier);
        if (carrier === undefined) this.#tearLinks();
      },
    };
    return programs(world);
  }

  #tearLinks(): void {
    const { hosts } = this.#addresses;
    const site = (host: string): string => this.#addresses.siteOf(host);
    for (const [i, a] of hosts.entries())
      for (const b of hosts.slice(i + 1))
        if (site(a) !== "" && site(b) !== "" && site(a) !== site(b)) this.network.tear(a, b);
  }
}
