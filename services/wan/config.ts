/**
 * The configuration of the wan process, and the settings that it keeps: the lab writes the first as
 * JSON, the process itself the second, so that links stay as they were set when it starts again.
 * Unknown keys are errors in both.
 */

import { fromUtf8, utf8 } from "../base/bytes.ts";
import { AntipodeError } from "../base/errors.ts";
import { type Disk, readWhole, replaceWhole } from "../platform/disk.ts";
import type { Address } from "../platform/net.ts";
import type { LinkSettings } from "./linkShaper.ts";

/** A port at which one site sees one service of a CVM of another. */
export interface PassageConfig {
  readonly listen: Address;
  readonly target: Address;
}

/** One direction: its settings at first, and the passages whose callers are at `from`. */
export interface LinkConfig {
  readonly from: string;
  readonly to: string;
  readonly latencyMs: number;
  readonly jitterMs: number;
  readonly bitsPerSecond: number;
  readonly passages: readonly PassageConfig[];
}

export interface WanConfig {
  readonly version: 1;
  readonly admin: Address;
  /** Absolute path of the folder in which settings are kept. */
  readonly stateFolder: string;
  readonly links: readonly LinkConfig[];
  readonly logLevel: "debug" | "info" | "warn" | "error";
}

/** Half a minute one way: beyond any planet's network. */
const LATENCY_MS_MAX = 30_000;
/** 1 Tbit/s. */
const BITS_PER_SECOND_MAX = 1e12;
/** A kilobit: less would hold a single packet for more than ten seconds. */
const BITS_PER_SECOND_MIN = 1000;
const SETTINGS_FILE = "links.json";

type Fields = Readonly<Record<string, unknown>>;

function fail(what: string): never {
  throw new AntipodeError("INVALID_ARGUMENT", `the links' configuration is wrong: ${what}`);
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
  typeof value === "string" && value !== "" ? value : fail(`${where} is not a text`);

const list = (value: unknown, where: string): readonly unknown[] =>
  Array.isArray(value) ? value : fail(`${where} is not a list`);

function parseAddress(value: unknown, where: string): Address {
  const fields = record(value, ["host", "port"], where);
  const port = fields["port"];
  if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535)
    return fail(`${where}.port is not a port`);
  return { host: text(fields["host"], `${where}.host`), port };
}

const numberOf = (value: unknown, where: string): number =>
  typeof value === "number" ? value : fail(`${where} is not a number`);

/**
 * Checks settings of a link.
 * @throws AntipodeError `INVALID_ARGUMENT` that names the wrong value
 */
export function checkSettings(settings: LinkSettings): LinkSettings {
  const { latencyMs, jitterMs, bitsPerSecond } = settings;
  for (const [name, value] of [
    ["latency", latencyMs],
    ["jitter", jitterMs],
  ] as const)
    if (!(value >= 0 && value <= LATENCY_MS_MAX))
      throw new AntipodeError(
        "INVALID_ARGUMENT",
        `a ${name} is from 0 to ${LATENCY_MS_MAX} ms, not ${value}`,
      );
  const limited = bitsPerSecond >= BITS_PER_SECOND_MIN && bitsPerSecond <= BITS_PER_SECOND_MAX;
  if (bitsPerSecond !== 0 && !(limited && Number.isInteger(bitsPerSecond)))
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `a bandwidth is from 1 kbit to 1 Tbit, or 0 for no limit, not ${bitsPerSecond} bit/s`,
    );
  return settings;
}

