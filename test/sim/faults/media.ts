/**
 * Disks that lie (F5, F7, F8): bits flip, a sector is not what was written last, a write landed on
 * another one's place, a sector is half of two writes; an index is gone or wrong. Never the last good copy
 * (ground.ts). Half of the damage is seen at once, the other half when power fails; two times of three the
 * Stargate is killed, so that its next life meets the damage. The end puts the bytes back, or, for half of the
 * faults, leaves that to the product: a disk does not mend itself.
 */

import { toHex } from "../../../services/base/bytes.ts";
import type { Prng } from "../../../services/base/prng.ts";
import { SECTOR_BYTES } from "../../support/fakeFile.ts";
import { type KindOf, pick } from "../config.ts";
import type { SimSite } from "../world/site.ts";
import type { Ground } from "./ground.ts";
import { type Injected, local, nothing, spared, type Target, undoAll } from "./injection.ts";
import { type StoredPlace, settledEntries, storedCopies } from "./storedBytes.ts";

const PLACES_MAX = 4;
const FINGERPRINT_BYTES = 32;

type Medium = "chunk" | "oplog";
const LIES = ["rotten", "stale", "misdirected", "torn"] as const;
type Lie = (typeof LIES)[number];
/** How much of what could be spared. */
export interface Aging {
  /** 0 to 1. */
  readonly share: number;
  readonly prng: Prng;
}
/** Injects with knowledge of what may be damaged. */
export type MediaInjector = (target: Target, ground: Ground) => Injected;

/** What a stretch of a record's bytes is instead. */
interface Instead {
  readonly at: number;
  readonly bytes: Uint8Array;
}

export const mediaInjectors: Readonly<Record<KindOf<"media">, MediaInjector>> = {
  rotChunks: (target, ground) => damageChunks(target, ground, "rotten"),
  staleChunks: (target, ground) => damageChunks(target, ground, "stale"),
  misdirectedChunks: (target, ground) => damageChunks(target, ground, "misdirected"),
  tornChunks: (target, ground) => damageChunks(target, ground, "torn"),
  rotOplog: (target, ground) => damageOplog(target, ground, "rotten"),
  staleOplog: (target, ground) => damageOplog(target, ground, "stale"),
  misdirectedOplog: (target, ground) => damageOplog(target, ground, "misdirected"),
  tornOplog: (target, ground) => damageOplog(target, ground, "torn"),
  rotIndex,
  loseIndex: (target) => {
    const { cvm } = target;
    cvm.stargate.kill();
    cvm.indexes.lose();
    return local(target, `CVM ${cvm.cvm}`, () => {
      cvm.stargate.start();
    });
  },
};

function damageChunks(target: Target, ground: Ground, lie: Lie): Injected {
  const { cvm, prng } = target;
  const { copies, atlas } = ground.spareCopies(cvm);
  const places: StoredPlace[] = [];
  for (let i = 1 + prng.below(PLACES_MAX); i > 0 && copies.length > 0; i--) {
    const copy = pick(prng, copies);
    if (places.includes(copy) || atlas.claimCopy(cvm.cvm, copy.fingerprint) === undefined) continue;
    ground.condemn(copy);
    places.push(copy);
  }
  if (places.length === 0) return spared(target, "no chunk has another copy");
  const others = storedCopies(target.site, cvm);
  const resume = killWhereAllowed(target, ground);
  return lieAbout(target, { medium: "chunk", lie, places, others, onEnd: resume });
}

function damageOplog(target: Target, ground: Ground, lie: Lie): Injected {
  const { cvm, prng, site } = target;
  const all = settledEntries(site, cvm);
  // Most entries are drained and needed no more: those that are not are read again.
  const needed = ground.undrained(all);
  const entries = prng.below(4) === 0 || needed.length === 0 ? all : needed;
  if (entries.length === 0) return spared(target, "its oplog is empty");
  const claim = ground.claimOplog(cvm);
  if (claim === undefined) return spared(target, "no other copy of the oplog is safe now");
  const count = 1 + prng.below(PLACES_MAX);
  const places = [...new Set(Array.from({ length: count }, () => pick(prng, entries)))];
  const injected = lieAbout(target, { medium: "oplog", lie, places, others: entries });
  const resume = perhapsKill(target);
  return {
    ...injected,
    end() {
      injected.end();
      resume();
      if (injected.isUndone) ground.onOplogRestored(claim);
    },
  };
}

