/** What tests of a simulated site look up in its etcd, and damage on its disks. */

import { type OwnerRecord, siteKeys } from "../../services/base/siteRecords.ts";
import { decodeOwner } from "../../services/stargate/vdisk/records.ts";
import type { SimulatedSite } from "./simulatedSite.ts";

/** The owner record of the site's first vDisk. */
export async function ownerOf(site: SimulatedSite): Promise<OwnerRecord> {
  const { entries } = await site.wait(site.etcd.connect().list(siteKeys.owners));
  const [entry] = entries;
  if (entry === undefined) throw new Error("no vDisk");
  return decodeOwner(entry.value);
}

/** Flips a byte inside the data of one oplog record, so many bytes that are all `fill`, which is not drained. */
export function rotRecord(
  site: SimulatedSite,
  cvm: number,
  { fill, bytes: length }: { readonly fill: number; readonly bytes: number },
): void {
  const disk = site.diskOf(cvm);
  for (const path of disk.paths().filter((one) => one.startsWith("oplog/"))) {
    const bytes = disk.content(path) ?? new Uint8Array(0);
    for (let at = 0; at + length <= bytes.length; at += 8)
      if (bytes.subarray(at, at + length).every((byte) => byte === fill)) {
        disk.corrupt(path, at + 100);
        return;
      }
  }
  throw new Error("the record is not in the journal");
}
