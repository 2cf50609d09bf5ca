/**
 * What a seed makes of a run: swarm testing. Each seed draws its own sizes and its own choice of
 * faults, most of them without some kinds, because faults that are always on hide what happens when they
 * are not. The whole configuration is printed as one line.
 */

import { createPrng, type Prng } from "../../services/base/prng.ts";

/** Every kind of fault, with its class in the catalogue (F1 to F30). */
export const faultClasses = {
  killProcess: "F1",
  killAtAwait: "F1",
  pauseProcess: "F2",
  powerLossCvm: "F3",
  powerLossSite: "F4",
  killSite: "F23",
  cutLink: "F17",
  cutLinkOneWay: "F17",
  tearLink: "F22",
  loseReplies: "F21",
  cutCvm: "F18",
  cutPair: "F18",
  cutEtcd: "F18",
  etcdOutage: "F15",
  revokeLeases: "F16",
  loseEtcdAnswers: "F15",
  blindWatches: "F15",
  slowDisk: "F11",
} as const;
export type FaultKind = keyof typeof faultClasses;
const faultKinds = Object.keys(faultClasses) as readonly FaultKind[];

/** What the operator of a run does. */
export interface OperatorConfig {
  /** Between two recovery points, on average. */
  readonly snapshotEveryMs: number;
  /** Part of the recovery points that are replicated. */
  readonly replicateShare: number;
  /** Site A is lost at the end and the domain is activated at B from what is there. */
  readonly failover: boolean;
}

export interface SimConfig {
  readonly seed: number;
  readonly sites: number;
  readonly cvms: number;
  readonly replicationFactor: number;
  readonly vdisks: number;
  readonly slotsPerVdisk: number;
  readonly writers: number;
  /** Between an answer and the writer's next write, on average. */
  readonly thinkMs: number;
  readonly linkDelayMs: number;
  readonly diskDelayMs: number;
  /** Monotonic clocks differ from the world's by at most this part. */
  readonly clockSkewMax: number;
  /** Journals that are soon behind and keep nothing in memory. */
  readonly tightOplog: boolean;
  /** Virtual time with faults. */
  readonly untilMs: number;
  /** Between two faults, on average. */
  readonly faultEveryMs: number;
  /** How long a fault lasts, on average. */
  readonly faultLastsMs: number;
  readonly faults: readonly FaultKind[];
  readonly operator: OperatorConfig;
}

const UNTIL_MS = 20_000;

/** The configuration of a seed; `untilMs` for a longer or shorter time with faults. */
export function drawConfig(seed: number, untilMs: number = UNTIL_MS): SimConfig {
  const prng = createPrng(seed ^ 0xc0f16);
  const cvms = pick(prng, [1, 2, 3, 3, 3, 4]);
  return {
    seed,
    sites: pick(prng, [2, 2, 2, 3]),
    cvms,
    replicationFactor: Math.min(cvms, pick(prng, [1, 2, 2, 3])),
    vdisks: 1 + prng.below(3),
    slotsPerVdisk: pick(prng, [16, 64, 256]),
    writers: 1 + prng.below(4),
    thinkMs: pick(prng, [20, 50, 100]),
    linkDelayMs: pick(prng, [0.5, 5, 40, 150]),
    diskDelayMs: pick(prng, [0, 0.1, 1]),
    clockSkewMax: pick(prng, [0, 0.0005, 0.02]),
    tightOplog: prng.below(3) === 0,
    untilMs,
    faultEveryMs: pick(prng, [500, 1500, 4000]),
    faultLastsMs: pick(prng, [300, 1500, 5000]),
    faults: prng.below(10) === 0 ? [] : faultKinds.filter(() => prng.below(2) === 0),
    operator: {
      snapshotEveryMs: pick(prng, [1000, 3000, 8000]),
      replicateShare: pick(prng, [0.3, 1]),
      failover: prng.below(2) === 0,
    },
  };
}

/** One of them, equally likely. */
export function pick<T>(prng: Prng, choices: readonly T[]): T {
  const choice = choices[prng.below(choices.length)];
  if (choice === undefined) throw new Error("there is nothing to choose from");
  return choice;
}
