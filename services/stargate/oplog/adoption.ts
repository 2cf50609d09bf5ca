/**
 * A new owner takes the records that another listed copy has and its own lacks. Its own may be short:
 * rot in the last batch of a journal that was not closed looks like a torn end (R4 in SPEC.md), and then
 * acknowledged records are missing without anybody here knowing (P1). Records that were never acknowledged
 * may come with them: such a write may be there or not.
 *
 * A1 the peers have promised the new owner's epoch before their ends are compared, so no end moves;
 * A2 what is taken continues the own log: the peer's record before it is the own last one (log matching),
 *    or both have it in the block map;
 * A3 the own log is made longer and never shorter here; levelling (levelling.ts) follows it.
 *
 * The logs of listed copies are prefixes of one history, because an owner levels all of them before it
 * serves; so the longest one has everything.
 */

import { AntipodeError, codeOf, messageOf } from "../../base/errors.ts";
import { lsn as asLsn, type Epoch, type VdiskId } from "../../base/ids.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Log } from "../../platform/log.ts";
import type { RpcClient } from "../../platform/rpc.ts";
import { PeerService } from "../../platform/wire/oplog.ts";
import { CONTROL_CALL_MS } from "../vdisk/limits.ts";
import type { OplogRecord, OplogReplica } from "./contracts.ts";

/** Calls that one tail may take: 2 MiB each, so twice what a vDisk may leave undrained. */
const TAIL_CALLS_MAX = 512;
const RETRY_PAUSE_MS = 100;
const deadline = { deadlineMs: CONTROL_CALL_MS };

/** Another CVM that the owner record lists. */
export interface ListedCopy {
  readonly cvm: number;
  readonly client: RpcClient;
}

export interface AdoptionOptions {
  readonly vdiskId: VdiskId;
  readonly epoch: Epoch;
  readonly replica: OplogReplica;
  readonly copies: readonly ListedCopy[];
  readonly clock: Clock;
  readonly logger: Log;
  /** Copies that do not answer for so long are left out. */
  readonly patienceMs: number;
}

/**
 * Makes the own log as long as the longest of the copies that answer.
 * @throws AntipodeError `STALE_EPOCH` when a copy has promised a higher epoch; what the own disk failed with
 */
export async function adoptLongest(options: AdoptionOptions): Promise<void> {
  const { vdiskId, replica, logger } = options;
  const untilMs = options.clock.now() + options.patienceMs;
  const ends = await Promise.all(options.copies.map((copy) => fencedEnd(options, copy, untilMs)));
  const longestFirst = options.copies
    .map((copy, i) => ({ copy, lastLsn: ends[i] ?? 0 }))
    .sort((a, b) => b.lastLsn - a.lastLsn);
  const before = replica.state().lastLsn;
  for (const { copy, lastLsn } of longestFirst) {
    try {
      await take(options, copy, lastLsn);
    } catch (error) {
      if (codeOf(error) === "STALE_EPOCH") throw error;
      const fields = { vdisk: vdiskId, peer: copy.cvm, lastLsn, reason: messageOf(error) };
      logger.warn({ event: "oplog.tailNotTaken", ...fields }, "records of a peer were not taken");
    }
  }
  const records = replica.state().lastLsn - before;
  if (records > 0)
    logger.info(
      { event: "oplog.tailTaken", vdisk: vdiskId, records },
      "took records from a longer copy",
    );
}

/** Where the copy ends, now that it takes nothing of an older epoch any more; `undefined` without a whole copy. */
async function fencedEnd(
  { vdiskId, epoch, clock }: AdoptionOptions,
  { client }: ListedCopy,
  untilMs: number,
): Promise<number | undefined> {
  for (;;) {
    try {
      const request = { vdiskId, epoch, reliedOn: true };
      const fenced = await client.unary(PeerService.fence, request, deadline);
      // It has lost its records: levelling takes it out.
      if (fenced.copy !== "whole") return undefined;
      if (!fenced.granted) throw stale(fenced.promisedEpoch);
      return fenced.lastLsn;
    } catch (error) {
      if (codeOf(error) === "STALE_EPOCH") throw error;
      if (clock.now() >= untilMs) return undefined;
      await clock.sleep(RETRY_PAUSE_MS);
    }
  }
}

async function take(
  { vdiskId, epoch, replica }: AdoptionOptions,
  { client }: ListedCopy,
  upToLsn: number,
): Promise<void> {
  for (let calls = 0; calls < TAIL_CALLS_MAX; calls++) {
    const { lastLsn, lastEpoch } = replica.state();
    if (upToLsn <= lastLsn) return;
    const request = { vdiskId, epoch, fromLsn: asLsn(lastLsn + 1) };
    const answer = await client.unary(PeerService.tail, request, deadline);
    if (answer.kind === "staleEpoch" && answer.promisedEpoch > epoch)
      throw stale(answer.promisedEpoch);
    const { previousEpoch, records } = answer;
    const follows = lastEpoch === 0 || previousEpoch === 0 || lastEpoch === previousEpoch;
    if (records.length === 0 || !follows)
      throw new AntipodeError("INTERNAL", "a peer's log does not continue the own one", {
        vdiskId,
        lastLsn,
        lastEpoch,
        previousEpoch,
      });
    const outcome = await replica.append(epoch, records as readonly OplogRecord[]);
    if (outcome.kind === "staleEpoch") throw stale(outcome.promisedEpoch);
  }
}

function stale(promisedEpoch: number): AntipodeError {
  return new AntipodeError("STALE_EPOCH", "a copy of the oplog has promised a higher epoch", {
    promisedEpoch,
  });
}
