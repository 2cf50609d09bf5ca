/**
 * A client that writes numbered versions to the slots of a disk, one write a slot at a time, and knows
 * what it was told: the oracle for "an acknowledged write is never lost" (P1, I1). Others read
 * meanwhile: a read shows at least what was acknowledged, or read, before it began (P4).
 */

import { AntipodeError } from "../../services/base/errors.ts";
import type { Prng } from "../../services/base/prng.ts";
import type { NbdClient } from "../../services/guest/index.ts";
import type { SimulatedSite } from "./simulatedSite.ts";

/** Not a multiple of a chunk: neighbours share chunks, so drains have to read, modify, write. */
const SLOT_BYTES = 4096;
const RECONNECT_MS = 50;
/** Garbage is not collected yet: a writer without pauses would fill the small disks of a simulation. */
const THINK_MS_MAX = 40;

interface Slot {
  /** Last version given out. */
  issued: number;
  /** Last version acknowledged. */
  acked: number;
  busy: boolean;
  /** Highest version that a read returned. */
  seen: number;
}

export interface VersionedWriter {
  readonly acknowledged: number;
  /** Ends when the writes under way are settled. */
  stop(): Promise<void>;
  /** Reads every slot. @returns a sentence for each slot that lost an acknowledged write, and for each wrong read before */
  audit(client: NbdClient): Promise<readonly string[]>;
}

/** Starts writers on an export; each takes a random slot, writes its next version, waits, goes on. */
export function startVersionedWriter(options: {
  readonly site: SimulatedSite;
  readonly exportName: string;
  readonly slots: number;
  readonly writers: number;
  readonly readers: number;
  readonly prng: Prng;
}): VersionedWriter {
  const { site, prng } = options;
  const slots: Slot[] = Array.from({ length: options.slots }, () => ({
    issued: 0,
    acked: 0,
    busy: false,
    seen: 0,
  }));
  const problems: string[] = [];
  let stopping = false;
  const isStopping = (): boolean => stopping;
  let acknowledged = 0;

  const writeOne = async (client: NbdClient): Promise<void> => {
    const index = prng.below(slots.length);
    const slot = slots[index];
    if (slot === undefined || slot.busy) {
      await site.clock.sleep(1);
      return;
    }
    slot.busy = true;
    try {
      const version = ++slot.issued;
      await client.write(index * SLOT_BYTES, fill(index, version));
      slot.acked = version;
      acknowledged += 1;
      await site.clock.sleep(prng.below(THINK_MS_MAX));
    } finally {
      slot.busy = false;
    }
  };
  const readOne = async (client: NbdClient): Promise<void> => {
    const index = prng.below(slots.length);
    const slot = slots[index];
    if (slot === undefined) return;
    const atLeast = Math.max(slot.acked, slot.seen);
    const found = versionOf(index, await client.read(index * SLOT_BYTES, SLOT_BYTES));
    if (found === undefined || found < atLeast || found > slot.issued)
      problems.push(
        `slot ${index}: a read returned version ${found ?? "none"}, not ${atLeast} to ${slot.issued}`,
      );
    else slot.seen = Math.max(slot.seen, found);
    await site.clock.sleep(prng.below(THINK_MS_MAX));
  };
  const run = async (act: (client: NbdClient) => Promise<void>): Promise<void> => {
    while (!isStopping()) {
      const cvm = site.cvms[prng.below(site.cvms.length)] ?? 1;
      let client: NbdClient;
      try {
        client = await site.openDisk(options.exportName, cvm);
      } catch (error) {
        if (!(error instanceof AntipodeError)) throw error;
        await site.clock.sleep(RECONNECT_MS);
        continue;
      }
      try {
        while (!isStopping()) await act(client);
        await client.close();
      } catch (error) {
        // The connection is gone or the site refused: not acknowledged, so the write may be there or not.
        if (!(error instanceof AntipodeError)) throw error;
        await client.close().catch(() => undefined);
      }
    }
  };
  // Readers of their own: a writer at a CVM that is cut off waits and would read nothing there.
  const runs = [
    ...Array.from({ length: options.writers }, () => run(writeOne)),
    ...Array.from({ length: options.readers }, () => run(readOne)),
  ];

  return {
    get acknowledged() {
      return acknowledged;
    },
    async stop() {
      stopping = true;
      await Promise.all(runs);
    },
    async audit(client) {
      for (const [index, slot] of slots.entries()) {
        const bytes = await client.read(index * SLOT_BYTES, SLOT_BYTES);
        const found = versionOf(index, bytes);
        if (found === undefined)
          problems.push(`slot ${index}: holds bytes that nobody wrote there`);
        else if (found < Math.max(slot.acked, slot.seen))
          problems.push(
            `slot ${index}: version ${slot.acked} was acknowledged, ${slot.seen} read, ${found} is there`,
          );
        else if (found > slot.issued)
          problems.push(`slot ${index}: version ${found} was never written`);
      }
      return problems;
    },
  };
}

/** Slot and version in every 512 bytes, so that a torn mixture is noticed. */
function fill(index: number, version: number): Uint8Array {
  const bytes = new Uint8Array(SLOT_BYTES);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < SLOT_BYTES; at += 512) {
    view.setUint32(at, index + 1);
    view.setUint32(at + 4, version);
    view.setUint32(at + 8, Math.imul(version, 0x9e3779b9) ^ at);
  }
  return bytes;
}

function versionOf(index: number, bytes: Uint8Array): number | undefined {
  if (bytes.every((byte) => byte === 0)) return 0;
  const version = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4);
  const expected = fill(index, version);
  return expected.every((byte, i) => byte === bytes[i]) ? version : undefined;
}
