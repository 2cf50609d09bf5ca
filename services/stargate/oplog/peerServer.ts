/**
 * The peer's side of the oplog: keeps copies for owners on other CVMs, refuses those that were
 * fenced, and remembers when it last granted each owner a read lease, so that this CVM, should it
 * become owner itself, can wait the lease out (P4).
 */

import { AntipodeError, codeOf, messageOf } from "../../base/errors.ts";
import {
  epoch as asEpoch,
  lsn as asLsn,
  vdiskId as asVdiskId,
  type Epoch,
  type VdiskId,
} from "../../base/ids.ts";
import type { Infer } from "../../base/wire.ts";
import type { Clock } from "../../platform/clock.ts";
import { type Binding, type RpcStream, serveStream, serveUnary } from "../../platform/rpc.ts";
import {
  type AppendItem,
  type AppendItemOutcome,
  type AppendRequest,
  type AppendResponse,
  type FenceRequest,
  type FenceResponse,
  type LevelRequest,
  type LevelResponse,
  PeerService,
  type TailRequest,
  type TailResponse,
} from "../../platform/wire/oplog.ts";
import { LEVEL_BATCH_BYTES } from "../vdisk/limits.ts";
import type {
  AppendOutcome,
  OplogRecord,
  OplogReplica,
  OplogReplicas,
  ReplicaState,
} from "./contracts.ts";

type AppendRequestMessage = Infer<typeof AppendRequest>;
type AppendResponseMessage = Infer<typeof AppendResponse>;
type FenceRequestMessage = Infer<typeof FenceRequest>;
type LevelRequestMessage = Infer<typeof LevelRequest>;
type LevelResponseMessage = Infer<typeof LevelResponse>;
type TailRequestMessage = Infer<typeof TailRequest>;
type TailResponseMessage = Infer<typeof TailResponse>;

/** Records of a tail that are read together: of the largest ones 16 MiB, half of what a message may have. */
const TAIL_STEP_RECORDS = 4;
/** Batches of one stream that may be on their way to the disk at once. */
const BATCHES_IN_FLIGHT_MAX = 32;

/** When this CVM last let an owner read, by vDisk. */
export interface ReadGrants {
  /**
   * Monotonic time of the last grant to an owner with a lower epoch, or `undefined`. Without a grant
   * since this process started it is the start: what was granted before that is forgotten, not over.
   */
  lastGrantBelow(vdiskId: VdiskId, epoch: Epoch): number | undefined;
}

export interface PeerServer extends ReadGrants {
  readonly bindings: readonly Binding[];
}

interface Grant {
  readonly epoch: Epoch;
  readonly atMs: number;
}

export function createPeerServer(options: {
  readonly replicas: OplogReplicas;
  readonly clock: Clock;
}): PeerServer {
  const { replicas, clock } = options;
  const grants = new Map<VdiskId, Grant>();
  const startedAtMs = clock.now();

  const appendItem = async (item: AppendItem): Promise<AppendItemOutcome> => {
    const replica = replicas.of(asVdiskId(item.vdiskId));
    const epoch = asEpoch(item.epoch);
    try {
      const outcome = await appendTo(replica, epoch, item.records as readonly OplogRecord[]);
      if (outcome.kind === "appended") {
        const { promisedEpoch } = replica.state();
        // A lease is given only while nobody higher is promised; `promise` of a new owner on this CVM
        // runs in the same thread, so it either sees this grant or makes this check fail. An answer
        // "appended" is a lease (ownerLog.ts), so there is none without a grant.
        if (promisedEpoch > epoch)
          return outcomeMessage({ kind: "staleEpoch", promisedEpoch }, replica);
        grants.set(replica.vdiskId, { epoch, atMs: clock.now() });
        replica.trim(asLsn(Math.min(item.drainedLsn, replica.state().lastLsn)));
      }
      return outcomeMessage(outcome, replica);
    } catch (error) {
      return {
        kind: "failed",
        promisedEpoch: 0,
        lastLsn: 0,
        errorCode: codeOf(error) ?? "INTERNAL",
        errorMessage: messageOf(error),
      };
    }
  };

  return {
    bindings: [
      serveStream(PeerService.append, async (stream) => serveAppends(stream, appendItem)),
      serveUnary(PeerService.fence, async (request) => fence(replicas, request)),
      serveUnary(PeerService.level, async (request) => level(replicas, request)),
      serveUnary(PeerService.tail, async (request) => tail(replicas, request)),
    ],
    lastGrantBelow(vdiskId, epoch) {
      const grant = grants.get(vdiskId);
      if (grant === undefined) return startedAtMs;
      return grant.epoch < epoch ? grant.atMs : undefined;
    },
  };
}

