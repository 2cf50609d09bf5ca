/**
 * Supervises all services of a layout: starts them tier by tier, ends them in the other order, and
 * carries out what the API orders. Each service keeps its own state (supervisedService.ts).
 */

import { AntipodeError } from "../base/errors.ts";
import type { ProcessHandle, Signal } from "../platform/processes.ts";
import type { ServiceStatus } from "../platform/wire/genesis.ts";
import type { Layout } from "./layout.ts";
import { isCrashLoop } from "./serviceMachine.ts";
import { SupervisedService, type SupervisionWorld } from "./supervisedService.ts";

/** A tier that does not answer for this long no longer holds up the next: it may need it. */
const TIER_WAIT_MS_MAX = 10_000;
/**
 * What a process uses is read from the system at most this often: whoever waits for a lab to start
 * asks for all services twenty times a second, and each reading is four files.
 */
const USAGE_AGE_MS_MAX = 250;

interface Usage {
  readonly process: ProcessHandle;
  readonly readMs: number;
  readonly values: Promise<readonly [residentBytes: number, cpuMs: number]>;
}

export class Supervisor {
  readonly #world: SupervisionWorld;
  readonly #services: readonly SupervisedService[];
  /** The last reading of each service. */
  readonly #usage = new Map<SupervisedService, Usage>();
  /** Services that are being adopted or begun right now. */
  #resuming: Promise<unknown> = Promise.resolve();
  /** Everything is to end: nothing more is begun. */
  #ending = false;

