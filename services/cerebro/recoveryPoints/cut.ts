/**
 * One attempt to cut the vDisks of a protection domain at one instant: hold, mark, release. Every
 * owner stops acknowledging, then every owner places its marker, then all go on. The attempt counts
 * only if every owner says at its release that it held all the time: then no write was acknowledged
 * between the first and the last marker, so the markers are a prefix of the acknowledged order
 * across all vDisks (P2). Whatever fails, every vDisk is released; an owner that does not hear of it
 * releases by itself.
 */

import { messageOf } from "../../base/errors.ts";
import type { Term } from "../../platform/coordination/election.ts";
import { VdiskService } from "../../platform/wire/stargate.ts";
import { CUT_ORDER_DEADLINE_MS } from "../limits.ts";
import { callStargate, type Site } from "../site.ts";

export interface CutOrder {
  readonly cutId: string;
  readonly vdiskIds: readonly string[];
}

export type CutOutcome =
  | {
      readonly kind: "valid";
      /** Longest hold of any owner, in ms. */
      readonly holdMs: number;
      /** Wall clock while all were held: the label of the recovery point. */
      readonly createdAtMs: number;
    }
  | { readonly kind: "void"; readonly why: string; readonly error: unknown };

/** Holds, marks and releases; never throws for what an owner answers. */
export async function attemptCut(site: Site, term: Term, order: CutOrder): Promise<CutOutcome> {
  const orderOf = (vdiskId: string) => ({
    vdiskId,
    cutId: order.cutId,
    leaderEpoch: term.epoch,
    leaderIncarnation: term.incarnation,
  });
  const toAll = <A>(call: (vdiskId: string) => Promise<A>): Promise<Settled<A>[]> =>
    Promise.all(order.vdiskIds.map((id) => settle(call(id))));

  // Nothing is held yet: this finds the owners, wakes them up and tells them the leader's epoch, so
  // that none of it happens while writes wait.
  const found = await toAll((id) =>
    callStargate(site, VdiskService.release, orderOf(id), CUT_ORDER_DEADLINE_MS),
  );
  const missing = found.find((answer): answer is Failed => !answer.ok);
  if (missing !== undefined)
    return { kind: "void", why: messageOf(missing.error), error: missing.error };

  const holds = await toAll((id) =>
    callStargate(site, VdiskService.hold, orderOf(id), CUT_ORDER_DEADLINE_MS),
  );
  const createdAtMs = site.clock.wall();
  // Between this instant and the first release nothing is acknowledged: this is the cut.
  const allHeld = holds.every((hold) => hold.ok);
  const marks = allHeld
    ? await toAll((id) => callStargate(site, VdiskService.mark, orderOf(id), CUT_ORDER_DEADLINE_MS))
    : [];
  const releases = await toAll((id) =>
    callStargate(site, VdiskService.release, orderOf(id), CUT_ORDER_DEADLINE_MS),
  );

  const broken = [...holds, ...marks, ...releases].find((answer): answer is Failed => !answer.ok);
  if (broken !== undefined)
    return { kind: "void", why: messageOf(broken.error), error: broken.error };
  let holdMs = 0;
  for (const release of releases) {
    if (!release.ok || !release.value.held)
      return { kind: "void", why: "an owner had released before the end", error: undefined };
    holdMs = Math.max(holdMs, release.value.heldMs);
  }
  return { kind: "valid", holdMs, createdAtMs };
}

interface Failed {
  readonly ok: false;
  readonly error: unknown;
}
type Settled<A> = { readonly ok: true; readonly value: A } | Failed;

async function settle<A>(call: Promise<A>): Promise<Settled<A>> {
  try {
    return { ok: true, value: await call };
  } catch (error) {
    return { ok: false, error };
  }
}
