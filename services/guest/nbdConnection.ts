/**
 * An NBD client: one connection to one export, many operations at once.
 *
 * - At most `outstandingMax` operations are with the server; up to `queuedMax` more wait in order,
 *   a further one is refused with `OVERLOADED`.
 * - Operations issued in one turn leave in one write; while the socket is full nothing is sent.
 * - When the connection is lost, every operation that may have reached the server is rejected with
 *   `details.indeterminate === true`: it may happen, have happened, or never happen. What was still
 *   waiting here is rejected with `false`. There is no reconnection: who calls knows best.
 * - A server that does not answer the oldest operation within `ioTimeoutMs` counts as lost.
 */

import { AntipodeError } from "../base/errors.ts";
import {
  encodeNbdRequest,
  NBD_RANGE_BYTES_MAX,
  nbdCommand,
  nbdCommandFlag,
  nbdTransmissionFlag,
} from "../base/nbd.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import type { Connection, Net } from "../platform/net.ts";
import { lostError, malformed, replyError } from "./nbdErrors.ts";
import type { ByteInbox, NbdExport } from "./nbdHandshake.ts";
import { NbdReplyReader, type NbdRun, type SentOperation } from "./nbdReplies.ts";
import type { NbdTarget } from "./nbdUri.ts";

export interface NbdClientOptions {
  /** Operations with the server at once. */
  readonly outstandingMax: number;
  /** Operations that wait for their turn. */
  readonly queuedMax: number;
  /** Dialling and handshake together. */
  readonly connectTimeoutMs: number;
  /** Oldest unanswered operation. */
  readonly ioTimeoutMs: number;
}

export const nbdClientDefaults: NbdClientOptions = {
  outstandingMax: 64,
  queuedMax: 4096,
  connectTimeoutMs: 5_000,
  ioTimeoutMs: 30_000,
};

export interface NbdWorld {
  readonly net: Net;
  readonly clock: Clock;
}

/** Offsets and lengths are in bytes. Every operation throws AntipodeError. */
export interface NbdClient {
  readonly target: NbdTarget;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly preferredBlockBytes: number;
  /** Largest `length` of one `read` or `write`. */
  readonly payloadBytesMax: number;
  /** False when the server does not offer `base:allocation`: then all is "data". */
  readonly hasBlockStatus: boolean;
  /** Operations with the server now. */
  readonly outstanding: number;
  /** Resolves when the connection is gone, with the reason; `undefined` after `close`. */
  readonly gone: Promise<AntipodeError | undefined>;
  read(offset: number, length: number): Promise<Uint8Array>;
  /** `data` must not change until the promise settles. */
  write(offset: number, data: Uint8Array, durable?: "fua"): Promise<void>;
  /** Makes the range read as zeros. */
  zero(offset: number, length: number): Promise<void>;
  trim(offset: number, length: number): Promise<void>;
  flush(): Promise<void>;
  /** Runs that cover the range exactly, neighbours of different kind. */
  blockStatus(offset: number, length: number): Promise<readonly NbdRun[]>;
  /** Waits for what is outstanding, tells the server, closes. Harmless when it is gone. */
  close(): Promise<void>;
}

/** What a connection is made of once the handshake is over. */
export interface NbdConnectionParts {
  readonly clock: Clock;
  readonly target: NbdTarget;
  readonly options: NbdClientOptions;
  readonly connection: Connection;
  readonly inbox: ByteInbox;
  readonly found: NbdExport;
}

interface Operation extends SentOperation {
  readonly cookie: number;
  readonly flags: number;
  readonly payload: Uint8Array | undefined;
  /** When it was sent, by the monotonic clock. */
  sentAtMs: number;
  readonly resolve: () => void;
  readonly reject: (error: AntipodeError) => void;
}

interface Ask {
  readonly command: number;
  readonly flags?: number;
  readonly offset?: number;
  readonly length?: number;
  readonly payload?: Uint8Array;
}

const COOKIE_END = 0x1_0000_0000;

export class NbdConnection implements NbdClient {
  readonly target: NbdTarget;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly preferredBlockBytes: number;
  readonly payloadBytesMax: number;
  readonly hasBlockStatus: boolean;
  readonly gone: Promise<AntipodeError | undefined>;
  readonly #parts: NbdConnectionParts;
  readonly #reader: NbdReplyReader<Operation>;
  /** With the server, in the order they were sent: the first is the oldest. */
  readonly #sent = new Map<number, Operation>();
  #queued: Operation[] = [];
  #nextCookie = 1;
  #sendDue = false;
  #blocked = false;
  #watchdog: Timer | undefined;
  /** Set when the connection is over; every later operation fails with it. */
  #failure: AntipodeError | undefined;
  /** Callers of `close` that wait for the last operation. */
  #onIdle: (() => void)[] = [];
  #resolveGone: (reason: AntipodeError | undefined) => void = () => undefined;

