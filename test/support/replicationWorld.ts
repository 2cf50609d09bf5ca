/**
 * Two sites for tests of replication: a source with a vDisk, a target with three receivers that share
 * one chunk space, and the fake network between them. Messages are counted as they cross, so that a
 * test can break everything at exactly the n-th one.
 */

import type { ErrorCode } from "../../services/base/errors.ts";
import type { Codec } from "../../services/platform/codec.ts";
import type { Address } from "../../services/platform/net.ts";
import type { Rpc, RpcClient, RpcStream } from "../../services/platform/rpc.ts";
import type { ShipLedger, SubtreeMessage } from "../../services/platform/wire/stargate.ts";
import type { BlockMap } from "../../services/stargate/blockmap/blockMap.ts";
import { type Root, rootToHex } from "../../services/stargate/blockmap/fingerprints.ts";
import { receiveBindings } from "../../services/stargate/replication/receive.ts";
import { type ShipOrder, ship } from "../../services/stargate/replication/ship.ts";
import { createFakeClock, type FakeClock } from "./fakeClock.ts";
import { createFakeLog, type FakeLog } from "./fakeLog.ts";
import { createFakeNetwork, type FakeNetwork } from "./fakeNetwork.ts";
import { applyChanges, storeContents, uncachedMap } from "./mapModel.ts";
import { createMemoryChunkSpace, type MemoryChunkSpace } from "./memoryChunkSpace.ts";

const SOURCE = "127.1.0.1";
const PORT = 2009;
/** No test waits longer, in virtual time. */
const PATIENCE_MS = 3_600_000;

export interface ReplicationWorld {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  readonly log: FakeLog;
  readonly source: MemoryChunkSpace;
  readonly target: MemoryChunkSpace;
  readonly map: BlockMap;
  readonly targets: readonly Address[];
  readonly refused: ErrorCode[];
  readonly sizeBytes: number;
  /** Messages sent or received by the source so far; `at` runs once when the count reaches `after`. */
  readonly crossing: { count: number; after: number; at: () => void };
  /** Changes every message of chunks on its way, e.g. to damage it. */
  alter: (message: ShipMessage) => ShipMessage;
  /** Writes contents by seed (0: zero) at the source. */
  write(root: Root, contents: Iterable<readonly [number, number]>): Promise<Root>;
  /** The order that replicates a root: its plan, then the top. */
  order(root: Root, base: Root, subtreesMax?: number): Promise<ShipOrder>;
  /** Ships and lets time pass until that has ended. */
  ship(order: ShipOrder, signal?: AbortSignal): Promise<ShipLedger>;
  /** Breaks every stream between the sites. */
  readonly tear: () => void;
}

interface ShipMessage {
  readonly fingerprints: Uint8Array;
  readonly pack: Uint8Array;
}

/** A world with an empty target. A source can be shared by worlds that do not change it. */
export function createReplicationWorld(
  codec: Codec,
  sizeBytes: number,
  source: MemoryChunkSpace = createMemoryChunkSpace(codec),
): ReplicationWorld {
  const clock = createFakeClock();
  const log = createFakeLog();
  const network = createFakeNetwork({ clock, log });
  const target = createMemoryChunkSpace(codec);
  const map = uncachedMap(source, codec);
  const refused: ErrorCode[] = [];
  const targets = [1, 2, 3].map((cvm) => ({ host: `127.2.0.${cvm}`, port: PORT }));
  const bindings = receiveBindings({
    space: target,
    codec,
    log,
    onRefused: (code) => refused.push(code),
  });
  for (const address of targets) void network.host(address.host).rpc.serve(address, bindings);

  const world: ReplicationWorld = {
    clock,
    network,
    log,
    source,
    target,
    map,
    targets,
    refused,
    sizeBytes,
    crossing: { count: 0, after: Infinity, at: () => undefined },
    alter: (message) => message,
    write: (root, contents) =>
      applyChanges(map, source, { root, sizeBytes }, storeContents(source, contents)),
    async order(root, base, subtreesMax = 8) {
      const plan = await map.plan(root, base, sizeBytes, subtreesMax);
      return {
        leaderEpoch: 1,
        leaderIncarnation: "",
        subtrees: plan.subtrees.map(
          (subtree): SubtreeMessage => ({
            level: subtree.level,
            index: subtree.index,
            fingerprint: subtree.fingerprint,
            baseFingerprint: subtree.base ?? new Uint8Array(0),
          }),
        ),
        topRoot: rootToHex(root),
        topBaseRoot: rootToHex(base),
        sizeBytes,
        targets,
        replicationFactor: 2,
      };
    },
    async ship(request, signal = new AbortController().signal) {
      let ended = false;
      const rpc = countingRpc(network.host(SOURCE).rpc, world);
      const shipped = ship({
        request,
        space: source,
        blockMap: map,
        rpc,
        codec,
        clock,
        log,
        signal,
        onLedger: () => undefined,
      }).finally(() => {
        ended = true;
      });
      shipped.catch(() => undefined);
      await clock.tickUntil(() => ended, PATIENCE_MS);
      return shipped;
    },
    tear: () => {
      for (const { host } of targets) network.tear(SOURCE, host);
    },
  };
  return world;
}

/** The rpc of the source with every message counted and altered. */
function countingRpc(rpc: Rpc, world: ReplicationWorld): Pick<Rpc, "connect"> {
  const count = (): void => {
    world.crossing.count += 1;
    if (world.crossing.count === world.crossing.after) world.crossing.at();
  };
  const wrap = <Q, A>(stream: RpcStream<Q, A>): RpcStream<Q, A> => ({
    ...stream,
    async send(message) {
      const sent = stream.send(world.alter(message as ShipMessage) as Q);
      count();
      await sent;
    },
    incoming: (async function* () {
      for await (const message of stream.incoming) {
        count();
        yield message;
      }
    })(),
  });
  return {
    connect(address): RpcClient {
      const client = rpc.connect(address);
      return { ...client, stream: (method) => wrap(client.stream(method)) };
    },
  };
}