  constructor(layout: Layout, world: SupervisionWorld) {
    this.#world = world;
    const limits = { restartDelayMs: layout.restartDelayMs, stopGraceMs: layout.stopGraceMs };
    this.#services = layout.services.map(
      (spec) => new SupervisedService(spec, world, limits, layout.autoRestart),
    );
  }

  /** Adopts what lives and starts what is wanted, tier by tier. Ends when all are on their way. */
  async boot(): Promise<void> {
    for (const tier of this.#tiers()) {
      if (this.#ending) return;
      this.#resuming = Promise.all(tier.map((service) => service.resume()));
      await this.#resuming;
      const up = Promise.all(
        tier.map((service) => service.until((one) => one.life.state !== "starting")),
      );
      await this.#within(TIER_WAIT_MS_MAX, up);
    }
  }

  /** All services as they are now. */
  async list(): Promise<readonly ServiceStatus[]> {
    return Promise.all(this.#services.map((service) => this.#statusOf(service)));
  }

  /**
   * Sends a signal to all named services at once.
   * @returns those that had a process, as they were when it was sent
   * @throws AntipodeError `PROCESS_NOT_FOUND` when an id is unknown or none had a process
   */
  async kill(
    ids: readonly string[],
    signal: Signal,
    after: "restart" | "stayDead",
  ): Promise<readonly ServiceStatus[]> {
    const services = this.#named(ids);
    const before = await Promise.all(services.map((service) => this.#statusOf(service)));
    const fatal = signal === "SIGKILL" || signal === "SIGTERM";
    for (const service of services) {
      if (after === "stayDead") service.dispatch({ kind: "autoRestart", on: false });
      if (fatal) service.dispatch({ kind: "drilled" });
    }
    const got = await Promise.all(services.map((service) => service.signal(signal)));
    await Promise.all(services.map((service) => service.recorded()));
    const reached = before
      .map((status, i) => ({ ...status, pid: got[i]?.pid ?? 0 }))
      .filter((status) => status.pid > 0);
    if (reached.length === 0 && after === "restart")
      throw new AntipodeError("PROCESS_NOT_FOUND", `${ids.join(", ")} has no process now`, {
        ids: ids.join(","),
      });
    return reached;
  }

  /** Ends services well; resolves when they are gone. */
  async stop(ids: readonly string[]): Promise<readonly ServiceStatus[]> {
    const services = this.#named(ids);
    await this.#end(services);
    return Promise.all(services.map((service) => this.#statusOf(service)));
  }

  /** Starts what does not run. */
  async start(ids: readonly string[]): Promise<readonly ServiceStatus[]> {
    return this.#order(ids, "start");
  }

  /** Stops, then starts. */
  async restart(ids: readonly string[]): Promise<readonly ServiceStatus[]> {
    return this.#order(ids, "restart");
  }

  /** For the named services, or all when none is named. */
  async setAutoRestart(
    ids: readonly string[],
    autoRestart: boolean,
  ): Promise<readonly ServiceStatus[]> {
    const services = ids.length === 0 ? this.#services : this.#named(ids);
    for (const service of services) service.dispatch({ kind: "autoRestart", on: autoRestart });
    return this.#recordedStatus(services);
  }

  /**
   * Ends everything, the highest tier first.
   * @returns services whose process had to be killed
   */
  async shutdown(): Promise<readonly string[]> {
    // A boot that is under way stops at the tier that it has begun.
    this.#ending = true;
    await this.#resuming;
    for (const tier of this.#tiers().reverse()) await this.#end(tier);
    await Promise.all(this.#services.map((service) => service.recorded()));
    return this.#services.filter((service) => service.forced).map((service) => service.spec.id);
  }

  async #end(services: readonly SupervisedService[]): Promise<void> {
    for (const service of services) service.dispatch({ kind: "stop" });
    await Promise.all(
      services.map((service) => service.until((one) => one.life.state === "stopped")),
    );
  }

  async #order(
    ids: readonly string[],
    kind: "start" | "restart",
  ): Promise<readonly ServiceStatus[]> {
    const services = this.#named(ids);
    for (const service of services) service.dispatch({ kind });
    return this.#recordedStatus(services);
  }

  async #recordedStatus(services: readonly SupervisedService[]): Promise<readonly ServiceStatus[]> {
    await Promise.all(services.map((service) => service.recorded()));
    return Promise.all(services.map((service) => this.#statusOf(service)));
  }

  #named(ids: readonly string[]): readonly SupervisedService[] {
    return ids.map((id) => {
      const found = this.#services.find((service) => service.spec.id === id);
      if (found === undefined)
        throw new AntipodeError("PROCESS_NOT_FOUND", `no service is called "${id}"`, { id });
      return found;
    });
  }

  #tiers(): SupervisedService[][] {
    const tiers = [...new Set(this.#services.map((service) => service.spec.tier))].sort();
    return tiers.map((tier) => this.#services.filter((service) => service.spec.tier === tier));
  }

  async #statusOf(service: SupervisedService): Promise<ServiceStatus> {
    const { spec, life, process } = service;
    const [residentBytes, cpuMs] =
      process === undefined ? [0, 0] : await this.#usageOf(service, process);
    return {
      id: spec.id,
      role: spec.role,
      site: spec.site,
      cvm: spec.cvm,
      state: life.state,
      pid: process?.pid ?? 0,
      startedAt: process?.startedAt ?? "",
      restarts: life.restarts,
      crashLoop: isCrashLoop(life),
      autoRestart: life.autoRestart,
      paused: service.paused,
      residentBytes,
      cpuMs,
      logFile: spec.logFile,
      lastExit: life.lastExit,
      host: spec.address.host,
      port: spec.address.port,
      readyAfterMs: service.readyAfterMs,
    };
  }

  #usageOf(service: SupervisedService, process: ProcessHandle): Usage["values"] {
    const { clock, processes } = this.#world;
    const known = this.#usage.get(service);
    const readMs = clock.now();
    if (known?.process === process && readMs - known.readMs < USAGE_AGE_MS_MAX) return known.values;
    const values = Promise.all([processes.residentBytes(process), processes.cpuMs(process)]);
    this.#usage.set(service, { process, readMs, values });
    return values;
  }

  /** Waits for the work, but not longer than this. */
  async #within(delayMs: number, work: Promise<unknown>): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = this.#world.clock.after(delayMs, resolve);
      work
        .then(() => {
          resolve();
        }, reject)
        .finally(() => {
          timer.cancel();
        });
    });
  }
}
