/**
 * Who plays which part at a site right now, by the records that its processes go by: who owns a vDisk and
 * who has copies of its log (owner records), and who leads Cerebro (seats), in etcd. Read without a call, so
 * that a fault which looks costs no virtual time and is no event of anybody.
 */

import { fromUtf8 } from "../../../services/base/bytes.ts";
import type { Prng } from "../../../services/base/prng.ts";
import { type OwnerRecord, siteKeys } from "../../../services/base/siteRecords.ts";
import {
  fromKeyValue,
  prefixRange,
} from "../../../services/platform/adapters/coordinatorRequests.ts";
import type { KeyValue } from "../../../services/platform/coordinator.ts";
import { make, RangeRequest } from "../../../services/platform/wire/etcd.ts";
import { decodeOwner } from "../../../services/stargate/vdisk/records.ts";
import { pick } from "../config.ts";
import type { SimCvm, SimSite } from "../world/site.ts";
import type { World } from "../world/world.ts";

const CEREBRO_SEATS = siteKeys.seatPrefix("cerebro");

/** The parts of one vDisk. */
export interface Cast {
  readonly vdisk: string;
  readonly owner: SimCvm;
  readonly epoch: number;
  /** Listed peers without the owner, in the order in which they inherit; never empty. */
  readonly heirs: readonly [SimCvm, ...SimCvm[]];
}

/** Sites at which a vDisk is served with more than one copy of its log. */
export function stages(world: World): readonly SimSite[] {
  return world.sites.filter((site) => casts(site).length > 0);
}

/** The cast of a vDisk that is served with more than one copy; `undefined` when there is none. */
export function drawCast(site: SimSite, prng: Prng): Cast | undefined {
  const all = casts(site);
  return all.length === 0 ? undefined : pick(prng, all);
}

/** Who owns the vDisk by now; `undefined` for one that is gone. */
export function ownerOf(site: SimSite, vdisk: string): SimCvm | undefined {
  const record = recordOf(site, vdisk);
  return record && cvmOf(site, record.owner);
}

/** Of the owner record: grows with every change of it. */
export function epochOf(site: SimSite, vdisk: string): number | undefined {
  return recordOf(site, vdisk)?.epoch;
}

/** Who is listed as one that has every acknowledged record of the vDisk. */
export function copiesOf(site: SimSite, vdisk: string): readonly SimCvm[] {
  return recordOf(site, vdisk)?.peers.flatMap((cvm) => cvmOf(site, cvm) ?? []) ?? [];
}

/** The CVM whose Cerebro leads: it has had its seat for longest. */
export function leaderAt(site: SimSite): SimCvm | undefined {
  const [first] = entriesOf(site, CEREBRO_SEATS).toSorted(
    (a, b) => a.createRevision - b.createRevision,
  );
  if (first === undefined) return undefined;
  const seat = JSON.parse(fromUtf8(first.value)) as { readonly cvm?: number };
  return cvmOf(site, seat.cvm ?? 0);
}

/** Of every vDisk of the site that is served with more than one copy. */
export function casts(site: SimSite): readonly Cast[] {
  return entriesOf(site, siteKeys.owners).flatMap(({ key, value }) => {
    const { owner, epoch, peers, served } = decodeOwner(value);
    const plays = cvmOf(site, owner);
    const [heir, ...others] = peers
      .filter((cvm) => cvm !== owner)
      .flatMap((cvm) => cvmOf(site, cvm) ?? []);
    if (!served || plays === undefined || heir === undefined) return [];
    const vdisk = key.slice(siteKeys.owners.length);
    return [{ vdisk, owner: plays, epoch, heirs: [heir, ...others] as const }];
  });
}

function recordOf(site: SimSite, vdisk: string): OwnerRecord | undefined {
  const [entry] = entriesOf(site, siteKeys.owner(vdisk));
  return entry && decodeOwner(entry.value);
}

function entriesOf({ etcd }: SimSite, prefix: string): readonly KeyValue[] {
  return etcd.core.range(make(RangeRequest, prefixRange(prefix))).kvs.map(fromKeyValue);
}

function cvmOf(site: SimSite, cvm: number): SimCvm | undefined {
  return site.cvms.find((one) => one.cvm === cvm);
}
