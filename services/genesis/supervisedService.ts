/**
 * One service under supervision: carries out what its machine (serviceMachine.ts) orders, and turns
 * what happens into events. Only this object changes its state; events are handled one at a time and
 * synchronously, slow effects report back as events.
 *
 * A process is numbered by `#incarnation`, so that a late report of an earlier one changes nothing.
 */

import { assert } from "../base/assert.ts";
import { messageOf } from "../base/errors.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import type { Disk } from "../platform/disk.ts";
import type { Log } from "../platform/log.ts";
import type { Address } from "../platform/net.ts";
import type { Processes, ProcessHandle, Signal } from "../platform/processes.ts";
import { findProcess, findUnrecorded } from "./adoption.ts";
import type { ProbeKind, ServiceSpec } from "./layout.ts";
import { readRecord, writeRecord } from "./processRecords.ts";
import {
  adopt,
  begin,
  type MachineLimits,
  newLife,
  type ServiceEffect,
  type ServiceEvent,
  type ServiceLife,
  type Step,
  step,
} from "./serviceMachine.ts";

/** A process that somebody else's child was cannot report its end: it is looked at this often. */
const WATCH_INTERVAL_MS = 250;
/** How often a starting process is asked whether it answers. */
const PROBE_INTERVAL_MS = 100;

export interface SupervisionWorld {
  readonly clock: Clock;
  readonly processes: Processes;
  /** Rooted at the layout's state folder. */
  readonly records: Disk;
  readonly log: Log;
  /** Environment that every service gets, its own on top. */
  readonly environment: Readonly<Record<string, string>>;
  readonly answers: (kind: ProbeKind, address: Address) => Promise<boolean>;
  /** For failures that nobody awaits: they end genesis. */
  readonly onFailure: (error: unknown) => void;
}

export class SupervisedService {
  readonly spec: ServiceSpec;
  readonly #world: SupervisionWorld;
  readonly #limits: MachineLimits;
  #life: ServiceLife;
  #process: ProcessHandle | undefined;
  #incarnation = 0;
  #timer: Timer | undefined;
  #paused = false;
  #startedMs = 0;
  #readyAfterMs = 0;
  #waiters: (() => void)[] = [];
  /** The last end that was asked for had to be forced. */
  #forced = false;
  /** The spawn under way, or the last one. */
  #spawning: Promise<void> = Promise.resolve();
  #lastWrite: Promise<void> = Promise.resolve();

  constructor(
    spec: ServiceSpec,
    world: SupervisionWorld,
    limits: MachineLimits,
    autoRestart: boolean,
  ) {
    this.spec = spec;
    this.#world = world;
    this.#limits = limits;
    this.#life = newLife(autoRestart);
  }

  get life(): ServiceLife {
    return this.#life;
  }

