/**
 * The Stargates of a simulated site, as Cerebro sees them: one content for the site, one fence a CVM.
 * A vDisk is a row of 1 MiB extents, each with a version; its root is a hash of the row. Writers are
 * acknowledged at once, or when the hold ends; every acknowledgement is logged in one global order,
 * so that a recovery point can be checked to be a prefix of it (P2). What other processes ask of it:
 * simStargateService.ts.
 */

import { toHex, utf8 } from "../../../services/base/bytes.ts";
import { AntipodeError } from "../../../services/base/errors.ts";
import type { RecoveryPointRecord } from "../../../services/base/siteRecords.ts";
import { siteKeys } from "../../../services/base/siteRecords.ts";
import { MIB } from "../../../services/base/units.ts";
import type { Infer } from "../../../services/base/wire.ts";
import type { Codec } from "../../../services/platform/codec.ts";
import type { Coordinator } from "../../../services/platform/coordinator.ts";
import type { ContainerMessage, PlanResponse } from "../../../services/platform/wire/stargate.ts";
import type { FakeClock } from "../../support/fakeClock.ts";

const HOLD_MS_MAX = 500;
const IMPATIENT_MS = 2;
const DRAIN_MS = 30;
const EXTENT_MS = 5;

/** An acknowledged write: which extent got which version, in the order of acknowledgement. */
export interface AckedWrite {
  readonly vdiskId: string;
  readonly extent: number;
  readonly version: number;
}

export interface SimVdisk {
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
  /** CVMs whose view is late: until when they show the first vDisk that had a name. */
  readonly lateUntilMs = new Map<number, number>();
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

  /** The root of this content, which the site holds from now on. */
  rootOf(extents: readonly string[]): string {
    if (extents.every((extent) => extent === "")) return "";
    const root = this.fingerprint(extents.join("\n"));
    this.#contents.set(root, [...extents]);
    for (const extent of extents) this.held.add(extent);
    this.held.add(root);
    return root;
  }

  async createContainer(container: Infer<typeof ContainerMessage>): Promise<void> {
    const value = utf8(JSON.stringify(container));
    await this.#options.coordinator.transact({
      when: [],
      then: [{ kind: "put", key: siteKeys.container(container.name), value }],
    });
  }

  /** Chunks came from another site. */
  arrive(fingerprint: string): void {
    this.arrivals.set(fingerprint, (this.arrivals.get(fingerprint) ?? 0) + 1);
    this.held.add(fingerprint);
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
    // The newest: one that was set aside has lost its name.
    const found = [...this.vdisks.values()].findLast((vdisk) => vdisk.name === name);
    if (found === undefined) throw new AntipodeError("VDISK_NOT_FOUND", `no vDisk ${name}`);
    return found;
  }

  /** The vDisk of a name as a CVM's view has it. */
  seenAt(cvm: number, name: string): SimVdisk {
    const isLate = (this.lateUntilMs.get(cvm) ?? 0) > this.#options.clock.now();
    const first = [...this.vdisks.values()].find((vdisk) => vdisk.name === name);
    return isLate && first !== undefined ? first : this.vdisk(name);
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

  /** Obeys an order of a leader, or refuses it. */
  accept(cvm: number, epoch: number): void {
    const log = this.accepted.get(cvm) ?? [];
    this.accepted.set(cvm, log);
    if (epoch < (log.at(-1) ?? 0))
      throw new AntipodeError("STALE_EPOCH", "a newer leader has given orders here");
    log.push(epoch);
  }

  /** Lets the time pass that an order takes to the owner. */
  async forward(vdiskId: string): Promise<void> {
    const delayMs = this.forwardMs.get(this.vdisks.get(vdiskId)?.name ?? "") ?? 0;
    if (delayMs > 0) await this.#options.clock.sleep(delayMs);
  }

  hold(cvm: number, order: { vdiskId: string; cutId: string; leaderEpoch: number }): void {
    this.accept(cvm, order.leaderEpoch);
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
    this.accept(cvm, order.leaderEpoch);
    const vdisk = this.#byId(order.vdiskId);
    if (this.earlyReleases > 0 && vdisk.hold !== undefined) {
      this.earlyReleases -= 1;
      this.#letGo(vdisk);
    }
    vdisk.lsn += 1;
    vdisk.markers.set(order.cutId, { lsn: vdisk.lsn, root: this.rootOf(vdisk.extents) });
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
    this.accept(cvm, order.leaderEpoch);
    const vdisk = this.#byId(order.vdiskId);
    if (vdisk.hold?.cutId !== order.cutId) return { held: false, heldMs: 0 };
    const heldMs = this.#options.clock.now() - vdisk.hold.since;
    this.#letGo(vdisk);
    return { held: true, heldMs };
  }

  /** Has it this root, once denied when told to forget it? */
  hasRoot(root: string): boolean {
    return root === "" || (!this.forgetOnce.delete(root) && this.held.has(root));
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
