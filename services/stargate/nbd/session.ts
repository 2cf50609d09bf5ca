/**
 * One NBD connection: the thin shell that carries bytes between the connection, the two pure machines
 * (handshake, requests) and the block device. States and invariants: SPEC.md beside this file.
 *
 * What must hold: reading stops while too much is in flight or the client does not take its replies
 * (N6); the device is closed once, after its last call has been answered (N7).
 */

import { InvariantViolation } from "../../base/assert.ts";
import { AntipodeError, codeOf, messageOf } from "../../base/errors.ts";
import { nbdTransmissionFlag } from "../../base/nbd.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { Log } from "../../platform/log.ts";
import type { Connection } from "../../platform/net.ts";
import type { BlockDevice, BlockDevices } from "./blockDevice.ts";
import { type HandshakeEffect, NbdHandshake, type Negotiated } from "./handshake.ts";
import { LISTED_EXPORTS_MAX, type NbdLimits } from "./limits.ts";
import type { ExportInfo } from "./optionData.ts";
import { Transmission } from "./transmission.ts";

export interface SessionParts {
  readonly connection: Connection;
  readonly devices: BlockDevices;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: NbdLimits;
  /** Called once, when nothing of the connection is left: no call, no device, no socket. */
  readonly onGone: () => void;
}

interface OpenExport {
  readonly exportName: string;
  readonly device: BlockDevice;
}

