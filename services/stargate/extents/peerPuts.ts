/**
 * One long-lived PutChunks stream to another CVM. Chunks of many callers share frames of about
 * 512 KiB; many frames are under way, and answers come in order.
 *
 * A stream that breaks, ends, answers out of order or makes no progress for `PROGRESS_TIMEOUT_MS`
 * fails everything that was not answered; the next put opens another. Whoever is failed does not know
 * whether its chunks are stored there, and may put them again: storing what exists costs a look-up.
 */

import { AntipodeError, isErrorCode } from "../../base/errors.ts";
import { KIB, MIB } from "../../base/units.ts";
import type { Infer } from "../../base/wire.ts";
import { WireError } from "../../base/wire.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { Codec } from "../../platform/codec.ts";
import type { RpcClient, RpcStream } from "../../platform/rpc.ts";
import {
  ChunkService,
  type PutChunksRequest,
  type PutChunksResponse,
} from "../../platform/wire/stargate.ts";
import type { StoredChunk } from "../chunks.ts";
import { ByteGate } from "./byteGate.ts";
import { encodePack, PACKED_CHUNK_OVERHEAD_BYTES } from "./chunkPack.ts";

/** Bytes of a frame's pack, beyond its first chunk; as replication's frames (replication/limits.ts). */
const FRAME_BYTES = 512 * KIB;
/** Chunks of a frame, the smallest of them block-map nodes of 48 bytes. */
export const FRAME_CHUNKS_MAX = 2048;
/** Queued or unanswered at once; 1 Gbit/s times 60 ms. */
const INFLIGHT_BYTES_MAX = 8 * MIB;
/** Longer than a slow sync, about a lease: then the coordinator's view decides. */
const PROGRESS_TIMEOUT_MS = 5000;

type Request = Infer<typeof PutChunksRequest>;
type Response = Infer<typeof PutChunksResponse>;

interface Call {
  readonly chunks: readonly StoredChunk[];
  readonly isNew: boolean[];
  /** Chunks of it that are in frames already. */
  sentCount: number;
  openCount: number;
  readonly resolve: (isNew: readonly boolean[]) => void;
  readonly reject: (error: unknown) => void;
}
/** Chunks `from` to before `to` of a call. */
interface Part {
  readonly call: Call;
  readonly from: number;
  readonly to: number;
}
interface Frame {
  readonly sequence: number;
  readonly parts: readonly Part[];
  readonly chunkCount: number;
}

export interface PeerPutsOptions {
  readonly cvm: number;
  readonly client: RpcClient;
  readonly codec: Codec;
  readonly clock: Clock;
}

/** See the file's header. */
export class PeerPuts {
  readonly #options: PeerPutsOptions;
  readonly #gate = new ByteGate(INFLIGHT_BYTES_MAX);
  /** Calls with chunks that are in no frame yet. */
  readonly #queue: Call[] = [];
  #unanswered: Frame[] = [];
  #stream: RpcStream<Request, Response> | undefined;
  #isSending = false;
  #sequence = 0;
  #watchdog: Timer | undefined;
  #isClosed = false;

  constructor(options: PeerPutsOptions) {
    this.#options = options;
  }

  /**
   * Resolves when all are durable at the peer.
   * @returns for each chunk: true when this put stored it, false when the peer had it
   * @throws AntipodeError the peer's own, or `PEER_UNREACHABLE`, `DEADLINE_EXCEEDED`
   */
  async put(chunks: readonly StoredChunk[]): Promise<readonly boolean[]> {
    if (chunks.length === 0) return [];
    let bytes = 0;
    for (const { stored } of chunks) bytes += stored.length;
    await this.#gate.enter(bytes);
    try {
      return await new Promise<readonly boolean[]>((resolve, reject) => {
        const openCount = chunks.length;
        if (this.#isClosed) reject(this.#unreachable("this end is closed"));
        else this.#queue.push({ chunks, isNew: [], sentCount: 0, openCount, resolve, reject });
        void this.#send();
      });
    } finally {
      this.#gate.leave(bytes);
    }
  }

  /** Fails what is under way and breaks the stream. */
  close(): void {
    this.#isClosed = true;
    const stream = this.#stream;
    this.#fail(stream, this.#unreachable("this end is closed"));
    stream?.cancel();
  }

  /** Sends frames while chunks wait; one loop at a time. Never rejects for an operating failure. */
  async #send(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      // A turn later, so that the puts of this turn share frames.
      await Promise.resolve();
      while (this.#queue.length > 0 && !this.#isClosed) {
        const stream = this.#stream ?? this.#open();
        const frame = this.#takeFrame();
        this.#unanswered.push(frame);
        this.#watch();
        const chunks = frame.parts.flatMap(({ call, from, to }) => call.chunks.slice(from, to));
        const pack = encodePack(this.#options.codec, chunks);
        try {
          await stream.send({ sequence: frame.sequence, pack });
        } catch (error) {
          this.#fail(stream, error);
        }
      }
    } finally {
      this.#isSending = false;
    }
  }

