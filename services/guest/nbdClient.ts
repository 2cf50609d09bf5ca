/**
 * Opens connections to NBD exports. What a connection promises: nbdConnection.ts.
 */

import { AntipodeError } from "../base/errors.ts";
import type { Connection } from "../platform/net.ts";
import {
  type NbdClient,
  type NbdClientOptions,
  NbdConnection,
  type NbdWorld,
  nbdClientDefaults,
} from "./nbdConnection.ts";
import { ByteInbox, choose, greet, listNames } from "./nbdHandshake.ts";
import type { NbdTarget } from "./nbdUri.ts";

/**
 * Opens an export.
 * @throws AntipodeError `PEER_UNREACHABLE`, `DEADLINE_EXCEEDED`, `VDISK_NOT_FOUND`, `MESSAGE_INVALID`
 */
export async function connectNbd(
  world: NbdWorld,
  target: NbdTarget,
  options: Partial<NbdClientOptions> = {},
): Promise<NbdClient> {
  const full = { ...nbdClientDefaults, ...options };
  return converse(world, target.address, full.connectTimeoutMs, async (connection, inbox) => {
    const found = await choose(connection, inbox, target.exportName);
    return new NbdConnection({
      clock: world.clock,
      target,
      options: full,
      connection,
      inbox,
      found,
    });
  });
}

/** Names of the exports that a server offers. Same errors as `connectNbd`. */
export async function listNbdExports(
  world: NbdWorld,
  address: NbdTarget["address"],
  timeoutMs: number = nbdClientDefaults.connectTimeoutMs,
): Promise<readonly string[]> {
  return converse(world, address, timeoutMs, async (connection, inbox) => {
    const names = await listNames(connection, inbox);
    connection.destroy();
    return names;
  });
}

/** Dials and runs the handshake under one deadline; whatever fails, the connection is dropped. */
async function converse<T>(
  world: NbdWorld,
  address: NbdTarget["address"],
  timeoutMs: number,
  talk: (connection: Connection, inbox: ByteInbox) => Promise<T>,
): Promise<T> {
  const where = `${address.host}:${address.port}`;
  const connection = await world.net.connect(address, timeoutMs);
  const inbox = new ByteInbox();
  const lost = (error?: unknown): void => {
    inbox.fail(
      new AntipodeError("PEER_UNREACHABLE", `${where} ended the NBD connection`, { where }, error),
    );
  };
  connection.onData((chunk) => {
    inbox.push(chunk);
  });
  connection.onEnd(() => {
    lost();
  });
  connection.onClose(lost);
  const timer = world.clock.after(timeoutMs, () => {
    inbox.fail(
      new AntipodeError(
        "DEADLINE_EXCEEDED",
        `${where} did not finish the NBD handshake within ${timeoutMs} ms`,
        { where, timeoutMs },
      ),
    );
  });
  try {
    await greet(connection, inbox);
    return await talk(connection, inbox);
  } catch (error) {
    connection.destroy();
    throw error;
  } finally {
    timer.cancel();
  }
}
