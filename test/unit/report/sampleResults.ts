/** Results of runs that never were, as plausible as real ones: for the tests of what is made of them. */

import { createPrng } from "../../../services/base/prng.ts";
import type { RunResult } from "../../../services/report/index.ts";
import type { BlockMap, Interval, Lane, Point } from "../../../services/report/result.ts";

const WALL_MS = Date.UTC(2026, 10, 20, 14, 2, 7, 113);
const INTERVAL_MS = 500;
const RATE = 400;

const PROMISES = {
  P1: "An acknowledged write survives the loss of any RF−1 CVMs",
  P2: "A recovery point is a prefix of the acknowledged order, across all vDisks of its consistency group",
  P3: "A recovery point never changes; its root at the target equals its root at the source",
  P4: "At most one owner's writes are acknowledged per epoch; at most one site is active per PD",
  P5: "A killed leader or worker costs no data, and what had arrived is not sent again",
  P9: "After faults end, every job converges without help",
} as const;

export interface SampleShape {
  readonly seed: number;
  readonly elapsedMs: number;
  readonly faults: number;
}

/** A run in which every promise was tested and held. */
export function goodRun({ seed, elapsedMs, faults }: SampleShape): RunResult {
  const prng = createPrng(seed);
  const strikeMs = elapsedMs * 0.75;
  const events = Array.from({ length: faults }, (_, index) => {
    const fromMs = (strikeMs * (index + 0.5)) / Math.max(1, faults);
    const isLink = prng.below(3) === 0;
    const lasts = isLink || prng.below(2) === 0;
    return {
      id: `${index + 1}.1`,
      kind: "fault" as const,
      what: isLink ? "cut A→B, B→A for 1.5 s" : "kill cerebro.leader@A",
      fromMs,
      toMs: lasts ? fromMs + Math.min(1500, strikeMs / 4) : fromMs,
      struck: isLink ? ["A→B", "B→A"] : [`cerebro@A/${1 + prng.below(3)}`],
      problem: "",
    };
  });
  const intervals = intervalsOf(elapsedMs, seed, (atMs) =>
    events.some((one) => one.fromMs - 200 < atMs && atMs < one.fromMs + 700),
  );
  const acknowledged = intervals.reduce((sum, one) => sum + one.acknowledged, 0);
  return {
    version: 1,
    ok: true,
    scenario: {
      name: "leader-kill",
      description: "The Cerebro leader dies while replications move data.",
      file: "deploy/chaos/leader-kill.yaml",
    },
    engine: "lab",
    seed,
    reproduce: `antipode chaos run deploy/chaos/leader-kill.yaml --seed ${seed}`,
    antipode: "0.1.0",
    startedAtMs: WALL_MS,
    phases: [
      { name: "set up", fromMs: -Math.min(900, elapsedMs / 4), toMs: 0 },
      { name: "strike", fromMs: 0, toMs: strikeMs },
      { name: "converge", fromMs: strikeMs, toMs: elapsedMs * 0.85 },
      { name: "examine", fromMs: elapsedMs * 0.85, toMs: elapsedMs },
    ],
    sites: [
      { name: "A", cvms: 3 },
      { name: "B", cvms: 3 },
    ],
    verdicts: Object.entries(PROMISES).map(([invariant, promise]) => ({
      invariant,
      promise,
      asserted: true,
      verdict: "held" as const,
      found: `${acknowledged} acknowledged writes, none lost, after ${faults} faults`,
    })),
    events: [
      ...events,
      {
        id: "99.1",
        kind: "action",
        what: "replicate gold",
        fromMs: strikeMs * 0.3,
        toMs: strikeMs * 0.3,
        struck: [],
        problem: "",
      },
    ],
    workloads: [
      {
        pd: "gold",
        site: "A",
        vdisks: ["oltp-data", "oltp-log"],
        ratePerSecond: RATE,
        issued: acknowledged + 3,
        acknowledged,
        unknown: 3,
        bytes: acknowledged * 12_288,
        reconnects: 2,
        intervals,
      },
    ],
    points: pointsOf(elapsedMs),
    lanes: lanesOf(elapsedMs, faults),
    jobs: [
      {
        id: "7f3a9c01aa",
        pd: "gold",
        from: "A",
        to: "B",
        point: "rp-2",
        state: "DONE",
        fromMs: strikeMs * 0.3,
        toMs: strikeMs * 0.6,
        strikes: 2,
        leaderChanges: 1,
        logicalBytes: 128 * 1024 * 1024,
        wireBytes: 11_534_336,
        resentBytes: 262_144,
      },
    ],
    audits: [
      {
        pd: "gold",
        site: "A",
        of: "source",
        audit: {
          ok: true,
          isPrefix: true,
          ...clean(acknowledged),
          required: 0,
          bytes: acknowledged * 12_288,
          rpoMs: 0,
          failedAtMs: WALL_MS + elapsedMs,
          problems: [],
          vdisks: [
            { vdisk: "oltp-data", ...clean(acknowledged) },
            { vdisk: "oltp-log", ...clean(0) },
          ],
          maps: [mapOf("oltp-data", seed), mapOf("oltp-log", seed + 1)],
        },
      },
    ],
  };
}

