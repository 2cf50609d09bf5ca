/** The services of one simulated Stargate, over the content that its site shares (simStargate.ts). */

import { toHex } from "../../../services/base/bytes.ts";
import { AntipodeError } from "../../../services/base/errors.ts";
import { addLedgers, type ByteLedger, emptyLedger } from "../../../services/base/ledger.ts";
import { MIB } from "../../../services/base/units.ts";
import type { Infer, Method } from "../../../services/base/wire.ts";
import type { Clock } from "../../../services/platform/clock.ts";
import { type Binding, type Rpc, serveStream, serveUnary } from "../../../services/platform/rpc.ts";
import {
  ChunkService,
  type ShipRequest,
  VdiskService,
} from "../../../services/platform/wire/stargate.ts";
import type { SimSite, SimVdisk } from "./simStargate.ts";

const EXTENTS_PER_REPORT = 4;
const FINGERPRINT_BYTES = 32;

/** One CVM's Stargate. */
export interface SimStargate {
  readonly site: SimSite;
  readonly cvm: number;
  readonly rpc: Rpc;
  readonly clock: Clock;
}

/** All that it serves. */
export function stargateBindings(stargate: SimStargate): readonly Binding[] {
  return [
    ...cutBindings(stargate),
    ...vdiskBindings(stargate),
    ...chunkBindings(stargate),
    ...rootBindings(stargate),
  ];
}

function cutBindings({ site, cvm }: SimStargate): readonly Binding[] {
  return [
    serveUnary(VdiskService.hold, async (order) => {
      await site.forward(order.vdiskId);
      site.hold(cvm, order);
      return {};
    }),
    serveUnary(VdiskService.mark, async (order) => {
      await site.forward(order.vdiskId);
      return { lsn: site.mark(cvm, order) };
    }),
    serveUnary(VdiskService.release, async (order) => {
      await site.forward(order.vdiskId);
      return site.release(cvm, order);
    }),
  ];
}

function vdiskBindings({ site, cvm }: SimStargate): readonly Binding[] {
  return [
    serveUnary(VdiskService.createContainer, async (container) => {
      await site.createContainer(container);
      return {};
    }),
    serveUnary(VdiskService.createVdisk, async ({ name, sizeBytes, root }) =>
      vdiskMessage(await site.createVdisk(name, sizeBytes, root), root),
    ),
    serveUnary(VdiskService.showVdisk, ({ name }) => {
      const vdisk = site.seenAt(cvm, name);
      return Promise.resolve(vdiskMessage(vdisk, site.rootOf(vdisk.extents)));
    }),
  ];
}

function chunkBindings({ site }: SimStargate): readonly Binding[] {
  return [
    serveUnary(ChunkService.getChunks, ({ fingerprints }) => {
      for (const one of split(fingerprints)) site.arrive(one);
      return Promise.resolve({ pack: new Uint8Array(0), corrupt: new Uint8Array(0) });
    }),
    serveUnary(ChunkService.hasChunks, ({ fingerprints }) => {
      const present = Uint8Array.from(split(fingerprints), (one) => +site.held.has(one));
      return Promise.resolve({ present });
    }),
  ];
}

function rootBindings(stargate: SimStargate): readonly Binding[] {
  const { site, cvm } = stargate;
  return [
    serveUnary(VdiskService.plan, ({ root, baseRoot, sizeBytes }) =>
      Promise.resolve(site.plan(root, baseRoot, sizeBytes)),
    ),
    serveUnary(VdiskService.hasRoot, ({ root }) =>
      Promise.resolve({ present: site.hasRoot(root) }),
    ),
    serveUnary(VdiskService.locateRoot, ({ root }) =>
      Promise.resolve({ present: site.hasRoot(root) }),
    ),
    serveStream(VdiskService.verify, async (stream) => {
      for await (const { root, sizeBytes } of stream.incoming) {
        const content = site.contentOf(root);
        await stream.send({
          checkedChunks: content.length,
          checkedBytes: sizeBytes,
          missingChunks: content.filter((one) => one !== "" && !site.held.has(one)).length,
          corruptChunks: 0,
          done: true,
        });
        return;
      }
    }),
    serveStream(VdiskService.ship, async (stream, { signal }) => {
      for await (const request of stream.incoming) {
        site.accept(cvm, request.leaderEpoch);
        site.shipments += 1;
        await ship(stargate, request, signal, (ledger, done) => stream.send({ ...ledger, done }));
        return;
      }
    }),
  ];
}

