/**
 * Becoming the owner of a vDisk (design section 4, "Oplog peers"). Steps, in this order:
 *
 * 1. this CVM must be a listed peer, and its copy whole: only those have every acknowledged record. One
 *    whose copy is damaged or gone hands the vDisk over to another listed peer, or refuses: its log must
 *    never become the truth (P1);
 * 2. win the owner record with the next epoch, guarded by its revision: one winner;
 * 3. promise the epoch in the own replica: the old owner gets no more answers from here;
 * 4. read the block-map record: it cannot change any more, the old owner's commits are refused;
 * 5. wait out the read lease that this CVM last granted to the old owner, perhaps just before it restarted;
 * 6. take what a longer listed copy has beyond our end: ours may have lost its last batch without knowing it;
 *    read the own tail whole, then level every other listed peer and send it our tail; who does not answer in time is removed
 *    from the record before anything is served;
 * 7. serve: our tail counts as committed, because every listed peer has it now.
 *
 * A restart of the owner's own process takes the same way.
 */

import { AntipodeError, codeOf, messageOf } from "../../base/errors.ts";
import { epoch as asEpoch, lsn as asLsn, type Lsn, type VdiskId } from "../../base/ids.ts";
import { siteKeys, type VdiskRecord } from "../../base/siteRecords.ts";
import { rootFromHex } from "../blockmap/fingerprints.ts";
import { adoptLongest } from "../oplog/adoption.ts";
import type { OplogRecord, OplogReplica, OplogReplicas } from "../oplog/contracts.ts";
import { OwnerLog } from "../oplog/ownerLog.ts";
import { copyOf, type ReadGrants } from "../oplog/peerServer.ts";
import { damagedCopyError, isDamaged, logDamagedCopy } from "./damagedCopy.ts";
import type { MapState } from "./drainer.ts";
import { LEVEL_BATCH_RECORDS, READ_LEASE_WAIT_MS, TAKEOVER_PATIENCE_MS } from "./limits.ts";
import { createOverlay } from "./overlay.ts";
import { OwnedVdisk, type VdiskWorld } from "./ownedVdisk.ts";
import { missing, OwnerSeat } from "./ownerSeat.ts";
import { levelAndAttach, PeerKeeper, type PeerWorld, patienceMs } from "./peerKeeper.ts";
import { decodeMap, decodeOwner } from "./records.ts";

export interface TakeoverWorld {
  readonly vdisks: VdiskWorld;
  readonly peers: PeerWorld;
  readonly replicas: OplogReplicas;
  readonly grants: ReadGrants;
}

const RETRY_PAUSE_MS = 100;

/**
 * Takes over and starts serving.
 * @throws AntipodeError `NOT_OWNER` when this CVM may not, or another was faster; `COORDINATOR_UNAVAILABLE`;
 * `COORDINATOR_BEHIND` when etcd was restored from before this copy was last trimmed
 */
export async function takeOver(
  world: TakeoverWorld,
  record: VdiskRecord,
  onDeposed: (owned: OwnedVdisk, reason: AntipodeError) => void,
): Promise<OwnedVdisk> {
  const { vdisks, peers } = world;
  const replica = world.replicas.of(record.id as VdiskId);
  const startedAtMs = vdisks.clock.now();
  const seat = await winSeat(world, record, replica);
  if (!(await replica.promise(seat.epoch)))
    throw new AntipodeError("NOT_OWNER", "this CVM has promised a higher epoch", {
      vdisk: record.name,
    });
  const state = await adoptMap(world, record, replica, seat);
  const grantedAtMs = world.grants.lastGrantBelow(replica.vdiskId, seat.epoch);
  if (seat.record.served && grantedAtMs !== undefined) {
    const waitMs = grantedAtMs + READ_LEASE_WAIT_MS - vdisks.clock.now();
    if (waitMs > 0) await vdisks.clock.sleep(waitMs);
  }

  const levelFromMs = vdisks.clock.now();
  await adoptTails(world, replica, seat);
  // The log exists before the vDisk serves, so that the peers can be levelled with it.
  const wiring: Wiring = {
    apply: undefined,
    owned: undefined,
    keeper: undefined,
    failure: undefined,
  };
  const log = wiredLog({ record, replica, seat, onBug: vdisks.onBug }, wiring);
  const overlay = createOverlay();
  let markers: readonly Lsn[];
  try {
    // All of the own tail is read before any other copy is touched: rot in it must cost only this copy.
    markers = await adoptTail({ replica, state, epoch: seat.epoch }, (one) => {
      overlay.apply(one);
    });
    await levelListed(world, { id: replica.vdiskId, log, replica, fromMs: levelFromMs }, seat);
  } catch (error) {
    if (!isDamaged(replica)) throw error;
    logDamagedCopy(vdisks.logger, record, replica, seat.record.peers.length - 1);
    return handOver(world, record, { seat, replica });
  }
  if (wiring.failure !== undefined) throw wiring.failure;
  const owned = new OwnedVdisk({
    world: vdisks,
    record,
    seat,
    replica,
    overlay,
    state,
    markers,
    createLog: (onApply) => {
      wiring.apply = onApply;
      return log;
    },
    onDeposed: (reason) => {
      wiring.keeper?.stop();
      if (wiring.owned !== undefined) onDeposed(wiring.owned, reason);
    },
  });
  wiring.owned = owned;
  wiring.keeper = new PeerKeeper(owned, peers);
  vdisks.logger.info(
    {
      event: "vdisk.owned",
      vdisk: record.id,
      name: record.name,
      epoch: seat.epoch,
      peers: seat.record.peers,
      lastLsn: log.lastLsn,
      elapsedMs: vdisks.clock.now() - startedAtMs,
    },
    "vdisk owned",
  );
  return owned;
}