  constructor(parts: NbdConnectionParts) {
    const { found, inbox, connection } = parts;
    this.#parts = parts;
    this.target = parts.target;
    this.sizeBytes = found.sizeBytes;
    this.readOnly = (found.transmissionFlags & nbdTransmissionFlag.readOnly) !== 0;
    this.preferredBlockBytes = found.preferredBlockBytes;
    this.payloadBytesMax = found.payloadBytesMax;
    this.hasBlockStatus = found.allocationContext;
    this.gone = new Promise((resolve) => {
      this.#resolveGone = resolve;
    });
    this.#reader = new NbdReplyReader(inbox.queue, (cookie) => this.#sent.get(cookie));
    inbox.handOver({
      onBytes: () => {
        this.#onBytes();
      },
      onLost: (error) => {
        this.#onLost(error);
      },
    });
    connection.onDrain(() => {
      this.#blocked = false;
      this.#send();
    });
  }

  get outstanding(): number {
    return this.#sent.size;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.#checkPayload(length);
    const operation = await this.#run({ command: nbdCommand.read, offset, length });
    return operation.data ?? new Uint8Array(0);
  }

  async write(offset: number, data: Uint8Array, durable?: "fua"): Promise<void> {
    this.#checkPayload(data.length);
    const flags = durable === "fua" ? nbdCommandFlag.fua : 0;
    await this.#run({
      command: nbdCommand.write,
      flags,
      offset,
      length: data.length,
      payload: data,
    });
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.#runRanges(nbdCommand.writeZeroes, offset, length);
  }

  async trim(offset: number, length: number): Promise<void> {
    await this.#runRanges(nbdCommand.trim, offset, length);
  }

  async flush(): Promise<void> {
    await this.#run({ command: nbdCommand.flush });
  }

  async blockStatus(offset: number, length: number): Promise<readonly NbdRun[]> {
    if (!this.hasBlockStatus) return [{ lengthBytes: length, kind: "data" }];
    const runs: { lengthBytes: number; kind: NbdRun["kind"] }[] = [];
    // Every answer covers one byte at least, so this ends.
    for (let at = offset; at < offset + length; ) {
      const left = Math.min(offset + length - at, NBD_RANGE_BYTES_MAX);
      const command = nbdCommand.blockStatus;
      const operation = await this.#run({ command, offset: at, length: left });
      if (operation.runs.length === 0) throw malformed("a block status without a run");
      for (const run of operation.runs) {
        const lengthBytes = Math.min(run.lengthBytes, offset + length - at);
        const last = runs.at(-1);
        if (last?.kind === run.kind) last.lengthBytes += lengthBytes;
        else if (lengthBytes > 0) runs.push({ lengthBytes, kind: run.kind });
        at += lengthBytes;
      }
    }
    return runs;
  }

  async close(): Promise<void> {
    while (this.#failure === undefined && this.#sent.size + this.#queued.length > 0)
      await new Promise<void>((resolve) => {
        this.#onIdle.push(resolve);
      });
    this.#leave();
    await this.gone;
  }

  /** Says goodbye; nothing to do when the connection is over or another caller has said it. */
  #leave(): void {
    if (this.#failure !== undefined) return;
    this.#failure = lostError("the connection was closed", false);
    const leave = { command: nbdCommand.disconnect, flags: 0, offset: 0, length: 0 };
    this.#parts.connection.write([encodeNbdRequest({ ...leave, cookieHigh: 0, cookieLow: 0 })]);
    this.#parts.connection.end();
    // A server that does not close in turn is not waited for.
    const { clock, options, connection } = this.#parts;
    this.#watchdog?.cancel();
    this.#watchdog = clock.after(options.connectTimeoutMs, () => {
      connection.destroy();
    });
  }

  #checkPayload(length: number): void {
    if (length > 0 && length <= this.payloadBytesMax) return;
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `${length} bytes do not fit one request of 1 to ${this.payloadBytesMax} bytes`,
      { length, indeterminate: false },
    );
  }

  async #runRanges(command: number, offset: number, length: number): Promise<void> {
    for (let at = offset; at < offset + length; ) {
      const step = Math.min(offset + length - at, NBD_RANGE_BYTES_MAX);
      await this.#run({ command, offset: at, length: step });
      at += step;
    }
  }

  #run(ask: Ask): Promise<Operation> {
    if (this.#failure !== undefined) return Promise.reject(this.#withFlag(this.#failure, false));
    if (this.#queued.length >= this.#parts.options.queuedMax)
      return Promise.reject(
        new AntipodeError("OVERLOADED", "too many operations wait for the NBD connection", {
          indeterminate: false,
        }),
      );
    return new Promise((resolve, reject) => {
      const operation: Operation = {
        cookie: this.#takeCookie(),
        command: ask.command,
        flags: ask.flags ?? 0,
        offset: ask.offset ?? 0,
        length: ask.length ?? 0,
        payload: ask.payload,
        data: undefined,
        receivedBytes: 0,
        runs: [],
        errno: 0,
        message: "",
        sentAtMs: 0,
        resolve: () => {
          resolve(operation);
        },
        reject,
      };
      this.#queued.push(operation);
      this.#scheduleSend();
    });
  }

  #takeCookie(): number {
    const cookie = this.#nextCookie;
    this.#nextCookie = (cookie + 1) % COOKIE_END;
    return cookie;
  }

  /** Operations issued in one turn leave together. */
  #scheduleSend(): void {
    if (this.#sendDue) return;
    this.#sendDue = true;
    void Promise.resolve().then(() => {
      this.#sendDue = false;
      this.#send();
    });
  }

  #send(): void {
    const { options, connection, clock } = this.#parts;
    const room = options.outstandingMax - this.#sent.size;
    if (this.#failure !== undefined || this.#blocked || room <= 0) return;
    const batch = this.#queued.splice(0, room);
    if (batch.length === 0) return;
    const parts: Uint8Array[] = [];
    const now = clock.now();
    for (const operation of batch) {
      operation.sentAtMs = now;
      this.#sent.set(operation.cookie, operation);
      parts.push(encodeNbdRequest({ ...operation, cookieHigh: 0, cookieLow: operation.cookie }));
      if (operation.payload !== undefined) parts.push(operation.payload);
    }
    if (!connection.write(parts)) this.#blocked = true;
    this.#watchdog ??= clock.after(options.ioTimeoutMs, () => {
      this.#onWatchdog();
    });
  }

  #onBytes(): void {
    for (;;) {
      const operation = this.#reader.next();
      if (operation === "starved") break;
      if (operation === "garbage") {
        this.#onLost(malformed("the NBD server sent bytes that are no reply"));
        return;
      }
      this.#sent.delete(operation.cookie);
      if (operation.errno === 0) operation.resolve();
      else operation.reject(replyError(operation));
    }
    if (this.#queued.length > 0) this.#scheduleSend();
    if (this.#sent.size + this.#queued.length === 0) this.#wakeIdle();
  }

  #wakeIdle(): void {
    for (const wake of this.#onIdle.splice(0)) wake();
  }

  /** One timer for all operations: it looks at the oldest, and waits on for the rest of its time. */
  #onWatchdog(): void {
    this.#watchdog = undefined;
    const oldest = this.#sent.values().next().value;
    if (oldest === undefined || this.#failure !== undefined) return;
    const { clock, options, target } = this.#parts;
    const leftMs = oldest.sentAtMs + options.ioTimeoutMs - clock.now();
    if (leftMs > 0) {
      this.#watchdog = clock.after(leftMs, () => {
        this.#onWatchdog();
      });
      return;
    }
    const where = `${target.address.host}:${target.address.port}`;
    this.#onLost(
      new AntipodeError(
        "DEADLINE_EXCEEDED",
        `${where} did not answer an operation within ${options.ioTimeoutMs} ms`,
        { where },
      ),
    );
  }

  #onLost(cause: Error | undefined): void {
    const failedBefore = this.#failure !== undefined;
    const failure =
      cause instanceof AntipodeError
        ? cause
        : lostError("the NBD connection was lost", false, cause);
    this.#failure ??= failure;
    this.#watchdog?.cancel();
    this.#watchdog = undefined;
    const sent = [...this.#sent.values()];
    const queued = this.#queued;
    this.#sent.clear();
    this.#queued = [];
    for (const operation of sent) operation.reject(this.#withFlag(failure, true));
    for (const operation of queued) operation.reject(this.#withFlag(failure, false));
    this.#resolveGone(failedBefore ? undefined : failure);
    this.#wakeIdle();
    this.#parts.connection.destroy();
  }

  #withFlag(error: AntipodeError, indeterminate: boolean): AntipodeError {
    const { exportName } = this.target;
    const details = { ...error.details, exportName, indeterminate };
    return new AntipodeError(error.code, error.message, details, error);
  }
}