export class NbdSession {
  readonly #parts: SessionParts;
  readonly #handshake = new NbdHandshake();
  #transmission: Transmission | undefined;
  #open: OpenExport | undefined;
  /** Calls of the handshake that have not been answered: opening, listing, closing a device. */
  #calls = 0;
  #timer: Timer;
  /** "leaving": no more input is taken; "gone": the socket is closed. */
  #phase: "serving" | "leaving" | "gone" = "serving";
  #ended = false;
  #released = false;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    const { connection, clock, limits } = parts;
    connection.onData((chunk) => {
      this.#onData(chunk);
    });
    connection.onEnd(() => {
      this.#abandonRequests();
      this.leave("client ended");
    });
    connection.onClose(() => {
      this.#onClose();
    });
    connection.onDrain(() => this.#transmission?.onDrain());
    this.#timer = clock.after(limits.handshakeTimeoutMs, () => {
      this.#drop("handshake too slow");
    });
    this.#pump();
  }

  /** The server ends: as `leave`, and nothing that waits is begun any more. */
  shutDown(): void {
    this.#abandonRequests();
    this.leave("server is closing");
  }

  /**
   * Takes no more requests, answers those in flight, then closes. A client that asks for that with DISC waits for
   * the end of the connection; one that does not has closed it.
   */
  leave(reason: string): void {
    if (this.#phase !== "serving") return;
    this.#phase = "leaving";
    this.#parts.log.debug({ event: "nbd.leaving", reason }, "nbd connection is ending");
    this.#transmission?.stop();
    // Read on (and drop) what still comes: a paused connection would not notice that it was closed.
    this.#parts.connection.resume();
    this.#finish();
  }

  #onData(chunk: Uint8Array): void {
    if (this.#phase !== "serving") return;
    if (this.#transmission !== undefined) {
      this.#transmission.onData(chunk);
      return;
    }
    this.#handshake.input.push(chunk);
    this.#pump();
  }

  /** Carries out what the handshake asks for. While it waits, the client is not read. */
  #pump(): void {
    while (this.#phase === "serving" && this.#transmission === undefined) {
      const effect = this.#handshake.next();
      if (effect === undefined) return;
      this.#perform(effect);
    }
  }

  #perform(effect: HandshakeEffect): void {
    switch (effect.kind) {
      case "send":
        this.#parts.connection.write([effect.bytes]);
        return;
      case "open":
        this.#call(this.#openExport(effect.exportName));
        return;
      case "list":
        this.#call(this.#list());
        return;
      case "transmit":
        this.#transmit(effect.negotiated);
        return;
      case "close":
        this.leave(effect.reason);
        return;
    }
  }

  /** Supervises one call of the handshake: paused meanwhile, and counted until it is over. */
  #call(work: Promise<void>): void {
    this.#calls += 1;
    // Once it is leaving, what comes is dropped, and only a connection that is read tells its end.
    if (this.#phase === "serving") this.#parts.connection.pause();
    void work.then(() => {
      this.#calls -= 1;
      if (this.#phase === "serving") {
        this.#parts.connection.resume();
        this.#pump();
      } else this.#finish();
    });
  }

  async #openExport(exportName: string): Promise<void> {
    try {
      if (this.#open?.exportName !== exportName) {
        await this.#closeDevice();
        this.#open = { exportName, device: await this.#parts.devices.open(exportName) };
      }
    } catch (error) {
      this.#handshake.onRefused(this.#explain(error));
      return;
    }
    this.#handshake.onOpened(exportInfo(this.#open.device));
  }

  async #list(): Promise<void> {
    try {
      const names = await this.#parts.devices.list();
      this.#handshake.onListed(names.slice(0, LISTED_EXPORTS_MAX));
    } catch (error) {
      this.#handshake.onRefused(this.#explain(error));
    }
  }

  #transmit(negotiated: Negotiated): void {
    const open = this.#open;
    if (open === undefined) throw new InvariantViolation("violated: an export is open");
    this.#timer.cancel();
    const { connection, log, limits } = this.#parts;
    log.debug({ event: "nbd.opened", export: open.exportName }, "nbd export opened");
    this.#transmission = new Transmission({
      connection,
      device: open.device,
      negotiated,
      input: this.#handshake.input,
      limits,
      log,
      onLeave: (reason) => {
        this.leave(reason);
      },
      onIdle: () => {
        this.#finish();
      },
    });
    this.#transmission.onData(new Uint8Array(0));
  }

  #onClose(): void {
    this.#phase = "gone";
    this.#timer.cancel();
    this.#transmission?.abandon();
    this.#abandonRequests();
    this.#finish();
  }

  /** Nobody waits for them any more: what has not begun to take effect never does (P1). */
  #abandonRequests(): void {
    this.#open?.device.onLeaving?.();
  }

  /** Goes on with leaving as far as it can: replies out, socket closed, device closed. */
  #finish(): void {
    if (this.#phase === "serving" || this.#calls > 0) return;
    if (this.#transmission !== undefined && !this.#transmission.isIdle) return;
    if (this.#phase === "leaving") this.#endConnection();
    this.#release();
  }

  /** Ends our direction once; a client that does not close its own is dropped after a while. */
  #endConnection(): void {
    if (this.#ended) return;
    this.#ended = true;
    const { connection, clock, limits } = this.#parts;
    this.#timer.cancel();
    this.#timer = clock.after(limits.lingerMs, () => {
      this.#drop("linger");
    });
    connection.end();
  }

  /** Closes the device, then reports that nothing is left once the socket is gone too. */
  #release(): void {
    if (this.#open !== undefined) {
      this.#call(this.#closeDevice());
      return;
    }
    if (this.#phase !== "gone" || this.#released) return;
    this.#released = true;
    this.#parts.onGone();
  }

  async #closeDevice(): Promise<void> {
    const device = this.#open?.device;
    this.#open = undefined;
    try {
      await device?.close();
    } catch (error) {
      this.#parts.log.warn(
        { event: "nbd.closeFailed", err: messageOf(error) },
        "block device did not close well",
      );
    }
  }

  #drop(reason: string): void {
    this.#parts.log.debug({ event: "nbd.dropped", reason }, "nbd connection dropped");
    this.#parts.connection.destroy();
  }

  #explain(error: unknown): string {
    if (error instanceof InvariantViolation) throw error;
    if (error instanceof AntipodeError) return `${error.code}: ${error.message}`;
    this.#parts.log.error(
      { event: "nbd.openFailed", err: messageOf(error), code: codeOf(error) },
      "export could not be opened",
    );
    return "INTERNAL: the export could not be opened";
  }
}

function exportInfo(device: BlockDevice): ExportInfo {
  const flag = nbdTransmissionFlag;
  // Every acknowledged write is durable and visible to all connections, so CAN_MULTI_CONN holds.
  // The flags of commands that change the export stay set when it is read-only, as the protocol wants.
  const transmissionFlags =
    flag.hasFlags |
    flag.sendFlush |
    flag.sendFua |
    flag.sendTrim |
    flag.sendWriteZeroes |
    flag.sendDf |
    flag.canMultiConn |
    (device.readOnly ? flag.readOnly : 0);
  return { sizeBytes: device.sizeBytes, transmissionFlags };
}
