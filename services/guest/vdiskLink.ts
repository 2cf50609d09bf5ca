/**
 * The writer's connection to one vDisk: kept up over any of several addresses, rested after an
 * error, and trusted with writes only when every slot of unknown state has been read back.
 *
 * States: down (dialling, each failure goes to the next address) → checking (reading back) → up →
 * down when the connection is gone, or resting → checking after an error that left it alive.
 */

import { AntipodeError, codeOf, messageOf } from "../base/errors.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";
import type { Net } from "../platform/net.ts";
import { BLOCK_BYTES } from "./block.ts";
import { connectNbd } from "./nbdClient.ts";
import type { NbdClient, NbdClientOptions } from "./nbdConnection.ts";
import type { NbdTarget } from "./nbdUri.ts";

/** Between two attempts to connect; doubles up to the maximum, begins anew after a success. */
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 1_000;
/** Rest after an error reply, so that a server that fails everything is not flooded. */
const REST_MS = 200;
/** Attempts before a writer that never had a connection gives up. */
const FIRST_ATTEMPTS_MAX = 40;
const READ_BACK_DEPTH = 16;
/** Slots that could not be read back are tried again after this, for as long as there are any. */
const READ_BACK_AGAIN_MS = 1_000;

export interface VdiskLinkParts {
  readonly net: Net;
  readonly clock: Clock;
  readonly log: Log;
  readonly name: string;
  /** Never empty; tried in turn. */
  readonly targets: readonly NbdTarget[];
  readonly options: Partial<NbdClientOptions>;
  /** Judges a block that was read back; true when its slot may be written again. */
  readonly onReadBack: (lba: number, block: Uint8Array) => boolean;
  /** Writes may be issued again. */
  readonly onUp: () => void;
}

export class VdiskLink {
  readonly #parts: VdiskLinkParts;
  #client: NbdClient | undefined;
  #isUp = false;
  /** Slots of unknown state. */
  readonly #unknown = new Set<number>();
  #connections = 0;
  #nextTarget = 0;
  #again: Timer | undefined;
  #isClosed = false;

  constructor(parts: VdiskLinkParts) {
    this.#parts = parts;
  }