async function ship(
  { site, rpc, clock }: SimStargate,
  request: Infer<typeof ShipRequest>,
  signal: AbortSignal,
  report: (ledger: ByteLedger, done: boolean) => Promise<void>,
): Promise<void> {
  const counted = request.subtrees.map((subtree) => toHex(subtree.fingerprint));
  const below = site
    .contentOf(request.topRoot)
    .filter((one) => one !== "" && !counted.includes(one));
  const wanted = request.topRoot === "" ? counted : [...counted, ...below, request.topRoot];
  let ledger = emptyLedger;
  for (const [index, fingerprint] of wanted.entries()) {
    if (signal.aborted) return;
    await clock.sleep(site.extentMs);
    const bytes = { fingerprints: hexBytes(fingerprint) };
    const [isThere] = (await toTarget(rpc, request, ChunkService.hasChunks, bytes)).present;
    if (isThere !== 1) await toTarget(rpc, request, ChunkService.getChunks, bytes);
    const sent = isThere !== 1 && fingerprint !== request.topRoot ? MIB : 0;
    const isTop = index >= counted.length;
    ledger = addLedgers(ledger, {
      ...emptyLedger,
      logicalBytes: isTop ? 0 : MIB,
      dedupedBytes: isTop ? 0 : MIB - sent,
      uniqueBytes: isTop ? 0 : sent,
      compressedBytes: sent / 2,
      wireBytes: sent / 2 + 100,
      chunksSent: sent > 0 ? 64 : 0,
    });
    if ((index + 1) % EXTENTS_PER_REPORT === 0) await report(ledger, false);
  }
  // The nodes come last: a walk that is refused has gone far, every time.
  if (site.targetLacksBase && request.subtrees.some((one) => one.baseFingerprint.length > 0)) {
    await report(ledger, false);
    throw new AntipodeError("RECOVERY_POINT_INCOMPLETE", "a node came before its children");
  }
  await report(ledger, true);
}

/** Asks the first Stargate of the target that answers. */
async function toTarget<Q, A>(
  rpc: Rpc,
  request: Infer<typeof ShipRequest>,
  method: Method<Q, A, "unary">,
  message: Q,
): Promise<A> {
  for (const target of request.targets) {
    try {
      return await rpc.connect(target).unary(method, message, { deadlineMs: 1000 });
    } catch {
      // The next one.
    }
  }
  throw new AntipodeError("REMOTE_UNAVAILABLE", "no Stargate of the target answers");
}

function split(fingerprints: Uint8Array): readonly string[] {
  const count = fingerprints.length / FINGERPRINT_BYTES;
  return Array.from({ length: count }, (_, i) =>
    toHex(fingerprints.subarray(i * FINGERPRINT_BYTES, (i + 1) * FINGERPRINT_BYTES)),
  );
}

const hexBytes = (hex: string): Uint8Array =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

function vdiskMessage(vdisk: SimVdisk, root: string) {
  return {
    id: vdisk.id,
    name: vdisk.name,
    container: "gold",
    sizeBytes: vdisk.sizeBytes,
    replicationFactor: 2,
    createdAtMs: 0,
    owner: 1,
    epoch: 1,
    peers: [1],
    root,
    drainedLsn: vdisk.lsn,
    lastLsn: vdisk.lsn,
    compression: true,
  };
}
