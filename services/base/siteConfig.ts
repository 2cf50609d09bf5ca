/**
 * The configuration that every process of a CVM reads: who it is, who the others are, where its data
 * lies. `lab` writes it as JSON; `parseCvmConfig` checks it. Unknown keys are errors.
 */

import { present } from "./assert.ts";
import { checkedJson, type HostAndPort } from "./checkedJson.ts";

/** One CVM of the site, as all CVMs of the site know it. */
export interface MemberConfig {
  /** From 1. */
  readonly cvm: number;
  readonly stargate: HostAndPort;
  readonly nbd: HostAndPort;
  readonly cerebro: HostAndPort;
}

export interface CvmConfig {
  readonly site: string;
  /** Random when the site was created, 32 hexadecimal digits: tells it from a site of the same name. */
  readonly siteIncarnation: string;
  readonly cvm: number;
  /** Absolute path. Each service keeps its files in a folder of its own name below it. */
  readonly dataFolder: string;
  /** Endpoints of the site's etcd. */
  readonly coordinator: readonly HostAndPort[];
  /** Lease of a service process; 5000 for etcd with default ticks, 2000 for the embedded one. */
  readonly leaseTtlMs: number;
  readonly members: readonly MemberConfig[];
  readonly logLevel: ConfigLogLevel;
}

/** Levels that a configuration can ask for. */
export const logLevels = ["debug", "info", "warn", "error"] as const;
export type ConfigLogLevel = (typeof logLevels)[number];

const KEYS = [
  "site",
  "siteIncarnation",
  "cvm",
  "dataFolder",
  "coordinator",
  "leaseTtlMs",
  "members",
  "logLevel",
] as const;
const CVM_MAX = 255;

/**
 * Checks a parsed JSON value.
 * @throws AntipodeError `INVALID_ARGUMENT` that names the wrong key
 */
export function parseCvmConfig(value: unknown): CvmConfig {
  const file = checkedJson(value, "the CVM's configuration");
  const fields = file.object(KEYS);
  const members = fields.members.list(1).map((entry): MemberConfig => {
    const member = entry.object(["cvm", "stargate", "nbd", "cerebro"]);
    return {
      cvm: member.cvm.integer(1, CVM_MAX),
      stargate: member.stargate.address(),
      nbd: member.nbd.address(),
      cerebro: member.cerebro.address(),
    };
  });
  if (new Set(members.map((member) => member.cvm)).size !== members.length)
    fields.members.fail("has two members of one number");
  const cvm = fields.cvm.integer(1, CVM_MAX);
  if (!members.some((member) => member.cvm === cvm)) fields.cvm.fail("is not among the members");
  return Object.freeze({
    site: fields.site.text(),
    siteIncarnation: fields.siteIncarnation.text(),
    cvm,
    dataFolder: fields.dataFolder.text(),
    coordinator: fields.coordinator.list(1).map((entry) => entry.address()),
    leaseTtlMs: fields.leaseTtlMs.integer(1000, 60_000),
    members,
    logLevel: fields.logLevel.oneOf(logLevels),
  });
}

/** The member that this configuration belongs to. */
export function ownMember(config: CvmConfig): MemberConfig {
  return present(
    config.members.find((member) => member.cvm === config.cvm),
    "a checked configuration's CVM is among the members",
  );
}