  #takeFrame(): Frame {
    const parts: Part[] = [];
    let bytes = 0;
    let chunkCount = 0;
    for (let call = this.#queue[0]; call !== undefined; call = this.#queue[0]) {
      const from = call.sentCount;
      let to = from;
      for (; to < call.chunks.length && chunkCount < FRAME_CHUNKS_MAX; to++) {
        bytes += (call.chunks[to]?.stored.length ?? 0) + PACKED_CHUNK_OVERHEAD_BYTES;
        if (chunkCount > 0 && bytes > FRAME_BYTES) break;
        chunkCount += 1;
      }
      if (to > from) parts.push({ call, from, to });
      call.sentCount = to;
      if (to < call.chunks.length) break;
      this.#queue.shift();
    }
    this.#sequence += 1;
    return { sequence: this.#sequence, parts, chunkCount };
  }

  #open(): RpcStream<Request, Response> {
    const stream = this.#options.client.stream(ChunkService.putChunks);
    this.#stream = stream;
    void this.#receive(stream);
    return stream;
  }

  async #receive(stream: RpcStream<Request, Response>): Promise<void> {
    let reason: unknown;
    try {
      for await (const answer of stream.incoming) {
        if (stream !== this.#stream) return;
        this.#answer(answer);
      }
      reason = this.#unreachable("it ended the stream");
    } catch (error) {
      reason = error;
    }
    this.#fail(stream, reason);
    stream.cancel();
  }

  /** @throws AntipodeError `MESSAGE_INVALID` when the answer fits no frame */
  #answer(answer: Response): void {
    const frame = this.#unanswered[0];
    const { errorCode, errorMessage, isNew } = answer;
    const isFitting = errorCode !== "" || isNew.length === frame?.chunkCount;
    if (frame === undefined || frame.sequence !== answer.sequence || !isFitting)
      throw new AntipodeError("MESSAGE_INVALID", "an answer to PutChunks fits no request", {
        cvm: this.#options.cvm,
      });
    this.#unanswered.shift();
    this.#watch();
    let next = 0;
    for (const { call, from, to } of frame.parts) {
      if (errorCode !== "") {
        const code = isErrorCode(errorCode) ? errorCode : "INTERNAL";
        call.reject(new AntipodeError(code, errorMessage, { cvm: this.#options.cvm }));
        continue;
      }
      for (let slot = from; slot < to; slot++) call.isNew[slot] = isNew[next++] === 1;
      call.openCount -= to - from;
      if (call.openCount === 0) call.resolve(call.isNew);
    }
  }

  /** Arms the watchdog anew while frames wait for answers. */
  #watch(): void {
    this.#watchdog?.cancel();
    this.#watchdog = undefined;
    const stream = this.#stream;
    if (this.#unanswered.length === 0 || stream === undefined) return;
    this.#watchdog = this.#options.clock.after(PROGRESS_TIMEOUT_MS, () => {
      const { cvm } = this.#options;
      const text = `CVM ${cvm} has not answered for ${PROGRESS_TIMEOUT_MS} ms`;
      this.#fail(stream, new AntipodeError("DEADLINE_EXCEEDED", text, { cvm }));
      stream.cancel();
    });
  }

  /** Fails everything that waits, if this stream is still the one in use. */
  #fail(stream: RpcStream<Request, Response> | undefined, reason: unknown): void {
    if (stream !== this.#stream) return;
    this.#stream = undefined;
    this.#watchdog?.cancel();
    this.#watchdog = undefined;
    const parts = this.#unanswered.flatMap((frame) => frame.parts);
    const calls = new Set([...parts.map((part) => part.call), ...this.#queue.splice(0)]);
    this.#unanswered = [];
    const error =
      reason instanceof WireError
        ? new AntipodeError("MESSAGE_INVALID", reason.message, { cvm: this.#options.cvm }, reason)
        : reason;
    for (const call of calls) call.reject(error);
  }

  #unreachable(why: string): AntipodeError {
    const { cvm } = this.#options;
    return new AntipodeError("PEER_UNREACHABLE", `CVM ${cvm} takes no chunks: ${why}`, { cvm });
  }
}