/** A wrong entry must look wrong, and its chunk absent: so it needs another copy like the chunk itself. */
function rotIndex(target: Target, ground: Ground): Injected {
  const { cvm, prng } = target;
  const { copies } = ground.spareCopies(cvm);
  const spare = new Map(copies.map((copy) => [copy.fingerprint, copy]));
  const key = cvm.indexes.corrupt(
    prng,
    (one) => one.length !== FINGERPRINT_BYTES || spare.has(toHex(one)),
  );
  if (key === undefined) return spared(target, "no entry's chunk has another copy");
  const copy = spare.get(toHex(key));
  if (copy !== undefined) ground.condemn(copy);
  return local(target, `CVM ${cvm.cvm}`, killWhereAllowed(target, ground));
}

interface Lies {
  readonly medium: Medium;
  readonly lie: Lie;
  readonly places: readonly StoredPlace[];
  /** Records whose bytes may have landed at the wrong place. */
  readonly others: readonly StoredPlace[];
  readonly onEnd?: () => void;
}

function lieAbout(
  target: Target,
  { medium, lie, places, others, onEnd = nothing }: Lies,
): Injected & { readonly isUndone: boolean } {
  const { cvm, prng } = target;
  const isForGood = prng.below(2) === 0;
  const undos = places.map((place) => damagePlace(cvm, { lie, place, others, prng }));
  const what = `${places.length} ${medium} records of CVM ${cvm.cvm} ${lie}${isForGood ? " for good" : ""}`;
  const end = (): void => {
    if (!isForGood) undoAll(undos);
    onEnd();
  };
  return { ...local(target, what, end), isUndone: !isForGood };
}

function damagePlace(
  { disk }: Target["cvm"],
  {
    lie,
    place,
    others,
    prng,
  }: {
    readonly lie: Lie;
    readonly place: StoredPlace;
    readonly others: readonly StoredPlace[];
    readonly prng: Prng;
  },
): () => void {
  const { at, bytes } = insteadOf(lie, place, others, prng);
  const shown = pick(prng, ["now", "later"] as const);
  return disk.damage(place.path, { position: place.position + at, bytes, shown });
}

/**
 * Nobody looked for long: of the copies that can be spared on the site's disks, this share is found bad
 * one day. For good.
 * @returns how many
 */
export function ageCopies(site: SimSite, ground: Ground, how: Aging): number {
  const { share, prng } = how;
  let aged = 0;
  for (const cvm of site.cvms) {
    const { copies, atlas } = ground.spareCopies(cvm);
    for (const copy of copies) {
      if (prng.unit() >= share) continue;
      if (atlas.claimCopy(cvm.cvm, copy.fingerprint) === undefined) continue;
      ground.condemn(copy);
      damagePlace(cvm, { lie: pick(prng, LIES), place: copy, others: copies, prng });
      aged += 1;
    }
  }
  return aged;
}

/** What lies there instead, within the record: its neighbours are somebody else's. */
function insteadOf(
  lie: Lie,
  { position, bytes }: StoredPlace,
  others: readonly StoredPlace[],
  prng: Prng,
): Instead {
  const at = prng.below(bytes.length);
  const toSectorEnd = SECTOR_BYTES - ((position + at) % SECTOR_BYTES);
  switch (lie) {
    case "rotten":
      return { at, bytes: Uint8Array.of((bytes[at] ?? 0) ^ (1 << prng.below(8))) };
    case "torn":
      return { at, bytes: new Uint8Array(Math.min(toSectorEnd, bytes.length - at)) };
    case "stale": {
      // The whole sector is what it was before it was written; the file's space was new.
      const from = Math.max(0, at + toSectorEnd - SECTOR_BYTES);
      return { at: from, bytes: new Uint8Array(Math.min(at + toSectorEnd, bytes.length) - from) };
    }
    case "misdirected":
      return { at: 0, bytes: pick(prng, others).bytes.slice(0, bytes.length) };
  }
}

function killWhereAllowed(target: Target, ground: Ground): () => void {
  if (!ground.allows(target.cvm)) return nothing;
  const ended = ground.strike();
  const resume = perhapsKill(target);
  return () => {
    resume();
    ended();
  };
}

/** @returns what starts it again */
function perhapsKill({ prng, cvm }: Target): () => void {
  const how = pick(prng, ["not", "killed", "without power"] as const);
  if (how === "not") return nothing;
  if (how === "killed") cvm.stargate.kill();
  else cvm.powerLoss(pick(prng, ["lost", "kept"] as const), prng);
  return () => {
    cvm.stargate.start();
    cvm.cerebro.start();
  };
}
