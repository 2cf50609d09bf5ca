/**
 * The vDisks that this CVM owns, and when it takes over others. A vDisk is taken over
 * - when this CVM is its owner by the record but does not serve it (this process was restarted, or
 *   ended its serving because of a failure), and
 * - when its owner is not live and this CVM is the first live peer in the record (the others follow a
 *   little later if that one fails; the owner record's guard picks one winner).
 *
 * Liveness is a hint: a takeover from an owner that lives is safe, only needless.
 */

import { AntipodeError } from "../../base/errors.ts";
import type { OwnerRecord } from "../../base/siteRecords.ts";
import type { Timer } from "../../platform/clock.ts";
import type { OwnedVdisk } from "./ownedVdisk.ts";
import type { SiteView } from "./siteView.ts";
import { type TakeoverWorld, takeOver } from "./takeover.ts";

/** Where requests for a vDisk go now. */
export type Route =
  | { readonly kind: "here"; readonly owned: OwnedVdisk }
  /** This CVM should serve it and is about to. */
  | { readonly kind: "soon" }
  | { readonly kind: "there"; readonly cvm: number }
  /** Nobody can serve it at the moment. */
  | { readonly kind: "nobody" };

const SWEEP_MS = 400;
const TAKEOVERS_AT_ONCE = 4;
/** Between tries of the sweep; a request for the vDisk tries at once. */
const TAKEOVER_PAUSE_MS_MAX = 4000;
/** A later peer gives an earlier one this long, times its place. */
const PEER_TURN_MS = 1500;

