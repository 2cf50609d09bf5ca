/**
 * What other rooms may use of the guest: the NBD client and its streams, the self-verifying writer,
 * the audit of an image against the writer's journal, and the parts that audit is made of: the block,
 * the verdict on a slot, the prefix condition.
 */

export { auditImage } from "./audit.ts";
export { auditRecord } from "./auditRecord.ts";
export { type AuditReport, type AuditTally, tallyOf } from "./auditReport.ts";
export {
  BLOCK_BYTES,
  type BlockFields,
  fillBlock,
  readBlockHeader,
} from "./block.ts";
export { readDisk, writeDisk } from "./diskStream.ts";
export { partSeed, type Slot } from "./generator.ts";
export type { History, HistoryWrite } from "./history.ts";
export { loadJournal } from "./journal.ts";
export { connectNbd, listNbdExports } from "./nbdClient.ts";
export type { NbdClient, NbdClientOptions } from "./nbdConnection.ts";
export { isIndeterminate } from "./nbdErrors.ts";
export { formatNbdUri, type NbdTarget, parseNbdUri } from "./nbdUri.ts";
export { checkPrefix, SHOWS_DAMAGE, SHOWS_NOTHING } from "./prefix.ts";
export { judgeSlot, type SlotVerdict } from "./slotVerdict.ts";
export { openSteadyDisk } from "./steadyDisk.ts";
export { SvwWriter, type WriterConfig, type WriterEvent, type WriterStatus } from "./writer.ts";
