/**
 * A holder is one CVM's extent store as the chunk space uses it: the own one directly, the others
 * through ChunkService. Batches are cut to what one call may carry.
 */

import { toHex } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Codec } from "../../platform/codec.ts";
import type { RpcClient } from "../../platform/rpc.ts";
import { ChunkService } from "../../platform/wire/stargate.ts";
import { type FingerprintKey, keyOf } from "../blockmap/fingerprints.ts";
import type { Fingerprint, StoredChunk } from "../chunks.ts";
import { decodePack, joinFingerprints, splitFingerprints } from "./chunkPack.ts";
import { Gather } from "./gather.ts";
import type { LocalCopy } from "./localReader.ts";
import type { LocalStore } from "./localStore.ts";
import { PeerPuts } from "./peerPuts.ts";

/** Chunks a GetChunks call: 2 MiB of them, 8 MiB at the very most. */
export const GET_COUNT_MAX = 128;
/** Fingerprints a HasChunks call: 128 KiB. */
export const HAS_COUNT_MAX = 4096;
/** Requests for so few chunks share a call with others of their turn. */
const GATHERED_COUNT_MAX = 8;
/** Calls under way to one CVM for one request. */
const CALLS_AT_ONCE_MAX = 8;
/** About a lease: a CVM that does not answer this long is passed over. */
const CALL_DEADLINE_MS = 5000;

export interface Holder {
  readonly cvm: number;
  /** Durable when it resolves; for each chunk: was it stored by this put? */
  put(chunks: readonly StoredChunk[]): Promise<readonly boolean[]>;
  /** One answer a fingerprint, in order. */
  get(fingerprints: readonly Fingerprint[]): Promise<readonly LocalCopy[]>;
  has(fingerprints: readonly Fingerprint[]): Promise<readonly boolean[]>;
  close(): void;
}

/** The own store; closing it is its owner's business. */
export function ownHolder(cvm: number, local: LocalStore): Holder {
  return {
    cvm,
    put: async (chunks) => (await local.put(chunks)).isNew,
    get: (fingerprints) => local.get(fingerprints),
    has: (fingerprints) => Promise.resolve(local.has(fingerprints)),
    close: () => undefined,
  };
}

export interface PeerHolderOptions {
  readonly cvm: number;
  readonly client: RpcClient;
  readonly codec: Codec;
  readonly clock: Clock;
}

/** Another CVM's store. */
export function peerHolder(options: PeerHolderOptions): Holder {
  const { cvm, client } = options;
  const puts = new PeerPuts(options);
  const call = { deadlineMs: CALL_DEADLINE_MS };
  const getAll = (fingerprints: readonly Fingerprint[]): Promise<readonly LocalCopy[]> =>
    inBatches(fingerprints, GET_COUNT_MAX, (batch) => getBatch(options, batch));
  const gather = new Gather(getAll);
  return {
    cvm,
    put: (chunks) => puts.put(chunks),
    get: (fingerprints) =>
      fingerprints.length <= GATHERED_COUNT_MAX ? gather.ask(fingerprints) : getAll(fingerprints),
    has: (fingerprints) =>
      inBatches(fingerprints, HAS_COUNT_MAX, async (batch) => {
        const request = { fingerprints: joinFingerprints(batch) };
        const { present } = await client.unary(ChunkService.hasChunks, request, call);
        if (present.length !== batch.length) throw invalid(cvm, "a presence list");
        return Array.from(present, (byte) => byte === 1);
      }),
    close: () => {
      puts.close();
    },
  };
}

async function getBatch(
  options: PeerHolderOptions,
  fingerprints: readonly Fingerprint[],
): Promise<readonly LocalCopy[]> {
  const { cvm, client, codec } = options;
  const request = { fingerprints: joinFingerprints(fingerprints) };
  const answer = await client.unary(ChunkService.getChunks, request, {
    deadlineMs: CALL_DEADLINE_MS,
  });
  const copies = new Map<FingerprintKey, LocalCopy>();
  for (const fingerprint of splitFingerprints(answer.corrupt, GET_COUNT_MAX)) {
    const error = new AntipodeError("CHUNK_CORRUPT", "a CVM found its copy of a chunk bad", {
      cvm,
      fingerprint: toHex(fingerprint),
    });
    copies.set(keyOf(fingerprint), { kind: "corrupt", error });
  }
  let others: LocalCopy = { kind: "absent" };
  try {
    for (const chunk of decodePack(codec, answer.pack, GET_COUNT_MAX))
      copies.set(keyOf(chunk.fingerprint), { kind: "found", chunk });
  } catch (error) {
    if (!(error instanceof AntipodeError)) throw error;
    // What was damaged on the way is good where it lies: failed, not corrupt.
    others = { kind: "failed", error };
  }
  return fingerprints.map((fingerprint) => copies.get(keyOf(fingerprint)) ?? others);
}

/** Answers of all batches in order, `CALLS_AT_ONCE_MAX` under way. */
async function inBatches<T>(
  fingerprints: readonly Fingerprint[],
  countMax: number,
  ask: (batch: readonly Fingerprint[]) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  const answers: (readonly T[])[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let at = next; at < fingerprints.length; at = next) {
      next = at + countMax;
      answers[at / countMax] = await ask(fingerprints.slice(at, at + countMax));
    }
  };
  const workers = Math.min(CALLS_AT_ONCE_MAX, Math.ceil(fingerprints.length / countMax));
  await Promise.all(Array.from({ length: workers }, work));
  return answers.flat();
}

function invalid(cvm: number, what: string): AntipodeError {
  return new AntipodeError("MESSAGE_INVALID", `CVM ${cvm} sent ${what} that fits no request`, {
    cvm,
  });
}
