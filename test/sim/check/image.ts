/**
 * An image of a group's vDisks as it was at one time, small enough to keep hundreds of: a whole block
 * is kept as its header, shared between images, and made again when it is read; zeros are kept as
 * nothing; only bytes that no header explains are kept as they are. Every block is compared with what
 * would be made of its header before its bytes are let go, so reading gives exactly what was captured.
 */

import { equalBytes, isAllZero } from "../../../services/base/bytes.ts";
import {
  BLOCK_BYTES,
  type BlockFields,
  fillBlock,
  readBlockHeader,
} from "../../../services/guest/index.ts";
import type { GroupVdisk, SlotReader } from "./contracts.ts";

type Kept = BlockFields | Uint8Array | undefined;

/** Keeps images of one run. */
export class ImageStore {
  /** `runId/vdiskId/lba/gseq` → header. */
  readonly #headers = new Map<string, BlockFields>();

  /**
   * Reads every slot of the vDisks, in order, and keeps it.
   * @returns a reader that gives the captured bytes for ever
   * @throws whatever `read` throws
   */
  async capture(vdisks: readonly GroupVdisk[], read: SlotReader): Promise<SlotReader> {
    const kept = new Map<number, Kept[]>();
    for (const { id, slots } of vdisks) {
      const blocks: Kept[] = [];
      for (let lba = 0; lba < slots; lba++)
        blocks.push(this.#keep(await read({ vdiskId: id, lba })));
      kept.set(id, blocks);
    }
    return ({ vdiskId, lba }) => Promise.resolve(bytesOf(kept.get(vdiskId)?.[lba]));
  }

  #keep(block: Uint8Array): Kept {
    if (block.length === BLOCK_BYTES && isAllZero(block)) return undefined;
    const header = readBlockHeader(block);
    if (header === undefined) return block.slice();
    const { runId, vdiskId, lba, gseq } = header;
    const key = `${runId}/${vdiskId}/${lba}/${gseq}`;
    const known = this.#headers.get(key);
    if (!equalBytes(block, bytesOf(known ?? header))) return block.slice();
    if (known !== undefined) return known;
    this.#headers.set(key, header);
    return header;
  }
}

function bytesOf(kept: Kept): Uint8Array {
  if (kept instanceof Uint8Array) return kept.slice();
  const block = new Uint8Array(BLOCK_BYTES);
  if (kept !== undefined) fillBlock(block, kept);
  return block;
}
