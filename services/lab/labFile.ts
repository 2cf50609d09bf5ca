/**
 * `lab.json`: what a lab is, from the moment it was made. Versioned; unknown keys are errors. Where it
 * lies (`place`) can change when another program has taken its addresses while it was down.
 */

import { utf8 } from "../base/bytes.ts";
import { checkedJson, type JsonField, parseJson } from "../base/checkedJson.ts";
import { type ConfigLogLevel, logLevels } from "../base/siteConfig.ts";
import { type Disk, readWhole, replaceWhole } from "../platform/disk.ts";
import type { Place } from "./addresses.ts";
import { CVMS_MAX, type LabShape, parseSiteNames, type SiteShape } from "./shape.ts";

export interface LabSite extends SiteShape {
  /** 32 hexadecimal digits: tells it from another site of the same name. */
  readonly incarnation: string;
}

export interface LabFile extends LabShape {
  readonly version: 1;
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** Wall clock, a label. */
  readonly createdAtMs: number;
  readonly sites: readonly LabSite[];
  readonly place: Place;
  /** Path of the real etcd's binary; "" for the embedded one. */
  readonly etcdCommand: string;
  /** Services that die are started again. */
  readonly autoRestart: boolean;
  readonly logLevel: ConfigLogLevel;
}

export const LAB_FILE = "lab.json";

const KEYS = [
  "version",
  "id",
  "createdAtMs",
  "sites",
  "place",
  "latencyMs",
  "jitterMs",
  "bitsPerSecond",
  "etcd",
  "etcdCommand",
  "autoRestart",
  "logLevel",
] as const;

function parsePlace(place: JsonField, siteCount: number): Place {
  const { kind } = place.record(["kind"]);
  if (kind.oneOf(["loopback", "shifted"]) === "shifted") {
    const { basePort } = place.object(["kind", "basePort"]);
    return { kind: "shifted", basePort: basePort.integer(1024, 65_000) };
  }
  const fields = place.object(["kind", "octets"]);
  const octets = fields.octets.list(1).map((octet) => octet.integer(1, 254));
  if (octets.length !== siteCount || new Set(octets).size !== siteCount)
    fields.octets.fail("has not one octet a site");
  return { kind: "loopback", octets };
}

function parseSites(list: JsonField): readonly LabSite[] {
  const sites = list.list(1).map((item) => {
    const { name, cvms, incarnation } = item.object(["name", "cvms", "incarnation"]);
    return {
      name: name.anyText(),
      cvms: cvms.integer(1, CVMS_MAX),
      incarnation: incarnation.textLike(/^[0-9a-f]{32}$/, "an identity"),
    };
  });
  parseSiteNames(sites.map((site) => site.name).join(","));
  return sites;
}

/**
 * Checks a parsed JSON value.
 * @throws AntipodeError `FORMAT_UNSUPPORTED` that names the wrong key
 */
export function parseLabFile(value: unknown): LabFile {
  const fields = checkedJson(value, LAB_FILE, "FORMAT_UNSUPPORTED")
    .ofVersion(1)
    .object(KEYS, ["replicationFactor"]);
  const replicationFactor = fields.replicationFactor.optional((one) => one.integer(1, 3));
  const sites = parseSites(fields.sites);
  return Object.freeze({
    version: 1,
    id: fields.id.anyText(),
    createdAtMs: fields.createdAtMs.number(0),
    sites,
    place: parsePlace(fields.place, sites.length),
    latencyMs: fields.latencyMs.number(0, 1e9),
    jitterMs: fields.jitterMs.number(0, 1e9),
    bitsPerSecond: fields.bitsPerSecond.integer(0, 1e12),
    etcd: fields.etcd.oneOf(["embedded", "real"]),
    ...(replicationFactor === undefined ? {} : { replicationFactor }),
    etcdCommand: fields.etcdCommand.anyText(),
    autoRestart: fields.autoRestart.flag(),
    logLevel: fields.logLevel.oneOf(logLevels),
  });
}

/**
 * The lab in a directory, or `undefined` when there is none.
 * @param disk rooted at the lab's directory
 * @throws AntipodeError `FORMAT_UNSUPPORTED`
 */
export async function readLabFile(disk: Disk): Promise<LabFile | undefined> {
  const bytes = await readWhole(disk, LAB_FILE);
  return bytes && parseLabFile(parseJson(bytes, LAB_FILE, "FORMAT_UNSUPPORTED"));
}

/** Writes the file whole. */
export async function writeLabFile(disk: Disk, lab: LabFile): Promise<void> {
  await replaceWhole(disk, LAB_FILE, utf8(`${JSON.stringify(lab, undefined, 2)}\n`));
}
