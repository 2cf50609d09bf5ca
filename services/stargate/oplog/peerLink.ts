/**
 * The owner's side of the stream to one other CVM, shared by all vDisks that this CVM owns and the
 * other keeps a copy of. What is given in one turn of the event loop leaves as one message; batches
 * in flight and their bytes are bounded; an answer that does not come in time breaks the stream, and
 * with it every item that waits. The link is made again with the next item.
 */

import { AntipodeError } from "../../base/errors.ts";
import type { MonotonicMs } from "../../base/ids.ts";
import type { Infer } from "../../base/wire.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { RpcClient, RpcStream } from "../../platform/rpc.ts";
import {
  type AppendItem,
  type AppendItemOutcome,
  type AppendRequest,
  type AppendResponse,
  PeerService,
} from "../../platform/wire/oplog.ts";
import {
  APPEND_BATCH_BYTES_MAX,
  PEER_ANSWER_MS_MAX,
  PEER_BATCHES_IN_FLIGHT_MAX,
  PEER_BYTES_IN_FLIGHT_MAX,
} from "../vdisk/limits.ts";

type Stream = RpcStream<Infer<typeof AppendRequest>, Infer<typeof AppendResponse>>;

/** What the peer said, and when it was asked: a read lease counts from then. */
export interface PeerAnswer {
  readonly outcome: AppendItemOutcome;
  readonly sentAtMs: MonotonicMs;
}

export interface PeerLink {
  /**
   * Sends one item. Items of one link arrive in the order of the calls.
   * @throws AntipodeError `PEER_UNREACHABLE`: whether the peer has the records is not known
   */
  append(item: AppendItem): Promise<PeerAnswer>;
  close(): void;
}

interface Waiting {
  readonly item: AppendItem;
  readonly bytes: number;
  readonly resolve: (answer: PeerAnswer) => void;
  readonly reject: (error: unknown) => void;
}

interface Batch {
  readonly sequence: number;
  readonly waiting: readonly Waiting[];
  readonly bytes: number;
  readonly sentAtMs: MonotonicMs;
}

const ITEM_OVERHEAD_BYTES = 64;

/** Creates a link; nothing is dialled before the first item. */
export function createPeerLink(options: {
  readonly client: RpcClient;
  readonly clock: Clock;
}): PeerLink {
  return new Link(options.client, options.clock);
}

class Link implements PeerLink {
  readonly #client: RpcClient;
  readonly #clock: Clock;
  #stream: Stream | undefined;
  #queue: Waiting[] = [];
  #inFlight: Batch[] = [];
  #bytesInFlight = 0;
  #sequence = 0;
  #flushScheduled = false;
  #watchdog: Timer | undefined;
  #closed = false;

  constructor(client: RpcClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  append(item: AppendItem): Promise<PeerAnswer> {
    let bytes = ITEM_OVERHEAD_BYTES;
    for (const record of item.records) bytes += record.data.length + ITEM_OVERHEAD_BYTES;
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new AntipodeError("CANCELLED", "the link to the peer is closed"));
        return;
      }
      this.#queue.push({ item, bytes, resolve, reject });
      this.#scheduleFlush();
    });
  }

  close(): void {
    this.#closed = true;
    this.#break(new AntipodeError("CANCELLED", "the link to the peer is closed"));
  }

  /** Items of one turn travel together. */
  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    void Promise.resolve().then(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (
      this.#queue.length > 0 &&
      this.#inFlight.length < PEER_BATCHES_IN_FLIGHT_MAX &&
      this.#bytesInFlight < PEER_BYTES_IN_FLIGHT_MAX
    ) {
      const waiting = takeBatch(this.#queue);
      this.#queue.splice(0, waiting.length);
      let bytes = 0;
      for (const one of waiting) bytes += one.bytes;
      const batch: Batch = {
        sequence: ++this.#sequence,
        waiting,
        bytes,
        sentAtMs: this.#clock.now(),
      };
      this.#inFlight.push(batch);
      this.#bytesInFlight += bytes;
      const stream = this.#stream ?? this.#open();
      stream
        .send({ sequence: batch.sequence, items: waiting.map((one) => one.item) })
        .catch((error: unknown) => {
          if (this.#stream === stream) this.#break(error);
        });
    }
    this.#watch();
  }

  #open(): Stream {
    const stream = this.#client.stream(PeerService.append);
    this.#stream = stream;
    void this.#receive(stream);
    return stream;
  }

  async #receive(stream: Stream): Promise<void> {
    try {
      for await (const response of stream.incoming) this.#onResponse(response);
      throw new AntipodeError("PEER_UNREACHABLE", "the peer ended the oplog stream");
    } catch (error) {
      if (this.#stream === stream) this.#break(error);
    }
  }

  #onResponse(response: Infer<typeof AppendResponse>): void {
    const batch = this.#inFlight.shift();
    if (
      batch === undefined ||
      batch.sequence !== response.sequence ||
      response.outcomes.length !== batch.waiting.length
    )
      throw new AntipodeError("MESSAGE_INVALID", "a peer answered something that was not asked");
    this.#bytesInFlight -= batch.bytes;
    batch.waiting.forEach((one, index) => {
      const outcome = response.outcomes[index];
      if (outcome !== undefined) one.resolve({ outcome, sentAtMs: batch.sentAtMs });
    });
    this.#flush();
  }

  /** One timer, for the oldest batch. */
  #watch(): void {
    this.#watchdog?.cancel();
    this.#watchdog = undefined;
    const oldest = this.#inFlight[0];
    if (oldest === undefined) return;
    const left = Math.max(1, oldest.sentAtMs + PEER_ANSWER_MS_MAX - this.#clock.now());
    this.#watchdog = this.#clock.after(left, () => {
      this.#watchdog = undefined;
      if (this.#inFlight[0] === oldest)
        this.#break(new AntipodeError("PEER_UNREACHABLE", "a peer does not answer"));
      else this.#watch();
    });
  }

  #break(cause: unknown): void {
    this.#watchdog?.cancel();
    this.#watchdog = undefined;
    const stream = this.#stream;
    this.#stream = undefined;
    const lost = [...this.#inFlight.flatMap((batch) => batch.waiting), ...this.#queue];
    this.#inFlight = [];
    this.#queue = [];
    this.#bytesInFlight = 0;
    stream?.cancel();
    const error =
      cause instanceof AntipodeError
        ? cause
        : new AntipodeError("PEER_UNREACHABLE", "the oplog stream to a peer broke", {}, cause);
    for (const one of lost) one.reject(error);
  }
}

/** Items for one message: as many as fit, at least one. */
function takeBatch(queue: readonly Waiting[]): readonly Waiting[] {
  let bytes = 0;
  let count = 0;
  for (const one of queue) {
    if (count > 0 && bytes + one.bytes > APPEND_BATCH_BYTES_MAX) break;
    bytes += one.bytes;
    count += 1;
  }
  return queue.slice(0, count);
}
