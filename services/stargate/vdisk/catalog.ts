/**
 * Containers and vDisks as records of the site's etcd: made and removed in one transaction each, so a
 * name is used once and a half-made vDisk never exists.
 */

import { fromUtf8, toHex, utf8 } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import {
  type ContainerRecord,
  isName,
  parseExportName,
  siteKeys,
  type VdiskRecord,
} from "../../base/siteRecords.ts";
import { MIB, SECTOR_SIZE_BYTES, TIB } from "../../base/units.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Coordinator, Operation } from "../../platform/coordinator.ts";
import type { Random } from "../../platform/random.ts";
import { rootFromHex, rootToHex } from "../blockmap/fingerprints.ts";
import { findRecoveryPointDisk } from "./devices.ts";
import { decodeContainer, encodeRecord } from "./records.ts";
import type { SiteView } from "./siteView.ts";

const SIZE_BYTES_MIN = MIB;
const SIZE_BYTES_MAX = 64 * TIB;
export const REPLICATION_FACTOR_MAX = 3;

export interface NewVdisk {
  readonly name: string;
  readonly container: string;
  readonly sizeBytes: number;
  readonly root: string;
  readonly source: string;
}

export interface CatalogWorld {
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly random: Random;
  readonly view: SiteView;
  /** CVMs of the site in order of preference for a vDisk, live ones first. */
  preferredCvms(vdiskId: string): readonly number[];
  /** All CVMs of the site. */
  readonly members: readonly number[];
}

export class Catalog {
  readonly #world: CatalogWorld;

  constructor(world: CatalogWorld) {
    this.#world = world;
  }

