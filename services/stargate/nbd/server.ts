/**
 * The NBD front-end of a Stargate: serves block devices to block clients by name, after the NBD
 * project's doc/proto.md (fixed newstyle, structured replies, base:allocation). What is offered and
 * what is refused: SPEC.md beside this file.
 */

import { InvariantViolation } from "../../base/assert.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Log } from "../../platform/log.ts";
import type { Address, Connection, Listener, Net } from "../../platform/net.ts";
import type { BlockDevices } from "./blockDevice.ts";
import { type NbdLimits, nbdLimits } from "./limits.ts";
import { NbdSession } from "./session.ts";

export interface NbdServerParts {
  readonly net: Net;
  readonly clock: Clock;
  readonly devices: BlockDevices;
  readonly log: Log;
  readonly limits?: Partial<NbdLimits>;
}

export interface NbdServer {
  /**
   * Serves at an address; port 0 asks for any free port. Once.
   * @returns the address that clients dial
   * @throws AntipodeError `PORT_IN_USE`
   */
  listen(address: Address): Promise<Address>;
  /** Connections that exist, for status pages and tests. */
  connections(): number;
  /**
   * Accepts no more, answers what is in flight, closes every connection and every device. Resolves
   * when nothing is left.
   */
  close(): Promise<void>;
}

/** A server that is not listening yet. */
export function createNbdServer(parts: NbdServerParts): NbdServer {
  const limits: NbdLimits = { ...nbdLimits, ...parts.limits };
  const sessions = new Set<NbdSession>();
  let listener: Listener | undefined;
  let closing = false;
  let onEmpty: (() => void) | undefined;

  const accept = (connection: Connection): void => {
    if (closing || sessions.size >= limits.connectionsMax) {
      parts.log.warn(
        { event: "nbd.refused", remote: connection.remote, connections: sessions.size },
        "nbd connection refused",
      );
      connection.destroy();
      return;
    }
    const session = new NbdSession({
      connection,
      devices: parts.devices,
      clock: parts.clock,
      log: parts.log.child({ remote: connection.remote }),
      limits,
      onGone: () => {
        sessions.delete(session);
        if (sessions.size === 0) onEmpty?.();
      },
    });
    sessions.add(session);
  };

  return {
    async listen(address) {
      if (listener !== undefined) throw new InvariantViolation("violated: a server listens once");
      listener = await parts.net.listen(address, accept);
      return listener.address;
    },
    connections: () => sessions.size,
    async close() {
      closing = true;
      const empty = new Promise<void>((resolve) => {
        onEmpty = resolve;
      });
      for (const session of sessions) session.shutDown();
      await listener?.close();
      if (sessions.size > 0) await empty;
    },
  };
}
