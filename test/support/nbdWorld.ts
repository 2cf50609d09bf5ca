/**
 * An NBD server over memory devices, on the fake network in virtual time or on the machine's own, and
 * ways to talk to it: the real client, and raw bytes for everything a real client never sends.
 */

import { concatBytes, viewOf } from "../../services/base/bytes.ts";
import {
  encodeNbdOption,
  encodeNbdRequest,
  encodeNbdString,
  nbdMagic,
  nbdOption,
} from "../../services/base/nbd.ts";
import { connectNbd, type NbdClient, type NbdClientOptions } from "../../services/guest/index.ts";
import { createClock } from "../../services/platform/adapters/clock.ts";
import { createNet } from "../../services/platform/adapters/net.ts";
import type { Clock } from "../../services/platform/clock.ts";
import type { Address, Connection, Net } from "../../services/platform/net.ts";
import type { BlockDevices } from "../../services/stargate/nbd/blockDevice.ts";
import type { NbdLimits } from "../../services/stargate/nbd/limits.ts";
import { createNbdServer, type NbdServer } from "../../services/stargate/nbd/server.ts";
import { createFakeClock, type FakeClock } from "./fakeClock.ts";
import { createFakeLog, type FakeLog } from "./fakeLog.ts";
import { createFakeNetwork, type FakeNetwork } from "./fakeNetwork.ts";
import { createMemoryDevice, createMemoryDevices, type MemoryDevice } from "./memoryDevice.ts";

export const DISK_BYTES = 16 * 1024 * 1024;

export interface NbdWorldBase {
  readonly net: Net;
  readonly clock: Clock;
  readonly log: FakeLog;
  readonly server: NbdServer;
  readonly address: Address;
  readonly disk: MemoryDevice;
  readonly readOnly: MemoryDevice;
  client(exportName?: string, options?: Partial<NbdClientOptions>): Promise<NbdClient>;
}

export interface FakeNbdWorld extends NbdWorldBase {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
}

export interface NbdWorldOptions {
  readonly limits?: Partial<NbdLimits>;
  /** Further exports by name. */
  readonly devices?: BlockDevices;
}

const SERVER = "10.0.0.1";
const CLIENT = "10.0.0.2";

/** In virtual time. */
export async function fakeNbdWorld(options: NbdWorldOptions = {}): Promise<FakeNbdWorld> {
  const clock = createFakeClock();
  const network = createFakeNetwork({ clock });
  const base = await start(
    { serverNet: network.host(SERVER).net, net: network.host(CLIENT).net, clock, host: SERVER },
    options,
  );
  return { ...base, clock, network };
}

/** Over the machine's TCP. */
export function realNbdWorld(options: NbdWorldOptions = {}): Promise<NbdWorldBase> {
  const net = createNet();
  return start({ serverNet: net, net, clock: createClock(), host: "127.0.0.1" }, options);
}

async function start(
  world: { serverNet: Net; net: Net; clock: Clock; host: string },
  options: NbdWorldOptions,
): Promise<NbdWorldBase> {
  const { net, clock } = world;
  const log = createFakeLog();
  const disk = createMemoryDevice({ sizeBytes: DISK_BYTES });
  const readOnly = createMemoryDevice({ sizeBytes: DISK_BYTES, readOnly: true });
  const devices = options.devices ?? createMemoryDevices({ disk, "disk@rp1": readOnly });
  const limits = options.limits ?? {};
  const server = createNbdServer({ net: world.serverNet, clock, log, devices, limits });
  const address = await server.listen({ host: world.host, port: 0 });
  return {
    net,
    clock,
    log,
    server,
    address,
    disk,
    readOnly,
    client: (exportName = "disk", clientOptions = {}) =>
      connectNbd({ net, clock }, { address, exportName }, clientOptions),
  };
}

/** A connection on which a test writes what it likes. */
export interface RawPeer {
  send(...parts: readonly Uint8Array[]): void;
  /** Everything received so far and not taken. */
  received(): Uint8Array;
  /** Waits until `count` bytes are there and takes them. */
  take(count: number): Promise<Uint8Array>;
  /** Ended by the other side, in any way. */
  readonly isEnded: boolean;
  /** Resolves when the other side has ended. */
  readonly ended: Promise<void>;
  readonly connection: Connection;
}

export async function dialRaw(world: NbdWorldBase): Promise<RawPeer> {
  const connection = await world.net.connect(world.address, 5_000);
  let bytes: Uint8Array = new Uint8Array(0);
  let isEnded = false;
  let wake = (): void => undefined;
  let resolveEnded = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    resolveEnded = resolve;
  });
  const onEnded = (): void => {
    isEnded = true;
    wake();
    resolveEnded();
  };
  connection.onData((chunk) => {
    bytes = concatBytes([bytes, chunk]);
    wake();
  });
  connection.onEnd(onEnded);
  connection.onClose(onEnded);
  return {
    connection,
    send: (...parts) => {
      connection.write(parts);
    },
    received: () => bytes,
    async take(count) {
      while (bytes.length < count) {
        if (isEnded) throw new Error(`the peer ended after ${bytes.length} of ${count} bytes`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const taken = bytes.subarray(0, count);
      bytes = bytes.subarray(count);
      return taken;
    },
    get isEnded() {
      return isEnded;
    },
    ended,
  };
}

/** The client's answer to the greeting: fixed newstyle, no padding. */
export const CLIENT_FLAGS = new Uint8Array([0, 0, 0, 3]);

/** Data of GO or INFO for a name, without wishes. */
export function goData(exportName: string): Uint8Array {
  return concatBytes([encodeNbdString(exportName), new Uint8Array(2)]);
}

/** Data of SET_META_CONTEXT. */
export function metaData(exportName: string, ...queries: readonly string[]): Uint8Array {
  const count = new Uint8Array(4);
  viewOf(count).setUint32(0, queries.length);
  return concatBytes([encodeNbdString(exportName), count, ...queries.map(encodeNbdString)]);
}

/** One reply to an option, taken from the peer. */
export async function takeOptionReply(
  peer: RawPeer,
): Promise<{ option: number; type: number; data: Uint8Array }> {
  const view = viewOf(await peer.take(20));
  if (view.getUint32(0) !== nbdMagic.optionReplyHigh) throw new Error("no option reply");
  const data = await peer.take(view.getUint32(16));
  return { option: view.getUint32(8), type: view.getUint32(12), data };
}

/** A raw peer that is past the handshake, with simple replies. */
export async function enterRaw(world: NbdWorldBase, exportName = "disk"): Promise<RawPeer> {
  const peer = await dialRaw(world);
  peer.send(
    CLIENT_FLAGS,
    encodeNbdOption(nbdOption.exportName, encodeNbdString(exportName).subarray(4)),
  );
  await peer.take(18 + 10);
  return peer;
}

/** A request with small defaults. */
export function request(parts: {
  command: number;
  flags?: number;
  cookie?: number;
  offset?: number;
  length?: number;
}): Uint8Array {
  return encodeNbdRequest({
    command: parts.command,
    flags: parts.flags ?? 0,
    cookieHigh: 7,
    cookieLow: parts.cookie ?? 1,
    offset: parts.offset ?? 0,
    length: parts.length ?? 0,
  });
}

/** A simple reply's errno and cookie. */
export async function takeSimpleReply(peer: RawPeer): Promise<{ errno: number; cookie: number }> {
  const view = viewOf(await peer.take(16));
  if (view.getUint32(0) !== nbdMagic.simpleReply) throw new Error("no simple reply");
  return { errno: view.getUint32(4), cookie: view.getUint32(12) };
}
