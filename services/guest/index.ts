/**
 * What other rooms may use of the guest: the NBD client and its streams, the self-verifying writer,
 * and the audit of an image against the writer's journal.
 */

export { type AuditInput, type AuditReport, auditImage, type NamedWrite } from "./audit.ts";
export { BLOCK_BYTES } from "./block.ts";
export { type DiskPiece, readDisk, type StreamOptions, writeDisk } from "./diskStream.ts";
export { type Slot, WRITE_BLOCKS_MAX, type WriteMix } from "./generator.ts";
export type { LatencySummary } from "./histogram.ts";
export { createImageReader } from "./imageReader.ts";
export { type Journal, type JournalHeader, loadJournal } from "./journal.ts";
export { connectNbd, listNbdExports } from "./nbdClient.ts";
export type { NbdClient, NbdClientOptions, NbdWorld } from "./nbdConnection.ts";
export { isIndeterminate } from "./nbdErrors.ts";
export type { NbdRun } from "./nbdReplies.ts";
export { formatNbdUri, type NbdTarget, parseNbdUri } from "./nbdUri.ts";
export { openSteadyDisk } from "./steadyDisk.ts";
export { SvwWriter, type WriterConfig, type WriterStatus, type WriterWorld } from "./writer.ts";