function parseLink(value: unknown, where: string): LinkConfig {
  const keys = ["from", "to", "latencyMs", "jitterMs", "bitsPerSecond", "passages"];
  const fields = record(value, keys, where);
  const settings = checkSettings({
    latencyMs: numberOf(fields["latencyMs"], `${where}.latencyMs`),
    jitterMs: numberOf(fields["jitterMs"], `${where}.jitterMs`),
    bitsPerSecond: numberOf(fields["bitsPerSecond"], `${where}.bitsPerSecond`),
    cut: false,
  });
  return {
    from: text(fields["from"], `${where}.from`),
    to: text(fields["to"], `${where}.to`),
    latencyMs: settings.latencyMs,
    jitterMs: settings.jitterMs,
    bitsPerSecond: settings.bitsPerSecond,
    passages: list(fields["passages"], `${where}.passages`).map((item, i) => {
      const passage = record(item, ["listen", "target"], `${where}.passages[${i}]`);
      return {
        listen: parseAddress(passage["listen"], `${where}.passages[${i}].listen`),
        target: parseAddress(passage["target"], `${where}.passages[${i}].target`),
      };
    }),
  };
}

/**
 * Checks a parsed JSON value. Every link needs its opposite: answers travel over it.
 * @throws AntipodeError `INVALID_ARGUMENT` that names the wrong key
 */
export function parseWanConfig(value: unknown): WanConfig {
  const fields = record(
    value,
    ["version", "admin", "stateFolder", "links", "logLevel"],
    "the file",
  );
  if (fields["version"] !== 1)
    throw new AntipodeError("FORMAT_UNSUPPORTED", "the links' configuration is not of version 1");
  const links = list(fields["links"], "links").map((item, i) => parseLink(item, `links[${i}]`));
  const names = new Set(links.map(linkKey));
  if (names.size !== links.length) fail("two links have the same ends");
  for (const link of links) {
    if (link.from === link.to) fail(`a link leads from ${link.from} to itself`);
    if (!names.has(linkKey({ from: link.to, to: link.from })))
      fail(`there is no link from ${link.to} back to ${link.from}`);
  }
  const levels = ["debug", "info", "warn", "error"] as const;
  return Object.freeze({
    version: 1,
    admin: parseAddress(fields["admin"], "admin"),
    stateFolder: text(fields["stateFolder"], "stateFolder"),
    links,
    logLevel: levels.find((level) => level === fields["logLevel"]) ?? fail("logLevel is unknown"),
  });
}

/** Identity of a direction. */
export function linkKey(link: { readonly from: string; readonly to: string }): string {
  return `${link.from}>${link.to}`;
}

/** Settings kept by an earlier process, by `linkKey`; empty when there are none. */
export async function readSettings(disk: Disk): Promise<ReadonlyMap<string, LinkSettings>> {
  const bytes = await readWhole(disk, SETTINGS_FILE);
  if (bytes === undefined) return new Map();
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch (cause) {
    throw new AntipodeError("FORMAT_UNSUPPORTED", `${SETTINGS_FILE} is not JSON`, {}, cause);
  }
  const fields = record(value, ["version", "links"], SETTINGS_FILE);
  if (fields["version"] !== 1)
    throw new AntipodeError("FORMAT_UNSUPPORTED", `${SETTINGS_FILE} is not of version 1`);
  return new Map(
    list(fields["links"], "links").map((item, i): [string, LinkSettings] => {
      const where = `links[${i}]`;
      const keys = ["from", "to", "latencyMs", "jitterMs", "bitsPerSecond", "cut"];
      const link = record(item, keys, where);
      const settings = checkSettings({
        latencyMs: numberOf(link["latencyMs"], `${where}.latencyMs`),
        jitterMs: numberOf(link["jitterMs"], `${where}.jitterMs`),
        bitsPerSecond: numberOf(link["bitsPerSecond"], `${where}.bitsPerSecond`),
        cut: link["cut"] === true,
      });
      return [linkKey({ from: text(link["from"], where), to: text(link["to"], where) }), settings];
    }),
  );
}

/** Keeps the settings of all links. */
export async function writeSettings(
  disk: Disk,
  links: readonly {
    readonly from: string;
    readonly to: string;
    readonly settings: LinkSettings;
  }[],
): Promise<void> {
  const content = {
    version: 1,
    links: links.map(({ from, to, settings }) => ({ from, to, ...settings })),
  };
  await replaceWhole(disk, SETTINGS_FILE, utf8(`${JSON.stringify(content, undefined, 2)}\n`));
}
