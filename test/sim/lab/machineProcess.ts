/**
 * One process of a simulated machine: a program with a life (world/life.ts) and a host of its own in the
 * network. It starts nothing again by itself: that is for genesis.
 *
 * M1 its end is told exactly once to whoever started it, while that one lives;
 * M2 SIGTERM ends it in order and finds a frozen one when it goes on, as a real one;
 * M3 an error that is no AntipodeError, or that is met while it runs, ends it and is kept as a failure.
 */

import { AntipodeError } from "../../../services/base/errors.ts";
import type { ProcessHandle, Signal, SpawnRequest } from "../../../services/platform/processes.ts";
import type { FakeHost } from "../../support/fakeNetwork.ts";
import type { Trace } from "../trace.ts";
import { Life } from "../world/life.ts";
import type { WorldTap } from "../world/tap.ts";

/** How a process ended. */
export interface Exit {
  readonly code: number | undefined;
  readonly signal: string | undefined;
}

/** What a program is given. */
export interface ProgramParts {
  readonly request: SpawnRequest;
  readonly handle: ProcessHandle;
  readonly life: Life;
  readonly host: FakeHost;
  /** Ends the process now. */
  readonly fail: (error: unknown) => void;
  /** Ends it in order, as SIGTERM does. */
  readonly end: () => void;
  /** Called when it dies, in whatever way and also while it starts: what it held is nobody's then. */
  readonly onDead: (callback: () => void) => void;
}

/** A program that runs. */
export interface RunningProgram {
  readonly close: () => Promise<void>;
}

export type Program = (parts: ProgramParts) => Promise<RunningProgram>;

export interface MachineProcessParts {
  /** Also its host. */
  readonly name: string;
  readonly handle: ProcessHandle;
  readonly request: SpawnRequest;
  readonly trace: Trace;
  readonly tap: WorldTap | undefined;
  readonly host: (name: string) => FakeHost;
  /** Called once when it has ended, before anybody else is told. */
  readonly onEnded: (process: MachineProcess) => void;
  readonly onExit: (why: Exit) => void;
  readonly onFailed: (process: string, error: unknown) => void;
}

export class MachineProcess {
  readonly name: string;
  readonly handle: ProcessHandle;
  readonly request: SpawnRequest;
  readonly #parts: MachineProcessParts;
  readonly #life: Life;
  readonly #onDead: (() => void)[] = [];
  #running: RunningProgram | undefined;
  #isAlive = true;
  #isEnding = false;

  constructor(parts: MachineProcessParts) {
    const { name, handle, request, trace, tap } = parts;
    this.name = name;
    this.handle = handle;
    this.request = request;
    this.#parts = parts;
    this.#life = new Life(name, trace, this.#fail, tap);
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  start(program: Program): void {
    const { request, handle, host, trace } = this.#parts;
    trace.event(this.name, "start");
    program({
      ...{ request, handle, life: this.#life, host: host(this.name) },
      ...{ fail: this.#fail, end: this.#end },
      onDead: (callback) => this.#onDead.push(callback),
    }).then((running) => {
      if (!this.#isAlive) return;
      this.#running = running;
      trace.event(this.name, "ready");
      if (this.#isEnding) this.#close(running);
    }, this.#fail);
  }

  /** @returns false when it is dead */
  signal(signal: Signal): boolean {
    if (!this.#isAlive) return false;
    this.#parts.trace.event(this.name, signal);
    switch (signal) {
      case "SIGKILL":
        this.#exit({ code: undefined, signal });
        break;
      case "SIGTERM":
        this.#life.enter("end", this.#end);
        break;
      case "SIGSTOP":
        this.#life.pause();
        break;
      case "SIGCONT":
        this.#life.resume();
        break;
    }
    return true;
  }

  readonly #fail = (error: unknown): void => {
    if (!this.#isAlive) return;
    this.#parts.onFailed(this.name, error);
    this.#exit({ code: error instanceof AntipodeError ? 2 : 1, signal: undefined });
  };

  readonly #end = (): void => {
    if (this.#isEnding) return;
    this.#isEnding = true;
    if (this.#running !== undefined) this.#close(this.#running);
  };

  #close(running: RunningProgram): void {
    running.close().then(() => {
      this.#exit({ code: 0, signal: undefined });
    }, this.#fail);
  }

  #exit(why: Exit): void {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    this.#parts.trace.event(this.name, "exit", why.signal ?? `status ${why.code ?? ""}`);
    this.#life.die();
    for (const callback of this.#onDead) callback();
    this.#parts.onEnded(this);
    this.#parts.onExit(why);
  }
}
