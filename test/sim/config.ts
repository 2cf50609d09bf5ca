/**
 * What a seed makes of a run: swarm testing. Each seed draws its own sizes and its own choice of
 * faults, most of them without some kinds, because faults that are always on hide what happens when they
 * are not. The whole configuration is printed as one line.
 */

import { assert } from "../../services/base/assert.ts";
import { createPrng, type Prng } from "../../services/base/prng.ts";

/**
 * Every kind of fault, with its class in the catalogue (F1 to F30), in groups: a run without a whole
 * group shows what its faults hide.
 */
export const faultGroups = {
  process: {
    killProcess: "F1",
    killAtAwait: "F1",
    pauseProcess: "F2",
    pauseAtAwait: "F28",
    pauseBeyondLease: "F2",
    powerLossCvm: "F3",
    powerLossSite: "F4",
    killSite: "F23",
    leaderLostInPhase: "F1",
    leaderFrozenInPhase: "F2",
  },
  moment: {
    powerLossAtRoot: "F3",
    powerLossAtPoint: "F3",
  },
  disk: {
    fullDisk: "F9",
    readErrors: "F10",
    writeErrors: "F10",
    failedSyncs: "F10",
    slowDisk: "F11",
    stuckDisk: "F11",
  },
  media: {
    tornChunks: "F5",
    tornOplog: "F5",
    rotChunks: "F7",
    rotOplog: "F7",
    rotIndex: "F7",
    loseIndex: "F7",
    staleChunks: "F8",
    staleOplog: "F8",
    misdirectedChunks: "F8",
    misdirectedOplog: "F8",
  },
  clock: {
    jumpWall: "F12",
    strobeWall: "F12",
    driftClock: "F12",
  },
  etcd: {
    etcdOutage: "F13",
    freezeEtcd: "F14",
    revokeAllLeases: "F14",
    isolateEtcd: "F15",
    wipeEtcd: "F15",
    loseEtcdAnswers: "F15",
    ambiguousEtcd: "F15",
    stormEtcd: "F14",
    blindWatches: "F15",
    slowWatches: "F15",
    compactEtcd: "F15",
    revokeLeases: "F16",
    holdLeases: "F16",
    cutEtcd: "F18",
  },
  link: {
    cutLink: "F17",
    cutLinkOneWay: "F17",
    shapeLink: "F19",
    stallLink: "F19",
    loseReplies: "F21",
    loseStreamReplies: "F21",
    tearLink: "F22",
    tearLinkLater: "F22",
    blackHoleLink: "F22",
  },
  inside: {
    cutCvm: "F18",
    cutPair: "F18",
    cutPairOneWay: "F18",
    slowPair: "F19",
    stallPair: "F19",
    tearPair: "F22",
    blackHolePair: "F22",
  },
  ordered: {
    peerAwayThenOwnerLost: "F29",
    ownerStaleWhileReplaced: "F29",
    ownerThenHeirLost: "F29",
    copiesLosePower: "F29",
    killedInSyncThenAlone: "F29",
    clocksApartAtTakeover: "F29",
    leaderStaleWhileReplaced: "F29",
  },
} as const;
export type FaultGroup = keyof typeof faultGroups;
/** Kinds of one group. */
export type KindOf<Group extends FaultGroup> = keyof (typeof faultGroups)[Group] & string;
export type FaultKind = { [Group in FaultGroup]: KindOf<Group> }[FaultGroup];

/** The keys, in the order in which they were written. */
export function keysOf<K extends string>(record: Readonly<Record<K, unknown>>): readonly K[] {
  return Object.keys(record) as K[];
}

/** The class of every kind. */
export const faultClasses: Readonly<Record<FaultKind, string>> = {
  ...faultGroups.process,
  ...faultGroups.moment,
  ...faultGroups.disk,
  ...faultGroups.media,
  ...faultGroups.clock,
  ...faultGroups.etcd,
  ...faultGroups.link,
  ...faultGroups.inside,
  ...faultGroups.ordered,
};

/** What the operator of a run does. */
export interface OperatorConfig {
  /** Between two recovery points, on average. */
  readonly snapshotEveryMs: number;
  /** Part of the recovery points that are replicated. */
  readonly replicateShare: number;
  /** Site A is lost at the end and the domain is activated at B from what is there. */
  readonly failover: boolean;
}