  /** @throws AntipodeError `NAME_INVALID`, `INVALID_ARGUMENT`, `CONTAINER_EXISTS` */
  async createContainer(record: ContainerRecord): Promise<void> {
    checkName(record.name, "container");
    const rf = record.replicationFactor;
    if (!Number.isInteger(rf) || rf < 1 || rf > REPLICATION_FACTOR_MAX)
      throw new AntipodeError("INVALID_ARGUMENT", `a replication factor is 1, 2 or 3, not ${rf}`, {
        replicationFactor: rf,
      });
    const cvmCount = this.#world.members.length;
    if (rf > cvmCount)
      throw new AntipodeError(
        "INVALID_ARGUMENT",
        `${rf} copies need ${rf} CVMs; the site has ${cvmCount}`,
        { replicationFactor: rf },
      );
    const key = siteKeys.container(record.name);
    const { succeeded } = await this.#world.coordinator.transact({
      when: [{ kind: "createRevision", key, equals: 0 }],
      then: [{ kind: "put", key, value: encodeRecord(record) }],
    });
    if (!succeeded)
      throw new AntipodeError("CONTAINER_EXISTS", `there is a container "${record.name}" already`, {
        container: record.name,
      });
  }

  /** @throws AntipodeError `CONTAINER_NOT_FOUND`, `CONTAINER_IN_USE` */
  async deleteContainer(name: string): Promise<void> {
    const { coordinator, view } = this.#world;
    await view.refresh();
    const key = siteKeys.container(name);
    const entry = await coordinator.get(key);
    if (entry === undefined) throw noContainer(name);
    const user = view.vdisks().find((vdisk) => vdisk.container === name);
    if (user !== undefined)
      throw new AntipodeError(
        "CONTAINER_IN_USE",
        `container "${name}" holds vDisk "${user.name}"`,
        { container: name, vdisk: user.name },
      );
    // A vDisk made in between has changed nothing in the container's record: touch it in createVdisk.
    const { succeeded } = await coordinator.transact({
      when: [{ kind: "modRevision", key, equals: entry.modRevision }],
      then: [{ kind: "delete", key }],
    });
    if (!succeeded)
      throw new AntipodeError("COORDINATOR_CONFLICT", `container "${name}" changed meanwhile`, {
        container: name,
      });
  }

  /** @throws AntipodeError `NAME_INVALID`, `SIZE_INVALID`, `CONTAINER_NOT_FOUND`, `VDISK_EXISTS`, … */
  async createVdisk(wanted: NewVdisk): Promise<VdiskRecord> {
    checkName(wanted.name, "vDisk");
    const { coordinator, clock, random } = this.#world;
    const origin = await this.#origin(wanted);
    checkSize(origin.sizeBytes);
    const containerKey = siteKeys.container(wanted.container);
    const container = await coordinator.get(containerKey);
    if (container === undefined) throw noContainer(wanted.container);
    const policy = decodeContainer(container.value);
    const id = toHex(random.bytes(16));
    const record: VdiskRecord = {
      id,
      name: wanted.name,
      container: wanted.container,
      sizeBytes: origin.sizeBytes,
      replicationFactor: policy.replicationFactor,
      compression: policy.compression,
      createdAtMs: clock.wall(),
    };
    const peers = this.#world.preferredCvms(id).slice(0, policy.replicationFactor);
    const owner = peers[0];
    if (owner === undefined)
      throw new AntipodeError("PEERS_UNAVAILABLE", "no CVM of the site is live");
    const { succeeded } = await coordinator.transact({
      when: [
        { kind: "createRevision", key: siteKeys.vdiskName(wanted.name), equals: 0 },
        { kind: "modRevision", key: containerKey, equals: container.modRevision },
      ],
      then: [
        // Written again unchanged: a container that is being deleted at this moment notices.
        { kind: "put", key: containerKey, value: container.value },
        { kind: "put", key: siteKeys.vdiskName(wanted.name), value: utf8(id) },
        {
          kind: "put",
          key: siteKeys.owner(id),
          value: encodeRecord({ owner, epoch: 1, peers, served: false }),
        },
        {
          kind: "put",
          key: siteKeys.map(id),
          value: encodeRecord({ root: origin.root, drainedLsn: 0 }),
        },
        { kind: "put", key: siteKeys.vdisk(id), value: encodeRecord(record) },
      ],
    });
    if (succeeded) return record;
    const taken = await coordinator.get(siteKeys.vdiskName(wanted.name));
    if (taken !== undefined)
      throw new AntipodeError("VDISK_EXISTS", `there is a vDisk "${wanted.name}" already`, {
        vdisk: wanted.name,
      });
    throw new AntipodeError(
      "COORDINATOR_CONFLICT",
      `container "${wanted.container}" changed meanwhile`,
      { container: wanted.container },
    );
  }

  /**
   * Its chunks stay until garbage is collected. The name is looked up in etcd, not in the view, which may
   * still know the vDisk that had the name before.
   * @throws AntipodeError `VDISK_NOT_FOUND`, `VDISK_IN_USE`, `COORDINATOR_CONFLICT`
   */
  async deleteVdisk(name: string): Promise<void> {
    const { coordinator } = this.#world;
    const nameKey = siteKeys.vdiskName(name);
    const named = await coordinator.get(nameKey);
    if (named === undefined)
      throw new AntipodeError("VDISK_NOT_FOUND", `there is no vDisk "${name}"`, { vdisk: name });
    const id = fromUtf8(named.value);
    const { succeeded, found } = await coordinator.transact({
      when: [
        { kind: "modRevision", key: nameKey, equals: named.modRevision },
        { kind: "createRevision", key: siteKeys.protectedVdisk(id), equals: 0 },
      ],
      then: [
        { kind: "delete", key: nameKey },
        { kind: "delete", key: siteKeys.vdisk(id) },
        { kind: "delete", key: siteKeys.owner(id) },
        { kind: "delete", key: siteKeys.map(id) },
        // Any of them may hold a copy of its oplog: forgetting.ts.
        ...this.#world.members.map(
          (cvm): Operation => ({
            kind: "put",
            key: siteKeys.deletedVdisk(cvm, id),
            value: utf8(name),
          }),
        ),
      ],
      otherwise: [{ kind: "get", key: siteKeys.protectedVdisk(id) }],
    });
    if (succeeded) return;
    const domain = found[0]?.[0]?.value;
    if (domain === undefined)
      throw new AntipodeError("COORDINATOR_CONFLICT", `vDisk "${name}" changed meanwhile`, {
        vdisk: name,
      });
    throw new AntipodeError("VDISK_IN_USE", `vDisk "${name}" is in a protection domain`, {
      vdisk: name,
      protectionDomain: fromUtf8(domain),
    });
  }

  /** What the new vDisk begins with. */
  async #origin(wanted: NewVdisk): Promise<{ readonly root: string; readonly sizeBytes: number }> {
    if (wanted.source === "")
      return { root: rootToHex(rootFromHex(wanted.root)), sizeBytes: wanted.sizeBytes };
    const { vdisk, recoveryPoint } = parseExportName(wanted.source);
    if (recoveryPoint === undefined)
      throw new AntipodeError(
        "INVALID_ARGUMENT",
        "a clone begins with a recovery point: VDISK@RECOVERY-POINT",
        { source: wanted.source },
      );
    const { disk } = await findRecoveryPointDisk(this.#world.coordinator, vdisk, recoveryPoint);
    if (wanted.sizeBytes !== 0 && wanted.sizeBytes !== disk.sizeBytes)
      throw new AntipodeError("SIZE_INVALID", "a clone has the size of its source", {
        sizeBytes: disk.sizeBytes,
      });
    return { root: disk.root, sizeBytes: disk.sizeBytes };
  }
}

function checkName(name: string, what: string): void {
  if (!isName(name))
    throw new AntipodeError("NAME_INVALID", `"${name}" is no name for a ${what}`, { name });
}

function checkSize(sizeBytes: number): void {
  if (
    sizeBytes < SIZE_BYTES_MIN ||
    sizeBytes > SIZE_BYTES_MAX ||
    sizeBytes % SECTOR_SIZE_BYTES !== 0
  )
    throw new AntipodeError("SIZE_INVALID", `${sizeBytes} bytes is no size for a vDisk`, {
      sizeBytes,
    });
}

function noContainer(name: string): AntipodeError {
  return new AntipodeError("CONTAINER_NOT_FOUND", `there is no container "${name}"`, {
    container: name,
  });
}
