/**
 * The Stargates of a simulated site, as Cerebro sees them: one content for the site, one fence a CVM.
 * A vDisk is a row of 1 MiB extents, each with a version; its root is a hash of the row. Writers are
 * acknowledged at once, or when the hold ends; every acknowledgement is logged in one global order,
 * so that a recovery point can be checked to be a prefix of it (P2).
 */

import { toHex, utf8 } from "../../../services/base/bytes.ts";
import { AntipodeError } from "../../../services/base/errors.ts";
import type { RecoveryPointRecord } from "../../../services/base/siteRecords.ts";
import { siteKeys } from "../../../services/base/siteRecords.ts";
import { MIB } from "../../../services/base/units.ts";
import type { Infer, Method } from "../../../services/base/wire.ts";
import type { Codec } from "../../../services/platform/codec.ts";
import type { Coordinator } from "../../../services/platform/coordinator.ts";
import { type Binding, type Rpc, serveStream, serveUnary } from "../../../services/platform/rpc.ts";
import {
  ChunkService,
  type PlanResponse,
  type ShipRequest,
  VdiskService,
} from "../../../services/platform/wire/stargate.ts";
import type { FakeClock } from "../../support/fakeClock.ts";

const HOLD_MS_MAX = 500;
const IMPATIENT_MS = 2;
const DRAIN_MS = 30;
const EXTENT_MS = 5;
const EXTENTS_PER_REPORT = 4;

/** An acknowledged write: which extent got which version, in the order of acknowledgement. */
export interface AckedWrite {
  readonly vdiskId: string;
  readonly extent: number;
  readonly version: number;
}

interface SimVdisk {
  readonly id: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly extents: string[];
  lsn: number;
  hold: { readonly cutId: string; readonly since: number; held: boolean } | undefined;
  readonly markers: Map<string, { readonly lsn: number; readonly root: string }>;
  readonly waiting: (() => void)[];
}

export interface SimSiteOptions {
  readonly codec: Codec;
  readonly clock: FakeClock;
  readonly coordinator: Coordinator;
}

export class SimSite {
  readonly vdisks = new Map<string, SimVdisk>();
  /** Fingerprints and roots that the site holds. */
  readonly held = new Set<string>();
  /** Acknowledged writes of the site, in order. */
  readonly acked: AckedWrite[] = [];
  /** How often each fingerprint arrived from another site. */
  readonly arrivals = new Map<string, number>();
  /** Epochs of leaders whose orders were accepted, per CVM, in order. */
  readonly accepted = new Map<number, number[]>();
  /** Names of vDisks in the order in which they were made. */
  readonly made: string[] = [];
  /** Owners that release by themselves before they are told, this many times. */
  earlyReleases = 0;
  /** Holds that the owner ends by itself a moment later. */
  impatience = 0;
  /** How long an order takes to reach the owner of a vDisk, in ms. */
  readonly forwardMs = new Map<string, number>();
  /** Roots that the site will deny to have, once each. */
  readonly forgetOnce = new Set<string>();
  /** Shipments that are under way, and how many there were. */
  shipments = 0;
  /** The target misses what the base of a shipment promised: it refuses the nodes above. */
  targetLacksBase = false;
  /** Milliseconds that an extent takes to ship. */
  extentMs = EXTENT_MS;
  readonly #options: SimSiteOptions;
  readonly #contents = new Map<string, readonly string[]>();
  #nextVdisk = 1;

  constructor(options: SimSiteOptions) {
    this.#options = options;
  }

  fingerprint(text: string): string {
    return toHex(this.#options.codec.sha256(utf8(text)));
  }

  #rootOf(extents: readonly string[]): string {
    if (extents.every((extent) => extent === "")) return "";
    const root = this.fingerprint(extents.join("\n"));
    this.#contents.set(root, [...extents]);
    for (const extent of extents) this.held.add(extent);
    this.held.add(root);
    return root;
  }

