/**
 * Logs as JSON lines through pino. Lines are written without blocking the event loop; `fatal` (and
 * the end of the process) flushes what is still in memory. A process that is killed can lose the
 * lines of its last instants: nothing reads logs to decide.
 */

import { mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import pino, { type Logger } from "pino";
import type { Log } from "../log.ts";

/** Beyond this the writer drops lines rather than grow while its disk or pipe is stuck. */
const UNWRITTEN_BYTES_MAX = 16 * 1024 * 1024;

const STANDARD_ERROR = 2;

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

export interface LogOptions {
  readonly level: LogLevel;
  /** Fields of every line, e.g. `{ service: "stargate", cvm: 1 }`. */
  readonly base: Readonly<Record<string, unknown>>;
  /** A file descriptor (2 by default) or the absolute path of a file to append to. */
  readonly destination?: number | string;
}

export interface FlushableLog extends Log {
  /** Writes what is in memory, before the process ends. */
  flush(): void;
}

/** The root logger of a process; only `main.ts` makes one. */
export function createLog(options: LogOptions): FlushableLog {
  const destination = pino.destination({
    dest: descriptorOf(options.destination ?? STANDARD_ERROR),
    sync: false,
    maxLength: UNWRITTEN_BYTES_MAX,
  });
  const logger = pino(
    {
      level: options.level,
      base: options.base,
      messageKey: "phrase",
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: pino.stdSerializers.errWithCause },
    },
    destination,
  );
  return {
    ...logOver(logger),
    flush: () => {
      flush(destination);
    },
  };
}

/** Opened here and now: what the library opens by itself is not there yet when a start fails. */
function descriptorOf(destination: number | string): number {
  if (typeof destination === "number") return destination;
  mkdirSync(dirname(destination), { recursive: true });
  return openSync(destination, "a");
}

function logOver(logger: Logger): Log {
  return {
    debug: (fields, phrase) => {
      logger.debug(fields, phrase);
    },
    info: (fields, phrase) => {
      logger.info(fields, phrase);
    },
    warn: (fields, phrase) => {
      logger.warn(fields, phrase);
    },
    error: (fields, phrase) => {
      logger.error(fields, phrase);
    },
    fatal: (fields, phrase) => {
      logger.fatal(fields, phrase);
    },
    child: (fields) => logOver(logger.child(fields)),
  };
}

function flush(destination: { flushSync(): void }): void {
  try {
    destination.flushSync();
  } catch {
    // The destination was never opened or is gone; there is no other place to say so.
  }
}
