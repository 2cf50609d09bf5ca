/**
 * The result of a chaos run: what `result.json` holds, what the HTML page and the JUnit file are made
 * of. Everything that a page shows stands in here, so that it can be drawn again later.
 *
 * Times in ms are on the run's own line: 0 is when the scenario's time line begins (its `at: 0s`);
 * what was set up before lies below 0. `startedAtMs` says where on the wall clock that is.
 */

import { checkedJson } from "../base/checkedJson.ts";
import {
  count,
  flag,
  type Json,
  list,
  number,
  type Of,
  object,
  oneOf,
  optional,
  saying,
  text,
} from "./form.ts";

/** Grows when a reader of the old form would misread the new one; keys may be added without. */
export const RESULT_VERSION = 1;

const fromTo = { fromMs: number, toMs: number } as const;

const verdict = object({
  invariant: saying("number of the promise, P1 to P10", text),
  promise: saying("the promise in words", text),
  asserted: saying("the scenario asks for it: then vacuous is not good enough", flag),
  verdict: oneOf(["held", "violated", "vacuous"]),
  found: text,
});

/** A fault from its injection to its healing; an action or a heal at one instant. */
const event = object({
  id: saying("step and repetition in the scenario, e.g. 2.1", text),
  kind: oneOf(["fault", "action", "heal"]),
  fault: optional(saying("kind of the fault, e.g. kill", text)),
  what: text,
  ...fromTo,
  struck: saying("services or links", list(text)),
  problem: saying('why it was not done, or ""', text),
});

/** What the writer of a pd measured in one interval. Latency counts from when a write was due. */
const interval = object({
  ...fromTo,
  acknowledged: count,
  unknown: saying("writes that ended without a good answer", count),
  bytes: saying("acknowledged", count),
  p50Ms: number,
  p99Ms: number,
  p999Ms: number,
  maxMs: number,
});
export type Interval = Of<typeof interval>;

const workload = object({
  pd: text,
  site: saying("where it writes", text),
  vdisks: list(text),
  ratePerSecond: saying("asked for; 0 when as fast as it is answered", number),
  issued: count,
  acknowledged: count,
  unknown: count,
  bytes: saying("acknowledged", count),
  reconnects: count,
  intervals: list(interval),
});
export type Workload = Of<typeof workload>;

/** A recovery point: with it the lag of the replication and the RPO at any instant follow. */
const point = object({
  pd: text,
  name: text,
  from: saying("site where it was cut", text),
  to: saying("site where it is to be", text),
  cutMs: saying("instant of the cut", number),
  arrivedMs: optional(saying("when the other site was first seen to have all of it", number)),
});
export type Point = Of<typeof point>;

/** Who leads or owns what, as its own words were seen. Spans of one lane overlap only in a split brain. */
const lane = object({
  site: text,
  role: oneOf(["cerebro.leader", "stargate.owner"]),
  subject: saying('name of the vDisk that is owned, or ""', text),
  spans: list(object({ cvm: count, epoch: count, ...fromTo })),
});
export type Lane = Of<typeof lane>;

const job = object({
  id: text,
  pd: text,
  from: text,
  to: text,
  point: text,
  state: text,
  ...fromTo,
  strikes: saying("faults that hit while it moved data", count),
  leaderChanges: count,
  logicalBytes: count,
  wireBytes: count,
  resentBytes: saying("sent although the target had them already", count),
});

const namedWrite = object({
  gseq: saying("number of the write over the whole group", count),
  vdisk: text,
  lba: saying("first block of 4 KiB", count),
  bytes: count,
  issuedAtMs: saying("wall clock, Unix ms", number),
  acknowledgedAtMs: optional(saying("wall clock, Unix ms", number)),
});

/** One letter a cell; the worst of a cell's blocks is shown. */
export const cellLetters = {
  ".": "never written",
  o: "whole, and as new as it must be",
  l: "whole, but a newer acknowledged write is lost",
  s: "older than it must be: out of order",
  t: "torn: sectors of different writes",
  r: "rot: bytes that nobody wrote",
  m: "misdirected: the block of another place",
  g: "ghost: of another run, or never written",
} as const;
export type CellLetter = keyof typeof cellLetters;

const blockMap = object({
  vdisk: text,
  blocks: saying("of 4 KiB that the writer writes to", count),
  blocksPerCell: count,
  cells: saying("a letter for each cell, see cellLetters in services/report/result.ts", text),
});
export type BlockMap = Of<typeof blockMap>;

const counts = {
  acknowledged: saying("writes that the record says were acknowledged", count),
  kept: saying("of these, all blocks are there", count),
  lost: saying("of these, at least one block is not there", count),
  lostBytes: count,
  torn: saying("blocks", count),
  rotten: saying("blocks that show bytes of no write, of another place or of another run", count),
  outOfOrder: saying("lost writes although a write issued after their answer is there", count),
} as const;

/** The record of a pd's writer against what a site holds. */
export const auditForm = object({
  ok: saying("whole blocks only, an exact prefix, nothing missing that was required", flag),
  isPrefix: flag,
  ...counts,
  required: saying("lost writes that the recovery point had to have", count),
  bytes: saying("acknowledged", count),
  rpoMs: saying(
    "from the first lost answer to the loss of the source; 0 when nothing is lost",
    number,
  ),
  failedAtMs: saying("when the source was lost: wall clock, Unix ms", number),
  completeUntilMs: optional(
    saying("prefix point: all that was acknowledged before is there; wall clock, Unix ms", number),
  ),
  firstLost: optional(namedWrite),
  lastLost: optional(namedWrite),
  witness: optional(
    saying(
      "`present` was issued after `missing` had been acknowledged",
      object({ missing: namedWrite, present: namedWrite }),
    ),
  ),
  problems: saying("the first bad blocks in words", list(text)),
  vdisks: list(object({ vdisk: text, ...counts })),
  maps: list(blockMap),
});
export type Audit = Of<typeof auditForm>;

const audited = object({
  pd: text,
  site: saying("whose bytes were read", text),
  of: saying(
    "what was read: the live source, or what the other site made of a recovery point",
    oneOf(["source", "copy"]),
  ),
  audit: auditForm,
});

const runResult = object({
  version: {
    schema: { const: RESULT_VERSION },
    read: (field) => field.integer(RESULT_VERSION, RESULT_VERSION),
  },
  ok: saying("no promise violated, and every asserted one tested", flag),
  scenario: object({ name: text, description: text, file: text }),
  engine: oneOf(["lab", "sim"]),
  seed: count,
  reproduce: saying("the command that runs it again", text),
  antipode: saying("version", text),
  startedAtMs: saying("time 0 of the run: wall clock, Unix ms", number),
  phases: list(object({ name: oneOf(["set up", "strike", "converge", "examine"]), ...fromTo })),
  sites: list(object({ name: text, cvms: count })),
  verdicts: list(verdict),
  events: list(event),
  workloads: list(workload),
  points: list(point),
  lanes: list(lane),
  jobs: list(job),
  audits: list(audited),
});
export type RunResult = Of<typeof runResult>;

/**
 * Reads a `result.json`.
 * @throws AntipodeError `INVALID_ARGUMENT`, `FORMAT_UNSUPPORTED` for another version
 */
export function parseResult(value: unknown): RunResult {
  return runResult.read(checkedJson(value, "the result").ofVersion(RESULT_VERSION));
}

/** The schema, as it is published. */
export function resultSchema(): Readonly<Record<string, Json>> {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "antipode chaos run result",
    ...runResult.schema,
  };
}
