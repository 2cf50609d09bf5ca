/** Processes in memory: they start, end, outlive their genesis and hold ports as real ones do. */

import type { Address } from "../../../services/platform/net.ts";
import type {
  Processes,
  ProcessHandle,
  Signal,
  SpawnRequest,
} from "../../../services/platform/processes.ts";

type OnExit = Parameters<Processes["spawn"]>[1];

export interface FakeProcess {
  readonly pid: number;
  readonly request: SpawnRequest;
  alive: boolean;
  frozen: boolean;
  readonly signals: Signal[];
}

export interface FakeProcesses extends Processes {
  readonly all: readonly FakeProcess[];
  /** Living processes whose command line holds this. */
  living(part: string): readonly FakeProcess[];
  /** Ends a process, as a crash would. */
  end(process: FakeProcess, how: { readonly code?: number; readonly signal?: string }): void;
  /** Genesis is killed: nobody is told of exits any more. */
  forgetParents(): void;
  /** Signals that processes ignore from now on. */
  ignore(signal: Signal): void;
  /** Port → part of the command line of the process that holds it. */
  hold(address: Address, process: FakeProcess): void;
}

export function createFakeProcesses(): FakeProcesses {
  const all: FakeProcess[] = [];
  const onExits = new Map<FakeProcess, OnExit>();
  const ignored = new Set<Signal>();
  const ports = new Map<string, FakeProcess>();
  const startOf = (process: FakeProcess): string => `start-${process.pid}`;
  const of = (handle: ProcessHandle): FakeProcess | undefined =>
    all.find((one) => one.alive && one.pid === handle.pid && handle.startedAt === startOf(one));
  const end: FakeProcesses["end"] = (process, { code, signal }) => {
    if (!process.alive) return;
    process.alive = false;
    onExits.get(process)?.({ code, signal });
  };
  return {
    all,
    living: (part) => all.filter((one) => one.alive && one.request.args.join(" ").includes(part)),
    end,
    forgetParents: () => {
      onExits.clear();
    },
    ignore: (signal) => ignored.add(signal),
    hold: ({ host, port }, process) => ports.set(`${host}:${port}`, process),
    spawn(request, onExit) {
      const process: FakeProcess = {
        pid: 100 + all.length,
        request,
        alive: true,
        frozen: false,
        signals: [],
      };
      all.push(process);
      onExits.set(process, onExit);
      return Promise.resolve({ pid: process.pid, startedAt: startOf(process) });
    },
    find(pid) {
      const found = all.find((one) => one.alive && one.pid === pid);
      if (found === undefined) return Promise.resolve(undefined);
      const commandLine = [found.request.command, ...found.request.args].join(" ");
      return Promise.resolve({ handle: { pid, startedAt: startOf(found) }, commandLine });
    },
    isAlive: (handle) => Promise.resolve(of(handle) !== undefined),
    signal(handle, signal) {
      const process = of(handle);
      if (process === undefined) return Promise.resolve(false);
      process.signals.push(signal);
      if (ignored.has(signal)) return Promise.resolve(true);
      if (signal === "SIGSTOP") process.frozen = true;
      if (signal === "SIGCONT") process.frozen = false;
      if (signal === "SIGKILL" || signal === "SIGTERM") end(process, { signal });
      return Promise.resolve(true);
    },
    proportionalBytes: (handle) => Promise.resolve(of(handle) === undefined ? 0 : 512),
    residentBytes: (handle) => Promise.resolve(of(handle) === undefined ? 0 : 1024),
    cpuMs: () => Promise.resolve(0),
    whoListens(host, port) {
      const holder = ports.get(`${host}:${port}`);
      return Promise.resolve(holder?.alive ? `node (pid ${holder.pid})` : undefined);
    },
  };
}