/** The same run with a recovery point that is no prefix (P2), and a promise that was not tested. */
export function violatedRun(shape: SampleShape): RunResult {
  const good = goodRun(shape);
  const missing = {
    gseq: 699_606,
    vdisk: "oltp-log",
    lba: 812,
    bytes: 8192,
    issuedAtMs: WALL_MS + 7105,
    acknowledgedAtMs: WALL_MS + 7113,
  };
  const present = {
    gseq: 699_981,
    vdisk: "oltp-data",
    lba: 96,
    bytes: 4096,
    issuedAtMs: WALL_MS + 7154,
    acknowledgedAtMs: WALL_MS + 7161,
  };
  const acknowledged = good.workloads[0]?.acknowledged ?? 0;
  const lost = { lost: 23, kept: acknowledged - 23, lostBytes: 23 * 8192, outOfOrder: 21, torn: 1 };
  return {
    ...good,
    ok: false,
    verdicts: good.verdicts.map((one) => {
      if (one.invariant === "P2")
        return {
          ...one,
          verdict: "violated" as const,
          found: "gold: no prefix, 21 required writes missing, 1 blocks damaged",
        };
      if (one.invariant === "P5")
        return {
          ...one,
          asserted: false,
          verdict: "vacuous" as const,
          found: "0 replications were struck while they moved data",
        };
      return one;
    }),
    audits: [
      ...good.audits,
      {
        pd: "gold",
        site: "B",
        of: "copy",
        audit: {
          ok: false,
          isPrefix: false,
          ...clean(acknowledged),
          ...lost,
          required: 21,
          bytes: acknowledged * 12_288,
          rpoMs: 1412,
          failedAtMs: WALL_MS + shape.elapsedMs,
          completeUntilMs: missing.acknowledgedAtMs,
          firstLost: missing,
          lastLost: { ...missing, gseq: 699_990, acknowledgedAtMs: WALL_MS + 8400 },
          witness: { missing, present },
          problems: ["oltp-log block 812: acknowledged write 699606 is missing; it shows write 12"],
          vdisks: [
            { vdisk: "oltp-data", ...clean(Math.floor(acknowledged / 2)) },
            { vdisk: "oltp-log", ...clean(Math.ceil(acknowledged / 2)), ...lost },
          ],
          maps: [mapOf("oltp-data", 5), mapOf("oltp-log", 6, "s")],
        },
      },
    ],
  };
}

function clean(acknowledged: number) {
  return {
    acknowledged,
    kept: acknowledged,
    lost: 0,
    lostBytes: 0,
    torn: 0,
    rotten: 0,
    outOfOrder: 0,
  };
}

function intervalsOf(
  elapsedMs: number,
  seed: number,
  isStruck: (atMs: number) => boolean,
): readonly Interval[] {
  const prng = createPrng(seed);
  const many = Math.max(1, Math.floor((elapsedMs * 0.8) / INTERVAL_MS));
  return Array.from({ length: many }, (_, index) => {
    const fromMs = index * INTERVAL_MS - Math.min(900, elapsedMs / 4);
    const slow = isStruck(fromMs);
    const acknowledged = slow ? prng.below(40) : RATE / 2 - 20 + prng.below(40);
    const p50Ms = (slow ? 20 : 1.2) + prng.unit();
    const p99Ms = p50Ms * (3 + 4 * prng.unit());
    return {
      fromMs,
      toMs: fromMs + INTERVAL_MS,
      acknowledged,
      unknown: slow && prng.below(9) === 0 ? 1 : 0,
      bytes: acknowledged * 12_288,
      p50Ms,
      p99Ms,
      p999Ms: p99Ms * 1.4,
      maxMs: p99Ms * (1.5 + prng.unit()),
    };
  });
}

function pointsOf(elapsedMs: number): readonly Point[] {
  return [0.02, 0.25, 0.55, 0.86].map((share, index) => ({
    pd: "gold",
    name: `rp-${index + 1}`,
    from: "A",
    to: "B",
    cutMs: share * elapsedMs,
    arrivedMs: (share + 0.06) * elapsedMs,
  }));
}

function lanesOf(elapsedMs: number, faults: number): readonly Lane[] {
  const changes = Math.min(faults, 12);
  const spans = Array.from({ length: changes + 1 }, (_, index) => ({
    cvm: 1 + ((index * 2) % 3),
    epoch: 4 + index,
    fromMs: (elapsedMs * index) / (changes + 1),
    toMs: (elapsedMs * (index + 0.9)) / (changes + 1),
  }));
  const steady = [{ cvm: 2, epoch: 3, fromMs: 0, toMs: elapsedMs }];
  return [
    { site: "A", role: "cerebro.leader", subject: "", spans },
    { site: "B", role: "cerebro.leader", subject: "", spans: steady },
    { site: "A", role: "stargate.owner", subject: "oltp-data", spans: steady },
    { site: "A", role: "stargate.owner", subject: "oltp-log", spans },
  ];
}

function mapOf(vdisk: string, seed: number, bad = "o"): BlockMap {
  const prng = createPrng(seed);
  const cells = Array.from({ length: 2048 }, (_, index) => {
    if (index > 400 && index < 424) return bad;
    return prng.below(5) === 0 ? "." : "o";
  });
  return { vdisk, blocks: 4096, blocksPerCell: 2, cells: cells.join("") };
}
