/**
 * The transmission phase of one connection: requests to device calls, their results to replies.
 *
 * Replies that become ready together leave in one write. Input stops (and the client is paused)
 * while `inflightMax` requests or `inflightBytesMax` bytes are with the device, or while the client
 * does not take its replies (N6). Requests run concurrently; NBD lets replies come in any order.
 */

import { InvariantViolation } from "../../base/assert.ts";
import type { ByteQueue } from "../../base/byteQueue.ts";
import { AntipodeError, errorTable, messageOf, nbdErrno } from "../../base/errors.ts";
import { nbdCommand, nbdCommandFlag } from "../../base/nbd.ts";
import type { Log } from "../../platform/log.ts";
import type { Connection } from "../../platform/net.ts";
import type { BlockDevice, BlockRun } from "./blockDevice.ts";
import type { Negotiated } from "./handshake.ts";
import { type NbdLimits, STATUS_BYTES_MAX } from "./limits.ts";
import { NbdReplies } from "./replies.ts";
import { type NbdRequest, NbdRequests } from "./requests.ts";

export interface TransmissionParts {
  readonly connection: Connection;
  readonly device: BlockDevice;
  readonly negotiated: Negotiated;
  /** Where the handshake left off. */
  readonly input: ByteQueue;
  readonly limits: NbdLimits;
  readonly log: Log;
  /** The client wants to leave, or must. */
  readonly onLeave: (reason: string) => void;
  /** Nothing is in flight any more, after `stop` or `abandon`. */
  readonly onIdle: () => void;
}

export class Transmission {
  readonly #parts: TransmissionParts;
  readonly #requests: NbdRequests;
  readonly #replies: NbdReplies;
  #inflight = 0;
  #inflightBytes = 0;
  /** "stopped": no more input; "abandoned": no more output either. */
  #state: "open" | "stopped" | "abandoned" = "open";
  /** The client does not take its replies. */
  #blocked = false;
  #paused = false;
  #flushDue = false;