  /** May a write be issued now? */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** Connections lost and made anew. */
  get reconnects(): number {
    return Math.max(0, this.#connections - 1);
  }

  /**
   * Makes the first connection, which tells the size.
   * @throws AntipodeError of the last attempt
   */
  async open(signal: AbortSignal): Promise<NbdClient> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#dial();
      } catch (error) {
        if (attempt >= FIRST_ATTEMPTS_MAX || signal.aborted) throw error;
        await this.#parts.clock.sleep(retryMs(attempt), signal);
      }
    }
  }

  /** Keeps the connection up until the signal aborts; then waits for what is outstanding. */
  async keepUp(signal: AbortSignal): Promise<void> {
    const stop = new Promise<void>((resolve) => {
      signal.addEventListener(
        "abort",
        () => {
          resolve();
        },
        { once: true },
      );
      if (signal.aborted) resolve();
    });
    for (let attempt = 1; !signal.aborted; attempt++) {
      const client = this.#client ?? (await this.#tryDial(attempt, signal));
      if (client === undefined) continue;
      attempt = 0;
      await this.#checkAndRaise(client);
      if ((await whicheverFirst(stop, client.gone)) === "gone") await this.#onGone(client);
    }
    await this.close();
  }

  /** Waits for what is outstanding and closes; a link that is kept up does this at its end. */
  async close(): Promise<void> {
    this.#isUp = false;
    this.#isClosed = true;
    this.#again?.cancel();
    await this.#client?.close();
  }

  async write(lba: number, data: Uint8Array): Promise<void> {
    if (this.#client === undefined)
      throw new AntipodeError("PEER_UNREACHABLE", `vDisk ${this.#parts.name} has no connection`);
    await this.#client.write(lba * BLOCK_BYTES, data);
  }

  /** A write ended without a good answer: its slots are unknown, and the link rests. */
  onUnknown(lba: number, parts: number): void {
    for (let slot = lba; slot < lba + parts; slot++) this.#unknown.add(slot);
    if (!this.#isUp) return;
    this.#isUp = false;
    const client = this.#client;
    this.#parts.clock.after(REST_MS, () => {
      if (client !== undefined && client === this.#client) void this.#checkAndRaise(client);
    });
  }

  async #tryDial(attempt: number, signal: AbortSignal): Promise<NbdClient | undefined> {
    try {
      return await this.#dial();
    } catch (error) {
      const { clock, log, name } = this.#parts;
      log.debug(
        { event: "writer.dialFailed", vdisk: name, attempt, err: messageOf(error) },
        "writer cannot connect",
      );
      await clock.sleep(retryMs(attempt), signal).catch((slept: unknown) => {
        if (codeOf(slept) !== "CANCELLED") throw slept;
      });
      return undefined;
    }
  }

  async #dial(): Promise<NbdClient> {
    const { net, clock, targets, options, name } = this.#parts;
    const target = targets[this.#nextTarget % targets.length];
    this.#nextTarget += 1;
    if (target === undefined)
      throw new AntipodeError("INVALID_ARGUMENT", `vDisk ${name} has no address`);
    this.#client = await connectNbd({ net, clock }, target, options);
    this.#connections += 1;
    return this.#client;
  }

  async #onGone(client: NbdClient): Promise<void> {
    this.#isUp = false;
    this.#client = undefined;
    const reason = await client.gone;
    this.#parts.log.info(
      { event: "writer.disconnected", vdisk: this.#parts.name, err: reason?.message ?? "closed" },
      "writer lost its connection",
    );
  }

  /**
   * Reads back every unknown slot, then lets writes through, also past slots that could not be read:
   * they stay unwritten and are tried again, because a connection can outlive what failed behind it.
   */
  async #checkAndRaise(client: NbdClient): Promise<void> {
    const failure = await this.#readBackAll(client);
    if (client !== this.#client || this.#isClosed) return;
    this.#isUp = true;
    this.#parts.onUp();
    if (failure === undefined) return;
    const { clock, log, name } = this.#parts;
    log.warn(
      { event: "writer.readBackFailed", vdisk: name, err: messageOf(failure) },
      "writer could not read slots back",
    );
    this.#again?.cancel();
    this.#again = clock.after(READ_BACK_AGAIN_MS, () => {
      if (client === this.#client) void this.#checkAndRaise(client);
    });
  }

  /** @returns the failure of one of those that could not be read */
  async #readBackAll(client: NbdClient): Promise<unknown> {
    const slots = [...this.#unknown];
    let failure: unknown;
    for (let at = 0; at < slots.length; at += READ_BACK_DEPTH) {
      const batch = slots.slice(at, at + READ_BACK_DEPTH);
      const outcomes = await Promise.allSettled(batch.map((slot) => this.#readBack(client, slot)));
      for (const outcome of outcomes) if (outcome.status === "rejected") failure ??= outcome.reason;
    }
    return failure;
  }

  async #readBack(client: NbdClient, lba: number): Promise<void> {
    const block = await client.read(lba * BLOCK_BYTES, BLOCK_BYTES);
    if (this.#parts.onReadBack(lba, block)) this.#unknown.delete(lba);
  }
}

function retryMs(attempt: number): number {
  return Math.min(RETRY_MS_MIN * 2 ** Math.min(attempt - 1, 10), RETRY_MS_MAX);
}

/** Both are of this object's making, and either order is handled: nothing hangs on who wins. */
function whicheverFirst(stop: Promise<void>, gone: Promise<unknown>): Promise<"stop" | "gone"> {
  return new Promise((resolve, reject) => {
    stop.then(() => {
      resolve("stop");
    }, reject);
    gone.then(() => {
      resolve("gone");
    }, reject);
  });
}
