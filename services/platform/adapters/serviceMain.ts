/**
 * What every service process does around its service: `main.ts` composes ports and hands them to
 * `runService`, which reads the configuration, obeys signals and ends the process.
 *
 * - `node main.js CONFIG.json`; the file is JSON and the service checks what it holds.
 * - SIGTERM and SIGINT end the service in order, then the process with status 0. A second one of the
 *   same kind ends it at once.
 * - Any failure ends the process at once with one fatal log line and the exit code of its error: while
 *   it starts, runs or ends, awaited or not. Nothing is closed in order then: what has failed cannot be
 *   trusted with it, and every service recovers from kill -9 (P1).
 */

import { readFile } from "node:fs/promises";
import { parseJson } from "../../base/checkedJson.ts";
import { AntipodeError, errorTable, exitCode, messageOf } from "../../base/errors.ts";
import type { Log } from "../log.ts";
import { createClock } from "./clock.ts";
import { compileLate } from "./compiler.ts";
import { createLog, type LogLevel } from "./log.ts";

/**
 * A service that is told to end while it starts has this long to come up and be ended in order; then
 * it is ended as it is. Well below the grace that genesis gives before SIGKILL, and a start can wait
 * for another process for ever.
 */
const START_GRACE_MS = 1000;

/** Exit code of what should never happen. */
const BUG = 1;

/** What a service may ask of its process. */
export interface OwnProcess {
  readonly log: Log;
  /** The service cannot go on: ends the process now, whatever it is doing. */
  readonly fail: (error: unknown) => void;
  /** The service is to end in order, as after SIGTERM. */
  readonly end: () => void;
}

/** A service that has started. */
export interface RunningService {
  /** Resolves when a service ends by itself; one without serves until it is told to end. */
  readonly done?: Promise<void>;
  /** Ends it in order; called once, also after `done`. */
  readonly close: () => Promise<void>;
}

/** A service as a process. */
export interface ServiceProcess<Config> {
  /** Its name in logs and events, e.g. `stargate`. */
  readonly service: string;
  /** The name of its argument, e.g. `CVM.json`. */
  readonly argument: string;
  /**
   * Checks the parsed configuration file.
   * @throws AntipodeError that names the wrong key
   */
  readonly configure: (value: unknown) => Config;
  /** Level and fields of every log line; by default `info` and the service's name alone. */
  readonly logging?: (config: Config) => {
    readonly level: LogLevel;
    readonly fields?: Readonly<Record<string, unknown>>;
  };
  readonly start: (config: Config, life: OwnProcess) => Promise<RunningService>;
}

/** Runs a service to its end, and ends the process; called once, last in `main.ts`. */
export async function runService<Config>(main: ServiceProcess<Config>): Promise<never> {
  const { service } = main;
  compileLate();
  let log = createLog({ level: "info", base: { service } });
  const fail = (error: unknown): never => failProcess(service, log, error);
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  const ending = new AbortController();
  const end = (): void => {
    ending.abort();
  };
  process.once("SIGTERM", end);
  process.once("SIGINT", end);
  try {
    const config = main.configure(await readConfig(process.argv[2], main.argument));
    const { level, fields } = main.logging?.(config) ?? { level: "info" };
    log = createLog({ level, base: { service, ...fields } });
    const starting = main.start(config, { log, fail, end });
    limitStart(starting, ending.signal, log, service);
    const running = await starting;
    await Promise.race([aborted(ending.signal), ...(running.done ? [running.done] : [])]);
    await running.close();
    log.info({ event: `${service}.stopped` }, "stopped");
    process.exit(0);
  } catch (error) {
    return fail(error);
  }
}

function failProcess(service: string, log: Log, error: unknown): never {
  const known = error instanceof AntipodeError ? error : undefined;
  const { code, remedy } = known ?? {};
  log.fatal({ event: `${service}.failed`, code, remedy, err: error }, "cannot go on");
  process.exit(known === undefined ? BUG : exitCode[errorTable[known.code].exit]);
}

/** @throws AntipodeError `INVALID_ARGUMENT` when there is no such file or it is not JSON */
async function readConfig(path: string | undefined, argument: string): Promise<unknown> {
  if (path === undefined) throw new AntipodeError("INVALID_ARGUMENT", `usage: main.js ${argument}`);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const message = `the configuration cannot be read: ${messageOf(cause)}`;
    throw new AntipodeError("INVALID_ARGUMENT", message, { path }, cause);
  }
  return parseJson(text, path);
}

/** Ends the process when it was told to end and its start does not come to an end. */
function limitStart(
  starting: Promise<unknown>,
  ending: AbortSignal,
  log: Log,
  service: string,
): void {
  let starts = true;
  const over = (): void => {
    starts = false;
  };
  // Whoever awaits the start is told of its failure.
  starting.then(over, over);
  void aborted(ending)
    .then(() => createClock().sleep(START_GRACE_MS))
    .then(() => {
      if (!starts) return;
      log.warn({ event: `${service}.stopped` }, "ended before it had started");
      process.exit(0);
    });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else
      signal.addEventListener(
        "abort",
        () => {
          resolve();
        },
        { once: true },
      );
  });
}