  constructor(parts: TransmissionParts) {
    this.#parts = parts;
    const { device, negotiated } = parts;
    this.#replies = new NbdReplies(negotiated.structuredReplies);
    this.#requests = new NbdRequests(
      {
        sizeBytes: device.sizeBytes,
        readOnly: device.readOnly,
        structuredReplies: negotiated.structuredReplies,
        allocationContext: negotiated.allocationContext,
      },
      parts.input,
    );
  }

  /** True when every request taken has been answered and sent. */
  get isIdle(): boolean {
    return this.#inflight === 0 && !this.#flushDue;
  }

  onData(chunk: Uint8Array): void {
    this.#requests.input.push(chunk);
    this.#pump();
  }

  onDrain(): void {
    this.#blocked = false;
    this.#pump();
  }

  /** Takes no further request. */
  stop(): void {
    if (this.#state === "open") this.#state = "stopped";
  }

  /** The client is gone: what is in flight is awaited, its results are dropped. */
  abandon(): void {
    this.#state = "abandoned";
  }

  #pump(): void {
    while (this.#state === "open" && this.#hasRoom()) {
      const request = this.#requests.next();
      if (request === "starved") {
        this.#setPaused(false);
        return;
      }
      if (request === "garbage" || request.command === nbdCommand.disconnect) {
        this.#parts.onLeave(request === "garbage" ? "request magic is wrong" : "client left");
        return;
      }
      this.#start(request);
    }
    if (this.#state === "open") this.#setPaused(true);
  }

  #hasRoom(): boolean {
    const { inflightMax, inflightBytesMax } = this.#parts.limits;
    return !this.#blocked && this.#inflight < inflightMax && this.#inflightBytes < inflightBytesMax;
  }

  #setPaused(paused: boolean): void {
    if (paused === this.#paused) return;
    this.#paused = paused;
    if (paused) this.#parts.connection.pause();
    else this.#parts.connection.resume();
  }

  #start(request: NbdRequest): void {
    this.#inflight += 1;
    this.#inflightBytes += costBytes(request);
    if (request.errno !== 0) {
      this.#refuse(request);
      return;
    }
    const { device } = this.#parts;
    const done = (): void => {
      this.#onDone(request);
    };
    const failed = (error: unknown): void => {
      this.#onFailed(request, error);
    };
    switch (request.command) {
      case nbdCommand.read:
        device.read(request.offset, request.length).then((parts) => {
          this.#onRead(request, parts);
        }, failed);
        return;
      case nbdCommand.write:
        device.write(request.offset, dataOf(request)).then(done, failed);
        return;
      case nbdCommand.flush:
        device.flush().then(done, failed);
        return;
      case nbdCommand.trim:
      case nbdCommand.writeZeroes:
        device.zero(request.offset, request.length).then(done, failed);
        return;
      case nbdCommand.blockStatus:
        device.runs(request.offset, Math.min(request.length, STATUS_BYTES_MAX)).then((runs) => {
          this.#onRuns(request, runs);
        }, failed);
        return;
      default:
        throw new InvariantViolation("violated: a request without errno has a known command");
    }
  }

  #refuse(request: NbdRequest): void {
    const code = request.errno === nbdErrno.EPERM ? "READ_ONLY" : "INVALID_ARGUMENT";
    this.#replies.error(request, request.errno, `${code}: the export does not take this request`);
    this.#settle(request);
  }

  #onRead(request: NbdRequest, parts: readonly Uint8Array[]): void {
    let length = 0;
    for (const part of parts) length += part.length;
    // A reply of the wrong length would put the whole stream out of step.
    if (length !== request.length)
      throw new InvariantViolation("violated: a device returns exactly what was asked for");
    if (this.#state !== "abandoned") this.#replies.data(request, parts);
    this.#settle(request);
  }

  #onRuns(request: NbdRequest, runs: readonly BlockRun[]): void {
    const one = (request.flags & nbdCommandFlag.requestOne) !== 0;
    if (runs.length === 0) throw new InvariantViolation("violated: runs cover the range");
    this.#replies.status(request, one ? runs.slice(0, 1) : runs);
    this.#settle(request);
  }

  #onDone(request: NbdRequest): void {
    this.#replies.ok(request);
    this.#settle(request);
  }

  #onFailed(request: NbdRequest, error: unknown): void {
    if (error instanceof InvariantViolation) throw error;
    const code = error instanceof AntipodeError ? error.code : "INTERNAL";
    const fields = { event: "nbd.requestFailed", command: request.command, code };
    // A failure that has no code is a bug of the device: a person must see it.
    if (error instanceof AntipodeError) this.#parts.log.debug(fields, "block request failed");
    else this.#parts.log.error({ ...fields, err: messageOf(error) }, "block request failed");
    const text = error instanceof AntipodeError ? error.message : "unexpected failure";
    this.#replies.error(request, nbdErrno[errorTable[code].nbd], `${code}: ${text}`);
    this.#settle(request);
  }

  /** A request is answered; its reply leaves with all that become ready in the same turn. */
  #settle(request: NbdRequest): void {
    this.#inflight -= 1;
    this.#inflightBytes -= costBytes(request);
    if (this.#flushDue) return;
    this.#flushDue = true;
    // Two hops of the microtask queue: calls that ended together settle within them.
    void Promise.resolve().then(() =>
      Promise.resolve().then(() => {
        this.#flush();
      }),
    );
  }

  #flush(): void {
    this.#flushDue = false;
    const parts = this.#replies.take();
    if (this.#state !== "abandoned" && !this.#parts.connection.write(parts)) this.#blocked = true;
    if (this.#state === "open") this.#pump();
    else if (this.isIdle) this.#parts.onIdle();
  }
}

function costBytes(request: NbdRequest): number {
  const carriesData = request.command === nbdCommand.read || request.command === nbdCommand.write;
  // A refused request holds no data.
  return carriesData && request.errno === 0 ? request.length : 0;
}

function dataOf(request: NbdRequest): Uint8Array {
  if (request.data === undefined)
    throw new InvariantViolation("violated: an accepted WRITE has its data");
  return request.data;
}
