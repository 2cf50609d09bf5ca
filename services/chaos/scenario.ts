/**
 * A chaos scenario, read from a parsed YAML or JSON value. Pure and total: it gives a scenario whose
 * names all mean something, or an AntipodeError whose message names the path of the wrong key (P10).
 */

import { checkedJson, type JsonField } from "../base/checkedJson.ts";
import { parseSize } from "../base/units.ts";
import {
  type Fault,
  type LinkChange,
  type LinkEnds,
  type Names,
  readDuration,
  readFault,
  readLink,
} from "./faults.ts";
import {
  actionForms,
  fieldsOf,
  invariantNames,
  labForm,
  protectionForm,
  repeatForm,
  scenarioForm,
  steadyForm,
  stepForm,
  whenNames,
  workloadForm,
} from "./schema.ts";

export type Invariant = (typeof invariantNames)[number];

export interface Action {
  readonly kind: keyof typeof actionForms;
  readonly pd: string;
}

export interface Step {
  readonly atMs: number;
  /** Waits at its time until this is so. */
  readonly when: (typeof whenNames)[number] | undefined;
  /** And then this much longer. */
  readonly afterMs: number;
  readonly does: { readonly fault: Fault } | { readonly action: Action };
  readonly repeat: Repeat;
}

/** Times of a step: so far apart, or at instants that the seed draws over a stretch of time. */
export interface Repeat {
  readonly times: number;
  readonly everyMs: number;
  readonly overMs: number | undefined;
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

/** A pd's writer, a real block client, sees so many writes acknowledged in this time. */
export interface SteadyState {
  readonly pd: string;
  readonly writes: number;
  readonly withinMs: number;
}

export interface Scenario {
  readonly name: string;
  readonly description: string;
  readonly seed: number | undefined;
  readonly sites: readonly { readonly name: string; readonly cvms: number }[];
  /** Copies that the sites keep; the lab's default when `undefined`. */
  readonly rf: number | undefined;
  readonly links: readonly (LinkEnds & LinkChange)[];
  readonly protection: readonly Protection[];
  readonly workloads: readonly Workload[];
  readonly setup: readonly Action[];
  /** What must hold before the first fault, and again after the last. */
  readonly steadyState: readonly SteadyState[];
  readonly run: readonly Step[];
  /** After the last fault everything must be well again within this. */
  readonly convergeMs: number;
  readonly assert: readonly Invariant[];
}

const STEPS_MAX = 1000;
const REPEATS_MAX = 1000;
const LIST_MAX = 64;
const CVMS_MAX = 32;
const DEFAULT_CONVERGE_MS = 120_000;
const DEFAULT_RATE = 100;
const DEFAULT_DEPTH = 8;
const STEADY_WRITES_MAX = 1_000_000;
const DEFAULT_SPAN = "16MiB";

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
  const rf = lab.rf.optional((one) => one.integer(1, 3));
  if (sites.some(({ cvms }) => cvms < (rf ?? 1))) lab.rf.fail("is more than a site has CVMs");
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
  const steadyState =
    top.steadyState.optional((all) =>
      all.list(0, LIST_MAX).map((one) => readSteady(one, workloads)),
    ) ?? [];
  return {
    name: top.name.text(),
    description: top.description.optional((one) => one.text()) ?? "",
    seed: top.seed.optional((one) => one.integer(0, 0xffff_ffff)),
    sites,
    rf,
    links:
      lab.links.optional((all) => all.list(0, LIST_MAX).map((one) => readLink(one, siteNames))) ??
      [],
    protection,
    workloads,
    setup:
      top.setup.optional((all) => all.list(0, STEPS_MAX).map((one) => readAction(one, names))) ??
      [],
    steadyState,
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

function readSteady(field: JsonField, workloads: readonly Workload[]): SteadyState {
  const { pd, writes, within } = fieldsOf(field, steadyForm);
  return {
    pd: pd.oneOf(workloads.map((one) => one.pd)),
    writes: writes.integer(1, STEADY_WRITES_MAX),
    withinMs: readDuration(within),
  };
}

function readStep(field: JsonField, names: Names): Step {
  const { at, when, after, fault, action, repeat } = fieldsOf(field, stepForm);
  const what = fault.optional((one) => ({ fault: readFault(one, names) }));
  const asked = action.optional((one) => ({ action: readAction(one, names) }));
  const does = what ?? asked ?? field.fail('has neither "fault" nor "action"');
  if (what !== undefined && asked !== undefined) field.fail('has both "fault" and "action"');
  return {
    atMs: readDuration(at),
    when: when.optional((one) => one.oneOf(whenNames)),
    afterMs: after.optional(readDuration) ?? 0,
    does,
    repeat: repeat.optional(readRepeat) ?? { everyMs: 0, overMs: undefined, times: 1 },
  };
}

function readRepeat(field: JsonField): Repeat {
  const { every, over, times } = fieldsOf(field, repeatForm);
  const everyMs = every.optional(readDuration);
  const overMs = over.optional(readDuration);
  if ((everyMs === undefined) === (overMs === undefined))
    field.fail('has not one of "every" and "over"');
  return { everyMs: everyMs ?? 0, overMs, times: times.integer(1, REPEATS_MAX) };
}

function readAction(field: JsonField, names: Names): Action {
  const kinds = Object.keys(actionForms) as (keyof typeof actionForms)[];
  const kind = field.record(["kind"]).kind.oneOf(kinds);
  const { pd } = fieldsOf(field, actionForms[kind]);
  return { kind, pd: pd.oneOf([...names.pds.keys()]) };
}

function readSize(field: JsonField): number {
  const bytes = parseSize(field.text());
  return bytes !== undefined && bytes > 0 ? bytes : field.fail("is no size such as 64MiB");
}
