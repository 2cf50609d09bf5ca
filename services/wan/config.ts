/**
 * The configuration of the wan process, and the settings that it keeps: the lab writes the first as
 * JSON, the process itself the second, so that links stay as they were set when it starts again.
 * Unknown keys are errors in both.
 */

import { utf8 } from "../base/bytes.ts";
import { checkedJson, type JsonField, parseJson } from "../base/checkedJson.ts";
import { AntipodeError } from "../base/errors.ts";
import { type ConfigLogLevel, logLevels } from "../base/siteConfig.ts";
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
  readonly logLevel: ConfigLogLevel;
}

/** Half a minute one way: beyond any planet's network. */
const LATENCY_MS_MAX = 30_000;
/** 1 Tbit/s. */
const BITS_PER_SECOND_MAX = 1e12;
/** A kilobit: less would hold a single packet for more than ten seconds. */
const BITS_PER_SECOND_MIN = 1000;
const SETTINGS_FILE = "links.json";

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

const LINK_KEYS = ["from", "to", "latencyMs", "jitterMs", "bitsPerSecond"] as const;

function parseLink(field: JsonField): LinkConfig {
  const link = field.object([...LINK_KEYS, "passages"]);
  const { latencyMs, jitterMs, bitsPerSecond } = parseSettings(link, false);
  return {
    from: link.from.text(),
    to: link.to.text(),
    latencyMs,
    jitterMs,
    bitsPerSecond,
    passages: link.passages.list().map((item) => {
      const { listen, target } = item.object(["listen", "target"]);
      return { listen: listen.address(), target: target.address() };
    }),
  };
}

function parseSettings(
  link: Readonly<Record<(typeof LINK_KEYS)[number], JsonField>>,
  cut: boolean,
): LinkSettings {
  return checkSettings({
    latencyMs: link.latencyMs.number(),
    jitterMs: link.jitterMs.number(),
    bitsPerSecond: link.bitsPerSecond.number(),
    cut,
  });
}

/**
 * Checks a parsed JSON value. Every link needs its opposite: answers travel over it.
 * @throws AntipodeError `INVALID_ARGUMENT` that names the wrong key; `FORMAT_UNSUPPORTED`
 */
export function parseWanConfig(value: unknown): WanConfig {
  const file = checkedJson(value, "the links' configuration").ofVersion(1);
  const fields = file.object(["version", "admin", "stateFolder", "links", "logLevel"]);
  const links = fields.links.list().map(parseLink);
  const names = new Set(links.map(linkKey));
  if (names.size !== links.length) fields.links.fail("has two links of the same ends");
  for (const link of links) {
    if (link.from === link.to) fields.links.fail(`has one that leads from ${link.from} to itself`);
    if (!names.has(linkKey({ from: link.to, to: link.from })))
      fields.links.fail(`has no link from ${link.to} back to ${link.from}`);
  }
  return Object.freeze({
    version: 1,
    admin: fields.admin.address(),
    stateFolder: fields.stateFolder.text(),
    links,
    logLevel: fields.logLevel.oneOf(logLevels),
  });
}

/** Identity of a direction. */
export function linkKey(link: { readonly from: string; readonly to: string }): string {
  return `${link.from}>${link.to}`;
}

/**
 * Settings kept by an earlier process, by `linkKey`; empty when there are none.
 * @throws AntipodeError `FORMAT_UNSUPPORTED`, `INVALID_ARGUMENT` for a value out of its range
 */
export async function readSettings(disk: Disk): Promise<ReadonlyMap<string, LinkSettings>> {
  const bytes = await readWhole(disk, SETTINGS_FILE);
  if (bytes === undefined) return new Map();
  const value = parseJson(bytes, SETTINGS_FILE, "FORMAT_UNSUPPORTED");
  const file = checkedJson(value, SETTINGS_FILE, "FORMAT_UNSUPPORTED").ofVersion(1);
  return new Map(
    file
      .object(["version", "links"])
      .links.list()
      .map((field): [string, LinkSettings] => {
        const link = field.object([...LINK_KEYS, "cut"]);
        const name = linkKey({ from: link.from.text(), to: link.to.text() });
        return [name, parseSettings(link, link.cut.flag())];
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
