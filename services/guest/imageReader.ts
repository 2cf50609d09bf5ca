/**
 * Reads slots of disks for the audit: in order, through windows of 1 MiB of which the next few are
 * already being read. Memory is bounded by `WINDOWS_AHEAD` + 1 windows a disk.
 */

import { AntipodeError } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
import { BLOCK_BYTES } from "./block.ts";
import type { Slot } from "./generator.ts";
import type { NbdClient } from "./nbdConnection.ts";

const WINDOW_BYTES = 1 * MIB;
const WINDOW_SLOTS = WINDOW_BYTES / BLOCK_BYTES;
const WINDOWS_AHEAD = 8;

/**
 * A reader for `auditImage`.
 * @param clients vDisk id of the journal → open export
 */
export function createImageReader(
  clients: ReadonlyMap<number, NbdClient>,
): (slot: Slot) => Promise<Uint8Array> {
  const disks = new Map([...clients].map(([id, client]) => [id, new WindowedDisk(client)]));
  return async ({ vdiskId, lba }) => {
    const disk = disks.get(vdiskId);
    if (disk === undefined)
      throw new AntipodeError("INVALID_ARGUMENT", `no export was given for vDisk ${vdiskId}`);
    const window = await disk.window(Math.floor(lba / WINDOW_SLOTS));
    const at = (lba % WINDOW_SLOTS) * BLOCK_BYTES;
    if (at + BLOCK_BYTES > window.length)
      throw new AntipodeError("OUT_OF_RANGE", `slot ${lba} lies beyond the end of the disk`);
    return window.subarray(at, at + BLOCK_BYTES);
  };
}

class WindowedDisk {
  readonly #client: NbdClient;
  readonly #windows = new Map<number, Promise<Uint8Array>>();

  constructor(client: NbdClient) {
    this.#client = client;
  }

  window(index: number): Promise<Uint8Array> {
    for (const held of this.#windows.keys())
      if (held < index || held > index + WINDOWS_AHEAD) this.#windows.delete(held);
    const last = Math.ceil(this.#client.sizeBytes / WINDOW_BYTES) - 1;
    for (let ahead = index; ahead <= Math.min(index + WINDOWS_AHEAD, last); ahead++)
      if (!this.#windows.has(ahead)) this.#windows.set(ahead, this.#load(ahead));
    return this.#windows.get(index) ?? Promise.resolve(new Uint8Array(0));
  }

  #load(index: number): Promise<Uint8Array> {
    const offset = index * WINDOW_BYTES;
    const window = this.#client.read(
      offset,
      Math.min(WINDOW_BYTES, this.#client.sizeBytes - offset),
    );
    // Whoever asks for the window sees the failure; until then it is no unhandled one.
    window.catch(() => undefined);
    return window;
  }
}
