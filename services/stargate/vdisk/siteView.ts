/**
 * What this CVM knows of its site from etcd: vDisks, owners, containers, who lives. A view, possibly
 * late; it keeps its last state while etcd is away, so that I/O goes on.
 */

import { fromUtf8 } from "../../base/bytes.ts";
import { AntipodeError, messageOf } from "../../base/errors.ts";
import {
  type ContainerRecord,
  type OwnerRecord,
  siteKeys,
  type VdiskRecord,
} from "../../base/siteRecords.ts";
import { FollowedPrefix, type FollowPorts } from "../../platform/coordination/followedPrefix.ts";
import { decodeContainer, decodeOwner, decodeVdisk } from "./records.ts";

/** Bounds how late a watch that tells nothing can make the view. */
const RELIST_MS = 5000;

export class SiteView {
  readonly #vdisks: Table<VdiskRecord>;
  readonly #owners: Table<OwnerRecord>;
  readonly #containers: Table<ContainerRecord>;
  readonly #live: Table<string>;
  #byName = new Map<string, VdiskRecord>();
  readonly #listeners: (() => void)[] = [];

  constructor(ports: FollowPorts) {
    const table = <T>(prefix: string, decode: (value: Uint8Array) => T): Table<T> =>
      followTable(ports, prefix, decode, () => {
        this.#onChange();
      });
    this.#vdisks = table(siteKeys.vdisks, decodeVdisk);
    this.#owners = table(siteKeys.owners, decodeOwner);
    this.#containers = table(siteKeys.containers, decodeContainer);
    this.#live = table(siteKeys.livePrefix("stargate"), fromUtf8);
  }

  /** Resolves when everything was read once, however long etcd is away. @throws AntipodeError `CANCELLED` */
  async start(): Promise<void> {
    for (const table of this.#tables()) table.source.start();
    for (const table of this.#tables()) await table.source.ready();
  }

  /**
   * Reads vDisks and owners again: before saying that something does not exist.
   * @throws AntipodeError `COORDINATOR_UNAVAILABLE`
   */
  async refresh(): Promise<void> {
    const tables = [this.#containers, this.#owners, this.#vdisks];
    await Promise.all(tables.map((table) => table.source.refresh()));
  }

  /** Called after each change of anything. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  close(): void {
    for (const table of this.#tables()) table.source.close();
  }

  vdisk(id: string): VdiskRecord | undefined {
    return this.#vdisks.values.get(id);
  }
  vdisks(): readonly VdiskRecord[] {
    return [...this.#byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
  containers(): readonly ContainerRecord[] {
    return [...this.#containers.values.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
  owner(id: string): OwnerRecord | undefined {
    return this.#owners.values.get(id);
  }
  isLive(cvm: number): boolean {
    return this.#live.values.has(String(cvm));
  }
  liveCvms(): readonly number[] {
    return [...this.#live.values.keys()].map(Number).sort((a, b) => a - b);
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
      [...this.#vdisks.values.values()].map((record) => [record.name, record]),
    );
    for (const listener of this.#listeners) listener();
  }

  #tables(): readonly Table<unknown>[] {
    return [this.#live, this.#containers, this.#owners, this.#vdisks];
  }
}

/** The records below a prefix, by the part of the key after it. */
interface Table<T> {
  readonly source: FollowedPrefix;
  readonly values: ReadonlyMap<string, T>;
}

/**
 * A record that cannot be read leaves what was known before in place: a damaged record must not look
 * like a deleted vDisk.
 */
function followTable<T>(
  ports: FollowPorts,
  prefix: string,
  decode: (value: Uint8Array) => T,
  settled: () => void,
): Table<T> {
  const values = new Map<string, T>();
  const source = new FollowedPrefix(ports, {
    prefix,
    relistMs: RELIST_MS,
    settled,
    apply(key, entry) {
      const suffix = key.slice(prefix.length);
      if (entry === undefined) {
        values.delete(suffix);
        return;
      }
      try {
        values.set(suffix, decode(entry.value));
      } catch (error) {
        ports.log.error(
          { event: "view.recordUnreadable", key, reason: messageOf(error) },
          "record in etcd is unreadable",
        );
      }
    },
  });
  return { source, values };
}
