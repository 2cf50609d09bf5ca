/** The configuration of the embedded server's process: a JSON file whose unknown keys are errors. */

import { AntipodeError } from "../base/errors.ts";
import type { Address } from "../platform/net.ts";

const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

export interface EtcdConfig {
  readonly listen: Address;
  /** Absolute path; the log lies directly in it. */
  readonly dataFolder: string;
  readonly logLevel: (typeof LOG_LEVELS)[number];
}

const fail = (what: string): never => {
  throw new AntipodeError("INVALID_ARGUMENT", `etcd's configuration is wrong: ${what}`);
};

/**
 * Checks a parsed JSON value.
 * @throws AntipodeError `INVALID_ARGUMENT` that names the wrong key
 */
export function parseEtcdConfig(value: unknown): EtcdConfig {
  const fields = recordOf(value, ["listen", "dataFolder", "logLevel"], "the file");
  const listen = recordOf(fields["listen"], ["host", "port"], "listen");
  const { host } = listen;
  const { port } = listen;
  const { dataFolder, logLevel = "info" } = fields;
  if (typeof host !== "string" || host === "") return fail("listen.host is not a text");
  if (typeof port !== "number" || !Number.isInteger(port) || port < 0 || port > 65_535)
    return fail("listen.port is not an integer from 0 to 65535");
  if (typeof dataFolder !== "string" || !dataFolder.startsWith("/"))
    return fail("dataFolder is not an absolute path");
  const level = LOG_LEVELS.find((known) => known === logLevel);
  if (level === undefined) return fail(`logLevel is none of ${LOG_LEVELS.join(", ")}`);
  return Object.freeze({ listen: { host, port }, dataFolder, logLevel: level });
}

function recordOf(
  value: unknown,
  keys: readonly string[],
  where: string,
): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return fail(`${where} is not an object`);
  for (const key of Object.keys(value))
    if (!keys.includes(key)) fail(`${where} has an unknown key "${key}"`);
  return value as Readonly<Record<string, unknown>>;
}
