/**
 * Logs as JSON lines through pino. Every line is written before the call returns: a process that is
 * killed has said what it said, and an end needs no waiting (an asynchronous destination was seen to
 * flush around a write that was under way). Lines are few: nothing is logged per I/O above debug.
 */

import { mkdirSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import pino, { type Logger } from "pino";
import type { Log } from "../log.ts";

const STANDARD_ERROR = 2;

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

export interface LogOptions {
  readonly level: LogLevel;
  /** Fields of every line, e.g. `{ service: "stargate", cvm: 1 }`. */
  readonly base: Readonly<Record<string, unknown>>;
  /** A file descriptor (2 by default) or the absolute path of a file to append to. */
  readonly destination?: number | string;
}

/** The root logger of a process; only `main.ts` makes one. */
export function createLog(options: LogOptions): Log {
  const descriptor = descriptorOf(options.destination ?? STANDARD_ERROR);
  const destination = {
    write(line: string) {
      writeLine(descriptor, line);
    },
  };
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
  return logOver(logger);
}

/** A log that cannot be written (its disk is full) is no reason to end what it tells about. */
function writeLine(descriptor: number, line: string): void {
  try {
    writeSync(descriptor, line);
  } catch {
    // There is no other place to say so.
  }
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
