/**
 * The target side of replication: any Stargate of the site answers which chunks the site lacks, and
 * takes chunks in. Requests of a stream are worked on side by side within a budget of bytes, and
 * answered in their order, chunks when they are durable.
 *
 * Invariants:
 * - Nothing is stored that was not proved: checksum, decompression, SHA-256, canonical node (P7, P10).
 *   A frame with one bad chunk is refused as a whole, with a typed error, and the stream goes on.
 * - A node is stored only when all of its children are present at this site. So a node that is present
 *   means that its whole subtree is, which is what lets a source skip it.
 */

import { AntipodeError, type ErrorCode } from "../../base/errors.ts";
import type { Infer } from "../../base/wire.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Log } from "../../platform/log.ts";
import { type Binding, type RpcStream, serveStream } from "../../platform/rpc.ts";
import {
  type ReceiveRequest,
  type ReceiveResponse,
  ReceiveService,
} from "../../platform/wire/stargate.ts";
import { type FingerprintKey, keyOf } from "../blockmap/fingerprints.ts";
import { childrenOf } from "../blockmap/node.ts";
import type { ChunkSpace, Fingerprint } from "../chunks.ts";
import { decodePack, splitFingerprints } from "../extents/chunkPack.ts";
import { type CheckedChunk, checkChunk } from "./frames.ts";
import { createGate } from "./gate.ts";
import {
  FRAME_CHUNKS_MAX,
  QUERY_FINGERPRINTS_MAX,
  RECEIVE_PENDING_BYTES,
  RECEIVE_REQUEST_BYTES_MIN,
  REPLICATION_FACTOR_MAX,
} from "./limits.ts";

type Request = Infer<typeof ReceiveRequest>;
type Response = Infer<typeof ReceiveResponse>;
type Result = Partial<Omit<Response, "sequence">>;

/** What the receiver needs of the world. */
export interface ReceiveOptions {
  readonly space: Pick<ChunkSpace, "present" | "store">;
  readonly codec: Codec;
  readonly log: Log;
  /** Told of every request that was refused, for counters. */
  readonly onRefused?: (code: ErrorCode) => void;
}

/** Serves ReceiveService. */
export function receiveBindings(options: ReceiveOptions): readonly Binding[] {
  return [
    serveStream(ReceiveService.receive, (stream, { peer }) => receive(options, stream, peer)),
  ];
}

/** Serves one stream until its other end is done. */
async function receive(
  options: ReceiveOptions,
  stream: RpcStream<Response, Request>,
  peer: string,
): Promise<void> {
  const budget = createGate(RECEIVE_PENDING_BYTES);
  /** Answers one after the other; rejects when the stream is broken or a bug was hit. */
  let answered: Promise<void> = Promise.resolve();
  let failure: unknown;
  const answerInTurn = async (before: Promise<void>, work: Promise<Response>): Promise<void> => {
    const response = await work;
    await before;
    await stream.send(response);
  };
  for await (const request of stream.incoming) {
    const { fingerprints, pack } = request;
    const cost = Math.max(fingerprints.length + pack.length, RECEIVE_REQUEST_BYTES_MIN);
    await budget.take(cost);
    if (failure !== undefined) break;
    answered = answerInTurn(answered, answer(options, request, peer)).finally(() => {
      budget.give(cost);
    });
    answered.catch((error: unknown) => {
      failure ??= error;
    });
  }
  await answered;
}

/** The answer to one request; an operating failure becomes its error code. */
async function answer(options: ReceiveOptions, request: Request, peer: string): Promise<Response> {
  const { sequence } = request;
  const empty = { present: new Uint8Array(0), duplicateCount: 0, duplicateBytes: 0 };
  try {
    const result = await carryOut(options, request);
    return { ...empty, errorCode: "", errorMessage: "", ...result, sequence };
  } catch (error) {
    if (!(error instanceof AntipodeError)) throw error;
    options.onRefused?.(error.code);
    options.log.warn(
      { event: "replication.refused", peer, code: error.code, err: error },
      "request of another site refused",
    );
    return { ...empty, sequence, errorCode: error.code, errorMessage: error.message };
  }
}

async function carryOut(options: ReceiveOptions, request: Request): Promise<Result> {
  const { fingerprints, pack, replicationFactor } = request;
  if (replicationFactor < 1 || replicationFactor > REPLICATION_FACTOR_MAX)
    throw invalid("a request names a replication factor from 1 to 3", { replicationFactor });
  if (fingerprints.length > 0 === pack.length > 0)
    throw invalid("a request has either fingerprints or chunks", { packBytes: pack.length });
  return pack.length > 0 ? takeIn(options, request) : tellPresence(options, request);
}

async function tellPresence({ space }: ReceiveOptions, request: Request): Promise<Result> {
  const list = splitFingerprints(request.fingerprints, QUERY_FINGERPRINTS_MAX);
  const present = await space.present(list, request.replicationFactor);
  return { present: Uint8Array.from(present, (isPresent) => (isPresent ? 1 : 0)) };
}

async function takeIn({ space, codec }: ReceiveOptions, request: Request): Promise<Result> {
  const { pack, replicationFactor } = request;
  const chunks = decodePack(codec, pack, FRAME_CHUNKS_MAX);
  const checked = chunks.map((chunk) => checkChunk(codec, chunk));
  const children = distinctChildren(checked);
  if (children.length > 0) {
    const there = await space.present(children, replicationFactor);
    const missingCount = there.filter((isPresent) => !isPresent).length;
    if (missingCount > 0)
      throw new AntipodeError(
        "RECOVERY_POINT_INCOMPLETE",
        "a block-map node came before its children",
        { missingCount, childCount: children.length },
      );
  }
  // The source has asked: what it sends is not here, but for the window in flight after a break.
  return space.store(checked, replicationFactor, "new");
}

/** Children of all nodes among the chunks, each once. */
function distinctChildren(checked: readonly CheckedChunk[]): readonly Fingerprint[] {
  const children = new Map<FingerprintKey, Fingerprint>();
  for (const { node } of checked)
    if (node !== undefined)
      for (const child of childrenOf(node))
        if (child !== undefined) children.set(keyOf(child), child);
  return [...children.values()];
}

function invalid(what: string, details: Readonly<Record<string, number>>): AntipodeError {
  return new AntipodeError("MESSAGE_INVALID", what, details);
}
