/**
 * Orders to the disks of services: one small file a service, which its process watches
 * (platform/adapters/faultableDisk.ts). They lie in genesis' own folder of state, so a disk that was told
 * to be full does not keep the order from being withdrawn. A service obeys when its environment names its
 * file; the lab's plan names it for every process of ours that has a disk.
 */

import { utf8 } from "../base/bytes.ts";
import { AntipodeError } from "../base/errors.ts";
import { type Disk, replaceWhole } from "../platform/disk.ts";
import { DISK_FAULTS_VARIABLE, type DiskFault, formatDiskFault } from "../platform/diskFaults.ts";
import type { ServiceSpec } from "./layout.ts";

/** The order file of a service, in the folder of state. */
export function diskOrderFile(id: string): string {
  return `${id.replaceAll("/", ".")}.disk-fault`;
}

export class DiskOrders {
  readonly #services: readonly Pick<ServiceSpec, "id" | "env">[];
  readonly #disk: Disk;

  /** @param disk rooted at the layout's folder of state */
  constructor(services: readonly Pick<ServiceSpec, "id" | "env">[], disk: Disk) {
    this.#services = services;
    this.#disk = disk;
  }

  /** @throws AntipodeError `PROCESS_NOT_FOUND`, `INVALID_ARGUMENT` for a service that takes no orders */
  require(ids: readonly string[]): void {
    for (const id of ids) {
      const service = this.#services.find((one) => one.id === id);
      if (service === undefined)
        throw new AntipodeError("PROCESS_NOT_FOUND", `no service is called "${id}"`, { id });
      if (service.env[DISK_FAULTS_VARIABLE] === undefined)
        throw new AntipodeError(
          "INVALID_ARGUMENT",
          `${id} has no disk that can be told to fail: stargates have, and the embedded etcd`,
          { id },
        );
    }
  }

  /** The disk does this from now on, in later lives of the process too. */
  async order(id: string, fault: DiskFault): Promise<void> {
    await replaceWhole(this.#disk, diskOrderFile(id), utf8(formatDiskFault(fault)));
  }

  /** The disk is whole from now on; harmless when it is. */
  async withdraw(id: string): Promise<void> {
    await this.#disk.remove(diskOrderFile(id));
  }
}