/** What becomes of the sites when an act has ended and before its images are read. */
export interface RestConfig {
  /** Part of the chunk copies that rot, of those that another CVM has too. */
  readonly rotShare: number;
  /** Power fails everywhere, so that the images come from disks. */
  readonly powerLoss: boolean;
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
  /** Part of the messages between CVMs of one site that are lost and sent again: a cut's orders come apart. */
  readonly insideLoss: number;
  readonly diskDelayMs: number;
  /** A message to or from etcd takes so long on average; 0 for no time, so that nothing comes between effect and answer. */
  readonly etcdDelayMs: number;
  /** Monotonic clocks differ from the world's by at most this part. */
  readonly clockSkewMax: number;
  /** Journals that are soon behind and keep nothing in memory. */
  readonly tightOplog: boolean;
  /** Stargates keep nothing in memory of what is stored, log records included: every read is one of the disk. */
  readonly forgetful: boolean;
  readonly rest: RestConfig;
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

/**
 * The configuration of a seed; `untilMs` for a longer or shorter time with faults, `groups` for faults of
 * these groups alone.
 */
export function drawConfig(
  seed: number,
  untilMs: number = UNTIL_MS,
  groups?: readonly FaultGroup[],
): SimConfig {
  const prng = createPrng(seed ^ 0xc0f16);
  const restPrng = createPrng(seed ^ 0x4e57);
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
    // Of generators of their own: fields that are younger than the others change none of them.
    insideLoss: pick(createPrng(seed ^ 0x1055), [0, 0, 0.005, 0.03]),
    diskDelayMs: pick(prng, [0, 0.1, 1]),
    etcdDelayMs: pick(createPrng(seed ^ 0xe7cd), [0, 1, 10]),
    clockSkewMax: pick(prng, [0, 0.0005, 0.02]),
    tightOplog: prng.below(3) === 0,
    forgetful: restPrng.below(3) === 0,
    rest: { rotShare: pick(restPrng, [0, 0, 0.05, 0.5]), powerLoss: restPrng.below(2) === 0 },
    untilMs,
    faultEveryMs: pick(prng, [500, 1500, 4000]),
    faultLastsMs: pick(prng, [300, 1500, 5000]),
    faults: groups === undefined ? drawFaults(prng, youngGroups(seed)) : drawKinds(prng, groups),
    operator: {
      snapshotEveryMs: pick(prng, [1000, 3000, 8000]),
      replicateShare: pick(prng, [0.3, 1]),
      failover: prng.below(2) === 0,
    },
  };
}

type GroupPrngs = Readonly<Partial<Record<FaultGroup, Prng>>>;

/** Groups that are younger than the others, and change nothing of what else is drawn. */
function youngGroups(seed: number): GroupPrngs {
  return { ordered: createPrng(seed ^ 0x0bde5), moment: createPrng(seed ^ 0x30e47) };
}

/**
 * Half of the groups, of each half of its kinds; one run in ten is calm. A third of the runs that have orders have
 * nothing else: whatever strikes meanwhile ruins most of them.
 */
function drawFaults(prng: Prng, young: GroupPrngs): readonly FaultKind[] {
  if (prng.below(10) === 0) return [];
  const drawn = keysOf(faultGroups).flatMap((group) => {
    const draws = young[group] ?? prng;
    const isOn = draws.below(2) === 0;
    return (Object.keys(faultGroups[group]) as FaultKind[]).filter(
      () => draws.below(2) === 0 && isOn,
    );
  });
  const orders = drawn.filter((kind) => kind in faultGroups.ordered);
  return orders.length > 0 && young.ordered?.below(3) === 0 ? orders : drawn;
}

/** Of each of these groups half of its kinds, and one at least. */
function drawKinds(prng: Prng, groups: readonly FaultGroup[]): readonly FaultKind[] {
  return groups.flatMap((group): readonly FaultKind[] => {
    const kinds = Object.keys(faultGroups[group]) as FaultKind[];
    const first = pick(prng, kinds);
    return kinds.filter((kind) => prng.below(2) === 0 || kind === first);
  });
}

/** One of them, equally likely. */
export function pick<T>(prng: Prng, choices: readonly T[]): T {
  assert(choices.length > 0, "there is something to choose from");
  return choices[prng.below(choices.length)] as T;
}
