/** The processes of a simulated machine behind the port that genesis and the lab have (platform/processes.ts). */

import { AntipodeError } from "../../../services/base/errors.ts";
import type { Processes, ProcessHandle } from "../../../services/platform/processes.ts";
import type { Life } from "../world/life.ts";
import type { Exit, MachineProcess } from "./machineProcess.ts";

const FIRST_PID = 1000;

/** Makes and starts the process that a request asks for; its host must be free. */
type Launch = (order: {
  readonly handle: ProcessHandle;
  readonly request: MachineProcess["request"];
  readonly onEnded: (process: MachineProcess) => void;
  readonly onExit: (why: Exit) => void;
}) => MachineProcess;

export class ProcessTable {
  readonly #launch: Launch;
  readonly #nowMs: () => number;
  /** Name of the process that answers at an address. */
  readonly #hostAt: (address: {
    readonly host: string;
    readonly port: number;
  }) => string | undefined;
  readonly #alive = new Map<number, MachineProcess>();
  #nextPid = FIRST_PID;

  constructor(parts: {
    readonly launch: Launch;
    readonly nowMs: () => number;
    readonly hostAt: (address: {
      readonly host: string;
      readonly port: number;
    }) => string | undefined;
  }) {
    this.#launch = parts.launch;
    this.#nowMs = parts.nowMs;
    this.#hostAt = parts.hostAt;
  }

  /** Every process that lives. */
  get all(): readonly MachineProcess[] {
    return [...this.#alive.values()];
  }

  /**
   * The port as one process has it: what it started tells it of its end while it lives.
   * @param parent `undefined` for somebody outside, who is told always
   */
  of(parent: Life | undefined): Processes {
    const alive = ({ pid, startedAt }: ProcessHandle): MachineProcess | undefined => {
      const process = this.#alive.get(pid);
      return process?.handle.startedAt === startedAt ? process : undefined;
    };
    return {
      spawn: (request, onExit) => {
        if (parent?.isDead === true) return new Promise(() => undefined);
        const tell = (why: Exit): void => {
          if (parent === undefined) onExit(why);
          else
            parent.enter("exit", () => {
              onExit(why);
            });
        };
        const handle = { pid: this.#nextPid++, startedAt: String(this.#nowMs()) };
        const process = this.#launch({
          ...{ handle, request },
          onEnded: ({ handle: { pid } }) => this.#alive.delete(pid),
          onExit: (why) => {
            // In a later turn: nobody hears of the end before who caused it has gone on.
            queueMicrotask(() => {
              tell(why);
            });
          },
        });
        if (process.isAlive) this.#alive.set(handle.pid, process);
        return Promise.resolve(handle);
      },
      find: (pid) => {
        const process = this.#alive.get(pid);
        if (process === undefined) return Promise.resolve(undefined);
        const { command, args } = process.request;
        return Promise.resolve({
          handle: process.handle,
          commandLine: [command, ...args].join(" "),
        });
      },
      isAlive: (handle) => Promise.resolve(alive(handle) !== undefined),
      signal: (handle, signal) => Promise.resolve(alive(handle)?.signal(signal) === true),
      residentBytes: () => Promise.resolve(0),
      proportionalBytes: () => Promise.resolve(0),
      cpuMs: () => Promise.resolve(0),
      whoListens: (host, port) => {
        const name = this.#hostAt({ host, port });
        const holder = this.all.find((process) => process.name === name);
        return Promise.resolve(
          holder === undefined ? undefined : `node (pid ${holder.handle.pid})`,
        );
      },
    };
  }

  /** Two processes of one name would share a host. @throws AntipodeError `PORT_IN_USE` */
  requireFree(name: string): void {
    if (this.all.some((process) => process.name === name))
      throw new AntipodeError("PORT_IN_USE", `${name} runs already`, { holder: name });
  }
}
