/**
 * `lab.json`: what a lab is, from the moment it was made. Versioned; unknown keys are errors. Where it
 * lies (`place`) can change when another program has taken its addresses while it was down.
 */

import { fromUtf8, utf8 } from "../base/bytes.ts";
import { AntipodeError } from "../base/errors.ts";
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
  readonly logLevel: "debug" | "info" | "warn" | "error";
}

export const LAB_FILE = "lab.json";

type Fields = Readonly<Record<string, unknown>>;

function fail(what: string): never {
  throw new AntipodeError("FORMAT_UNSUPPORTED", `${LAB_FILE} is wrong: ${what}`);
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

const numberIn = (value: unknown, where: string, min: number, max: number): number =>
  typeof value === "number" && value >= min && value <= max
    ? value
    : fail(`${where} is not a number from ${min} to ${max}`);

const integerIn = (value: unknown, where: string, min: number, max: number): number =>
  Number.isInteger(value) ? numberIn(value, where, min, max) : fail(`${where} is not an integer`);

const list = (value: unknown, where: string): readonly unknown[] =>
  Array.isArray(value) && value.length > 0 ? value : fail(`${where} is not a list with entries`);

function oneOf<const T extends readonly string[]>(
  value: unknown,
  where: string,
  choices: T,
): T[number] {
  return (
    choices.find((choice) => choice === value) ?? fail(`${where} is none of ${choices.join(", ")}`)
  );
}

function parsePlace(value: unknown, siteCount: number): Place {
  const kind = (value as Fields | null)?.["kind"];
  if (kind === "shifted") {
    const fields = record(value, ["kind", "basePort"], "place");
    return { kind, basePort: integerIn(fields["basePort"], "place.basePort", 1024, 65_000) };
  }
  const fields = record(value, ["kind", "octets"], "place");
  oneOf(fields["kind"], "place.kind", ["loopback"]);
  const octets = list(fields["octets"], "place.octets").map((octet) =>
    integerIn(octet, "place.octets", 1, 254),
  );
  if (octets.length !== siteCount || new Set(octets).size !== siteCount)
    fail("place.octets has not one octet a site");
  return { kind: "loopback", octets };
}

function parseSites(value: unknown): readonly LabSite[] {
  const sites = list(value, "sites").map((item, index) => {
    const fields = record(item, ["name", "cvms", "incarnation"], `sites[${index}]`);
    const incarnation = text(fields["incarnation"], `sites[${index}].incarnation`);
    if (!/^[0-9a-f]{32}$/.test(incarnation)) fail(`sites[${index}].incarnation is no identity`);
    return {
      name: text(fields["name"], `sites[${index}].name`),
      cvms: integerIn(fields["cvms"], `sites[${index}].cvms`, 1, CVMS_MAX),
      incarnation,
    };
  });
  parseSiteNames(sites.map((site) => site.name).join(","));
  return sites;
}

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

/**
 * Checks a parsed JSON value.
 * @throws AntipodeError `FORMAT_UNSUPPORTED` that names the wrong key
 */
export function parseLabFile(value: unknown): LabFile {
  if ((value as Fields | null)?.["version"] !== 1) fail("it is not of version 1");
  const fields = record(value, KEYS, "the file");
  const sites = parseSites(fields["sites"]);
  const { autoRestart } = fields;
  return Object.freeze({
    version: 1,
    id: text(fields["id"], "id"),
    createdAtMs: numberIn(fields["createdAtMs"], "createdAtMs", 0, Number.MAX_SAFE_INTEGER),
    sites,
    place: parsePlace(fields["place"], sites.length),
    latencyMs: numberIn(fields["latencyMs"], "latencyMs", 0, 1e9),
    jitterMs: numberIn(fields["jitterMs"], "jitterMs", 0, 1e9),
    bitsPerSecond: integerIn(fields["bitsPerSecond"], "bitsPerSecond", 0, 1e12),
    etcd: oneOf(fields["etcd"], "etcd", ["embedded", "real"]),
    etcdCommand: text(fields["etcdCommand"], "etcdCommand"),
    autoRestart: typeof autoRestart === "boolean" ? autoRestart : fail("autoRestart is wrong"),
    logLevel: oneOf(fields["logLevel"], "logLevel", ["debug", "info", "warn", "error"]),
  });
}

/**
 * The lab in a directory, or `undefined` when there is none.
 * @param disk rooted at the lab's directory
 * @throws AntipodeError `FORMAT_UNSUPPORTED`
 */
export async function readLabFile(disk: Disk): Promise<LabFile | undefined> {
  const bytes = await readWhole(disk, LAB_FILE);
  if (bytes === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch {
    return fail("it is not JSON");
  }
  return parseLabFile(value);
}

/** Writes the file whole. */
export async function writeLabFile(disk: Disk, lab: LabFile): Promise<void> {
  await replaceWhole(disk, LAB_FILE, utf8(`${JSON.stringify(lab, undefined, 2)}\n`));
}
