/**
 * What genesis supervises, as data: a list of services, each one process. In a local lab one layout
 * holds the services of all sites; in a container it holds those of one CVM. The lab writes it as
 * JSON; `parseLayout` checks it. Unknown keys are errors.
 */

import { AntipodeError } from "../base/errors.ts";
import type { Address } from "../platform/net.ts";

/** How genesis finds out that a service answers: by a cheap call of that service, or by connecting. */
export const probeKinds = ["stargate", "cerebro", "etcd", "wan", "tcp"] as const;
export type ProbeKind = (typeof probeKinds)[number];

/** One service: how its one process is started and recognised. */
export interface ServiceSpec {
  /** Unique: `stargate@A/1`, `etcd@A`, `wan`. */
  readonly id: string;
  readonly role: string;
  /** "" for a service of the whole lab. */
  readonly site: string;
  /** 0 for a service of a site or of the lab. */
  readonly cvm: number;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Absolute path. */
  readonly logFile: string;
  readonly probe: ProbeKind;
  /** Where it answers. */
  readonly address: Address;
  /** Services of a lower tier answer before this one is started, and end after it. */
  readonly tier: number;
}

export interface Layout {
  readonly version: 1;
  /** Where genesis itself answers. */
  readonly admin: Address;
  /** Absolute path of the folder for what genesis must remember about processes. */
  readonly stateFolder: string;
  /** Default of `autoRestart` for services that nobody has decided about. */
  readonly autoRestart: boolean;
  /** Before the first restart of a service that died. */
  readonly restartDelayMs: number;
  /** A service that has not ended this long after SIGTERM gets SIGKILL. */
  readonly stopGraceMs: number;
  readonly services: readonly ServiceSpec[];
}

/** More services than this in one layout is a mistake. */
const SERVICES_MAX = 1024;

type Fields = Readonly<Record<string, unknown>>;

function fail(what: string): never {
  throw new AntipodeError("INVALID_ARGUMENT", `the layout is wrong: ${what}`);
}

function record(value: unknown, keys: readonly string[], where: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return fail(`${where} is not an object`);
  for (const key of Object.keys(value))
    if (!keys.includes(key)) fail(`${where} has an unknown key "${key}"`);
  for (const key of keys) if (!(key in value)) fail(`${where} lacks "${key}"`);
  return value as Fields;
}

const text = (value: unknown, where: string): string =>
  typeof value === "string" ? value : fail(`${where} is not a text`);

const integer = (value: unknown, where: string, min: number, max: number): number =>
  typeof value === "number" && Number.isInteger(value) && value >= min && value <= max
    ? value
    : fail(`${where} is not an integer from ${min} to ${max}`);

const list = (value: unknown, where: string): readonly unknown[] =>
  Array.isArray(value) ? value : fail(`${where} is not a list`);

const flag = (value: unknown, where: string): boolean =>
  typeof value === "boolean" ? value : fail(`${where} is neither true nor false`);

function parseAddress(value: unknown, where: string): Address {
  const fields = record(value, ["host", "port"], where);
  return {
    host: text(fields["host"], `${where}.host`),
    port: integer(fields["port"], `${where}.port`, 1, 65_535),
  };
}

function parseService(value: unknown, where: string): ServiceSpec {
  const keys = ["id", "role", "site", "cvm", "command", "args", "env", "logFile"];
  const fields = record(value, [...keys, "probe", "address", "tier"], where);
  const env = fields["env"];
  if (typeof env !== "object" || env === null) fail(`${where}.env is not an object`);
  return {
    id: text(fields["id"], `${where}.id`),
    role: text(fields["role"], `${where}.role`),
    site: text(fields["site"], `${where}.site`),
    cvm: integer(fields["cvm"], `${where}.cvm`, 0, 255),
    command: text(fields["command"], `${where}.command`),
    args: list(fields["args"], `${where}.args`).map((arg, i) => text(arg, `${where}.args[${i}]`)),
    env: Object.fromEntries(
      Object.entries(env).map(([key, item]) => [key, text(item, `${where}.env.${key}`)]),
    ),
    logFile: text(fields["logFile"], `${where}.logFile`),
    probe: probeKinds.find((kind) => kind === fields["probe"]) ?? fail(`${where}.probe is unknown`),
    address: parseAddress(fields["address"], `${where}.address`),
    tier: integer(fields["tier"], `${where}.tier`, 0, 9),
  };
}

/**
 * Checks a parsed JSON value.
 * @throws AntipodeError `INVALID_ARGUMENT` that names the wrong key
 */
export function parseLayout(value: unknown): Layout {
  const keys = ["version", "admin", "stateFolder", "autoRestart", "restartDelayMs", "stopGraceMs"];
  const fields = record(value, [...keys, "services"], "the file");
  if (fields["version"] !== 1)
    throw new AntipodeError("FORMAT_UNSUPPORTED", "the layout is not of version 1");
  const services = list(fields["services"], "services").map((item, i) =>
    parseService(item, `services[${i}]`),
  );
  if (services.length > SERVICES_MAX) fail(`there are more than ${SERVICES_MAX} services`);
  if (new Set(services.map((service) => service.id)).size !== services.length)
    fail("two services have one id");
  return Object.freeze({
    version: 1,
    admin: parseAddress(fields["admin"], "admin"),
    stateFolder: text(fields["stateFolder"], "stateFolder"),
    autoRestart: flag(fields["autoRestart"], "autoRestart"),
    restartDelayMs: integer(fields["restartDelayMs"], "restartDelayMs", 0, 60_000),
    stopGraceMs: integer(fields["stopGraceMs"], "stopGraceMs", 1, 60_000),
    services,
  });
}
