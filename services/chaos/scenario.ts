/**
 * A chaos scenario, read from a parsed YAML or JSON value. Pure and total: it gives a scenario whose
 * names all mean something, or an AntipodeError whose message names the path of the wrong key (P10).
 */

import { checkedJson, type JsonField } from "../base/checkedJson.ts";
import { parseSize } from "../base/units.ts";
import { parseDuration, parseRate } from "../lab/index.ts";
import {
  actionForms,
  faultForms,
  fieldsOf,
  invariantNames,
  labForm,
  linkForm,
  protectionForm,
  repeatForm,
  scenarioForm,
  stepForm,
  workloadForm,
} from "./schema.ts";
import { parseTarget, TARGET_FORMS, type Target } from "./targets.ts";

export type Invariant = (typeof invariantNames)[number];

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

export type Fault =
  | {
      readonly kind: "kill" | "stop" | "restart";
      readonly target: Target;
      /** As it was written. */
      readonly targetText: string;
      readonly forMs: number | undefined;
    }
  | {
      readonly kind: "cut" | "link";
      readonly links: readonly LinkEnds[];
      readonly change: LinkChange;
      readonly forMs: number | undefined;
    }
  | { readonly kind: "heal"; readonly forMs: undefined };

export interface Action {
  readonly kind: keyof typeof actionForms;
  readonly pd: string;
}

export interface Step {
  readonly atMs: number;
  /** Waits at its time until a replication moves data. */
  readonly whenReplicating: boolean;
  readonly does: { readonly fault: Fault } | { readonly action: Action };
  readonly repeat: { readonly everyMs: number; readonly times: number };
}

export interface Protection {
  readonly pd: string;
  readonly at: string;
  readonly to: string;
  readonly vdisks: readonly { readonly name: string; readonly sizeBytes: number }[];
}
export interface Workload {
  readonly pd: string;
  readonly ratePerSecond: number;
  readonly queueDepth: number;
  readonly spanBytes: number;
}

export interface Scenario {
  readonly name: string;
  readonly description: string;
  readonly seed: number | undefined;
  readonly sites: readonly { readonly name: string; readonly cvms: number }[];
  readonly links: readonly (LinkEnds & LinkChange)[];
  readonly protection: readonly Protection[];
  readonly workloads: readonly Workload[];
  readonly setup: readonly Action[];
  readonly run: readonly Step[];
  /** After the last fault everything must be well again within this. */
  readonly convergeMs: number;
  readonly assert: readonly Invariant[];
}

const STEPS_MAX = 1000;
const REPEATS_MAX = 1000;
const LIST_MAX = 64;
const CVMS_MAX = 32;
const HOUR_MS = 3_600_000;
const DEFAULT_CONVERGE_MS = 120_000;
const DEFAULT_RATE = 100;
const DEFAULT_DEPTH = 8;
const DEFAULT_SPAN = "16MiB";

interface Names {
  readonly sites: ReadonlyMap<string, number>;
  readonly pds: ReadonlyMap<string, Protection>;
}

/**
 * Reads a scenario.
 * @throws AntipodeError `INVALID_ARGUMENT`, `FORMAT_UNSUPPORTED` for another version
 */
export function parseScenario(value: unknown): Scenario {
  const top = fieldsOf(checkedJson(value, "the scenario").ofVersion(1), scenarioForm);
  const lab = fieldsOf(top.lab, labForm);
  const sites = lab.sites.entries().map(([name, field]) => {
    if (!/^[A-Za-z][A-Za-z0-9-]{0,30}$/.test(name)) field.fail("is no name of a site");
    return { name, cvms: field.integer(1, CVMS_MAX) };
  });
  if (sites.length < 2) lab.sites.fail("has less than two sites");
  const siteNames = new Map(sites.map((site) => [site.name, site.cvms]));
  const protection = top.protection.list(1, LIST_MAX).map((one) => readProtection(one, siteNames));
  const names: Names = { sites: siteNames, pds: new Map(protection.map((one) => [one.pd, one])) };
  if (names.pds.size !== protection.length) top.protection.fail("has one pd twice");
  const vdisks = protection.flatMap((one) => one.vdisks.map((vdisk) => vdisk.name));
  if (new Set(vdisks).size !== vdisks.length) top.protection.fail("has one vDisk twice");
  const workloads =
    top.workloads.optional((all) => all.list(0, LIST_MAX).map((one) => readWorkload(one, names))) ??
    [];
  if (new Set(workloads.map((one) => one.pd)).size !== workloads.length)
    top.workloads.fail("has two for one pd");
  return {
    name: top.name.text(),
    description: top.description.optional((one) => one.text()) ?? "",
    seed: top.seed.optional((one) => one.integer(0, 0xffff_ffff)),
    sites,
    links:
      lab.links.optional((all) => all.list(0, LIST_MAX).map((one) => readLink(one, names))) ?? [],
    protection,
    workloads,
    setup:
      top.setup.optional((all) => all.list(0, STEPS_MAX).map((one) => readAction(one, names))) ??
      [],
    run: top.run.list(1, STEPS_MAX).map((one) => readStep(one, names)),
    convergeMs: top.converge.optional(readDuration) ?? DEFAULT_CONVERGE_MS,
    assert: top.assert.list(1, LIST_MAX).map((one) => one.oneOf(invariantNames)),
  };
}