/** Who hears what the log reports: known one after the other while a takeover goes on. */
interface Wiring {
  apply: ((record: OplogRecord) => void) | undefined;
  owned: OwnedVdisk | undefined;
  keeper: PeerKeeper | undefined;
  /** What went wrong before the vDisk served. */
  failure: AntipodeError | undefined;
}

function wiredLog(
  {
    record,
    replica,
    seat,
    onBug,
  }: Pick<VdiskWorld, "onBug"> & {
    readonly record: VdiskRecord;
    readonly replica: OplogReplica;
    readonly seat: OwnerSeat;
  },
  wiring: Wiring,
): OwnerLog {
  const depose = (reason: AntipodeError): void => {
    if (wiring.owned === undefined) wiring.failure ??= reason;
    else wiring.owned.depose(reason);
  };
  return new OwnerLog({
    vdiskId: replica.vdiskId,
    replica,
    epoch: seat.epoch,
    events: {
      onApply: (one) => wiring.apply?.(one),
      onPeerLost: (cvm, reason) => wiring.keeper?.onPeerLost(cvm, reason),
      onDeposed: (promisedEpoch) => {
        const details = { vdisk: record.name, promisedEpoch };
        depose(new AntipodeError("STALE_EPOCH", "a peer follows a higher epoch", details));
      },
      onLocalFailure: (error) => {
        if (!(error instanceof AntipodeError)) onBug(error);
        else if (wiring.owned !== undefined && isDamaged(replica)) wiring.owned.giveUp(error);
        else depose(localFailure(record, error));
      },
    },
  });
}

/** A full disk is the client's to know; anything else ends in a takeover elsewhere. */
function localFailure(record: VdiskRecord, error: AntipodeError): AntipodeError {
  return new AntipodeError(
    error.code,
    `the owner's oplog failed: ${error.message}`,
    { vdisk: record.name },
    error,
  );
}

async function winSeat(
  world: TakeoverWorld,
  record: VdiskRecord,
  replica: OplogReplica,
): Promise<OwnerSeat> {
  const { coordinator, clock } = world.vdisks;
  const { selfCvm } = world.peers;
  const entry = await coordinator.get(siteKeys.owner(record.id));
  if (entry === undefined) throw missing("the owner record", record.name);
  const found = decodeOwner(entry.value);
  if (!found.peers.includes(selfCvm))
    throw new AntipodeError("NOT_OWNER", "this CVM is no peer of the vDisk", {
      vdisk: record.name,
      owner: found.owner,
    });
  const seat = new OwnerSeat({
    coordinator,
    clock,
    vdiskId: record.id as VdiskId,
    record: found,
    revision: entry.modRevision,
  });
  if (found.peers.length > 1) replica.distrustUnreadable();
  if (found.served && copyOf(replica.state()) !== "whole")
    return handOver(world, record, { seat, replica });
  const outcome = await seat.advance(selfCvm, found.peers);
  if (outcome.kind === "deposed")
    throw new AntipodeError("NOT_OWNER", "another CVM took over first", {
      vdisk: record.name,
      owner: outcome.record?.owner ?? 0,
    });
  return seat;
}

/** This CVM's copy lacks records: it makes another listed peer the owner, and is itself none any more. */
async function handOver(
  world: TakeoverWorld,
  record: VdiskRecord,
  { seat, replica }: { readonly seat: OwnerSeat; readonly replica: OplogReplica },
): Promise<never> {
  const { peers } = world;
  const { selfCvm } = peers;
  const others = seat.record.peers.filter((cvm) => cvm !== selfCvm);
  const error = damagedCopyError(record, replica, others.length);
  if (others.length === 0) throw error;
  const heir = peers.candidates(record.id).find((cvm) => others.includes(cvm));
  if (heir !== undefined) await seat.advance(heir, others);
  throw error;
}

/** The block map as the old owner left it; the replica forgets what is in it. */
async function adoptMap(
  world: TakeoverWorld,
  record: VdiskRecord,
  replica: OplogReplica,
  seat: OwnerSeat,
): Promise<MapState> {
  const entry = await world.vdisks.coordinator.get(siteKeys.map(record.id));
  if (entry === undefined) throw missing("the map record", record.name);
  const map = decodeMap(entry.value);
  const drainedLsn = asLsn(map.drainedLsn);
  checkNotBehind(record, replica, { epoch: seat.epoch, drainedLsn });
  // A copy that is damaged although nothing was ever acknowledged with it begins anew as well.
  const { lastLsn, unknownFrom } = replica.state();
  if (lastLsn < drainedLsn || unknownFrom !== undefined)
    await replica.reset(seat.epoch, drainedLsn);
  else replica.trim(drainedLsn);
  return { root: rootFromHex(map.root), drainedLsn };
}

