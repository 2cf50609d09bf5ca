/**
 * What may be damaged at a site, so that no fault destroys the last good copy of anything that was
 * acknowledged: damage that one disk fault too many makes of a rehearsal is no finding.
 *
 * G1 A copy of a chunk is damaged only while another CVM of the site has a good one on its disk, at a place
 *    that was never damaged: a copy that the product has condemned is not found again when its bytes are back.
 * G2 A copy of an oplog is damaged only while every vDisk that it serves has another listed copy, in a
 *    calm site. Until it has been taken out of the owners' lists, or is whole again and nobody noticed, no other fault
 *    strikes the site's own machines but its own: a peer that is away for a moment is struck off the list, and
 *    then the damaged copy would be the only one (FAULT_MODEL.md, "A damaged oplog copy").
 * G3 RF 1: nothing is ever damaged.
 */

import { siteKeys } from "../../../services/base/siteRecords.ts";
import {
  fromKeyValue,
  prefixRange,
} from "../../../services/platform/adapters/coordinatorRequests.ts";
import { make, RangeRequest } from "../../../services/platform/wire/etcd.ts";
import { decodeMap, decodeOwner } from "../../../services/stargate/vdisk/records.ts";
import { createFaultAtlas, type FaultAtlas } from "../../support/fakeFaultAtlas.ts";
import type { SimCvm, SimSite } from "../world/site.ts";
import type { World } from "../world/world.ts";
import {
  type StoredCopy,
  type StoredEntry,
  type StoredPlace,
  storedCopies,
} from "./storedBytes.ts";

/** Told by a Stargate that has met damage in its oplog. */
const NOTICES: ReadonlySet<unknown> = new Set(["oplog.damaged", "vdisk.copyDamaged"]);

/** Leave to damage a CVM's copy of the oplogs. */
export interface OplogClaim {
  readonly cvm: number;
  /** vDisks whose owner record still lists the copy. */
  readonly listed: Set<string>;
  readonly logLines: number;
}

export class Ground {
  readonly #world: World;
  readonly #site: SimSite;
  /** Places that were damaged once. */
  readonly #condemned = new Set<string>();
  #claim: OplogClaim | undefined;
  /** Faults of the site's own machines that are on. */
  #open = 0;

  constructor(world: World, site: SimSite) {
    this.#world = world;
    this.#site = site;
  }

  /** May the CVM be struck by a fault that can cost it its place among a vDisk's copies (G2)? */
  allows(cvm: SimCvm | undefined): boolean {
    const claim = this.#claim;
    return claim === undefined || cvm?.cvm === claim.cvm;
  }

  /** Such a fault begins. @returns to be called when it ends */
  strike(): () => void {
    this.#open += 1;
    return () => {
      this.#open -= 1;
    };
  }

  /** Copies on this CVM that may be damaged (G1), and leave to damage one of them. */
  spareCopies(cvm: SimCvm): { readonly copies: readonly StoredCopy[]; readonly atlas: FaultAtlas } {
    const good = new Map<string, number[]>();
    const own: StoredCopy[] = [];
    for (const one of this.#site.cvms)
      for (const copy of storedCopies(this.#site, one)) {
        if (this.#condemned.has(nameOf(copy))) continue;
        if (one === cvm) own.push(copy);
        const holders = good.get(copy.fingerprint) ?? [];
        good.set(copy.fingerprint, [...holders, one.cvm]);
      }
    const atlas = createFaultAtlas({
      cvms: this.#site.cvms.map((one) => one.cvm),
      // Copies decide, not CVMs: at RF 1 no chunk has another holder.
      replicationFactor: this.#site.cvms.length,
      holdersOf: (fingerprint) => good.get(fingerprint) ?? [],
    });
    const copies = own.filter(({ fingerprint }) =>
      (good.get(fingerprint) ?? []).some((holder) => holder !== cvm.cvm),
    );
    return { copies, atlas };
  }

  condemn(place: StoredPlace): void {
    this.#condemned.add(nameOf(place));
  }

  /** Entries that their vDisk's owner has not drained: whoever drains or takes over reads them. */
  undrained(entries: readonly StoredEntry[]): readonly StoredEntry[] {
    const drained = new Map(
      this.#records(siteKeys.maps).map(({ key, value }) => [key, decodeMap(value).drainedLsn]),
    );
    return entries.filter(
      ({ vdiskId, lsn }) => lsn > (drained.get(siteKeys.map(vdiskId)) ?? Number.POSITIVE_INFINITY),
    );
  }

  /** Leave to damage the CVM's copy of the oplogs (G2). */
  claimOplog(cvm: SimCvm): OplogClaim | undefined {
    if (this.#claim !== undefined || this.#open > 0) return undefined;
    if (!this.#site.cvms.every(({ stargate }) => stargate.isReady && !stargate.isPaused))
      return undefined;
    const owners = this.#owners().filter(({ peers }) => peers.includes(cvm.cvm));
    if (owners.length === 0 || owners.some(({ peers }) => peers.length < 2)) return undefined;
    const claim: OplogClaim = {
      cvm: cvm.cvm,
      listed: new Set(owners.map(({ key }) => key)),
      logLines: this.#world.log.lines.length,
    };
    this.#claim = claim;
    this.#follow(claim);
    return claim;
  }

  /** The bytes are back where nobody wrote since; when nobody has noticed, the copy is as good as before. */
  onOplogRestored(claim: OplogClaim): void {
    const name = this.#site.cvms.find(({ cvm }) => cvm === claim.cvm)?.stargate.name;
    const isNoticed = this.#world.log.lines
      .slice(claim.logLines)
      .some(({ fields }) => fields["process"] === name && NOTICES.has(fields["event"]));
    if (!isNoticed) this.#release(claim);
  }

  #release(claim: OplogClaim): void {
    if (this.#claim === claim) this.#claim = undefined;
  }

  /** A copy that was taken out of a list is filled anew before it is in it again. */
  #follow(claim: OplogClaim): void {
    const { etcd } = this.#site;
    const watch = etcd.connect().watch(siteKeys.owners, etcd.core.keyspace.revision + 1, {
      onEvents: (events) => {
        for (const event of events) {
          const key = event.kind === "put" ? event.entry.key : event.key;
          const peers = event.kind === "put" ? decodeOwner(event.entry.value).peers : [];
          if (!peers.includes(claim.cvm)) claim.listed.delete(key);
        }
        if (claim.listed.size > 0) return;
        watch.cancel();
        this.#release(claim);
      },
      onCompacted: () => undefined,
    });
  }

  #owners(): readonly { readonly key: string; readonly peers: readonly number[] }[] {
    return this.#records(siteKeys.owners).map(({ key, value }) => ({
      key,
      peers: decodeOwner(value).peers,
    }));
  }

  #records(prefix: string): readonly { readonly key: string; readonly value: Uint8Array }[] {
    const { kvs } = this.#site.etcd.core.range(make(RangeRequest, prefixRange(prefix)));
    return kvs.map(fromKeyValue);
  }
}

function nameOf({ cvm, path, position }: StoredPlace): string {
  return `${cvm.cvm}/${path}@${position}`;
}
