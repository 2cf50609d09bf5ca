/**
 * One simulated process: a service of one CVM, with a host of its own in the network. It can be
 * started, killed, paused and go on. One that ends by itself (a bug, a failed disk) is started
 * again after a second, as genesis does.
 */

import type { FakeClock } from "../../support/fakeClock.ts";
import type { FakeHost, FakeNetwork } from "../../support/fakeNetwork.ts";
import type { MemoryConnection, MemoryEtcd } from "../../support/memoryCoordinator.ts";
import type { Trace } from "../trace.ts";
import { Life } from "./life.ts";
import type { WorldTap } from "./tap.ts";

const RESTART_MS = 1000;

/** What a service is given when its process starts. */
export interface ProcessParts {
  readonly life: Life;
  readonly host: FakeHost;
  readonly etcd: MemoryConnection;
  /** Ends the process, as main.ts does for what nobody catches. */
  readonly fail: (error: unknown) => void;
}

/** Starts the service; resolves when it is ready. */
type StartService = (parts: ProcessParts) => Promise<void>;

interface ProcessWorld {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  readonly etcd: MemoryEtcd;
  readonly trace: Trace;
  readonly tap: WorldTap | undefined;
  /** Told of every process that ended by itself. */
  readonly onFailed: (process: string, error: unknown) => void;
}

interface Running {
  readonly life: Life;
  readonly etcd: MemoryConnection;
  ready: boolean;
}

export class SimProcess {
  /** `stargate-A-1`; also its host in the network. */
  readonly name: string;
  readonly #world: ProcessWorld;
  readonly #start: StartService;
  readonly #onEnded: () => void;
  #running: Running | undefined;
  #starts = 0;
  #etcdCut = false;

  /** @param onEnded called when the process has died, before another can start */
  constructor(options: {
    readonly name: string;
    readonly world: ProcessWorld;
    readonly start: StartService;
    readonly onEnded: () => void;
  }) {
    this.name = options.name;
    this.#world = options.world;
    this.#start = options.start;
    this.#onEnded = options.onEnded;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  get isReady(): boolean {
    return this.#running?.ready === true;
  }

  get isPaused(): boolean {
    return this.#running?.life.isPaused === true;
  }

  /** How often it was started. */
  get starts(): number {
    return this.#starts;
  }

  /** Its connection to etcd, to inject faults there. */
  get etcd(): MemoryConnection | undefined {
    return this.#running?.etcd;
  }

  /** Becomes ready in virtual time; harmless when it runs. */
  start(): void {
    if (this.#running !== undefined) return;
    const { clock, network, etcd, trace, tap } = this.#world;
    this.#starts += 1;
    trace.event(this.name, "start");
    const fail = (error: unknown): void => {
      if (this.#running?.life !== life) return;
      this.#world.onFailed(this.name, error);
      this.kill();
      clock.after(RESTART_MS, () => {
        this.start();
      });
    };
    const life = new Life(this.name, trace, fail, tap);
    const running: Running = { life, etcd: etcd.connect(), ready: false };
    if (this.#etcdCut) running.etcd.cut();
    this.#running = running;
    this.#start({ life, host: network.host(this.name), etcd: running.etcd, fail }).then(
      () => {
        running.ready = true;
        if (!life.isDead) trace.event(this.name, "ready");
      },
      (error: unknown) => {
        fail(error);
      },
    );
  }

  /** `kill -9`: nothing of it runs any more; its ports are closed, its connections broken. */
  kill(): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#world.trace.event(this.name, "kill");
    running.life.die();
    this.#running = undefined;
    void running.etcd.close();
    this.#world.network.kill(this.name);
    this.#onEnded();
  }

  /** SIGSTOP. */
  pause(): void {
    this.#world.trace.event(this.name, "pause");
    this.#running?.life.pause();
  }

  /** SIGCONT. */
  resume(): void {
    this.#world.trace.event(this.name, "resume");
    this.#running?.life.resume();
  }

  /** It is killed when it has waited for so many more things: at any await. */
  killAfter(steps: number): void {
    this.#running?.life.strikeAfter(steps, () => {
      this.kill();
    });
  }

  /** It is paused when it has waited for so many more things. */
  pauseAfter(steps: number): void {
    this.#running?.life.strikeAfter(steps, () => {
      this.pause();
    });
  }

  /** It is not killed or paused at an await any more. */
  spare(): void {
    this.#running?.life.spare();
  }

  /** No call of it to etcd is answered and no event comes, or that is over; holds across restarts. */
  cutEtcd(isCut: boolean): void {
    this.#etcdCut = isCut;
    if (isCut) this.#running?.etcd.cut();
    else this.#running?.etcd.heal();
  }
}