  /** Makes a vDisk and its records, as Stargate's catalog does. */
  async createVdisk(name: string, sizeBytes: number, root: string): Promise<SimVdisk> {
    const { coordinator } = this.#options;
    const id = String(this.#nextVdisk++).padStart(32, "0");
    const result = await coordinator.transact({
      when: [{ kind: "createRevision", key: siteKeys.vdiskName(name), equals: 0 }],
      then: [
        { kind: "put", key: siteKeys.vdiskName(name), value: utf8(id) },
        {
          kind: "put",
          key: siteKeys.vdisk(id),
          value: utf8(
            JSON.stringify({
              id,
              name,
              container: "gold",
              sizeBytes,
              replicationFactor: 2,
              compression: true,
              createdAtMs: 0,
            }),
          ),
        },
      ],
    });
    if (!result.succeeded) throw new AntipodeError("VDISK_EXISTS", `${name} exists`);
    const count = Math.ceil(sizeBytes / MIB);
    const extents =
      root === "" ? new Array<string>(count).fill("") : [...(this.#contents.get(root) ?? [])];
    const vdisk: SimVdisk = {
      id,
      name,
      sizeBytes,
      extents,
      lsn: 0,
      hold: undefined,
      markers: new Map(),
      waiting: [],
    };
    this.vdisks.set(id, vdisk);
    this.made.push(name);
    return vdisk;
  }

  vdisk(name: string): SimVdisk {
    const found = [...this.vdisks.values()].find((vdisk) => vdisk.name === name);
    if (found === undefined) throw new AntipodeError("VDISK_NOT_FOUND", `no vDisk ${name}`);
    return found;
  }

  contentOf(root: string): readonly string[] {
    return this.#contents.get(root) ?? [];
  }

  learn(root: string, extents: readonly string[]): void {
    this.#contents.set(root, extents);
  }

  /** Writes an extent; resolves when the write is acknowledged. */
  async write(name: string, extent: number, version: number): Promise<void> {
    const vdisk = this.vdisk(name);
    while (vdisk.hold !== undefined)
      await new Promise<void>((resolve) => vdisk.waiting.push(resolve));
    vdisk.lsn += 1;
    vdisk.extents[extent] = this.fingerprint(`${name} ${extent} ${version}`);
    this.acked.push({ vdiskId: vdisk.id, extent, version });
  }

  #byId(id: string): SimVdisk {
    const vdisk = this.vdisks.get(id);
    if (vdisk === undefined) throw new AntipodeError("VDISK_NOT_FOUND", `no vDisk ${id}`);
    return vdisk;
  }

  #accept(cvm: number, epoch: number): void {
    const log = this.accepted.get(cvm) ?? [];
    this.accepted.set(cvm, log);
    if (epoch < (log.at(-1) ?? 0))
      throw new AntipodeError("STALE_EPOCH", "a newer leader has given orders here");
    log.push(epoch);
  }

  async #forward(vdiskId: string): Promise<void> {
    const delayMs = this.forwardMs.get(this.vdisks.get(vdiskId)?.name ?? "") ?? 0;
    if (delayMs > 0) await this.#options.clock.sleep(delayMs);
  }