function readProtection(field: JsonField, sites: ReadonlyMap<string, number>): Protection {
  const { pd, at, to, vdisks } = fieldsOf(field, protectionForm);
  const from = at.oneOf([...sites.keys()]);
  const target = to.oneOf([...sites.keys()]);
  if (from === target) to.fail("is the site that it is protected at");
  const disks = vdisks.entries().map(([name, size]) => ({ name, sizeBytes: readSize(size) }));
  if (disks.length === 0) vdisks.fail("names no vDisk");
  return { pd: pd.text(), at: from, to: target, vdisks: disks };
}

function readWorkload(field: JsonField, names: Names): Workload {
  const { pd, rate, depth, span } = fieldsOf(field, workloadForm);
  return {
    pd: pd.oneOf([...names.pds.keys()]),
    ratePerSecond: rate.optional((one) => one.number(0.1, 100_000)) ?? DEFAULT_RATE,
    queueDepth: depth.optional((one) => one.integer(1, 256)) ?? DEFAULT_DEPTH,
    spanBytes: span.optional(readSize) ?? parseSize(DEFAULT_SPAN) ?? 0,
  };
}

function readStep(field: JsonField, names: Names): Step {
  const { at, when, fault, action, repeat } = fieldsOf(field, stepForm);
  const what = fault.optional((one) => ({ fault: readFault(one, names) }));
  const asked = action.optional((one) => ({ action: readAction(one, names) }));
  const does = what ?? asked ?? field.fail('has neither "fault" nor "action"');
  if (what !== undefined && asked !== undefined) field.fail('has both "fault" and "action"');
  return {
    atMs: readDuration(at),
    whenReplicating: when.optional((one) => one.oneOf(["replicating"])) !== undefined,
    does,
    repeat: repeat.optional((one) => {
      const { every, times } = fieldsOf(one, repeatForm);
      return { everyMs: readDuration(every), times: times.integer(1, REPEATS_MAX) };
    }) ?? { everyMs: 0, times: 1 },
  };
}

function readAction(field: JsonField, names: Names): Action {
  const kinds = Object.keys(actionForms) as (keyof typeof actionForms)[];
  const kind = field.record(["kind"]).kind.oneOf(kinds);
  const { pd } = fieldsOf(field, actionForms[kind]);
  return { kind, pd: pd.oneOf([...names.pds.keys()]) };
}

function readFault(field: JsonField, names: Names): Fault {
  const kinds = Object.keys(faultForms) as (keyof typeof faultForms)[];
  const kind = field.record(["kind"]).kind.oneOf(kinds);
  switch (kind) {
    case "kill":
    case "stop": {
      const { target, for: time } = fieldsOf(field, faultForms[kind]);
      return { kind, ...readTarget(target, kind, names), forMs: time.optional(readDuration) };
    }
    case "restart": {
      const { target } = fieldsOf(field, faultForms[kind]);
      return { kind, ...readTarget(target, kind, names), forMs: undefined };
    }
    case "cut": {
      const { from, to, oneWay, for: time } = fieldsOf(field, faultForms[kind]);
      const change = { latencyMs: undefined, jitterMs: undefined, bitsPerSecond: undefined };
      const links = readEnds({ from, to, oneWay }, names);
      return { kind, links, change, forMs: time.optional(readDuration) };
    }
    case "link": {
      const {
        from,
        to,
        oneWay,
        latency,
        jitter,
        bandwidth,
        for: time,
      } = fieldsOf(field, faultForms[kind]);
      const links = readEnds({ from, to, oneWay }, names);
      const change = readChange({ latency, jitter, bandwidth });
      return { kind, links, change, forMs: time.optional(readDuration) };
    }
    case "heal":
      fieldsOf(field, faultForms[kind]);
      return { kind, forMs: undefined };
  }
}

function readTarget(
  field: JsonField,
  kind: "kill" | "stop" | "restart",
  names: Names,
): { readonly target: Target; readonly targetText: string } {
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

function readLink(field: JsonField, names: Names): LinkEnds & LinkChange {
  const { from, to, ...change } = fieldsOf(field, linkForm);
  const ends = { from: from.oneOf([...names.sites.keys()]), to: to.oneOf([...names.sites.keys()]) };
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

function readDuration(field: JsonField): number {
  const ms = parseDuration(field.text()) ?? field.fail("is no duration such as 500ms");
  return ms <= HOUR_MS ? ms : field.fail("is longer than an hour");
}

function readSize(field: JsonField): number {
  const bytes = parseSize(field.text());
  return bytes !== undefined && bytes > 0 ? bytes : field.fail("is no size such as 64MiB");
}
