/**
 * What this CVM knows of its site from etcd: vDisks, owners, containers, who lives. A view, possibly
 * late; it keeps its last state while etcd is away, so that I/O goes on.
 */

import { fromUtf8 } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import {
  type ContainerRecord,
  type OwnerRecord,
  siteKeys,
  type VdiskRecord,
} from "../../base/siteRecords.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Coordinator } from "../../platform/coordinator.ts";
import type { Log } from "../../platform/log.ts";
import { decodeContainer, decodeOwner, decodeVdisk } from "./records.ts";
import { WatchedTable } from "./watchedTable.ts";

export class SiteView {
  readonly #vdisks: WatchedTable<VdiskRecord>;
  readonly #owners: WatchedTable<OwnerRecord>;
  readonly #containers: WatchedTable<ContainerRecord>;
  readonly #live: WatchedTable<string>;
  #byName = new Map<string, VdiskRecord>();
  readonly #listeners: (() => void)[] = [];

  constructor(options: {
    readonly coordinator: Coordinator;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    const table = <T>(prefix: string, decode: (value: Uint8Array) => T): WatchedTable<T> =>
      new WatchedTable({
        ...options,
        prefix,
        decode,
        onChange: () => {
          this.#onChange();
        },
      });
    this.#vdisks = table(siteKeys.vdisks, decodeVdisk);
    this.#owners = table(siteKeys.owners, decodeOwner);
    this.#containers = table(siteKeys.containers, decodeContainer);
    this.#live = table(siteKeys.livePrefix("stargate"), fromUtf8);
  }

  async start(): Promise<void> {
    await this.#live.start();
    await this.#containers.start();
    await this.#owners.start();
    await this.#vdisks.start();
  }

  /** Reads vDisks and owners again: before saying that something does not exist. */
  async refresh(): Promise<void> {
    await this.#containers.refresh();
    await this.#owners.refresh();
    await this.#vdisks.refresh();
  }

  /** Called after each change of anything. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  close(): void {
    for (const table of [this.#vdisks, this.#owners, this.#containers, this.#live]) table.close();
  }

  vdisk(id: string): VdiskRecord | undefined {
    return this.#vdisks.get(id)?.value;
  }
  vdisks(): readonly VdiskRecord[] {
    return [...this.#byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
  containers(): readonly ContainerRecord[] {
    return [...this.#containers.entries()]
      .map(([, entry]) => entry.value)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }
  owner(id: string): OwnerRecord | undefined {
    return this.#owners.get(id)?.value;
  }
  isLive(cvm: number): boolean {
    return this.#live.get(String(cvm)) !== undefined;
  }
  liveCvms(): readonly number[] {
    return [...this.#live.entries()].map(([cvm]) => Number(cvm)).sort((a, b) => a - b);
  }

  /** By name, asking etcd when the view does not know it. @throws AntipodeError `VDISK_NOT_FOUND` */
  async findByName(name: string): Promise<VdiskRecord> {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    await this.refresh();
    const found = this.#byName.get(name);
    if (found === undefined)
      throw new AntipodeError("VDISK_NOT_FOUND", `there is no vDisk "${name}"`, { vdisk: name });
    return found;
  }

  #onChange(): void {
    this.#byName = new Map(
      [...this.#vdisks.entries()].map(([, entry]) => [entry.value.name, entry.value]),
    );
    for (const listener of this.#listeners) listener();
  }
}
