/**
 * The part of VdiskService that works on roots: plan and ship for replication, differences, and
 * verification. Long work streams its progress and ends with its caller.
 */

import { AntipodeError } from "../../base/errors.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Log } from "../../platform/log.ts";
import {
  type Binding,
  type Rpc,
  type RpcStream,
  serveStream,
  serveUnary,
} from "../../platform/rpc.ts";
import { VdiskService } from "../../platform/wire/stargate.ts";
import type { BlockMap } from "../blockmap/blockMap.ts";
import { rootFromHex } from "../blockmap/fingerprints.ts";
import type { ChunkSpace } from "../chunks.ts";
import type { LeaderOrder } from "../vdisk/leaderFence.ts";
import { ship } from "./ship.ts";
import { diffRegions, verifyRoot } from "./verify.ts";

export interface RootServiceWorld {
  readonly space: ChunkSpace;
  readonly blockMap: BlockMap;
  readonly rpc: Rpc;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly log: Log;
  /** Refuses orders of a deposed leader. */
  readonly acceptLeader: (order: LeaderOrder) => Promise<void>;
}

const NO_BASE = new Uint8Array(0);

/** plan, ship, diff, verify, hasRoot, locateRoot. */
export function rootBindings(world: RootServiceWorld): readonly Binding[] {
  const { space, blockMap } = world;
  return [
    serveUnary(VdiskService.plan, async (request) => {
      const root = rootFromHex(request.root);
      const planned = await blockMap.plan(
        root,
        rootFromHex(request.baseRoot),
        request.sizeBytes,
        request.subtreesMax,
      );
      return {
        subtrees: planned.subtrees.map((one) => ({
          level: one.level,
          index: one.index,
          fingerprint: one.fingerprint,
          baseFingerprint: one.base ?? NO_BASE,
        })),
        logicalBytes: planned.logicalBytes,
        zeroBytes: planned.zeroBytes,
        unchangedBytes: planned.unchangedBytes,
      };
    }),
    ...presenceBindings(space),
    serveStream(VdiskService.ship, async (stream, { signal }) => {
      const request = await only(stream);
      await world.acceptLeader(request);
      const feed = feeder(stream);
      await ship({ ...world, request, signal, onLedger: feed.push });
      await feed.flushed();
    }),
    serveStream(VdiskService.diff, async (stream, { signal }) => {
      const request = await only(stream);
      const roots = { root: rootFromHex(request.root), baseRoot: rootFromHex(request.baseRoot) };
      for await (const regions of diffRegions({
        blockMap,
        sizeBytes: request.sizeBytes,
        ...roots,
      })) {
        if (signal.aborted) return;
        await stream.send({ regions });
      }
    }),
    serveStream(VdiskService.verify, async (stream, { signal }) => {
      const request = await only(stream);
      const feed = feeder(stream);
      const result = await verifyRoot({
        ...world,
        root: rootFromHex(request.root),
        sizeBytes: request.sizeBytes,
        signal,
        onProgress: (progress) => {
          feed.push({ ...progress, done: false });
        },
      });
      feed.push({ ...result, done: true });
      await feed.flushed();
    }),
  ];
}

function presenceBindings(space: ChunkSpace): readonly Binding[] {
  return [
    serveUnary(VdiskService.hasRoot, async (request) => {
      const root = rootFromHex(request.root);
      if (root === undefined) return { present: true };
      const [present] = await space.present([root], request.replicationFactor);
      return { present: present === true };
    }),
    serveUnary(VdiskService.locateRoot, async (request) => {
      const root = rootFromHex(request.root);
      if (root === undefined) return { present: true };
      const [presence] = await space.locate([root]);
      if (presence === "unknown")
        throw new AntipodeError(
          "PEERS_UNAVAILABLE",
          "only a CVM that does not answer may have this root",
          { root: request.root },
        );
      return { present: presence === "yes" };
    }),
  ];
}

/** The one request of a server stream. */
async function only<Q>(stream: RpcStream<unknown, Q>): Promise<Q> {
  for await (const request of stream.incoming) return request;
  throw new AntipodeError("MESSAGE_INVALID", "the call ended before its request");
}

/** Sends progress in order without making the work wait for a slow reader; its failure shows at the end. */
function feeder<A>(stream: RpcStream<A, unknown>): {
  push: (message: A) => void;
  flushed: () => Promise<void>;
} {
  let last: Promise<void> = Promise.resolve();
  return {
    push(message) {
      last = last.then(() => stream.send(message));
      last.catch(() => undefined); // awaited in `flushed`; not unhandled until then
    },
    flushed: () => last,
  };
}