/**
 * A copy is trimmed only when etcd has acknowledged the root that holds what goes. One that was trimmed further than
 * etcd says was trimmed by a newer owner, or etcd has lost that root: then what this copy no longer has is nowhere else.
 */
function checkNotBehind(
  record: VdiskRecord,
  replica: OplogReplica,
  known: { readonly epoch: number; readonly drainedLsn: Lsn },
): void {
  const { drainedLsn, promisedEpoch } = replica.state();
  if (drainedLsn <= known.drainedLsn) return;
  if (promisedEpoch > known.epoch)
    throw new AntipodeError("NOT_OWNER", "another CVM took over first");
  throw new AntipodeError(
    "COORDINATOR_BEHIND",
    `etcd knows vDisk "${record.name}" up to record ${known.drainedLsn}, its oplog begins after ${drainedLsn}`,
    { vdisk: record.name, ...known, drainedHere: drainedLsn },
  );
}

/** Step 6, first half: what the longest listed copy has, this one has. */
async function adoptTails(
  { vdisks, peers }: TakeoverWorld,
  replica: OplogReplica,
  seat: OwnerSeat,
): Promise<void> {
  // Before it was served, nothing was acknowledged.
  if (!seat.record.served) return;
  const others = seat.record.peers.filter((cvm) => cvm !== peers.selfCvm);
  await adoptLongest({
    vdiskId: replica.vdiskId,
    epoch: seat.epoch,
    replica,
    copies: others.map((cvm) => ({ cvm, client: peers.clientOf(cvm) })),
    clock: vdisks.clock,
    logger: vdisks.logger,
    patienceMs: TAKEOVER_PATIENCE_MS,
  });
}

/** Step 6, second half: every listed peer follows, or is not listed any more. */
async function levelListed(
  world: TakeoverWorld,
  target: {
    readonly id: VdiskId;
    readonly log: OwnerLog;
    readonly replica: OplogReplica;
    /** Since when the peers are asked. */
    readonly fromMs: number;
  },
  seat: OwnerSeat,
): Promise<void> {
  const { clock, logger } = world.vdisks;
  const { selfCvm } = world.peers;
  const reliedOn = seat.record.served;
  const levelOne = async (cvm: number): Promise<number | undefined> => {
    for (;;) {
      try {
        const role = { cvm, counted: true, reliedOn, acknowledgedLsn: asLsn(0) };
        await levelAndAttach(target, world.peers, role);
        return cvm;
      } catch (error) {
        const code = codeOf(error);
        if (code === undefined || code === "STALE_EPOCH" || isDamaged(target.replica)) throw error;
        const until = target.fromMs + patienceMs(error, TAKEOVER_PATIENCE_MS);
        if (clock.now() >= until || code === "OPLOG_CORRUPT") {
          logger.warn(
            { event: "vdisk.peerAbsent", vdisk: target.id, peer: cvm, reason: messageOf(error) },
            "listed peer does not follow",
          );
          return undefined;
        }
        await clock.sleep(RETRY_PAUSE_MS);
      }
    }
  };
  const others = seat.record.peers.filter((cvm) => cvm !== selfCvm);
  const following = (await Promise.all(others.map(levelOne))).filter((cvm) => cvm !== undefined);
  if (following.length === others.length && seat.record.served) return;
  const peers = [selfCvm, ...following];
  const outcome = await seat.advance(selfCvm, peers, true);
  if (outcome.kind === "deposed")
    throw new AntipodeError("NOT_OWNER", "another CVM took over first", { vdiskId: target.id });
  target.log.configure(asEpoch(seat.epoch), peers);
}

/**
 * Applies the undrained tail; returns where its markers are.
 * @throws AntipodeError `NOT_OWNER` when another CVM took over meanwhile: it may have drained this copy further
 */
async function adoptTail(
  { replica, state, epoch }: { replica: OplogReplica; state: MapState; epoch: number },
  apply: (record: OplogRecord) => void,
): Promise<readonly Lsn[]> {
  const markers: Lsn[] = [];
  const { lastLsn } = replica.state();
  for (let from = state.drainedLsn + 1; from <= lastLsn; from += LEVEL_BATCH_RECORDS) {
    const to = Math.min(lastLsn, from + LEVEL_BATCH_RECORDS - 1);
    if (replica.state().promisedEpoch > epoch)
      throw new AntipodeError("NOT_OWNER", "another CVM took over first");
    for (const record of await replica.read(asLsn(from), asLsn(to))) {
      apply(record);
      if (record.kind === "marker") markers.push(record.lsn);
    }
  }
  return markers;
}