export class VdiskHost {
  readonly #world: TakeoverWorld;
  readonly #view: SiteView;
  readonly #owned = new Map<string, OwnedVdisk>();
  readonly #acquiring = new Map<string, Promise<OwnedVdisk>>();
  /** Since when a vDisk's owner has been seen dead, monotonic. */
  readonly #ownerlessSince = new Map<string, number>();
  /** Takeovers that failed: how often in a row, and when the sweep tries again. */
  readonly #failed = new Map<string, { readonly count: number; readonly nextMs: number }>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(world: TakeoverWorld, view: SiteView) {
    this.#world = world;
    this.#view = view;
    view.onChange(() => {
      this.#sweep();
    });
    this.#sweep();
  }

  /** The vDisk if it is served here. */
  served(id: string): OwnedVdisk | undefined {
    return this.#owned.get(id);
  }

  /** All vDisks served here. */
  allServed(): readonly OwnedVdisk[] {
    return [...this.#owned.values()];
  }

  /**
   * Where to send a request. What the view does not know is looked for in etcd first: this process
   * may be young, or its view late.
   * @throws AntipodeError `VDISK_NOT_FOUND`, `COORDINATOR_UNAVAILABLE`
   */
  async route(id: string): Promise<Route> {
    const known = this.#knownRoute(id);
    if (known !== undefined) return known;
    await this.#view.refresh();
    const found = this.#knownRoute(id);
    if (found === undefined)
      throw new AntipodeError("VDISK_NOT_FOUND", "the vDisk does not exist any more", {
        vdiskId: id,
      });
    return found;
  }

  /**
   * The vDisk, taken over first if this CVM should serve it.
   * @throws AntipodeError `NOT_OWNER` with the owner in `details.owner`; `VDISK_NOT_FOUND`
   */
  async serve(id: string): Promise<OwnedVdisk> {
    const owned = this.#owned.get(id);
    if (owned !== undefined) return owned;
    const route = await this.route(id);
    if (route.kind === "here") return route.owned;
    if (route.kind === "soon") return this.#acquire(id);
    throw new AntipodeError("NOT_OWNER", "another CVM serves the vDisk", {
      vdiskId: id,
      owner: this.#view.owner(id)?.owner ?? 0,
    });
  }

  /** Stops serving everything; for an orderly end of the process. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    for (const owned of [...this.#owned.values()])
      owned.depose(new AntipodeError("OWNER_UNAVAILABLE", "the CVM is shutting down"));
  }

  #knownRoute(id: string): Route | undefined {
    const owned = this.#owned.get(id);
    if (owned !== undefined) return { kind: "here", owned };
    const record = this.#view.owner(id);
    if (record === undefined || this.#view.vdisk(id) === undefined) return undefined;
    const { selfCvm } = this.#world.peers;
    if (record.owner === selfCvm || this.#acquiring.has(id)) return { kind: "soon" };
    if (this.#view.isLive(record.owner)) return { kind: "there", cvm: record.owner };
    const heir = record.peers.find((cvm) => this.#view.isLive(cvm));
    if (heir === undefined) return { kind: "nobody" };
    return heir === selfCvm ? { kind: "soon" } : { kind: "there", cvm: heir };
  }

  #acquire(id: string): Promise<OwnedVdisk> {
    const under = this.#acquiring.get(id);
    if (under !== undefined) return under;
    const acquiring = this.#takeOver(id).finally(() => this.#acquiring.delete(id));
    this.#acquiring.set(id, acquiring);
    return acquiring;
  }

  async #takeOver(id: string): Promise<OwnedVdisk> {
    const record = this.#view.vdisk(id);
    if (record === undefined)
      throw new AntipodeError("VDISK_NOT_FOUND", "the vDisk does not exist any more", {
        vdiskId: id,
      });
    const owned = await takeOver(this.#world, record, (deposed, reason) => {
      if (this.#owned.get(id) === deposed) this.#owned.delete(id);
      this.#world.vdisks.logger.warn(
        { event: "vdisk.deposed", vdisk: id, code: reason.code, reason: reason.message },
        "vdisk no longer owned",
      );
    });
    if (this.#closed)
      owned.depose(new AntipodeError("OWNER_UNAVAILABLE", "the CVM is shutting down"));
    else if (!owned.deposed) this.#owned.set(id, owned);
    return owned;
  }

  /** Looks for vDisks that this CVM should serve, and for ones that are gone. */
  #sweep(): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    this.#timer = this.#world.vdisks.clock.after(SWEEP_MS, () => {
      this.#sweep();
    });
    for (const [id, owned] of this.#owned)
      if (this.#view.vdisk(id) === undefined) this.#drop(id, owned);
    for (const { id } of this.#view.vdisks()) {
      if (this.#acquiring.size >= TAKEOVERS_AT_ONCE) return;
      const record = this.#view.owner(id);
      if (
        record === undefined ||
        this.#owned.has(id) ||
        this.#acquiring.has(id) ||
        !this.#isOurTurn(id, record)
      )
        continue;
      this.#acquire(id).then(
        () => this.#failed.delete(id),
        (error: unknown) => {
          this.#onTakeoverFailed(id, error);
        },
      );
    }
  }

  #onTakeoverFailed(id: string, error: unknown): void {
    const { clock, logger, onBug } = this.#world.vdisks;
    if (!(error instanceof AntipodeError)) {
      onBug(error);
      return;
    }
    const count = (this.#failed.get(id)?.count ?? 0) + 1;
    const pauseMs = Math.min(TAKEOVER_PAUSE_MS_MAX, SWEEP_MS * 2 ** Math.min(count - 1, 10));
    this.#failed.set(id, { count, nextMs: clock.now() + pauseMs });
    const fields = {
      event: "vdisk.takeoverFailed",
      vdisk: id,
      count,
      code: error.code,
      reason: error.message,
    };
    logger.info(fields, "takeover did not succeed");
  }

  #isOurTurn(id: string, record: OwnerRecord): boolean {
    const { selfCvm } = this.#world.peers;
    const pausedUntilMs = this.#failed.get(id)?.nextMs ?? 0;
    if (this.#world.vdisks.clock.now() < pausedUntilMs) return false;
    if (record.owner === selfCvm) return true;
    if (this.#view.isLive(record.owner)) {
      this.#ownerlessSince.delete(id);
      return false;
    }
    const place = record.peers.filter((cvm) => this.#view.isLive(cvm)).indexOf(selfCvm);
    if (place < 0) return false;
    const now = this.#world.vdisks.clock.now();
    const since = this.#ownerlessSince.get(id) ?? now;
    this.#ownerlessSince.set(id, since);
    return now - since >= place * PEER_TURN_MS;
  }

  /** The vDisk was deleted; its oplog is forgotten by its note (forgetting.ts). */
  #drop(id: string, owned: OwnedVdisk): void {
    owned.depose(new AntipodeError("VDISK_NOT_FOUND", "the vDisk was deleted", { vdiskId: id }));
    this.#owned.delete(id);
  }
}
