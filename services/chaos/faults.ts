/**
 * Faults of a scenario: what there is to break, and how a file says so. Pure and total: a fault whose
 * names all mean something, or an AntipodeError whose message names the path of the wrong key (P10).
 */

import type { JsonField } from "../base/checkedJson.ts";
import { parseDuration, parseRate } from "../lab/index.ts";
import { type DiskFault, diskFaultKinds, SYNC_DELAY_MS_MAX } from "../platform/diskFaults.ts";
import { faultForms, fieldsOf, linkForm, rotFiles } from "./schema.ts";
import { parseTarget, TARGET_FORMS, type Target } from "./targets.ts";

export interface LinkChange {
  readonly latencyMs: number | undefined;
  readonly jitterMs: number | undefined;
  readonly bitsPerSecond: number | undefined;
}
/** One direction. */
export interface LinkEnds {
  readonly from: string;
  readonly to: string;
}

/** How long a fault lasts: to the end of the run when `undefined`. */
interface Lasting {
  readonly forMs: number | undefined;
  /** Then the seed draws a time from `forMs` to this; `undefined` in a time line. */
  readonly forMsMax: number | undefined;
}
/** Whom a fault strikes. */
interface Aimed {
  readonly target: Target;
  /** As it was written. */
  readonly targetText: string;
}
export interface ProcessFault extends Aimed, Lasting {
  readonly kind: "kill" | "stop" | "continue" | "restart";
}
export interface FailingDisk extends Aimed, Lasting {
  readonly kind: "disk";
  readonly disk: DiskFault;
}
export interface Rot extends Aimed {
  readonly kind: "rot";
  readonly file: (typeof rotFiles)[number];
  /** Places. */
  readonly count: number;
  /** Also where no other good copy is: data is lost. */
  readonly lastCopy: boolean;
  readonly forMs: undefined;
}
export interface LinkFault extends Lasting {
  readonly kind: "cut" | "link";
  readonly links: readonly LinkEnds[];
  readonly change: LinkChange;
}
export type Fault =
  | ProcessFault
  | FailingDisk
  | Rot
  | LinkFault
  | { readonly kind: "heal"; readonly forMs: undefined };

/** What a scenario's own names are. */
export interface Names {
  /** Site → count of its CVMs. */
  readonly sites: ReadonlyMap<string, number>;
  readonly pds: ReadonlyMap<string, { readonly vdisks: readonly { readonly name: string }[] }>;
}

const HOUR_MS = 3_600_000;
const ROT_PLACES_MAX = 1000;

/** @throws AntipodeError `INVALID_ARGUMENT` that names the path of what is wrong */
export function readFault(field: JsonField, names: Names): Fault {
  const kinds = Object.keys(faultForms) as (keyof typeof faultForms)[];
  const kind = field.record(["kind"]).kind.oneOf(kinds);
  switch (kind) {
    case "kill":
    case "stop": {
      const { target, for: time } = fieldsOf(field, faultForms[kind]);
      return { kind, ...readTarget(target, kind, names), ...readTime(time) };
    }
    case "continue":
    case "restart": {
      const { target } = fieldsOf(field, faultForms[kind]);
      return { kind, ...readTarget(target, kind, names), ...untilItEnds };
    }
    case "disk":
      return readFailingDisk(field, names);
    case "rot":
      return readRot(field, names);
    case "cut": {
      const { from, to, oneWay, for: time } = fieldsOf(field, faultForms[kind]);
      const change = { latencyMs: undefined, jitterMs: undefined, bitsPerSecond: undefined };
      const links = readEnds({ from, to, oneWay }, names);
      return { kind, links, change, ...readTime(time) };
    }
    case "link": {
      const fields = fieldsOf(field, faultForms[kind]);
      const links = readEnds(fields, names);
      return { kind, links, change: readChange(fields), ...readTime(fields.for) };
    }
    case "heal":
      fieldsOf(field, faultForms[kind]);
      return { kind, forMs: undefined };
  }
}

function readFailingDisk(field: JsonField, names: Names): FailingDisk {
  const { target, does, by, for: time } = fieldsOf(field, faultForms.disk);
  const kind = does.oneOf(diskFaultKinds);
  const delayMs = by.optional(readDuration);
  if (kind === "slowSync" && delayMs === undefined)
    field.fail('has no "by", the time a sync is late');
  if (kind !== "slowSync" && delayMs !== undefined) by.fail("is for slowSync only");
  if (delayMs !== undefined && delayMs > SYNC_DELAY_MS_MAX) by.fail("is longer than a minute");
  const aimed = readTarget(target, "disk", names);
  if (!hasDisk(aimed.target))
    target.fail("has no disk of ours: aim at stargates, etcd, CVMs or sites");
  return {
    kind: "disk",
    ...aimed,
    disk: { kind, delayMs: delayMs ?? 0 },
    ...readTime(time),
  };
}

