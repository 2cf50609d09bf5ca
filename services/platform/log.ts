/**
 * Port: structured logs. Fields first, then a fixed lower-case phrase. `event` names the kind of
 * line; units are in field names; errors go under `err`; no payload bytes; nothing per I/O above
 * debug.
 */

export interface LogFields {
  /** `room.what`, e.g. `oplog.recovered`. */
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface Log {
  debug(fields: LogFields, phrase: string): void;
  info(fields: LogFields, phrase: string): void;
  /** Degraded but correct. */
  warn(fields: LogFields, phrase: string): void;
  /** A person must act. */
  error(fields: LogFields, phrase: string): void;
  /** The process ends. */
  fatal(fields: LogFields, phrase: string): void;
  child(fields: Readonly<Record<string, unknown>>): Log;
}