/** A heartbeat has no records: it is refused like records would be, but needs no disk. @throws AntipodeError `OPLOG_CORRUPT` */
async function appendTo(
  replica: OplogReplica,
  epoch: Epoch,
  records: readonly OplogRecord[],
): Promise<AppendOutcome> {
  if (records.length > 0) return replica.append(epoch, records);
  const state = replica.state();
  const { promisedEpoch } = state;
  if (copyOf(state) !== "whole")
    throw new AntipodeError("OPLOG_CORRUPT", "this copy of the oplog is damaged or gone", {
      vdiskId: replica.vdiskId,
    });
  return promisedEpoch > epoch ? { kind: "staleEpoch", promisedEpoch } : { kind: "appended" };
}

/** Starts each batch when it arrives and answers in order of arrival, so that disk syncs are shared. */
async function serveAppends(
  stream: RpcStream<AppendResponseMessage, AppendRequestMessage>,
  appendItem: (item: AppendItem) => Promise<AppendItemOutcome>,
): Promise<void> {
  const inFlight: Promise<void>[] = [];
  let previous: Promise<void> = Promise.resolve();
  for await (const request of stream.incoming) {
    const outcomes = Promise.all(request.items.map(appendItem));
    const before = previous;
    const answered = (async (): Promise<void> => {
      const done = await outcomes;
      await before;
      await stream.send({ sequence: request.sequence, outcomes: done });
    })();
    // Marked as handled here; awaited below or by the next batch, where a failure ends the stream.
    answered.catch(() => undefined);
    previous = answered;
    inFlight.push(answered);
    if (inFlight.length >= BATCHES_IN_FLIGHT_MAX) await inFlight.shift();
  }
  await previous;
}

function outcomeMessage(outcome: AppendOutcome, replica: OplogReplica): AppendItemOutcome {
  const { promisedEpoch, lastLsn } = replica.state();
  return { kind: outcome.kind, promisedEpoch, lastLsn, errorCode: "", errorMessage: "" };
}

async function fence(
  replicas: OplogReplicas,
  request: FenceRequestMessage,
): Promise<FenceResponse> {
  const replica = replicas.of(asVdiskId(request.vdiskId));
  // Looked at before the promise: what is there now is synced when the promise is. Records that come in
  // meanwhile are not, and an owner must not count on them.
  const state = replica.state();
  const { drainedLsn, lastLsn, lastEpoch } = state;
  const copy = copyOf(state);
  // A promise would make a copy that lost its records look like one that has them.
  const granted =
    !(request.reliedOn && copy !== "whole") && (await replica.promise(asEpoch(request.epoch)));
  const { promisedEpoch } = replica.state();
  return { granted, promisedEpoch, drainedLsn, lastLsn, lastEpoch, copy };
}

/** Only for the epoch that is promised: nothing is appended below it, so the answer stays true. */
async function tail(
  replicas: OplogReplicas,
  request: TailRequestMessage,
): Promise<TailResponseMessage> {
  const replica = replicas.of(asVdiskId(request.vdiskId));
  const { promisedEpoch, drainedLsn, lastLsn } = replica.state();
  const from = request.fromLsn;
  if (request.epoch !== promisedEpoch || from <= drainedLsn)
    return { kind: "staleEpoch", promisedEpoch, previousEpoch: 0, records: [] };
  const previousEpoch = replica.epochAt(asLsn(from - 1));
  const records: OplogRecord[] = [];
  let bytes = 0;
  for (let at = from; at <= lastLsn && bytes < LEVEL_BATCH_BYTES; at += TAIL_STEP_RECORDS) {
    const to = asLsn(Math.min(lastLsn, at + TAIL_STEP_RECORDS - 1));
    for (const record of await replica.read(asLsn(at), to)) {
      bytes += record.data.length;
      records.push(record);
    }
  }
  return { kind: "records", promisedEpoch, previousEpoch, records };
}

/** What is left of what this CVM has acknowledged; every copy that ever acknowledged has promised. */
export function copyOf(state: ReplicaState): FenceResponse["copy"] {
  if (state.unknownFrom !== undefined) return "damaged";
  return state.promisedEpoch === 0 ? "none" : "whole";
}

async function level(
  replicas: OplogReplicas,
  request: LevelRequestMessage,
): Promise<LevelResponseMessage> {
  const replica = replicas.of(asVdiskId(request.vdiskId));
  const epoch = asEpoch(request.epoch);
  const at = asLsn(request.lsn);
  const answer = (kind: LevelResponseMessage["kind"]): LevelResponseMessage => ({
    kind,
    promisedEpoch: replica.state().promisedEpoch,
  });
  if (request.action === "truncate") {
    const { drainedLsn, lastLsn } = replica.state();
    const known = at > drainedLsn ? replica.epochAt(at) : asEpoch(0);
    if (at < drainedLsn || at > lastLsn || (known !== 0 && known !== request.expectedEpoch))
      return answer("mismatch");
  }
  const outcome =
    request.action === "truncate"
      ? await replica.truncateAfter(epoch, at)
      : await replica.reset(epoch, at);
  if (outcome.kind === "gap")
    throw new AntipodeError("INTERNAL", "a peer's log could not be levelled", {
      vdiskId: request.vdiskId,
      lsn: at,
    });
  return answer(outcome.kind === "appended" ? "levelled" : "staleEpoch");
}
