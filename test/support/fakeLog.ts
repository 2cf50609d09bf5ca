/** A log that keeps its lines, so that tests can ask what was told. */

import type { Log, LogFields } from "../../services/platform/log.ts";

export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error" | "fatal";
  readonly phrase: string;
  readonly fields: LogFields;
}

export interface FakeLog extends Log {
  /** All lines in order, those of children included. */
  readonly lines: readonly LogLine[];
  /** The lines of one event. */
  of(event: string): readonly LogLine[];
}

/** An empty log. */
export function createFakeLog(): FakeLog {
  const lines: LogLine[] = [];
  return {
    ...logInto(lines, {}),
    lines,
    of: (event) => lines.filter((line) => line.fields.event === event),
  };
}

function logInto(lines: LogLine[], base: Readonly<Record<string, unknown>>): Log {
  const at =
    (level: LogLine["level"]) =>
    (fields: LogFields, phrase: string): void => {
      lines.push({ level, phrase, fields: { ...base, ...fields } });
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    fatal: at("fatal"),
    child: (fields) => logInto(lines, { ...base, ...fields }),
  };
}