function hasDisk(target: Target): boolean {
  switch (target.kind) {
    case "service":
      return /^(stargate|etcd)@/.test(target.id);
    case "random":
      return target.of !== "cerebro";
    case "leader":
    case "genesis":
      return false;
    case "owner":
    case "cvm":
    case "site":
      return true;
  }
}

function readRot(field: JsonField, names: Names): Rot {
  const { target, file, count, lastCopy } = fieldsOf(field, faultForms.rot);
  const aimed = readTarget(target, "rot", names);
  const isStargate =
    aimed.target.kind === "owner" ||
    (aimed.target.kind === "random" && aimed.target.of === "stargate") ||
    (aimed.target.kind === "service" && aimed.target.id.startsWith("stargate@"));
  if (!isStargate) target.fail("is no single stargate");
  return {
    kind: "rot",
    ...aimed,
    file: file.oneOf(rotFiles),
    count: count.optional((one) => one.integer(1, ROT_PLACES_MAX)) ?? 1,
    lastCopy: lastCopy.optional((one) => one.flag()) ?? false,
    forMs: undefined,
  };
}

function readTarget(field: JsonField, kind: Fault["kind"], names: Names): Aimed {
  const targetText = field.text();
  const target = parseTarget(targetText) ?? field.fail(`is no target; there are ${TARGET_FORMS}`);
  if (target.kind === "genesis") {
    if (kind !== "kill") field.fail("is genesis, which can be killed only");
    return { target, targetText };
  }
  const cvms = target.site === "" ? 0 : names.sites.get(target.site);
  if (cvms === undefined) return field.fail(`names a site that is none of the lab's`);
  const cvm = /\/(\d+)$/.exec(targetText)?.[1];
  if (cvm !== undefined && (Number(cvm) < 1 || Number(cvm) > cvms))
    field.fail(`names a CVM that the site has not`);
  if (target.kind === "owner") {
    const all = [...names.pds.values()].flatMap((one) => one.vdisks.map(({ name }) => name));
    if (!all.includes(target.vdisk)) field.fail("names a vDisk that no pd has");
  }
  return { target, targetText };
}

function readEnds(
  ends: { readonly from: JsonField; readonly to: JsonField; readonly oneWay: JsonField },
  names: Names,
): readonly LinkEnds[] {
  const from = ends.from.oneOf([...names.sites.keys()]);
  const to = ends.to.oneOf([...names.sites.keys()]);
  if (from === to) ends.to.fail("is where the link begins");
  const there = { from, to };
  const oneWay = ends.oneWay.optional((one) => one.flag()) ?? false;
  return oneWay ? [there] : [there, { from: to, to: from }];
}

/** A link of the lab shape. @throws AntipodeError `INVALID_ARGUMENT` */
export function readLink(
  field: JsonField,
  sites: ReadonlyMap<string, number>,
): LinkEnds & LinkChange {
  const { from, to, ...change } = fieldsOf(field, linkForm);
  const ends = { from: from.oneOf([...sites.keys()]), to: to.oneOf([...sites.keys()]) };
  if (ends.from === ends.to) to.fail("is where the link begins");
  return { ...ends, ...readChange(change) };
}

function readChange(change: {
  readonly latency: JsonField;
  readonly jitter: JsonField;
  readonly bandwidth: JsonField;
}): LinkChange {
  return {
    latencyMs: change.latency.optional(readDuration),
    jitterMs: change.jitter.optional(readDuration),
    bitsPerSecond: change.bandwidth.optional(
      (one) => parseRate(one.text()) ?? one.fail("is no rate such as 100mbit"),
    ),
  };
}

const untilItEnds: Lasting = { forMs: undefined, forMsMax: undefined };

/** `2s`, or `200ms..9s` for a time that the seed draws. */
function readTime(field: JsonField): Lasting {
  const text = field.optional((one) => one.text());
  if (text === undefined) return untilItEnds;
  const [from = "", to] = text.split("..", 2);
  const forMs = durationOf(field, from);
  if (to === undefined) return { forMs, forMsMax: undefined };
  const forMsMax = durationOf(field, to);
  if (forMsMax < forMs) field.fail("ends before it begins");
  return { forMs, forMsMax };
}

/** A duration of at most an hour. */
export function readDuration(field: JsonField): number {
  return durationOf(field, field.text());
}

function durationOf(field: JsonField, text: string): number {
  const ms = parseDuration(text) ?? field.fail("is no duration such as 500ms");
  return ms <= HOUR_MS ? ms : field.fail("is longer than an hour");
}
