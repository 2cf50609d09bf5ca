/**
 * Kills and pauses that count only when they hit: a signal to a process that an earlier kill has ended
 * already, or that stands still already, is none. By genesis' word about the pids that got the signal.
 */

import { AntipodeError } from "../../base/errors.ts";
import type { RunnerLease } from "../../chaos/index.ts";
import { callGenesis, type LabWorld, type OpenLab } from "../../lab/index.ts";
import { GenesisService, type ServiceStatus } from "../../platform/wire/genesis.ts";

export class Strikes {
  readonly #world: LabWorld;
  readonly #open: OpenLab;
  /** Processes that were killed, by id and pid. */
  readonly #killed = new Set<string>();

  constructor(world: LabWorld, open: OpenLab) {
    this.#world = world;
    this.#open = open;
  }

  /** kill -9; genesis starts them again. @throws AntipodeError `PROCESS_NOT_FOUND` when none lived */
  async kill(ids: readonly string[]): Promise<void> {
    const request = { ids, signal: "SIGKILL", stayDead: false } as const;
    const { services } = await callGenesis(this.#world, this.#open, GenesisService.kill, request);
    this.#requireSomeLived(ids, services);
  }

  /** kill -9 and no start until the lease ends. @throws AntipodeError `PROCESS_NOT_FOUND` */
  async leaveDead(lease: RunnerLease, ids: readonly string[]): Promise<void> {
    this.#requireSomeLived(ids, await this.#inject(lease, ids, "SIGKILL"));
  }

  /** SIGSTOP until the lease ends. @throws AntipodeError `PROCESS_NOT_FOUND` when none was going */
  async freeze(lease: RunnerLease, ids: readonly string[]): Promise<void> {
    const services = await this.#inject(lease, ids, "SIGSTOP");
    if (services.every((one) => one.pid === 0 || one.paused)) throw missed(ids);
  }

  async #inject(
    lease: RunnerLease,
    ids: readonly string[],
    signal: "SIGSTOP" | "SIGKILL",
  ): Promise<readonly ServiceStatus[]> {
    const request = { lease, ids, signal };
    const method = GenesisService.injectFault;
    return (await callGenesis(this.#world, this.#open, method, request)).services;
  }

  #requireSomeLived(ids: readonly string[], services: readonly ServiceStatus[]): void {
    const before = this.#killed.size;
    for (const { id, pid } of services) if (pid > 0) this.#killed.add(`${id} ${pid}`);
    if (this.#killed.size === before) throw missed(ids);
  }
}

function missed(ids: readonly string[]): AntipodeError {
  return new AntipodeError("PROCESS_NOT_FOUND", `${ids.join(", ")}: nobody was left to be struck`);
}
