/** What the fake TCP and the fake calls need of the fake network between them. */

import type { AntipodeError } from "../../services/base/errors.ts";
import type { Clock } from "../../services/platform/clock.ts";
import type { Log } from "../../services/platform/log.ts";
import type { Address } from "../../services/platform/net.ts";

/** Something open between two hosts that a tear breaks. */
export interface Tearable {
  readonly hosts: readonly [string, string];
  tear(reason: AntipodeError): void;
}

/** What fakeNet and fakeRpc need of the network. */
export interface Fabric {
  readonly clock: Clock;
  readonly log: Log | undefined;
  /** Ports that are listened on: "host:port" → whatever serves there. */
  readonly listeners: Map<string, unknown>;
  readonly open: Set<Tearable>;
  bind(address: Address, listener: unknown): Address;
  /** A one-way ordered pipe; `push` hands items over when they arrive. */
  pipe(from: string, to: string): Pipe;
  isCut(from: string, to: string): boolean;
  /** True once for each reply (or request) of the method that a test asked to lose. */
  losesReply(path: string): boolean;
  /** The same for what a stream's handler sends. */
  losesStreamReply(path: string): boolean;
}

export interface Pipe {
  /** Runs `arrive` at the other end, after everything sent before. The size counts for bandwidth only. */
  send(arrive: () => void, sizeBytes?: number): void;
}