  get process(): ProcessHandle | undefined {
    return this.#process;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** From the start of the process until it answered; 0 while it has not. */
  get readyAfterMs(): number {
    return this.#readyAfterMs;
  }

  get forced(): boolean {
    return this.#forced;
  }

  /** Takes over what an earlier genesis left: its process, or the decision to have none. */
  async resume(): Promise<void> {
    const record = await readRecord(this.#world.records, this.spec.id);
    if (record !== undefined)
      this.#life = {
        ...this.#life,
        autoRestart: record.autoRestart,
        restarts: record.restarts,
        state: record.wanted === "dead" ? "dead" : "stopped",
      };
    const wasUp = record === undefined || record.wanted === "up";
    const found = await findProcess(this.#world.processes, this.spec, record?.process);
    if (found === undefined) {
      const died = record?.process !== undefined;
      if (wasUp && died && !this.#life.autoRestart)
        this.#apply({ life: { ...this.#life, state: "dead" }, effects: [] });
      else if (wasUp)
        this.#apply(begin({ ...this.#life, restarts: this.#life.restarts + (died ? 1 : 0) }));
      return;
    }
    this.#incarnation += 1;
    this.#process = found;
    this.#startedMs = this.#world.clock.now();
    this.#apply(adopt(this.#life));
    this.#watch(this.#incarnation, found);
    this.#probe(this.#incarnation);
    this.#world.log.info(
      { event: "service.adopted", id: this.spec.id, pid: found.pid },
      "service adopted",
    );
  }

  /** Something happened to the service. */
  dispatch(event: ServiceEvent): void {
    this.#apply(step(this.#life, event, this.#limits));
  }

  /** Sends a signal to the process as it is now; `undefined` when there is none. */
  async signal(signal: Signal): Promise<ProcessHandle | undefined> {
    await this.#spawning;
    const target = this.#process;
    if (target === undefined || !(await this.#world.processes.signal(target, signal)))
      return undefined;
    if (signal === "SIGSTOP") this.#paused = true;
    if (signal === "SIGCONT") this.#paused = false;
    return target;
  }

  /** Resolves when the condition holds; it is looked at after every change. */
  until(holds: (service: SupervisedService) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (holds(this)) resolve();
        else this.#waiters.push(look);
      };
      look();
    });
  }

  /** Resolves when the newest record is on disk. */
  recorded(): Promise<void> {
    return this.#lastWrite;
  }

  #apply(next: Step): void {
    const before = this.#life;
    this.#life = next.life;
    for (const effect of next.effects) this.#carryOut(effect);
    if (before.state !== next.life.state)
      this.#world.log.info(
        { event: "service.state", id: this.spec.id, from: before.state, to: next.life.state },
        "service state",
      );
    if (before !== next.life) this.#record();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const look of waiters) look();
  }

  #carryOut(effect: ServiceEffect): void {
    switch (effect.kind) {
      case "spawn":
        assert(this.#process === undefined, "a service has at most one process");
        this.#spawning = this.#spawn();
        this.#supervise(this.#spawning);
        return;
      case "askToEnd":
        this.#supervise(this.#askToEnd());
        return;
      case "kill":
        this.#forced = this.#life.state === "stopping";
        this.#supervise(this.signal("SIGKILL"));
        return;
      case "arm":
        this.#timer?.cancel();
        this.#timer = this.#world.clock.after(effect.delayMs, () => {
          this.dispatch({ kind: "timer" });
        });
        return;
      case "disarm":
        this.#timer?.cancel();
        this.#timer = undefined;
        return;
    }
  }

  async #spawn(): Promise<void> {
    this.#incarnation += 1;
    const incarnation = this.#incarnation;
    const { processes, environment, clock } = this.#world;
    this.#startedMs = clock.now();
    this.#readyAfterMs = 0;
    this.#paused = false;
    this.#forced = false;
    const { command, args, env, logFile } = this.spec;
    try {
      const orphan = await findUnrecorded(processes, this.spec);
      const started =
        orphan ??
        (await processes.spawn(
          { command, args, env: { ...environment, ...env }, logFile },
          ({ code, signal }) => {
            this.#onExit(incarnation, signal ?? `status ${code ?? "unknown"}`);
          },
        ));
      if (incarnation !== this.#incarnation) return;
      this.#process = started;
      this.#record();
      if (orphan !== undefined) this.#watch(incarnation, orphan);
      // `askToEnd` was ordered and waits for this spawn when it was told to end meanwhile.
      if (this.#life.state !== "stopping") this.#probe(incarnation);
    } catch (error) {
      this.#onExit(incarnation, messageOf(error));
    }
  }

  async #askToEnd(): Promise<void> {
    await this.signal("SIGTERM");
    await this.signal("SIGCONT");
  }

  #onExit(incarnation: number, reason: string): void {
    if (incarnation !== this.#incarnation) return;
    this.#incarnation += 1;
    this.#process = undefined;
    this.#paused = false;
    this.#world.log.info({ event: "service.exited", id: this.spec.id, reason }, "service exited");
    this.dispatch({ kind: "exited", reason });
  }

  /** Notices the end of a process that is not our child. */
  #watch(incarnation: number, handle: ProcessHandle): void {
    this.#world.clock.after(WATCH_INTERVAL_MS, () => {
      const look = async (): Promise<void> => {
        if (incarnation !== this.#incarnation) return;
        if (await this.#world.processes.isAlive(handle)) this.#watch(incarnation, handle);
        else this.#onExit(incarnation, "ended");
      };
      this.#supervise(look());
    });
  }

  #probe(incarnation: number): void {
    const ask = async (): Promise<void> => {
      const answered = await this.#world.answers(this.spec.probe, this.spec.address);
      if (incarnation !== this.#incarnation || this.#life.state !== "starting") return;
      if (!answered) {
        this.#world.clock.after(PROBE_INTERVAL_MS, () => {
          this.#supervise(ask());
        });
        return;
      }
      this.#readyAfterMs = this.#world.clock.now() - this.#startedMs;
      this.dispatch({ kind: "answered" });
    };
    this.#supervise(ask());
  }

  #record(): void {
    const { state, autoRestart, restarts } = this.#life;
    const record = {
      version: 1,
      id: this.spec.id,
      process: this.#process,
      wanted: state === "dead" ? "dead" : isWanted(this.#life) ? "up" : "stopped",
      autoRestart,
      restarts,
    } as const;
    // A full disk must not end supervision: without a record a process is still found by its port.
    this.#lastWrite = this.#lastWrite
      .then(() => writeRecord(this.#world.records, record))
      .catch((err: unknown) => {
        this.#world.log.error(
          { event: "service.record-failed", id: this.spec.id, err },
          "the record of a process could not be written",
        );
      });
  }

  #supervise(work: Promise<unknown>): void {
    work.catch(this.#world.onFailure);
  }
}

function isWanted(life: ServiceLife): boolean {
  if (life.state === "stopping") return life.startAfterStop;
  return life.state !== "stopped" && life.state !== "dead";
}
