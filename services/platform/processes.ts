/**
 * Port: child processes, for genesis and the lab. A process is known by its pid together with the
 * instant it was started, so that a pid that the system gave to somebody else is never signalled.
 */

export interface ProcessHandle {
  readonly pid: number;
  /** What the system says of the start of this pid; "" where it cannot be told. */
  readonly startedAt: string;
}

export type Signal = "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT";

export interface SpawnRequest {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Absolute path of a file that standard output and error are appended to. */
  readonly logFile: string;
}

export interface Processes {
  /** Starts a process that outlives this one; `onExit` is called if it ends while we live. */
  spawn(
    request: SpawnRequest,
    onExit: (why: { code: number | undefined; signal: string | undefined }) => void,
  ): Promise<ProcessHandle>;
  /** The process that has this pid now, with its command line; `undefined` when there is none. */
  find(
    pid: number,
  ): Promise<{ readonly handle: ProcessHandle; readonly commandLine: string } | undefined>;
  isAlive(handle: ProcessHandle): Promise<boolean>;
  /** @returns false when there is no such process any more */
  signal(handle: ProcessHandle, signal: Signal): Promise<boolean>;
  /** Resident bytes, or 0 when the process is gone or the system does not tell. */
  residentBytes(handle: ProcessHandle): Promise<number>;
  /**
   * Resident bytes with each shared page divided among those that share it (Linux's PSS): sums over
   * processes count a page once. 0 when the process is gone or the system does not tell. Costs a walk
   * of the page tables.
   */
  proportionalBytes(handle: ProcessHandle): Promise<number>;
  /** CPU time used so far in ms (user + system), or 0 when it cannot be told. */
  cpuMs(handle: ProcessHandle): Promise<number>;
  /** A description of whoever listens on a port ("node (pid 12)"), where the system tells. */
  whoListens(host: string, port: number): Promise<string | undefined>;
}
