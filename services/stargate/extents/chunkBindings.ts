/**
 * Serves one CVM's extent store to the other CVMs of its site: ChunkService. What arrives is checked
 * against its wire checksum before anything of its frame is stored; that the bytes are what their
 * fingerprint names was verified where they entered the site.
 */

import { AntipodeError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import type { Infer } from "../../base/wire.ts";
import type { Codec } from "../../platform/codec.ts";
import { type Binding, type RpcStream, serveStream, serveUnary } from "../../platform/rpc.ts";
import {
  ChunkService,
  type PutChunksRequest,
  type PutChunksResponse,
} from "../../platform/wire/stargate.ts";
import type { Fingerprint, StoredChunk } from "../chunks.ts";
import { ByteGate } from "./byteGate.ts";
import { decodePack, encodePack, joinFingerprints, splitFingerprints } from "./chunkPack.ts";
import { GET_COUNT_MAX, HAS_COUNT_MAX } from "./holders.ts";
import type { LocalStore } from "./localStore.ts";
import { FRAME_CHUNKS_MAX } from "./peerPuts.ts";

/** Of one stream, received and not answered: twice what a well-behaved sender has under way. */
const STREAM_BYTES_MAX = 16 * MIB;

type Request = Infer<typeof PutChunksRequest>;
type Response = Infer<typeof PutChunksResponse>;

export interface ChunkBindingsOptions {
  /** This CVM's own store. */
  readonly local: LocalStore;
  readonly codec: Codec;
}

/** Bindings for the rpc server of this CVM's Stargate. */
export function chunkBindings(options: ChunkBindingsOptions): readonly Binding[] {
  const { local, codec } = options;
  return [
    serveStream(ChunkService.putChunks, (stream) => servePuts(options, stream)),
    serveUnary(ChunkService.getChunks, async ({ fingerprints }) => {
      const copies = await local.get(splitFingerprints(fingerprints, GET_COUNT_MAX));
      const corrupt: Fingerprint[] = [];
      const found: StoredChunk[] = [];
      for (const [i, copy] of copies.entries()) {
        if (copy.kind === "corrupt") corrupt.push(fingerprints.subarray(i * 32, (i + 1) * 32));
        if (copy.kind === "found") found.push(copy.chunk);
      }
      return { pack: encodePack(codec, found), corrupt: joinFingerprints(corrupt) };
    }),
    serveUnary(ChunkService.hasChunks, ({ fingerprints }) =>
      // Inside a promise, so that a refused list is an answer.
      Promise.resolve().then(() => {
        const present = local.has(splitFingerprints(fingerprints, HAS_COUNT_MAX));
        return { present: Uint8Array.from(present, Number) };
      }),
    ),
  ];
}

/**
 * Takes frames as they come, so that many share one sync, and answers them in order. Reading stops
 * while too much is unanswered, also when the caller does not take its answers.
 */
async function servePuts(
  options: ChunkBindingsOptions,
  stream: RpcStream<Response, Request>,
): Promise<void> {
  const gate = new ByteGate(STREAM_BYTES_MAX);
  const failures: unknown[] = [];
  let answered: Promise<unknown> = Promise.resolve();
  for await (const request of stream.incoming) {
    const bytes = request.pack.length;
    await gate.enter(bytes);
    const before = answered;
    const stored = storeFrame(options, request);
    answered = Promise.all([stored, before])
      .then(([answer]) => (failures.length === 0 ? stream.send(answer) : undefined))
      .catch((error: unknown) => failures.push(error))
      .finally(() => {
        gate.leave(bytes);
      });
    if (failures.length > 0) break;
  }
  await answered;
  if (failures.length > 0) throw failures[0];
}

/** The answer to a frame; an operating failure is part of it, and then nothing of the frame counts. */
async function storeFrame(options: ChunkBindingsOptions, request: Request): Promise<Response> {
  const { local, codec } = options;
  const { sequence } = request;
  try {
    const chunks = decodePack(codec, request.pack, FRAME_CHUNKS_MAX);
    const { isNew, storedCount, storedBytes } = await local.put(chunks);
    return {
      sequence,
      storedCount,
      storedBytes,
      errorCode: "",
      errorMessage: "",
      isNew: Uint8Array.from(isNew, Number),
    };
  } catch (error) {
    if (!(error instanceof AntipodeError)) throw error;
    const { code, message } = error;
    return {
      sequence,
      storedCount: 0,
      storedBytes: 0,
      errorCode: code,
      errorMessage: message,
      isNew: new Uint8Array(0),
    };
  }
}