  hold(cvm: number, order: { vdiskId: string; cutId: string; leaderEpoch: number }): void {
    this.#accept(cvm, order.leaderEpoch);
    const vdisk = this.#byId(order.vdiskId);
    if (vdisk.hold?.cutId === order.cutId) return;
    const hold = { cutId: order.cutId, since: this.#options.clock.now(), held: true };
    vdisk.hold = hold;
    const impatient = this.impatience > 0;
    if (impatient) this.impatience -= 1;
    this.#options.clock.after(impatient ? IMPATIENT_MS : HOLD_MS_MAX, () => {
      if (vdisk.hold !== hold) return;
      this.#letGo(vdisk);
    });
  }

  #letGo(vdisk: SimVdisk): void {
    vdisk.hold = undefined;
    for (const resume of vdisk.waiting.splice(0)) resume();
  }

  mark(cvm: number, order: { vdiskId: string; cutId: string; leaderEpoch: number }): number {
    this.#accept(cvm, order.leaderEpoch);
    const vdisk = this.#byId(order.vdiskId);
    if (this.earlyReleases > 0 && vdisk.hold !== undefined) {
      this.earlyReleases -= 1;
      this.#letGo(vdisk);
    }
    vdisk.lsn += 1;
    vdisk.markers.set(order.cutId, { lsn: vdisk.lsn, root: this.#rootOf(vdisk.extents) });
    this.#options.clock.after(DRAIN_MS, () => void this.#drained(vdisk, order.cutId));
    return vdisk.lsn;
  }

  async #drained(vdisk: SimVdisk, cutId: string): Promise<void> {
    const { coordinator } = this.#options;
    const marker = vdisk.markers.get(cutId);
    const cut = await coordinator.get(siteKeys.cut(cutId));
    if (cut === undefined || marker === undefined) return;
    await coordinator.transact({
      when: [{ kind: "modRevision", key: cut.key, equals: cut.modRevision }],
      then: [
        {
          kind: "put",
          key: siteKeys.cutRoot(cutId, vdisk.id),
          value: utf8(JSON.stringify({ ...marker, sizeBytes: vdisk.sizeBytes })),
        },
      ],
    });
  }

  release(
    cvm: number,
    order: { vdiskId: string; cutId: string; leaderEpoch: number },
  ): { held: boolean; heldMs: number } {
    this.#accept(cvm, order.leaderEpoch);
    const vdisk = this.#byId(order.vdiskId);
    if (vdisk.hold?.cutId !== order.cutId) return { held: false, heldMs: 0 };
    const heldMs = this.#options.clock.now() - vdisk.hold.since;
    this.#letGo(vdisk);
    return { held: true, heldMs };
  }

  plan(root: string, base: string, sizeBytes: number): Infer<typeof PlanResponse> {
    const now = this.contentOf(root);
    const before = this.contentOf(base);
    const bytes = (hex: string | undefined): Uint8Array =>
      Uint8Array.from((hex ?? "").match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
    const changed = now
      .map((fingerprint, index) => ({ index, fingerprint, base: before[index] ?? "" }))
      .filter((extent) => extent.fingerprint !== extent.base && extent.fingerprint !== "");
    const same = now.filter((extent, i) => extent !== "" && extent === (before[i] ?? "")).length;
    return {
      subtrees: changed.map((extent) => ({
        level: 1,
        index: extent.index,
        fingerprint: bytes(extent.fingerprint),
        baseFingerprint: bytes(extent.base),
      })),
      logicalBytes: changed.length * MIB,
      unchangedBytes: same * MIB,
      zeroBytes: sizeBytes - (changed.length + same) * MIB,
    };
  }

  #hasRoot(root: string): Promise<{ readonly present: boolean }> {
    const present = root === "" || (!this.forgetOnce.delete(root) && this.held.has(root));
    return Promise.resolve({ present });
  }

  /** Bindings of one CVM's Stargate. */
  bindings(cvm: number, rpc: Rpc): readonly Binding[] {
    const { clock } = this.#options;
    return [
      serveUnary(VdiskService.hold, async (order) => {
        await this.#forward(order.vdiskId);
        this.hold(cvm, order);
        return {};
      }),
      serveUnary(VdiskService.mark, async (order) => {
        await this.#forward(order.vdiskId);
        return { lsn: this.mark(cvm, order) };
      }),
      serveUnary(VdiskService.release, async (order) => {
        await this.#forward(order.vdiskId);
        return this.release(cvm, order);
      }),
      serveUnary(VdiskService.plan, ({ root, baseRoot, sizeBytes }) =>
        Promise.resolve(this.plan(root, baseRoot, sizeBytes)),
      ),
      serveUnary(VdiskService.hasRoot, ({ root }) => this.#hasRoot(root)),
      serveUnary(VdiskService.locateRoot, ({ root }) => this.#hasRoot(root)),
      serveUnary(VdiskService.createContainer, async (container) => {
        await this.#options.coordinator.transact({
          when: [],
          then: [
            {
              kind: "put",
              key: siteKeys.container(container.name),
              value: utf8(JSON.stringify(container)),
            },
          ],
        });
        return {};
      }),
      serveUnary(VdiskService.createVdisk, async ({ name, sizeBytes, root }) =>
        vdiskMessage(await this.createVdisk(name, sizeBytes, root), root),
      ),
      serveUnary(VdiskService.showVdisk, ({ name }) => {
        const vdisk = this.vdisk(name);
        return Promise.resolve(vdiskMessage(vdisk, this.#rootOf(vdisk.extents)));
      }),
      serveUnary(ChunkService.getChunks, ({ fingerprints }) => {
        const text = toHex(fingerprints);
        for (let at = 0; at < text.length; at += 64) {
          const one = text.slice(at, at + 64);
          this.arrivals.set(one, (this.arrivals.get(one) ?? 0) + 1);
          this.held.add(one);
        }
        return Promise.resolve({ pack: new Uint8Array(0), corrupt: new Uint8Array(0) });
      }),
      serveUnary(ChunkService.hasChunks, ({ fingerprints }) =>
        Promise.resolve({
          present: Uint8Array.from(
            { length: fingerprints.length / 32 },
            (_, i) => +this.held.has(toHex(fingerprints.subarray(32 * i, 32 * i + 32))),
          ),
        }),
      ),
      serveStream(VdiskService.verify, async (stream) => {
        for await (const { root, sizeBytes } of stream.incoming) {
          const content = this.contentOf(root);
          await stream.send({
            checkedChunks: content.length,
            checkedBytes: sizeBytes,
            missingChunks: content.filter((one) => one !== "" && !this.held.has(one)).length,
            corruptChunks: 0,
            done: true,
          });
          return;
        }
      }),
      serveStream(VdiskService.ship, async (stream, { signal }) => {
        for await (const request of stream.incoming) {
          this.#accept(cvm, request.leaderEpoch);
          this.shipments += 1;
          await this.#ship(rpc, clock, request, signal, (ledger) => stream.send(ledger));
          return;
        }
      }),
    ];
  }

  async #ship(
    rpc: Rpc,
    clock: FakeClock,
    request: Infer<typeof ShipRequest>,
    signal: AbortSignal,
    report: (ledger: Ledger) => Promise<void>,
  ): Promise<void> {
    const counted = request.subtrees.map((subtree) => toHex(subtree.fingerprint));
    const wanted =
      request.topRoot === ""
        ? counted
        : [
            ...counted,
            ...this.contentOf(request.topRoot).filter(
              (one) => one !== "" && !counted.includes(one),
            ),
            request.topRoot,
          ];
    if (this.targetLacksBase && request.subtrees.some((one) => one.baseFingerprint.length > 0))
      throw new AntipodeError("RECOVERY_POINT_INCOMPLETE", "a node came before its children");
    let ledger = { ...zeroLedger };
    let count = 0;
    for (const [index, fingerprint] of wanted.entries()) {
      if (signal.aborted) return;
      const top = index >= counted.length;
      await clock.sleep(this.extentMs);
      const bytes = { fingerprints: hexBytes(fingerprint) };
      const [isThere] = (await toTarget(rpc, request, ChunkService.hasChunks, bytes)).present;
      if (isThere !== 1) await toTarget(rpc, request, ChunkService.getChunks, bytes);
      const sent = isThere !== 1 && fingerprint !== request.topRoot ? MIB : 0;
      ledger = {
        ...ledger,
        logicalBytes: ledger.logicalBytes + (top ? 0 : MIB),
        dedupedBytes: ledger.dedupedBytes + (top ? 0 : MIB - sent),
        uniqueBytes: ledger.uniqueBytes + (top ? 0 : sent),
        compressedBytes: ledger.compressedBytes + sent / 2,
        wireBytes: ledger.wireBytes + sent / 2 + 100,
        chunksSent: ledger.chunksSent + (sent > 0 ? 64 : 0),
      };
      count += 1;
      if (count % EXTENTS_PER_REPORT === 0) await report(ledger);
    }
    await report({ ...ledger, done: true });
  }
}

interface Ledger {
  readonly logicalBytes: number;
  readonly zeroBytes: number;
  readonly unchangedBytes: number;
  readonly dedupedBytes: number;
  readonly uniqueBytes: number;
  readonly compressedBytes: number;
  readonly metadataBytes: number;
  readonly wireBytes: number;
  readonly resentBytes: number;
  readonly chunksSent: number;
  readonly done: boolean;
}

const zeroLedger: Ledger = {
  logicalBytes: 0,
  zeroBytes: 0,
  unchangedBytes: 0,
  dedupedBytes: 0,
  uniqueBytes: 0,
  compressedBytes: 0,
  metadataBytes: 0,
  wireBytes: 0,
  resentBytes: 0,
  chunksSent: 0,
  done: false,
};

const hexBytes = (hex: string): Uint8Array =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

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

/**
 * Is a recovery point a prefix of the acknowledged order, across all its vDisks? (P2) Replays the
 * log: after some number of acknowledgements every vDisk must show exactly the point's content.
 */
export function prefixLength(site: SimSite, point: RecoveryPointRecord): number | undefined {
  const rows = new Map(
    point.disks.map((disk) => [disk.vdiskId, new Array<string>(disk.sizeBytes / MIB).fill("")]),
  );
  const names = new Map(point.disks.map((disk) => [disk.vdiskId, disk.vdiskName]));
  const matches = (): boolean =>
    point.disks.every((disk) => {
      const row = rows.get(disk.vdiskId) ?? [];
      const content = disk.root === "" ? row.map(() => "") : site.contentOf(disk.root);
      return row.every((extent, i) => extent === (content[i] ?? ""));
    });
  let found = matches() ? 0 : undefined;
  for (const [index, write] of site.acked.entries()) {
    const row = rows.get(write.vdiskId);
    if (row === undefined) continue;
    row[write.extent] = site.fingerprint(
      `${names.get(write.vdiskId) ?? ""} ${write.extent} ${write.version}`,
    );
    if (matches()) found = index + 1;
  }
  return found;
}
