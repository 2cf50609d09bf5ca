/**
 * The configuration that every process of a CVM reads: who it is, who the others are, where its data
 * lies. `lab` writes it as JSON; `parseCvmConfig` checks it. Unknown keys are errors.
 */

import { AntipodeError } from "./errors.ts";

/** Host and port; the same shape as platform/net.ts `Address`. */
export interface ConfigAddress {
  readonly host: string;
  readonly port: number;
}

/** One CVM of the site, as all CVMs of the site know it. */
export interface MemberConfig {
  /** From 1. */
  readonly cvm: number;
  readonly stargate: ConfigAddress;
  readonly nbd: ConfigAddress;
  readonly cerebro: ConfigAddress;
}

export interface CvmConfig {
  readonly site: string;
  /** Random when the site was created, 32 hexadecimal digits: tells it from a site of the same name. */
  readonly siteIncarnation: string;
  readonly cvm: number;
  /** Absolute path. Each service keeps its files in a folder of its own name below it. */
  readonly dataFolder: string;
  /** Endpoints of the site's etcd. */
  readonly coordinator: readonly ConfigAddress[];
  /** Lease of a service process; 5000 for etcd with default ticks, 2000 for the embedded one. */
  readonly leaseTtlMs: number;
  readonly members: readonly MemberConfig[];
  readonly logLevel: "debug" | "info" | "warn" | "error";
}

const fail = (what: string): never => {
  throw new AntipodeError("INVALID_ARGUMENT", `the CVM's configuration is wrong: ${what}`);
};

function record(
  value: unknown,
  keys: readonly string[],
  where: string,
): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return fail(`${where} is not an object`);
  for (const key of Object.keys(value))
    if (!keys.includes(key)) fail(`${where} has an unknown key "${key}"`);
  for (const key of keys) if (!(key in value)) fail(`${where} lacks "${key}"`);
  return value as Readonly<Record<string, unknown>>;
}

function text(value: unknown, where: string): string {
  return typeof value === "string" && value !== "" ? value : fail(`${where} is not a text`);
}

function integer(value: unknown, where: string, min: number, max: number): number {
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max
    ? value
    : fail(`${where} is not an integer from ${min} to ${max}`);
}

function list(value: unknown, where: string): readonly unknown[] {
  return Array.isArray(value) && value.length > 0
    ? value
    : fail(`${where} is not a list with entries`);
}

function address(value: unknown, where: string): ConfigAddress {
  const fields = record(value, ["host", "port"], where);
  return {
    host: text(fields["host"], `${where}.host`),
    port: integer(fields["port"], `${where}.port`, 1, 65535),
  };
}

const logLevels = ["debug", "info", "warn", "error"] as const;

/**
 * Checks a parsed JSON value.
 * @throws AntipodeError `INVALID_ARGUMENT` that names the wrong key
 */
export function parseCvmConfig(value: unknown): CvmConfig {
  const fields = record(
    value,
    [
      "site",
      "siteIncarnation",
      "cvm",
      "dataFolder",
      "coordinator",
      "leaseTtlMs",
      "members",
      "logLevel",
    ],
    "the file",
  );
  const members = list(fields["members"], "members").map((entry, index): MemberConfig => {
    const where = `members[${index}]`;
    const member = record(entry, ["cvm", "stargate", "nbd", "cerebro"], where);
    return {
      cvm: integer(member["cvm"], `${where}.cvm`, 1, 255),
      stargate: address(member["stargate"], `${where}.stargate`),
      nbd: address(member["nbd"], `${where}.nbd`),
      cerebro: address(member["cerebro"], `${where}.cerebro`),
    };
  });
  if (new Set(members.map((member) => member.cvm)).size !== members.length)
    fail("two members have one number");
  const cvm = integer(fields["cvm"], "cvm", 1, 255);
  if (!members.some((member) => member.cvm === cvm)) fail("cvm is not among the members");
  const logLevel =
    logLevels.find((level) => level === fields["logLevel"]) ?? fail("logLevel is unknown");
  return Object.freeze({
    site: text(fields["site"], "site"),
    siteIncarnation: text(fields["siteIncarnation"], "siteIncarnation"),
    cvm,
    dataFolder: text(fields["dataFolder"], "dataFolder"),
    coordinator: list(fields["coordinator"], "coordinator").map((entry, i) =>
      address(entry, `coordinator[${i}]`),
    ),
    leaseTtlMs: integer(fields["leaseTtlMs"], "leaseTtlMs", 1000, 60_000),
    members,
    logLevel,
  });
}

/** The member that this configuration belongs to. */
export function ownMember(config: CvmConfig): MemberConfig {
  return (
    config.members.find((member) => member.cvm === config.cvm) ??
    fail("cvm is not among the members")
  );
}
